"""The network that reads digits."""

import torch

from domain_denoiser.core import images
from domain_denoiser.core.seeds import generator
from domain_denoiser.study import classifier
from domain_denoiser.study.params import Classifier
from domain_denoiser.training.initialisation import initialise

SETTINGS = Classifier(epochs=3, batch_size=32, learning_rate=0.005)


def fitted(sample, seed: int) -> tuple[classifier.DigitClassifier, list[classifier.Epoch]]:
    train, test = sample
    network = classifier.DigitClassifier()
    initialise(network, "kaiming", generator("cpu", seed, "classifier"))
    parts = [(torch.from_numpy(part.images), torch.from_numpy(part.labels).long()) for part in (train, test)]
    return network, list(classifier.fit(network, *parts, SETTINGS, seed))


def test_it_learns_to_read_and_does_so_again(sample):
    network, history = fitted(sample, 1)
    again, _ = fitted(sample, 1)
    assert history[-1].val_accuracy > 0.8
    assert history[-1].train_loss < history[0].train_loss
    for one, other in zip(network.parameters(), again.parameters()):
        assert torch.equal(one, other)


def test_reading_changes_nothing_and_is_one_digit_an_image(sample, digits):
    network = classifier.DigitClassifier()
    shown = images.to_float(digits, "cpu")
    before = shown.clone()
    read = classifier.classify(network, shown)
    assert read.shape == (len(digits),)
    assert ((read >= 0) & (read <= 9)).all()
    assert torch.equal(shown, before)

"""A small classifier of digits, trained on clean digits only: does a restored digit keep its class?"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from domain_denoiser.core.images import scaled
from domain_denoiser.core.seeds import generator
from domain_denoiser.study.params import Classifier

BATCH = 1_000  # images


class DigitClassifier(nn.Sequential):
    """Two convolutions and two dense layers: float32 [B, 1, 28, 28] in [0, 1] -> [B, 10].

    Source: LeCun, Bottou, Bengio & Haffner 1998, with ReLU.
    """

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, 128),
            nn.ReLU(),
            nn.Linear(128, 10),
        )


class Epoch(NamedTuple):
    epoch: int  # from 1
    train_loss: float  # mean cross-entropy, nats
    val_accuracy: float  # on clean val images
    network: DigitClassifier


def fit(
    network: DigitClassifier,
    train: tuple[Tensor, Tensor],
    val: tuple[Tensor, Tensor],
    settings: Classifier,
    seed: int,
) -> Iterator[Epoch]:
    """Train in place on clean images uint8 [N, 28, 28] and their labels int64 [N]; yield each epoch."""
    images, labels = train
    optimizer = torch.optim.Adam(network.parameters())
    steps = -(-len(images) // settings.batch_size) * settings.epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, steps)
    for epoch in range(1, settings.epochs + 1):
        total = 0.0
        network.train()
        order = torch.randperm(len(images), generator=generator("cpu", seed, "classifier", epoch)).to(images.device)
        for batch in order.split(settings.batch_size):
            loss = nn.functional.cross_entropy(network(scaled(images[batch])), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        correct = classify(network, scaled(val[0])) == val[1]
        yield Epoch(epoch, total / len(images), correct.double().mean().item(), network)


@torch.inference_mode()
def classify(network: DigitClassifier, images: Tensor) -> Tensor:
    """The digit of each image: float32 [N, 1, 28, 28] in [0, 1] -> int64 [N]."""
    network.eval()
    return torch.cat([network(part).argmax(1) for part in images.split(BATCH)])

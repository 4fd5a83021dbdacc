import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from domain_denoiser.core import images, metrics, noisy_sets
from domain_denoiser.core.seeds import generator
from domain_denoiser.networks import architectures
from domain_denoiser.params import Constant, Uniform
from domain_denoiser.training import gradients, loop
from domain_denoiser.training.initialisation import initialise
from domain_denoiser.training.loop import Diverged, Images, fit, learning_rate

FIXED = Constant(law="constant", noise="gaussian", sigma=0.5)
FAINT = Uniform(
    law="uniform", noise="gaussian", low=0.01, high=0.02
)  # grey images stay recognisable and are never clipped
SCHEDULES = ("constant", "linear", "cosine", "one_cycle")
COUNT = 22


class Recorder(nn.Module):
    """Restored is the noisy image times a weight, which begins at 1; keeps what it, or a copy, was trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.seen: list[torch.Tensor] = []
        self.weights: list[float] = []

    def __deepcopy__(self, memo: dict) -> "Recorder":
        copied = type(self)()
        copied.load_state_dict(self.state_dict())
        copied.seen, copied.weights = self.seen, self.weights
        return copied

    def forward(self, noisy):
        if self.training:
            self.seen.append(noisy.detach().clone())
            self.weights.append(self.weight.item())
        return noisy * self.weight


def greys(count: int = COUNT) -> torch.Tensor:
    """Image i is of one grey, far enough from that of any other: what is left of an image tells which it was."""
    return (0.2 + 0.6 * torch.arange(count) / count).view(-1, 1, 1, 1).expand(-1, 1, 28, 28).clone()


def numbers(seen: torch.Tensor) -> list[int]:
    return ((seen.mean((1, 2, 3)) - 0.2) / 0.6 * COUNT).round().int().tolist()


@pytest.fixture
def record(make_settings):
    """What every epoch of a training on grey images saw, one tensor an epoch, in the order of the images."""

    def run(seed: int = 2018, stored: torch.Tensor | None = None, **changed: object) -> list[torch.Tensor]:
        settings = make_settings(**{"architecture": "recorder", "batch_size": 5, "learning_rate": 1e-30} | changed)
        recorder, clean = Recorder(), greys()
        train = Images(clean, clean if stored is None else stored)
        epochs = list(fit(recorder, train, train, FAINT, settings, seed, None))
        assert len(epochs) == settings.epochs
        return list(torch.cat(recorder.seen).split(COUNT))

    return run


@pytest.fixture(scope="module")
def sample_images(sample):
    """The first 1,000 images of the sample to train on and the others as val, with noise of sigma 0.5."""

    def both(clean, name):
        corrupted = np.concatenate(list(noisy_sets.corrupt(clean, FIXED, 2018, "fixed", name).parts))
        return Images(images.to_float(clean, "cpu"), images.to_float(corrupted, "cpu"))

    whole = sample[0].images
    return both(whole[:1000], "train"), both(whole[1000:], "val")


@pytest.fixture
def train_sample(sample_images, make_settings):
    """Train a small network on the sample; the history, and the weights of each epoch."""

    def run(**changed: object):
        settings = make_settings(**changed)
        network = architectures.build(settings)
        initialise(network, settings.initialisation, generator("cpu", 2018, "initialisation"))
        history, weights = [], []
        for epoch in fit(network, *sample_images, FIXED, settings, 2018, None):
            history.append(epoch.row())
            weights.append({name: weight.clone() for name, weight in epoch.network.state_dict().items()})
        return history, weights

    return run


def test_training_learns_to_denoise(train_sample, sample_images):
    history, _ = train_sample(epochs=6, hidden=64)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5, 6]
    assert history[-1]["train_loss"] < 0.7 * history[0]["train_loss"]
    train, val = sample_images
    unrestored = metrics.psnr_db(metrics.mse(val.noisy, val.clean)).mean()
    mean_image = metrics.psnr_db(metrics.mse(train.clean.mean(0).expand_as(val.clean), val.clean)).mean()
    assert history[-1]["val_psnr_db"] > max(unrestored, mean_image)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"optimizer": "rmsprop_corrected", "ema": 0.9, "schedule": "one_cycle"},
        {"precision": "bfloat16"},
        {"loss": "rmse", "precision": "bfloat16", "optimizer": "adam"},
        {"loss": "log_mse", "optimizer": "muon"},
    ],
    ids=["plain", "all", "bfloat16", "autograd bfloat16", "muon"],
)
def test_two_trainings_give_the_same_bytes(train_sample, changed):
    (history, weights), (history_again, weights_again) = train_sample(**changed), train_sample(**changed)
    assert history == history_again
    for one, again in zip(weights, weights_again):
        assert all(one[name].equal(again[name]) for name in one)
    assert not weights[0]["decoder.bias"].equal(weights[1]["decoder.bias"])


SMALL_UNET = {
    "image_channels": 1,
    "residual": False,
    "fine_channels": 4,
    "coarse_channels": 8,
    "fine_blocks": 1,
    "coarse_blocks": 1,
}


def test_one_thread_and_two_give_the_same_weights_by_halves_of_a_batch(train_sample):
    """The post's network, which computes whole batches: test_stage_train.py, as its matmuls want a new process."""
    changed = {"architecture": "unet", **SMALL_UNET, "loss": "log_mse", "optimizer": "muon", "batch_size": 33}
    _, weights = train_sample(**changed)
    torch.set_num_threads(2)
    try:
        _, weights_again = train_sample(**changed)
    finally:
        torch.set_num_threads(1)
    for one, again in zip(weights, weights_again):
        assert all(one[name].equal(again[name]) for name in one)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_written_out_gradient_trains_as_autograd_does(train_sample, monkeypatch, precision):
    history, weights = train_sample(precision=precision, epochs=3)
    monkeypatch.setattr(
        "domain_denoiser.training.mlp_gradient.MlpGradient",
        lambda network, weights: gradients.Autograd(network, weights, "mse", gradients.Inline()),
    )
    by_autograd, weights_by_autograd = train_sample(precision=precision, epochs=3)
    loss, distance = {"float32": (1e-5, 1e-6), "bfloat16": (0.005, 0.02)}[precision]
    for row, other in zip(history, by_autograd):
        assert row["train_loss"] == pytest.approx(other["train_loss"], rel=loss)
    for name, weight in weights[0].items():
        assert (weight - weights_by_autograd[0][name]).norm() < distance * weight.norm()


def test_images_on_disk_train_as_those_in_memory(make_settings, tmp_path, digits):
    images.save(tmp_path / "clean.npy", digits)
    on_disk = torch.from_numpy(images.mapped(tmp_path / "clean.npy"))
    in_memory = images.to_float(digits, "cpu")

    def rows(given):
        network = architectures.build(make_settings())
        initialise(network, "xavier", generator("cpu", 2018, "initialisation"))
        return [epoch.row() for epoch in fit(network, given, given, FIXED, make_settings(), 2018, None)]

    assert rows(Images(on_disk, on_disk)) == rows(Images(in_memory, in_memory))


def test_other_seeds_see_other_noise_in_another_order(record):
    one, other = record(seed=1), record(seed=2)
    assert numbers(one[0]) != numbers(other[0])
    assert not one[1].equal(other[1])


@pytest.mark.parametrize("noise", ["fresh", "frozen"])
def test_every_image_is_seen_once_an_epoch_in_an_order_of_its_own(record, noise):
    orders = [numbers(seen) for seen in record(noise=noise, epochs=4)]
    assert all(sorted(order) == list(range(COUNT)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4


def test_first_epoch_sees_the_stored_images_and_fresh_noise_thereafter(record):
    stored = greys() + 0.001
    epochs = record(stored=stored, noise="fresh", epochs=3)
    assert epochs[0].equal(stored[numbers(epochs[0])])
    for seen in epochs[1:]:
        # Fresh noise varies within an image, and the stored images do not.
        assert (seen.flatten(1).std(1) > 0.005).all()


def test_frozen_noise_is_the_stored_images_in_every_epoch(record):
    stored = greys() + 0.001
    for seen in record(stored=stored, noise="frozen", epochs=3):
        assert seen.equal(stored[numbers(seen)])


def test_fresh_noise_differs_between_epochs_and_images(record):
    _, *epochs = record(epochs=4)
    eps = torch.cat([seen - greys()[numbers(seen)] for seen in epochs]).flatten(1)
    correlation = torch.corrcoef(eps)
    assert correlation[~torch.eye(len(eps), dtype=torch.bool)].abs().max() < 6 / math.sqrt(784)


def test_fresh_noise_follows_the_regime(record):
    _, *epochs = record(epochs=4)
    sigmas = torch.stack([(seen - greys()[numbers(seen)]).flatten(1).std(1) for seen in epochs])
    assert sigmas.min() > 0.01 * (1 - 6 / math.sqrt(2 * 784))
    assert sigmas.max() < 0.02 * (1 + 6 / math.sqrt(2 * 784))
    assert sigmas.std(0).min() > 0  # one draw per image per epoch
    assert sigmas.std(1).min() > 0.001


@pytest.mark.parametrize("noise", ["fresh", "frozen"])
def test_draws_of_an_epoch_depend_on_no_other_epoch(record, noise):
    short, long = record(noise=noise, epochs=3), record(noise=noise, epochs=5)
    assert all(one.equal(other) for one, other in zip(short, long))


def test_draws_do_not_depend_on_the_noise_that_earlier_epochs_drew(record):
    fresh, frozen = record(noise="fresh", epochs=4), record(noise="frozen", epochs=4)
    assert [numbers(seen) for seen in fresh] == [numbers(seen) for seen in frozen]


def test_draws_do_not_touch_or_read_the_global_generator(record):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = record()
    assert torch.get_rng_state().equal(before)
    torch.manual_seed(2)
    assert all(a.equal(b) for a, b in zip(one, record()))


@pytest.mark.parametrize("batch_size", [5, COUNT, 1000])
def test_loss_is_the_mean_over_all_images_against_their_own_clean_image(make_settings, batch_size):
    clean = greys()
    corrupted = clean + torch.linspace(0.01, 0.1, COUNT).view(-1, 1, 1, 1)
    settings = make_settings(architecture="recorder", batch_size=batch_size, epochs=1, learning_rate=1e-30)
    train, val = Images(clean, corrupted), Images(clean[:3], corrupted[3:6])
    (epoch,) = fit(Recorder(), train, val, FAINT, settings, 2018, None)
    assert epoch.train_loss == pytest.approx((corrupted - clean).square().mean().item(), rel=1e-5)
    assert epoch.val_loss == pytest.approx((corrupted[3:6] - clean[:3]).square().mean().item(), rel=1e-5)
    each = -10 * (corrupted[3:6] - clean[:3]).square().mean((1, 2, 3)).log10()
    assert epoch.val_psnr_db == pytest.approx(each.mean().item(), rel=1e-5)


def test_val_images_are_measured_as_an_image_file_would_hold_them(make_settings):
    white = torch.ones(2, 1, 28, 28)
    (epoch,) = fit(
        Recorder(),
        Images(white, white),
        Images(white, 2 * white),
        FAINT,
        make_settings(architecture="recorder", epochs=1),
        2018,
        None,
    )
    assert epoch.val_loss == 0.0
    assert epoch.val_psnr_db == 100.0


@pytest.mark.parametrize(
    "shape", [(5, 28, 28), (5, 600, 700), (5, 3, 300, 400), (5, 900, 900)], ids=["small", "two", "colour", "one"]
)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_val_images_of_any_size_are_measured_a_few_at_a_time_and_all_count(shape, dtype):
    """900 x 900 pixels are more than a batch has values: they come one by one."""
    largest = 255 if dtype == torch.uint8 else 65_535
    draw = torch.Generator().manual_seed(0)
    # Drawn as int32, as torch draws no uint16.
    clean = torch.randint(largest // 2, shape, generator=draw, dtype=torch.int32)
    steps = torch.arange(1, 6, dtype=torch.int32).view(-1, *[1] * (len(shape) - 1)) * (largest // 25)
    sizes = []

    class Counting(nn.Module):
        def forward(self, noisy):
            sizes.append(noisy.numel())
            return noisy

    val_loss, val_psnr_db = loop.validate(Counting(), Images(clean.to(dtype), (clean + steps).to(dtype)))
    error = (steps.double().flatten() / largest).square()
    assert val_loss == pytest.approx(error.mean().item(), rel=1e-4)
    assert val_psnr_db == pytest.approx((-10 * error.log10()).mean().item(), rel=1e-4)
    assert sum(sizes) == clean.numel()
    assert max(sizes) <= max(loop.VALIDATED, clean[0].numel())
    assert len(sizes) == math.ceil(5 / max(1, loop.VALIDATED // clean[0].numel()))


@pytest.mark.parametrize("image_channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_images_of_every_form_are_learned_from_their_parts(make_settings, image_channels, dtype):
    """Blocks of one grey or colour each, in images of 56 x 40 pixels, of which an epoch sees 16 x 16."""
    drawn = np.random.default_rng(2018).integers(0, np.iinfo(dtype).max, (30, image_channels, 5, 7), dtype)
    blocks = drawn.repeat(8, 2).repeat(8, 3)
    clean = blocks[:, 0] if image_channels == 1 else blocks
    strong = Constant(law="constant", noise="gaussian", sigma=0.5)
    noisy = np.concatenate(list(noisy_sets.corrupt(clean, strong, 2018, "parts").parts))
    assert (noisy.shape, noisy.dtype) == (clean.shape, clean.dtype)
    given = Images(torch.from_numpy(clean), torch.from_numpy(noisy))
    changed = {"crop": 16, "augment": True, "epochs": 20, "batch_size": 2, "optimizer": "adam", "learning_rate": 0.01}
    settings = make_settings(
        architecture="unet", **SMALL_UNET | {"image_channels": image_channels, "fine_channels": 16} | changed
    )
    network = architectures.build(settings)
    initialise(network, "kaiming", generator("cpu", 2018, "initialisation"))
    train, val = (Images(*(one[part] for one in given)) for part in (slice(24), slice(24, None)))
    history = [epoch.row() for epoch in fit(network, train, val, strong, settings, 2018, None)]
    unrestored = metrics.psnr_db(metrics.mse(*(images.scaled(one) for one in val))).mean()
    assert history[-1]["val_psnr_db"] > unrestored + 2


def test_history_names_the_learning_rate_of_the_last_step(make_settings):
    settings = make_settings(architecture="recorder", schedule="linear", learning_rate=0.1, batch_size=11)
    train = Images(greys(), greys())
    rows = [epoch.row() for epoch in fit(Recorder(), train, train, FAINT, settings, 2018, None)]
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.075, 0.025])  # steps 1 and 3 of 4, from 0
    assert list(rows[0]) == ["epoch", "train_loss", "val_loss", "val_psnr_db", "learning_rate"]


class Exploding(Recorder):
    def forward(self, noisy):
        return super().forward(noisy) * torch.exp(self.weight**2)


def test_diverging_training_ends_with_epoch_step_and_learning_rate(make_settings):
    settings = make_settings(
        architecture="recorder", epochs=3, batch_size=11, learning_rate=10.0, schedule="linear", beta2=0.9
    )
    train = Images(greys(), greys())
    # The first step takes the weight from 1 to 1 - 10 / sqrt(0.1), so that the second overflows in exp(weight^2).
    with pytest.raises(Diverged, match=r"^the loss is inf at epoch 1, step 2, learning rate 8.33$"):
        list(fit(Exploding(), train, train, FAINT, settings, 2018, None))


def test_images_that_are_not_finite_end_the_training(make_settings):
    train = Images(greys(), greys().log().log())
    with pytest.raises(Diverged, match="the loss is nan at epoch 1, step 1, "):
        list(fit(architectures.build(make_settings()), train, train, FAINT, make_settings(), 2018, None))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_learning_rate_stays_within_its_peak(make_settings, schedule):
    settings = make_settings(schedule=schedule, learning_rate=0.5)
    rates = [learning_rate(settings, step, 1000) for step in range(1000)]
    assert max(rates) == pytest.approx(0.5)
    assert min(rates) > 0


def test_learning_rate_has_the_shape_that_its_schedule_names(make_settings):
    def rates(schedule):
        settings = make_settings(schedule=schedule, learning_rate=0.5)
        return np.array([learning_rate(settings, step, 1000) for step in range(1000)])

    assert np.all(rates("constant") == 0.5)
    np.testing.assert_allclose(np.diff(rates("linear")), -0.5 / 1000)
    for falling in ("linear", "cosine"):
        assert rates(falling)[0] == 0.5
        assert rates(falling)[500] == pytest.approx(0.25)
        assert rates(falling)[-1] < 0.001
        assert np.all(np.diff(rates(falling)) < 0)
    cycle = rates("one_cycle")
    assert cycle[0] == pytest.approx(0.05)
    assert cycle.argmax() == 200
    assert np.all(np.diff(cycle[:201]) > 0)
    assert np.all(np.diff(cycle[200:]) < 0)
    assert np.abs(np.diff(cycle)).max() < 0.003  # no jump where the parts meet
    assert cycle[-1] < 0.001


def test_averaged_network_has_the_running_mean_of_the_weights(make_settings):
    settings = make_settings(architecture="recorder", ema=0.8, batch_size=5, learning_rate=0.01, epochs=2)
    recorder, train = Recorder(), Images(greys(), 1.1 * greys())
    averages = [epoch.network.weight.item() for epoch in fit(recorder, train, train, FAINT, settings, 2018, None)]
    # What is recorded is the weight before each step, for both halves of the batch: after a step is before the next.
    after = [*recorder.weights[2::2], recorder.weight.item()]
    running = list(itertools.accumulate(after, lambda mean, weight: 0.8 * mean + 0.2 * weight))
    steps = math.ceil(COUNT / 5)
    assert averages == pytest.approx([running[steps - 1], running[-1]], rel=1e-5)
    assert averages[-1] != pytest.approx(after[-1], rel=1e-4)

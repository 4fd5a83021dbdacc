"""An epoch of the models `fixed` and `conv` by several loops, in turn: `make bench`."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import measure
import numpy as np
import post_loop
import torch
from torch.nn import functional as F

from domain_denoiser import params
from domain_denoiser.base import progress
from domain_denoiser.core import compute, images, noisy_sets
from domain_denoiser.core.noise import add_noise
from domain_denoiser.core.seeds import generator
from domain_denoiser.networks import architectures
from domain_denoiser.training import loop
from domain_denoiser.training.initialisation import initialise
from domain_denoiser.training.optimizer import Flat, Optimizer

REPEATS = 5
NOISY = Path("data/noisy")
BOTH = 1.3  # times the speed of one thread that two threads have in small products, at least, if both cores are free
CONV_IMAGES = 10_000  # of an epoch of `conv`: a fifth, as it is slow and the images/s are the same


def network(settings: params.Model) -> torch.nn.Module:
    built = architectures.build(settings)
    initialise(built, settings.initialisation, generator("cpu", 2018, "initialisation"))
    return built


def dtypes() -> list[tuple[str, torch.dtype]]:
    """What products are computed in: float32, and bfloat16 where there are instructions for it."""
    return [("float32", torch.float32)] + [("bfloat16", torch.bfloat16)] * bool(measure.bfloat16())


def in_bfloat16(settings: params.Model) -> dict[str, params.Model]:
    """The same settings in bfloat16, where there are instructions for it."""
    return {f"ours, in {name}": settings.model_copy(update={"precision": name}) for name, _ in dtypes()[1:]}


class Ordinary:
    """A good ordinary loop: all images in memory as floats, noise in one call a batch, autograd, torch's RMSprop."""

    def __init__(self, clean: torch.Tensor, settings: params.Model) -> None:
        self._clean, self._batch_size, self._network = clean, settings.batch_size, network(settings)
        self._optimizer = torch.optim.RMSprop(self._network.parameters(), lr=settings.learning_rate)

    def __call__(self) -> None:
        for batch in torch.randperm(len(self._clean)).split(self._batch_size):
            clean = self._clean[batch]
            corrupted = (clean + 0.5 * torch.randn_like(clean)).clamp(0.0, 1.0)
            self._optimizer.zero_grad()
            F.mse_loss(self._network(corrupted), clean).backward()
            self._optimizer.step()


class Ours:
    """`training.fit`; each call is one epoch of fresh noise with `val` images to validate on."""

    def __init__(self, train: loop.Images, val: int, settings: params.Model, built: torch.nn.Module) -> None:
        many = settings.model_copy(update={"epochs": measure.ROUNDS * REPEATS + 1})
        first = loop.Images(train.clean[:val], train.noisy[:val])
        regime = noisy_sets.load_regime(NOISY / settings.regime)
        self._epochs = loop.fit(built, train, first, regime, many, 2018, None)
        next(self._epochs)  # the first epoch reads the stored noise

    def __call__(self) -> None:
        next(self._epochs)


class Products:
    """The five matrix products of each batch and nothing else; with `more`, also the noise and the optimizer's pass."""

    def __init__(self, settings: params.Model, dtype: torch.dtype, batches: int, more: bool) -> None:
        self._batches, self._more, self._weights = batches, more, Flat(network(settings))
        self._optimizer = Optimizer(self._weights, settings)
        self._clean, self._sigma = torch.rand(settings.batch_size, 1, 28, 28), torch.full((settings.batch_size,), 0.5)
        self._outer = torch.rand(settings.batch_size, 784).to(dtype)
        self._inner = torch.rand(settings.batch_size, settings.hidden).to(dtype)
        self._weight = torch.rand(settings.hidden, 784).to(dtype)
        self._products = [torch.empty(shape, dtype=dtype) for shape in (self._inner.shape, self._outer.shape)]
        self._products.append(torch.empty_like(self._weight))
        self._draw = generator("cpu", 2018, "noise")

    def __call__(self) -> None:
        inner, outer, by_weight = self._products
        for _ in range(self._batches):
            torch.mm(self._outer, self._weight.t(), out=inner)
            torch.mm(self._inner, self._weight, out=outer)
            torch.mm(self._inner.t(), self._outer, out=by_weight)
            torch.mm(self._outer, self._weight.t(), out=inner)
            torch.mm(self._inner.t(), self._outer, out=by_weight)
            if self._more:
                add_noise("gaussian", self._clean, self._sigma, self._draw)
                self._optimizer.step(1e-9)


class BothCores:
    """Are both of the machine's cores free just now?

    The host of a virtual machine gives its two cores one of its own at times: then two processes that share nothing are
    no faster together than one alone. Nothing in the virtual machine says so but the time that things take.
    """

    def __init__(self, settings: params.Model) -> None:
        self._products = Products(settings, torch.float32, 40, False)

    def __call__(self) -> bool:
        one, two = self._seconds(1), self._seconds(2)  # leaves two threads
        return one / two >= BOTH

    def _seconds(self, threads: int) -> float:
        torch.set_num_threads(threads)
        return min(measure.seconds(self._products) for _ in range(3))


class Convolutions:
    """The convolutions of each batch, forward and backward, and nothing else."""

    def __init__(self, settings: params.Model, dtype: torch.dtype, batches: int) -> None:
        self._batches, self._each = batches, []
        built = network(settings)

        def keep(module: torch.nn.Conv2d, given: tuple[torch.Tensor], result: torch.Tensor) -> None:
            weight = module.weight.detach().to(dtype).requires_grad_()
            taken = given[0].detach().to(dtype).requires_grad_(bool(self._each))  # nobody asks for that of the images
            self._each.append((taken, weight, module.stride, module.padding, torch.rand_like(result).to(dtype)))

        for module in built.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.register_forward_hook(keep)
        built(torch.rand(settings.batch_size, 1, 28, 28))

    def __call__(self) -> None:
        for _ in range(self._batches):
            for taken, weight, stride, padding, gradient in self._each:
                result = F.conv2d(taken, weight, None, stride, padding)
                torch.autograd.grad(result, [weight, taken] if taken.requires_grad else [weight], gradient)


def stored(clean: np.ndarray, regime: str) -> loop.Images:
    corrupted = images.load(NOISY / regime / "train.npy")[: len(clean)]
    return loop.Images(torch.from_numpy(clean), torch.from_numpy(corrupted))


def loops(settings: params.Model, clean: np.ndarray) -> dict[str, Callable[[], None]]:
    train = stored(clean, settings.regime)
    batches = -(-len(clean) // settings.batch_size)
    return {
        "a good ordinary loop": Ordinary(images.to_float(clean, "cpu"), settings),
        **{name: Ours(train, low.batch_size, low, network(low)) for name, low in in_bfloat16(settings).items()},
        "**ours**": Ours(train, settings.batch_size, settings, network(settings)),
        "ours, with validation": Ours(train, 5_000, settings, network(settings)),
        **{f"the five products in {name}": Products(settings, dtype, batches, False) for name, dtype in dtypes()},
        "the same in float32, and noise and optimizer": Products(settings, torch.float32, batches, True),
    }


def post_loops(threads: int, stack: ExitStack) -> dict[str, Callable[[], None]]:
    """The post's loop in processes of its own, which end with the stack."""

    def begun(workers: int) -> post_loop.Beside:
        return stack.enter_context(post_loop.beside("fixed", threads, workers, REPEATS))

    return {
        f"the post's loop, {workers} worker{'s' * (workers != 1)}, first epochs": begun(workers)
        for workers in (0, 1, 2)
    }


def conv_loops(settings: params.Model, clean: np.ndarray) -> dict[str, Callable[[], None]]:
    train = stored(clean, settings.regime)
    batches = -(-len(clean) // settings.batch_size)
    return {
        **{name: Ours(train, low.batch_size, low, network(low)) for name, low in in_bfloat16(settings).items()},
        "**ours**": Ours(train, settings.batch_size, settings, network(settings)),
        **{f"its convolutions in {name}": Convolutions(settings, dtype, batches) for name, dtype in dtypes()},
    }


def epochs_table(name: str, medians: dict[str, float], count: int) -> str:
    fastest = min(value for work, value in medians.items() if "first epochs" in work)
    floor = medians["the five products in float32"]
    rows = [
        [work, f"{value:.2f}", f"{count / value:,.0f}", f"{fastest / value:.2f}", f"{value / floor:.2f}"]
        for work, value in medians.items()
    ]
    columns = "s an epoch | images/s | speed / the post's first epochs | time / the five products in float32"
    return measure.table(f"{name} | {columns}", rows)


def threads_as_text(threads: int) -> str:
    return f"{threads} thread{'s' * (threads > 1)}"


def main() -> None:
    read = params.read(Path("params.yaml"))
    clean = images.load(Path("data/clean/train_images.npy"))
    parts = []
    for threads in progress.track((2, 1), 2, "an epoch", "numbers of threads"):
        compute.prepare(read.compute.model_copy(update={"threads": threads}))
        with ExitStack() as stack:
            works = post_loops(threads, stack) | loops(read.models["fixed"], clean)
            if threads == 1:
                measured = {"1 thread": measure.interleaved(works, REPEATS)}
            else:
                both, less = measure.interleaved_by(works, REPEATS, BothCores(read.models["fixed"]))
                measured = {"2 threads, both cores free": both, "2 threads, less than both cores": less}
            met = {name: medians for name, medians in measured.items() if len(medians) == len(works)}
            if not met:
                raise SystemExit("the two changed so often that neither was met by every loop; try once more")
            parts += [epochs_table(name, medians, len(clean)) for name, medians in met.items()]
    for threads in progress.track((2, 1), 2, "an epoch of conv", "numbers of threads"):
        compute.prepare(read.compute.model_copy(update={"threads": threads}))
        medians = measure.interleaved(conv_loops(read.models["conv"], clean[:CONV_IMAGES]), REPEATS)
        fastest = "its convolutions in float32"
        rows = [
            [
                name,
                f"{value * len(clean) / CONV_IMAGES:.1f}",
                f"{CONV_IMAGES / value:,.0f}",
                f"{value / medians[fastest]:.2f}",
            ]
            for name, value in medians.items()
        ]
        columns = f"s an epoch | images/s | time / {fastest}"
        parts.append(measure.table(f"`conv`, {threads_as_text(threads)} | {columns}", rows))
    measure.keep_speeds("an epoch", "\n\n".join(parts))


if __name__ == "__main__":
    main()

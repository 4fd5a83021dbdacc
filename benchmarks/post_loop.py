"""The post's own loop, written plainly: a Dataset that draws NumPy noise for each item, a DataLoader, RMSprop.

As a program it is a process of its own, with torch as it comes: numbers too small for float32's full precision
(denormals) are computed, slowly. It trains the first epoch and says how long that took, then one more for each line
that it reads. After each `first` of these it goes back to where the first epoch ended: it becomes slower as it goes on.
"""

import copy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import measure
import numpy as np
import torch
import typer
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from domain_denoiser import params
from domain_denoiser.core import images
from domain_denoiser.core.seeds import generator
from domain_denoiser.networks import architectures
from domain_denoiser.params import Constant, Model, Regime
from domain_denoiser.study import params as study_params
from domain_denoiser.training.initialisation import initialise

MOST_SEEDS = 100  # that are tried


class Died(Exception):
    """The network restores black images: all its units have died, which is no training to compare with."""


class Noisy(Dataset):
    """Clean images in [0, 1], made noisy one by one as they are asked for; as they are with sigma 0."""

    def __init__(self, clean: np.ndarray, regime: Regime) -> None:
        self.clean, self.regime = clean, regime

    def __len__(self) -> int:
        return len(self.clean)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        clean, regime = self.clean[index].astype(np.float32) / 255, self.regime
        # NumPy's global generator, as the post has it.
        sigma = regime.sigma if isinstance(regime, Constant) else np.random.uniform(regime.low, regime.high)  # noqa: NPY002
        if sigma == 0.0:
            corrupted = clean
        else:
            noise = np.random.normal(0.0, 1.0, clean.shape)  # noqa: NPY002
            corrupted = np.clip(clean + sigma * noise, 0.0, 1.0).astype(np.float32)
        return torch.from_numpy(corrupted).unsqueeze(0), torch.from_numpy(clean).unsqueeze(0)


class PostLoop:
    """A training by the post's loop; each call is one more epoch over uint8 images [N, 28, 28]."""

    def __init__(self, clean: np.ndarray, settings: Model, seed: int, regime: Regime, workers: int) -> None:
        self._network = architectures.build(settings)
        initialise(self._network, settings.initialisation, generator("cpu", seed, "initialisation"))
        self._optimizer = torch.optim.RMSprop(self._network.parameters(), lr=settings.learning_rate)
        self._loader = DataLoader(Noisy(clean, regime), settings.batch_size, shuffle=True, num_workers=workers)

    def __call__(self) -> None:
        for corrupted, clean in self._loader:
            self._optimizer.zero_grad()
            loss = F.mse_loss(self._network(corrupted), clean)
            loss.backward()
            self._optimizer.step()
        if loss.item() > 0.8 * clean.square().mean().item():
            raise Died

    def state(self) -> dict[str, object]:
        """A copy of what the next epoch begins with."""
        return copy.deepcopy(
            {
                "network": self._network.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "order": torch.get_rng_state(),
                "noise": np.random.get_state(),  # noqa: NPY002
            }
        )

    def back(self, state: dict[str, object]) -> None:
        """Begin the next epoch with that."""
        self._network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))  # whose tensors are taken, not copied
        torch.set_rng_state(state["order"])
        np.random.set_state(state["noise"])  # noqa: NPY002


def begun(read: params.Params, model: str, workers: int) -> tuple[PostLoop, float]:
    """The loop after its first epoch, and how many seconds that took.

    With the post's own settings, as the study has them, for the noise of `model`. With these most seeds of order and
    noise end in black images within the first epoch: the first that does not is taken.
    """
    post = study_params.read(Path("study/params.yaml")).networks["post"]
    clean = images.load(Path("data/clean/train_images.npy"))
    for seed in range(1, MOST_SEEDS + 1):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        loop = PostLoop(clean, post.settings, post.seed, read.noisy[read.models[model].regime].root, workers)
        with suppress(Died):
            return loop, measure.seconds(loop)
    raise Died


class Beside:
    """The loop in its own process, after its first epoch, which took `first_s`; each call waits for one more."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self._running = running
        self.first_s = self._answer()

    def __call__(self) -> None:
        self._running.stdin.write("\n")
        self._running.stdin.flush()
        self._answer()

    def _answer(self) -> float:
        answer = self._running.stdout.readline()
        if not answer:
            raise SystemExit("the post's loop failed")
        return float(answer)


@contextmanager
def beside(model: str, threads: int, workers: int, first: int) -> Iterator[Beside]:
    """Start that process; it ends with the block."""
    command = [sys.executable, __file__, model, str(threads), str(workers), str(first)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        yield Beside(running)
        running.stdin.close()


def main(model: str, threads: int, workers: int, first: int) -> None:
    torch.set_num_threads(threads)
    epoch, first_s = begun(params.read(Path("params.yaml")), model, workers)
    after_first = epoch.state()
    print(first_s, flush=True)
    for asked, _ in enumerate(sys.stdin):
        if asked % first == 0:
            epoch.back(after_first)
        print(measure.seconds(epoch), flush=True)


if __name__ == "__main__":
    typer.run(main)

"""How long the post's own loop takes beside ours: `make bench`.

The post's loop, written plainly: a Dataset that draws NumPy noise for each item, a DataLoader, RMSprop. Both train the
`fixed` model on the same 50,000 images, one epoch in turn, with the threads that params.yaml names.
"""

import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from domain_denoiser import compute, images, models, noisy, params, training
from domain_denoiser.models.initialisation import initialise
from domain_denoiser.seeds import generator

REPEATS = 3


class Noisy(Dataset):
    """Clean images in [0, 1], made noisy one by one as they are asked for."""

    def __init__(self, clean: np.ndarray, sigma: float) -> None:
        self.clean, self.sigma = clean, sigma

    def __len__(self) -> int:
        return len(self.clean)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        clean = self.clean[index].astype(np.float32) / 255
        noise = np.random.normal(0.0, 1.0, clean.shape)  # noqa: NPY002 - as the post does
        corrupted = np.clip(clean + self.sigma * noise, 0.0, 1.0).astype(np.float32)
        return torch.from_numpy(corrupted).unsqueeze(0), torch.from_numpy(clean).unsqueeze(0)


def post_epoch(network: torch.nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader) -> float:
    """Seconds of one epoch of the post's loop."""
    started = time.perf_counter()
    for corrupted, clean in loader:
        optimizer.zero_grad()
        loss = F.mse_loss(network(corrupted), clean)
        loss.backward()
        optimizer.step()
    return time.perf_counter() - started


def main() -> None:
    read = params.read(Path("params.yaml"))
    device = compute.prepare(read.compute)
    settings = read.models["fixed"]
    clean = images.load(Path("data/clean/train_images.npy"))
    folder = Path("data/noisy/fixed")

    def network() -> torch.nn.Module:
        built = models.build(settings)
        initialise(built, settings.initialisation, generator("cpu", read.seed, "initialisation"))
        return built.to(device)

    seconds = {}
    for workers in (0, 1, 2):
        loader = DataLoader(Noisy(clean, 0.5), batch_size=settings.batch_size, shuffle=True, num_workers=workers)
        plain = network()
        optimizer = torch.optim.RMSprop(plain.parameters(), lr=settings.learning_rate)
        seconds[workers] = lambda plain=plain, optimizer=optimizer, loader=loader: post_epoch(plain, optimizer, loader)
    train = training.Images(images.to_float(clean, device), images.to_float(images.load(folder / "train.npy"), device))
    val = training.Images(train.clean[:5_000], train.noisy[:5_000])
    many = settings.model_copy(update={"epochs": REPEATS + 1})
    ours = training.fit(network(), train, val, noisy.load_regime(folder), many, read.seed)

    def our_epoch() -> float:
        started = time.perf_counter()
        next(ours)
        return time.perf_counter() - started

    our_epoch()  # the first reads the stored noise
    measured: dict[str, list[float]] = {}
    for _ in range(REPEATS):
        for workers, epoch in seconds.items():
            measured.setdefault(f"the post's loop, {workers} workers", []).append(epoch())
        measured.setdefault("ours, validation included", []).append(our_epoch())
    medians = {name: statistics.median(values) for name, values in measured.items()}
    fastest = min(value for name, value in medians.items() if name.startswith("the post's"))
    print(f"{len(clean)} images an epoch, {read.compute.threads} threads, median of {REPEATS}, interleaved")
    for name, value in medians.items():
        print(f"{name:<30} {value:6.2f} s an epoch   {fastest / value:5.2f} x the fastest post's loop")
    print(f"45 epochs of 60,000 images of the post's loop: {fastest * 45 * 60_000 / len(clean):.0f} s")


if __name__ == "__main__":
    main()

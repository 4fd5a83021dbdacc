"""Metrics of restored images: one pure function per metric, one value per image.

clean and restored are float [N, C, H, W] in [0, 1], C = 1 or 3; every metric returns float [N].
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

PSNR_CAP_DB = 100.0  # of identical images, so that no file contains infinity


def mse(restored: "Tensor", clean: "Tensor") -> "Tensor":
    """Mean squared error over pixels and channels, in [0, 1]; 0 for identical images."""
    _check(restored, clean)
    return (restored - clean).square().flatten(1).mean(1)


def psnr_db(mse: "Tensor") -> "Tensor":
    """Peak signal-to-noise ratio 10 log10(1 / mse) in decibels, for images in [0, 1]; at most 100."""
    return (-10.0 * mse.log10()).clamp(max=PSNR_CAP_DB)


def ssim(restored: "Tensor", clean: "Tensor") -> "Tensor":
    """Structural similarity in [-1, 1], 1 for identical images; H and W must be at least 11.

    Source: Wang, Bovik, Sheikh, Simoncelli 2004, with its settings: Gaussian window of 11 x 11, standard deviation 1.5,
    K1 = 0.01, K2 = 0.03, data range 1, population covariance, mean over the windows inside the image and over channels.
    It equals scikit-image's `structural_similarity(gaussian_weights=True, use_sample_covariance=False, data_range=1)`.
    """
    _check(restored, clean)
    if min(clean.shape[-2:]) < 11:
        raise ValueError(f"SSIM needs images of at least 11 x 11 pixels, not {list(clean.shape[-2:])}")
    rows, columns = (_gaussian_windows(size).to(clean) for size in clean.shape[-2:])

    def mean(images: "Tensor") -> "Tensor":
        return rows @ images @ columns.T

    x, y = restored, clean
    mu_x, mu_y = mean(x), mean(y)
    var_x, var_y, cov_xy = mean(x * x) - mu_x * mu_x, mean(y * y) - mu_y * mu_y, mean(x * y) - mu_x * mu_y
    c1, c2 = 0.01**2, 0.03**2
    similarity = ((2 * mu_x * mu_y + c1) * (2 * cov_xy + c2)) / ((mu_x**2 + mu_y**2 + c1) * (var_x + var_y + c2))
    return similarity.flatten(1).mean(1)


def _gaussian_windows(size: int) -> "Tensor":
    """The Gaussian filter as a matrix, float64 [size - 10, size]: row i weights the pixels i ... i + 10."""
    import torch

    offsets = torch.arange(-5, 6, dtype=torch.float64)
    window = torch.exp(-0.5 * (offsets / 1.5) ** 2)
    window /= window.sum()
    rows = torch.zeros(size - 10, size, dtype=torch.float64)
    for i in range(size - 10):
        rows[i, i : i + 11] = window
    return rows


def _check(restored: "Tensor", clean: "Tensor") -> None:
    if restored.shape != clean.shape or clean.ndim != 4 or clean.shape[1] not in (1, 3):
        raise ValueError(
            f"restored {list(restored.shape)} and clean {list(clean.shape)} must both be [N, 1 or 3, H, W]"
        )


class Metric(NamedTuple):
    """An entry of METRICS."""

    function: "Callable[[Tensor, Tensor], Tensor]"  # restored, clean -> one value per image
    unit: str  # empty if it has none
    tolerance: float  # maximum difference between two kinds of machines, for the same weights


# The keys are the names in tables, metrics.json and MLflow.
METRICS = {
    "mse": Metric(mse, "", 1e-5),
    "psnr_db": Metric(lambda restored, clean: psnr_db(mse(restored, clean)), "dB", 0.01),
    "ssim": Metric(ssim, "", 1e-4),
}

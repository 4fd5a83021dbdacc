"""Classical denoisers: each knows the noise level, and is tuned for it on a few training images.

Clipping noisy images to [0, 1] shifts their mean: black becomes grey. Therefore a monotone curve, fitted on the same
training images, maps the output of a method to the expected clean grey value.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from scipy.ndimage import median_filter
from scipy.optimize import isotonic_regression
from scipy.stats import norm

from domain_denoiser.base.errors import BadInput

BINS = 64
MIN_SIGMA = 1e-3  # a strength of 0 does not filter; some methods divide by it


def median(noisy: np.ndarray, sigma: float, width: float) -> np.ndarray:
    """The median of a window of width x width pixels."""
    return median_filter(noisy, (1, int(width), int(width)), mode="reflect")


def total_variation(noisy: np.ndarray, sigma: float, strength: float) -> np.ndarray:
    """Total variation. Source: Chambolle 2004, with weight = strength * sigma."""
    from skimage.restoration import denoise_tv_chambolle

    weight = strength * max(sigma, MIN_SIGMA)
    return np.stack([denoise_tv_chambolle(image, weight=weight, max_num_iter=100) for image in noisy])


def nonlocal_means(noisy: np.ndarray, sigma: float, strength: float) -> np.ndarray:
    """Non-local means. Source: Buades, Coll & Morel 2005, with h = strength * sigma and the noise of clipped black."""
    from skimage.restoration import denoise_nl_means

    known, sigma = noise_on_black(max(sigma, MIN_SIGMA)), max(sigma, MIN_SIGMA)
    return np.stack(
        [
            denoise_nl_means(image, patch_size=5, patch_distance=6, h=strength * sigma, sigma=known, fast_mode=True)
            for image in noisy
        ]
    )


def noise_on_black(sigma: float) -> float:
    """The standard deviation of clip(sigma * eps, 0, 1), with eps ~ N(0, 1)."""
    a = 1.0 / sigma
    beyond = norm.sf(a)  # the share of pixels that become white
    mean = sigma * (norm.pdf(0.0) - norm.pdf(a)) + beyond
    square = sigma**2 * (0.5 - beyond - a * norm.pdf(a)) + beyond
    return float(np.sqrt(square - mean**2))


def wavelet(noisy: np.ndarray, sigma: float, strength: float) -> np.ndarray:
    """BayesShrink. Source: Chang, Yu & Vetterli 2000, for a noise of strength * sigma."""
    from skimage.restoration import denoise_wavelet

    _require("pywt", "wavelet", "the extra `pipeline` installs it")
    known = strength * max(sigma, MIN_SIGMA)
    return np.stack([denoise_wavelet(image, sigma=known, wavelet="sym4", rescale_sigma=False) for image in noisy])


def _require(package: str, method: str, fix: str) -> None:
    if find_spec(package) is None:
        raise BadInput(f"the method {method} needs the package {package}, which is not installed: {fix}")


# float64 [N, H, W] in [0, 1], sigma, strength -> float64 [N, H, W]
METHODS: dict[str, Callable[[np.ndarray, float, float], np.ndarray]] = {
    "median": median,
    "total_variation": total_variation,
    "nonlocal_means": nonlocal_means,
    "wavelet": wavelet,
}


class Curve(NamedTuple):
    """A monotone, piecewise linear map of grey values."""

    x: np.ndarray
    y: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return np.interp(values, self.x, self.y)


def fit_curve(denoised: np.ndarray, clean: np.ndarray) -> Curve:
    """The expected clean value for each denoised value: means in bins of equal width, then isotonic regression."""
    low, high = float(denoised.min()), float(denoised.max())
    if low == high:
        return Curve(np.array([low]), np.array([float(clean.mean())]))
    edges = np.linspace(low, high, BINS + 1)
    place = np.clip(np.searchsorted(edges, denoised.ravel(), side="right") - 1, 0, BINS - 1)
    count = np.bincount(place, minlength=BINS)
    filled = count > 0
    x = np.bincount(place, denoised.ravel(), BINS)[filled] / count[filled]
    y = np.bincount(place, clean.ravel(), BINS)[filled] / count[filled]
    return Curve(x, isotonic_regression(y, weights=count[filled]).x)


class Tuned(NamedTuple):
    """A method, tuned for one noise level."""

    method: str
    sigma: float
    strength: float
    curve: Curve

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        """noisy, restored: float64 [N, H, W] in [0, 1]."""
        return self.curve(METHODS[self.method](noisy, self.sigma, self.strength))


def tune(method: str, strengths: list[float], noisy: np.ndarray, clean: np.ndarray, sigma: float) -> Tuned:
    """The strength with the highest mean per-image PSNR on these images, with the curve fitted on them.

    noisy, clean: float64 [N, H, W] in [0, 1].
    """

    def fitted(strength: float) -> tuple[float, Tuned]:
        denoised = METHODS[method](noisy, sigma, strength)
        curve = fit_curve(denoised, clean)
        mse = np.square(curve(denoised) - clean).mean((1, 2))
        return float(-np.log10(np.maximum(mse, 1e-10)).mean()), Tuned(method, sigma, strength, curve)

    return max((fitted(strength) for strength in strengths), key=lambda trial: trial[0])[1]


class Linear(NamedTuple):
    """restored = weight @ noisy + bias, over the P pixels of an image."""

    weight: np.ndarray  # float64 [P, P]
    bias: np.ndarray  # float64 [P]

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        """noisy, restored: float64 [N, H, W]."""
        return (noisy.reshape(len(noisy), -1) @ self.weight.T + self.bias).reshape(noisy.shape)


def fit_linear(noisy: np.ndarray, clean: np.ndarray, ridge: float) -> Linear:
    """Ridge regression by its normal equations, in float64; the bias is not penalised.

    noisy, clean: uint8 [N, H, W], scaled to [0, 1]. Minimises the mean over images of |clean - restored|^2, plus
    ridge * |weight|^2.
    """
    count, pixels = len(noisy), noisy[0].size
    covariance, cross = np.zeros((pixels, pixels)), np.zeros((pixels, pixels))
    mean_noisy, mean_clean = (part.reshape(count, -1).mean(0) / 255.0 for part in (noisy, clean))
    for start in range(0, count, 5_000):
        x = noisy[start : start + 5_000].reshape(-1, pixels) / 255.0 - mean_noisy
        y = clean[start : start + 5_000].reshape(-1, pixels) / 255.0 - mean_clean
        covariance += x.T @ x
        cross += x.T @ y
    weight = np.linalg.solve(covariance / count + ridge * np.eye(pixels), cross / count).T
    return Linear(weight, mean_clean - weight @ mean_noisy)

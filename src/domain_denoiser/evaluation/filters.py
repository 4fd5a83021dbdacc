"""Classical filters, which the models are compared with. They are told nothing of the noise: its level is estimated
from each image, and a strength multiplies it.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from domain_denoiser.core import images
from domain_denoiser.core.metrics import PSNR_CAP_DB

if TYPE_CHECKING:
    from torch import Tensor

MIN_SIGMA = 1e-6  # below it nothing is filtered; non-local means divide by its square. 16 bits round by 4e-6


def noise_level(image: np.ndarray) -> float:
    """The standard deviation of the noise of one image, float [H, W] or [H, W, 3]; of colour, the mean of the channels.

    Source: Donoho & Johnstone 1994, the median of the finest wavelet coefficients (scikit-image's `estimate_sigma`). A
    channel of one value has none.
    """
    from skimage.restoration import estimate_sigma

    channels = [image] if image.ndim == 2 else list(np.moveaxis(image, -1, 0))
    return float(np.mean([estimate_sigma(channel) if np.ptp(channel) > 0 else 0.0 for channel in channels]))


def nonlocal_means(noisy: np.ndarray, sigma: float, strength: float) -> np.ndarray:
    """Non-local means, of patches of all channels together. Source: Buades, Coll & Morel 2005, h = strength * sigma.

    noisy: float [H, W] or [H, W, 3] in [0, 1]; sigma: above 0, in its units.
    """
    from skimage.restoration import denoise_nl_means

    return denoise_nl_means(
        noisy,
        h=strength * sigma,
        sigma=sigma,
        patch_size=5,
        patch_distance=6,
        fast_mode=True,
        channel_axis=_channels(noisy),
    )


def wavelet(noisy: np.ndarray, sigma: float, strength: float) -> np.ndarray:
    """BayesShrink on as many scales as there are, of colour as brightness and two differences of colour (YCbCr).

    Source: Chang, Yu & Vetterli 2000, for a noise of strength * sigma.
    noisy: float [H, W] or [H, W, 3] in [0, 1]; sigma: above 0, in its units.
    """
    import pywt
    from skimage.restoration import denoise_wavelet

    return denoise_wavelet(
        noisy,
        sigma=strength * sigma,
        wavelet="sym4",
        wavelet_levels=max(1, pywt.dwtn_max_level(noisy.shape[:2], "sym4")),
        channel_axis=_channels(noisy),
        convert2ycbcr=noisy.ndim == 3,
        rescale_sigma=True,  # to the units of YCbCr
    )


def total_variation(noisy: np.ndarray, sigma: float, strength: float) -> np.ndarray:
    """Total variation, each channel's own. Source: Chambolle 2004, with weight = strength * sigma.

    noisy: float [H, W] or [H, W, 3] in [0, 1]; sigma: above 0, in its units.
    """
    from skimage.restoration import denoise_tv_chambolle

    return denoise_tv_chambolle(noisy, weight=strength * sigma, max_num_iter=100, channel_axis=_channels(noisy))


def _channels(image: np.ndarray) -> int | None:
    return -1 if image.ndim == 3 else None


class Filter(NamedTuple):
    """An entry of FILTERS."""

    function: Callable[[np.ndarray, float, float], np.ndarray]  # noisy image, sigma, strength -> restored image
    frees_threads: bool  # whether it lets other Python threads run meanwhile


# The keys are the names in params.yaml, tables and metrics.json.
FILTERS = {
    "nonlocal_means": Filter(nonlocal_means, True),
    "wavelet": Filter(wavelet, False),
    "total_variation": Filter(total_variation, False),
}


def restore(name: str, strength: float, noisy: np.ndarray) -> np.ndarray:
    """One image, restored by a filter that is told the estimated level of its noise, and clipped to [0, 1].

    name: of FILTERS; noisy: float [H, W] or [H, W, 3] in [0, 1]. An image in which no noise is found is left as it is.
    """
    sigma = noise_level(noisy)
    return noisy if sigma < MIN_SIGMA else np.clip(FILTERS[name].function(noisy, sigma, strength), 0.0, 1.0)


def restore_all(name: str, strength: float, noisy: Sequence[np.ndarray] | np.ndarray, threads: int) -> list[np.ndarray]:
    """As `restore`, of images float32 [H, W] or [3, H, W] of any sizes; equal bytes whatever the number of threads."""

    def one(image: np.ndarray) -> np.ndarray:
        if image.ndim == 2:
            return restore(name, strength, image).astype(image.dtype)
        restored = restore(name, strength, np.moveaxis(image, 0, -1))
        return np.moveaxis(restored, -1, 0).astype(image.dtype)

    with ThreadPoolExecutor(threads if FILTERS[name].frees_threads else 1) as pool:
        return list(pool.map(one, noisy))


def restoring(name: str, strength: float, threads: int) -> "Callable[[Tensor], Tensor]":
    """A filter as `per_image.evaluate` wants it: float32 [N, C, H, W] in [0, 1] -> the same, restored."""

    def restored(noisy: "Tensor") -> "Tensor":
        arrays = images.to_unit(noisy, np.dtype(np.float32))
        return images.from_unit(np.stack(restore_all(name, strength, arrays, threads)), noisy.device)

    return restored


def calibrated(
    name: str, strengths: list[float], noisy: Sequence[np.ndarray], clean: Sequence[np.ndarray], threads: int
) -> float:
    """The strength with the highest mean PSNR over these images, of the strengths the first one that has it.

    noisy, clean: float32 [H, W] or [3, H, W] of any sizes, of all noise levels together.
    """
    means = [np.mean(psnr_db(restore_all(name, strength, noisy, threads), clean)) for strength in strengths]
    return strengths[int(np.argmax(means))]


class Chosen(NamedTuple):
    """A filter and its strength."""

    name: str
    strength: float


def best(
    strengths: Mapping[str, list[float]], noisy: np.ndarray, clean: np.ndarray, sigmas: list[float], threads: int
) -> list[Chosen]:
    """For each image the filter that has the highest mean PSNR on those of the same noise level.

    Every filter is calibrated on these very images, which favours it. noisy, clean: float32 [N, H, W] or
    [N, 3, H, W]; sigmas: the noise level of each image.
    """
    chosen = {name: calibrated(name, tried, noisy, clean, threads) for name, tried in strengths.items()}
    found = {name: psnr_db(restore_all(name, strength, noisy, threads), clean) for name, strength in chosen.items()}
    levels = np.array(sigmas)
    names = [max(found, key=lambda name: found[name][levels == sigma].mean()) for sigma in sigmas]
    return [Chosen(name, chosen[name]) for name in names]


def psnr_db(restored: Sequence[np.ndarray], clean: Sequence[np.ndarray]) -> np.ndarray:
    """As `core.metrics` has it, float64 [N], of N float images in [0, 1], of any sizes."""
    mse = [np.square(one.astype(float) - other).mean() for one, other in zip(restored, clean, strict=True)]
    return np.minimum(-10.0 * np.log10(np.maximum(mse, 1e-30)), PSNR_CAP_DB)

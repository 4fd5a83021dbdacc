"""Profiles for tests: of digits with noise, restored by something that needs no network."""

import numpy as np
import scipy.ndimage

from domain_denoiser.domain import fitting, foreign
from domain_denoiser.domain.profile import Profile
from domain_denoiser.domain.statistics import sums


def with_noise(clean: np.ndarray, sigma: float | np.ndarray, seed: int) -> np.ndarray:
    """float32 [N, H, W] in [0, 1]; sigma: one, or [N, 1, 1]."""
    drawn = np.random.default_rng(seed).standard_normal(clean.shape)
    return np.clip(clean / 255.0 + sigma * drawn, 0.0, 1.0).astype(np.float32)


def smoothed(noisy: np.ndarray) -> np.ndarray:
    """What stands for a network: the median of 3 x 3 pixels."""
    return scipy.ndimage.median_filter(noisy, (1, 3, 3))


def negative(noisy: np.ndarray) -> np.ndarray:
    """What the champion of `graph_files.project` does."""
    return 1.0 - noisy


def judged(clean: np.ndarray, sigma: float | np.ndarray, seed: int, restore=smoothed) -> np.ndarray:
    noisy = with_noise(clean, sigma, seed)
    return sums(noisy, restore(noisy))


def of(clean: np.ndarray, restore=smoothed) -> Profile:
    """The profile of a domain. clean: uint8 [N, H, W]."""
    sigmas = np.random.default_rng(5).uniform(0, 1, (20 * len(clean), 1, 1))
    own = judged(np.tile(clean, (20, 1, 1)), sigmas, 6, restore)
    drawn = np.random.default_rng(7)
    others = [judged(make(clean, drawn), sigmas[: len(clean)], 8, restore) for make in foreign.KINDS.values()]
    return fitting.fit(own, np.concatenate(others))

"""How near the estimated noise is to the true one, on digits and photos, for docs/inspect.md: `make bench`.

Uses test images of the reproduced pipeline, and the photos that lie in scikit-image's package.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import measure
import numpy as np
import skimage
from PIL import Image
from skimage.restoration import estimate_sigma

from domain_denoiser import layout
from domain_denoiser.core import images
from domain_denoiser.operations.inspecting import command
from domain_denoiser.runtime import noise_level
from domain_denoiser.runtime.scale import Scale

PAGE = Path("docs/inspect.md")
DIGITS = 64
PHOTOS = ("brick", "camera", "coins", "grass", "gravel", "moon", "page", "text")
SIGMAS = (0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1)
SEED = 2018


def pictures() -> dict[str, np.ndarray]:
    """Clean ones, float [N, H, W] in [0, 1]."""
    found = {f"{DIGITS} digits": images.load(layout.clean_images("test"))[:DIGITS] / 255.0}
    for name in PHOTOS:
        with Image.open(Path(skimage.__file__).parent / f"data/{name}.png") as opened:
            found[name] = np.asarray(opened.convert("L"))[None] / 255.0
    return found


def noisy(clean: np.ndarray, sigma: float, kind: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Clipped, and rounded to 8 bits; `kind` is what becomes of white noise first."""
    noise = kind(np.random.default_rng(SEED).standard_normal(clean.shape))
    return (np.clip(clean + sigma * noise, 0.0, 1.0) * 255.0).round() / 255.0


def white(noise: np.ndarray) -> np.ndarray:
    return noise


def blurred(noise: np.ndarray) -> np.ndarray:
    """The mean of 3 x 3 pixels, around the edges, times 3: white noise keeps its standard deviation."""
    return sum(np.roll(noise, (down, across), (1, 2)) for down in (-1, 0, 1) for across in (-1, 0, 1)) / 3.0


def estimated(clean: np.ndarray, sigma: float) -> str:
    return beside(noise_level.sigma(noise_level.counts(noisy(clean, sigma, white))), sigma)


def plain(clean: np.ndarray, sigma: float) -> str:
    return beside(float(np.mean([estimate_sigma(image) for image in noisy(clean, sigma, white)])), sigma)


def correlated(clean: np.ndarray, sigma: float) -> str:
    """That of the two directions which is farther from white noise, of white and of blurred noise."""
    both = [noise_level.correlations(noise_level.counts(noisy(clean, sigma, kind))) for kind in (white, blurred)]
    return " / ".join(f"{max(each, key=lambda one: abs(one - noise_level.WHITE)):.2f}" for each in both)


def beside(found: float, sigma: float) -> str:
    return f"{found:.3f} ({100 * (found / sigma - 1):+.0f} %)" if sigma else f"{found:.3f}"


def table(cell: Callable[[np.ndarray, float], str]) -> str:
    """A row for each picture, a column for each sigma."""
    header = " | ".join(["true sigma", *map(str, SIGMAS)])
    return measure.table(
        header, [[name, *(cell(clean, sigma) for sigma in SIGMAS)] for name, clean in pictures().items()]
    )


def example() -> str:
    """What `denoise inspect` prints of noisy digits and other files."""
    digits = noisy(pictures()[f"{DIGITS} digits"], 0.5, white)
    with tempfile.TemporaryDirectory() as folder:
        for number, digit in enumerate(digits):
            Image.fromarray((digit * 255.0).astype(np.uint8)).save(Path(folder) / f"{number}.png")
        for number in range(3):
            (Path(folder) / f"{number}.txt").touch()
        found = command.run([Path(folder)], None, Path.cwd(), Scale())
    return "\n".join(f"    {line}" for line in found.as_lines())


def main() -> None:
    measure.keep(PAGE, "example", example())
    measure.keep(PAGE, "estimated sigma", table(estimated))
    measure.keep(PAGE, "sigma by plain MAD", table(plain))
    measure.keep(PAGE, "correlation", table(correlated))


if __name__ == "__main__":
    main()

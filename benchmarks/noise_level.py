"""How near the estimated noise is to the true one, on digits and photos, for docs/inspect.md: a minute.

Uses test images of the reproduced pipeline, and the photos that lie in scikit-image's package.
"""

from pathlib import Path

import measure
import numpy as np
import skimage
from PIL import Image
from skimage.restoration import estimate_sigma

from domain_denoiser import layout
from domain_denoiser.core import images
from domain_denoiser.runtime import noise_level

PAGE = Path("docs/inspect.md")
DIGITS = 64
PHOTOS = ("brick", "camera", "coins", "grass", "gravel", "moon", "page", "text")
SIGMAS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
SEED = 2018


def pictures() -> dict[str, np.ndarray]:
    """Clean ones, float [N, H, W] in [0, 1]."""
    found = {f"{DIGITS} digits": images.load(layout.clean_images("test"))[:DIGITS] / 255.0}
    for name in PHOTOS:
        with Image.open(Path(skimage.__file__).parent / f"data/{name}.png") as opened:
            found[name] = np.asarray(opened.convert("L"))[None] / 255.0
    return found


def noisy(clean: np.ndarray, sigma: float) -> np.ndarray:
    """Clipped, and rounded to 8 bits."""
    noise = np.random.default_rng(SEED).standard_normal(clean.shape)
    return (np.clip(clean + sigma * noise, 0.0, 1.0) * 255.0).round() / 255.0


def row(name: str, sigma: float, given: np.ndarray) -> list[str]:
    counts = noise_level.counts(given)
    found, plain = noise_level.sigma(counts), float(np.mean([estimate_sigma(image) for image in given]))
    apart = [f"{100 * (each / sigma - 1):+.1f} %" if sigma else "" for each in (found, plain)]
    correlation = ", ".join(f"{each:.2f}" for each in noise_level.correlations(counts))
    return [name, f"{sigma:g}", f"{found:.3f}", apart[0], f"{plain:.3f}", apart[1], correlation]


def main() -> None:
    rows = [row(name, sigma, noisy(clean, sigma)) for name, clean in pictures().items() for sigma in SIGMAS]
    header = "images | sigma | estimated | error | plain MAD | error | correlation"
    measure.keep(PAGE, "noise", measure.table(header, rows))


if __name__ == "__main__":
    main()

"""How often the champion calls images foreign that are, and that are not, for docs/domain.md; and what that costs.

Uses test images of the reproduced pipeline, Fashion-MNIST (study/params.yaml) and the photos of scikit-image's package.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import measure
import numpy as np
import onnx
import skimage
from PIL import Image
from scipy.stats import binomtest

from domain_denoiser import layout, params
from domain_denoiser.base import progress
from domain_denoiser.core import images, noisy_sets
from domain_denoiser.core.seeds import derive
from domain_denoiser.data import domains
from domain_denoiser.operations import choosing
from domain_denoiser.operations.restoring.foreign import Watch
from domain_denoiser.params import Constant
from domain_denoiser.runtime.denoiser import Denoiser
from domain_denoiser.runtime.scale import Scale
from domain_denoiser.study import params as study_params

PAGE = Path("docs/domain.md")
PHOTOS = ("astronaut", "camera", "chelsea", "coffee", "coins", "motorcycle_left", "rocket")
TEXTS = ("page", "text")
NUMBER = 2_000  # images of a kind
PARTS = 250  # of a photo or a page
FOLDER = 20  # images
REPEATS = 9


class Kind(NamedTuple):
    name: str
    clean: list[np.ndarray]  # uint8 [N, H, W] of one size each


def kinds(read: params.Params, study: study_params.StudyParams) -> list[Kind]:
    digits = images.load(layout.clean_images("test"))
    some = digits[:NUMBER]
    _, fashion = domains.fashion(study.domains.fashion, progress.line)
    photos, pages = ([grey(name) for name in names] for names in (PHOTOS, TEXTS))
    return [
        Kind("test digits", [digits]),
        Kind("digits, inverted", [domains.inverted(some)]),
        Kind("Fashion-MNIST", [fashion.images[:NUMBER]]),
        Kind("photos, 28 x 28 pixels of them", [parts(photos, read.seed)]),
        Kind("photos, whole", [photo[None] for photo in photos]),
        Kind("text, 28 x 28 pixels of it", [parts(pages, read.seed)]),
        Kind("text, whole pages", [page[None] for page in pages]),
        Kind("letters", [domains.letters(NUMBER, read.seed, "foreign")]),
        Kind("digits, upside down", [domains.upside_down(some)]),
    ]


def grey(name: str) -> np.ndarray:
    """A photo of scikit-image, uint8 [H, W]."""
    [path] = (Path(skimage.__file__).parent / "data").glob(f"{name}.[jp][pn]g")
    with Image.open(path) as opened:
        return np.asarray(opened.convert("L"))


def parts(photos: list[np.ndarray], seed: int) -> np.ndarray:
    """PARTS of each, uint8 [N, 28, 28]."""
    draw, found = np.random.default_rng(derive(seed, "parts")), []
    for photo in photos:
        tops, lefts = (draw.integers(0, side - 28, PARTS) for side in photo.shape)
        found += [photo[top : top + 28, left : left + 28] for top, left in zip(tops, lefts)]
    return np.stack(found)


def findings(denoiser: Denoiser, kind: Kind, law: Constant, seed: int) -> list:
    """What is found in each image with noise of its own."""
    found = []
    for number, clean in enumerate(kind.clean):
        for part in noisy_sets.corrupt(clean, law, seed, "foreign", kind.name, str(number)).parts:
            found += denoiser.judged(part[..., None], Scale()).findings
    return found


def cell(found: list) -> str:
    """The share of foreign images in per cent, with its 95 % interval (Wilson 1927)."""
    foreign = sum(each is not None for each in found)
    interval = binomtest(foreign, len(found)).proportion_ci(0.95, "wilson")
    return f"{100 * foreign / len(found):.1f} ({100 * interval.low:.1f}-{100 * interval.high:.1f})"


def folders(found: list, false_alarms: float) -> str:
    """The share of folders, in per cent, of which `denoise restore` would warn."""
    warned = []
    for start in range(0, len(found) - FOLDER + 1, FOLDER):
        watch = Watch(strict=False, hint=lambda path, index: "")
        watch.see(Path("folder/image.png"), 0, found[start : start + FOLDER])
        warned.append(any(watch.sentences(false_alarms)))
    return f"{100 * np.mean(warned):.1f}"


def costs(content: bytes, digits: np.ndarray) -> Iterator[str]:
    """Restoring digits with the statistics and without, in turn."""
    bare = onnx.load_from_string(content)
    del bare.metadata_props[:]
    with_profile, without = (Denoiser(each, "the champion") for each in (content, bare.SerializeToString()))
    took = measure.interleaved(
        {
            "without": lambda: without.restore(digits[..., None], Scale()),
            "with": lambda: with_profile.restore(digits[..., None], Scale()),
        },
        REPEATS,
    )
    yield (
        f"Restoring {len(digits):,} digits in Python takes {took['with'] / took['without']:.3f} times as long with the "
        f"statistics as without (medians of {REPEATS} in turn)."
    )


def main() -> None:
    read, study = params.read(Path("params.yaml")), study_params.read(Path("study/params.yaml"))
    content, where, _ = choosing.choose(None, Path.cwd())
    denoiser = Denoiser(content, where)
    levels = read.noisy["test"].root
    single, many = [], []
    for kind in kinds(read, study):
        found = [
            findings(denoiser, kind, Constant(law="constant", noise=levels.noise, sigma=sigma), read.seed)
            for sigma in levels.sigmas
        ]
        single.append([kind.name, f"{len(found[0]):,}", *map(cell, found)])
        if len(found[0]) >= 10 * FOLDER:
            many.append([kind.name, *(folders(each, denoiser.profile.false_alarms) for each in found)])
        progress.line(f"foreign: {kind.name} done")
    sigmas = " | ".join(f"{sigma:g}" for sigma in levels.sigmas)
    measure.keep(PAGE, "rates", measure.table(f"called foreign, % | images | {sigmas}", single))
    measure.keep(PAGE, "folders", measure.table(f"warned of, % | {sigmas}", many))
    measure.keep(PAGE, "cost", "\n".join(costs(content, images.load(layout.clean_images("test"))[:NUMBER])))


if __name__ == "__main__":
    main()

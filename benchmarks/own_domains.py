"""The four kinds of images that own_images.py makes projects of, none of which is in this repository."""

import gzip
from pathlib import Path
from typing import NamedTuple

import dirty_pages
import nuclei
import numpy as np
import words_read
from PIL import Image, ImageOps
from skimage import data

from domain_denoiser.base.errors import BadInput
from domain_denoiser.core.seeds import derive
from domain_denoiser.data.sources import parse_idx

SEED = 2018
WALLPAPERS = Path("/usr/share/backgrounds")
UNLIKE = ("analogpattern_by_Peter_Nerlich", "umang_by_Abhishek_Mudgal")  # a texture and a drawn gradient, no photos
REDUCED = 4  # times
EACH_HELD_OUT = 5  # one photo of so many
PAGES, PAGES_HELD_OUT = 34, 6
REGION = 256  # pixels of the side of what is cut from the field of nuclei
REGIONS_HELD_OUT = 6
CLOTHES = Path("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz")
CLOTHES_GIVEN, CLOTHES_HELD_OUT = 4_500, 500
ON_PAGE = """Region-based segmentation Let us first determine markers of the coins and the background. These markers are
pixels that we can label unambiguously as either object or background. Here, the markers are found at the two extreme
parts of the histogram of grey values:"""  # what stands on skimage.data.page()

Images = dict[str, np.ndarray]  # name -> uint8 [H, W] or [H, W, 3], or uint16 [H, W]


class Domain(NamedTuple):
    """Images to make a project from, and images that it never sees."""

    said: str  # where they are from
    given: Images
    held_out: Images
    noisy: Images | None  # of pairs: the noisy versions of all of these; None: noise is drawn
    texts: dict[str, str]  # what stands on held-out pages
    options: tuple[str, ...]  # of `denoise init`


def photos() -> Domain:
    found = {}
    for path in sorted(WALLPAPERS.glob("*_by_*.jpg")):
        if path.stem not in UNLIKE:
            found[path.stem] = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB").reduce(REDUCED))
    if not found:
        raise BadInput(f"{WALLPAPERS} holds no photos; Debian's package lomiri-wallpapers-16.04 has them")
    names = list(found)
    return Domain(
        "Photos of Debian's package `lomiri-wallpapers-16.04`, reduced by 4.",
        {name: found[name] for index, name in enumerate(names) if index % EACH_HELD_OUT},
        {name: found[name] for name in names[::EACH_HELD_OUT]},
        None,
        {},
        (),
    )


def documents() -> Domain:
    """Pages drawn by dirty_pages, and scikit-image's photo of a page and of handwriting, as dirty as those."""
    words_read.check()
    pages = {f"page {index:02}": dirty_pages.page(_draw("page", index)) for index in range(PAGES)}
    clean = {name: page.image for name, page in pages.items()}
    named = list(pages)
    held_out = {name: clean[name] for name in named[-PAGES_HELD_OUT:]}
    held_out |= {"a photo of a page": data.page(), "a photo of handwriting": data.text()}
    behind = dict(zip(named, [*named[1:], named[0]]))
    return Domain(
        "Pages of 600 x 800 with the words of the GPL in Debian's DejaVu fonts; their noisy versions have uneven "
        "paper, stains, faded ink, what stands on the next page, blur and Gaussian noise.",
        {name: clean[name] for name in named[:-PAGES_HELD_OUT]},
        held_out,
        {
            name: dirty_pages.dirty(image, clean[behind.get(name, named[0])], _draw("dirt", name))
            for name, image in (clean | held_out).items()
        },
        {name: page.text for name, page in pages.items() if name in held_out} | {"a photo of a page": ON_PAGE},
        ("--preset", "documents"),
    )


def micrographs() -> Domain:
    field = nuclei.field(_draw("nuclei"))
    regions = {
        f"region {top // REGION}{left // REGION}": field[top : top + REGION, left : left + REGION]
        for top in range(0, nuclei.SIDE, REGION)
        for left in range(0, nuclei.SIDE, REGION)
    }
    names = _draw("regions").permutation(list(regions))
    return Domain(
        f"Regions of {REGION} x {REGION} pixels of 16 bits from one field of nuclei, which is drawn, not photographed: "
        "real micrographs come with the noise of their camera.",
        {name: regions[name] for name in names[REGIONS_HELD_OUT:]},
        {name: regions[name] for name in names[:REGIONS_HELD_OUT]},
        None,
        {},
        ("--preset", "microscopy"),
    )


def clothes() -> Domain:
    if not CLOTHES.exists():
        raise BadInput(f"{CLOTHES} does not exist; Debian's package dataset-fashion-mnist has it")
    images = parse_idx(gzip.decompress(CLOTHES.read_bytes()))[: CLOTHES_GIVEN + CLOTHES_HELD_OUT]
    named = {f"{index:05}": image for index, image in enumerate(images)}
    names = list(named)
    return Domain(
        "The first 5,000 images of Debian's package `dataset-fashion-mnist`, of 28 x 28 pixels.",
        {name: named[name] for name in names[:CLOTHES_GIVEN]},
        {name: named[name] for name in names[CLOTHES_GIVEN:]},
        None,
        {},
        (),
    )


# The keys are the sections of docs/own-images.md, and the names of the projects.
DOMAINS = {"photos": photos, "documents": documents, "micrographs": micrographs, "clothes": clothes}


def _draw(*name: str | int) -> np.random.Generator:
    return np.random.default_rng(derive(SEED, "own images", *name))

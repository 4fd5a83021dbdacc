"""The noisy images of pairs: where they are, whether they fit the clean ones, and how far they are from them."""

from pathlib import Path
from typing import NamedTuple

from domain_denoiser.base import progress
from domain_denoiser.base.errors import BadInput
from domain_denoiser.data import listing, pairs
from domain_denoiser.data.listing import Folder
from domain_denoiser.operations.init import refusals
from domain_denoiser.operations.init.survey import Survey

DIGITS = 4  # of sigma, as params.Levels tells noise levels apart


class Paired(NamedTuple):
    """The noisy images of pairs."""

    folder: Folder
    seen: Survey
    channels: int  # of the tiles, clean and noisy ones
    sigma: float  # root mean square of noisy - clean, [0, 1] pixel units


def beside(clean: Folder, path: Path) -> Folder:
    """The folder of the noisy images. Raises BadInput if it is none, or if one of the images has no partner."""
    here, there = clean.path.resolve(), path.resolve()
    if here.is_relative_to(there) or there.is_relative_to(here):
        raise BadInput(
            f"{clean.path} and {path} lie in each other: clean and noisy images are wanted in two folders side by side"
        )
    found = listing.listed(path)
    pairs.partners(clean, found)
    return found


def paired(clean: tuple[Folder, Survey], noisy: tuple[Folder, Survey]) -> Paired:
    """Compare the images of all pairs. Raises BadInput if two do not fit, or if no pixel differs."""
    refusals.check_pairs(clean, noisy)
    (folder, seen), (there, also) = clean, noisy
    with progress.counter(len(folder.files), "comparing", "pairs") as count:
        apart = pairs.difference(folder, there, count)
    sigma = round(apart, DIGITS)
    if sigma == 0.0:
        raise BadInput(
            f"{there.path} has the images of {folder.path} (their root mean square difference is {apart:.1g} of the "
            "range): name the folder with the noisy ones"
        )
    return Paired(there, also, max(seen.channels, also.channels), sigma)

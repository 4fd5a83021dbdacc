"""What keeps a folder from being a domain, each in one sentence with the way on."""

from collections import Counter
from collections.abc import Mapping

from domain_denoiser.base.errors import BadInput
from domain_denoiser.data.listing import GROUPS, Folder
from domain_denoiser.operations.init import duplicates
from domain_denoiser.operations.init.standing import NAMED, named
from domain_denoiser.operations.init.survey import Survey
from domain_denoiser.operations.restoring.command import counted

LEAST_SIDE = 16  # pixels of an image and of a tile, as params.Images has it


def check_images(folder: Folder, seen: Survey) -> None:
    """Raises BadInput if files are damaged, deep or tiny, or grey ones lie beside colour ones."""
    if seen.broken:
        more = len(seen.broken) - NAMED
        rest = f"; and {more} more" if more > 0 else ""
        raise BadInput(
            f"{counted(len(seen.broken), 'file')} cannot be read: {'; '.join(seen.broken[:NAMED])}{rest}: repair or "
            "remove them"
        )
    if seen.deep:
        raise BadInput(f"{named(seen.deep)}: images of 8 bits are wanted to train on: convert them")
    for image in seen.images:
        if min(image.size) < LEAST_SIDE:
            raise BadInput(
                f"{folder.path / image.file} has {image.size[1]} x {image.size[0]} pixels, but at least {LEAST_SIDE} a "
                "side are wanted: leave it out"
            )
    channels = Counter(image.channels for image in seen.images)
    if len(channels) > 1:
        raise BadInput(
            f"{folder.path} holds {channels[1]} grey and {channels[3]} colour images, but a domain has one kind: "
            "convert them, or sort them into two folders"
        )


def check_sizes(folder: Folder, seen: Survey, preset: str, tile: tuple[int, int]) -> None:
    """Raises BadInput if an image is smaller than a tile of the preset, height and width."""
    small = [image for image in seen.images if image.size[0] < tile[0] or image.size[1] < tile[1]]
    if small:
        image, more = small[0], f" ({len(small) - 1} more are as small)" if small[1:] else ""
        raise BadInput(
            f"{folder.path / image.file} has {image.size[1]} x {image.size[0]} pixels{more}, but "
            f"the preset {preset} cuts tiles of {tile[1]} x {tile[0]}: leave small images out, or take `--preset small`"
        )


def check_duplicates(folder: Folder, seen: Survey, split: Mapping[str, str]) -> None:
    """Raises BadInput if an image is in two splits. split: that of each file."""
    found = duplicates.between(seen.images, split)
    if found is None:
        return
    one, other, equal = found
    raise BadInput(
        f"{folder.path / one} and {folder.path / other} {'hold' if equal else 'look like'} the same image, but "
        f"would be in {split[one]} and {split[other]}: remove one, or put both into one group in {GROUPS}"
    )

"""What keeps a folder from being a domain, each in one sentence with the way on."""

from collections import Counter
from collections.abc import Mapping

from domain_denoiser.base.errors import BadInput
from domain_denoiser.data import pairs
from domain_denoiser.data.listing import GROUPS, Folder
from domain_denoiser.operations.init import duplicates
from domain_denoiser.operations.init.presets import LEAST_SIDE
from domain_denoiser.operations.init.standing import NAMED, named
from domain_denoiser.operations.init.survey import Survey
from domain_denoiser.operations.inspecting.command import COLOURS
from domain_denoiser.operations.restoring.command import counted


def check_images(folder: Folder, seen: Survey) -> None:
    """Raises BadInput if files are damaged, of floats or tiny, or if not all are grey, or of as many bits."""
    if seen.broken:
        more = len(seen.broken) - NAMED
        rest = f"; and {more} more" if more > 0 else ""
        raise BadInput(
            f"{counted(len(seen.broken), 'file')} cannot be read: {'; '.join(seen.broken[:NAMED])}{rest}: repair or "
            "remove them"
        )
    if seen.floats:
        raise BadInput(f"{named(seen.floats)}: images of 8 or 16 bits are wanted to train on: convert them")
    for image in seen.images:
        if min(image.size) < LEAST_SIDE:
            raise BadInput(
                f"{folder.path / image.file} has {image.size[1]} x {image.size[0]} pixels, but at least {LEAST_SIDE} a "
                "side are wanted: leave it out"
            )
    if not seen.grey:
        _check_kinds(folder, {1: "grey", 3: "colour"}, {image.file: image.channels for image in seen.images}, seen)
    _check_kinds(folder, {8: "8-bit", 16: "16-bit"}, {image.file: image.bits for image in seen.images}, seen)


def _check_kinds(folder: Folder, names: Mapping[int, str], kind: Mapping[str, int], seen: Survey) -> None:
    """kind: of each file; the images of one are all of one kind. The rarer ones are named."""
    counts = Counter(kind[image.file] for image in seen.images)
    if len(counts) > 1:
        rarest = min(counts, key=counts.__getitem__)
        held = " and ".join(f"{counts[number]} {name}" for number, name in names.items())
        raise BadInput(
            f"{folder.path} holds {held} images ({names[rarest]}: "
            f"{named([file for file, of in kind.items() if of == rarest])}), but a domain has one kind: convert them, "
            "or sort them into two folders"
        )


def check_pairs(clean: tuple[Folder, Survey], noisy: tuple[Folder, Survey]) -> None:
    """Raises BadInput if the two images of a pair have not the same sizes, channels and bits."""
    of = pairs.partners(clean[0], noisy[0])
    sizes = [_sizes(*clean), _sizes(*noisy)]
    pairs.check_sizes(
        {clean[0].path / one: sizes[0][one] for one in of},
        {noisy[0].path / other: sizes[1][other] for other in of.values()},
    )
    (here, seen), (there, beside) = clean, noisy
    way = "the two images of a pair have the same channels and bits: convert one folder"
    if seen.bits != beside.bits:
        raise BadInput(f"{there.path} has images of {beside.bits} bits, but {here.path} of {seen.bits}: {way}")
    saved = {image.channels for image in (*seen.images, *beside.images)}
    if seen.channels != beside.channels and 1 in saved:
        kinds = [COLOURS[survey.channels] for survey in (beside, seen)]
        raise BadInput(f"{there.path} has {kinds[0]} images, but {here.path} {kinds[1]} ones: {way}")


def _sizes(folder: Folder, seen: Survey) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {file: [] for file in folder.files}
    for image in seen.images:
        found[image.file].append(image.size)
    return found


def check_sizes(folder: Folder, seen: Survey, preset: str, least: tuple[int, int]) -> None:
    """Raises BadInput if an image is smaller than the smallest tiles of the preset, height and width."""
    small = [image for image in seen.images if image.size[0] < least[0] or image.size[1] < least[1]]
    if small:
        image, more = small[0], f" ({len(small) - 1} more are as small)" if small[1:] else ""
        raise BadInput(
            f"{folder.path / image.file} has {image.size[1]} x {image.size[0]} pixels{more}, but the preset {preset} "
            f"cuts tiles of at least {least[1]} x {least[0]}: leave small images out, or take `--preset small`"
        )


def check_duplicates(folder: Folder, seen: Survey, split: Mapping[str, str]) -> None:
    """Raises BadInput if an image is in two splits. split: that of each file."""
    found = duplicates.between(seen.images, split)
    if not found:
        return
    (one, other, equal), more = found[0], len(found) - 1
    rest = f" (and {counted(more, 'pair')} more like these)" if more else ""
    raise BadInput(
        f"{folder.path / one} and {folder.path / other} {'hold' if equal else 'look like'} the same image, but "
        f"would be in {split[one]} and {split[other]}{rest}: remove one, or put both into one group in {GROUPS}"
    )

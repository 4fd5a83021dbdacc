"""Which files of a folder are its images, and what is left out."""

import os
from pathlib import Path
from typing import NamedTuple

from domain_denoiser.base.errors import BadInput
from domain_denoiser.formats import opening

GROUPS = "groups.csv"  # in the folder, if files belong together: columns file and group


class Folder(NamedTuple):
    """A folder and its subfolders. Hidden files, and what DVC ignores, are no images; links are not followed."""

    path: Path
    files: list[str]  # the image files, by their paths there, sorted
    links: int
    others: int


def listed(path: Path) -> Folder:
    """Look for files with the names of images.

    Raises BadInput if there is no folder, if there are none in it, or if a name is no text.
    """
    if not path.is_dir():
        raise BadInput(f"{path} is no folder, but one with images is wanted (`dvc pull` gets those of a project)")

    def refuse(error: OSError) -> None:
        raise BadInput(f"{error.filename} cannot be read: {error.strerror}") from error

    files, links, others = [], 0, 0
    for at, folders, names in os.walk(path, onerror=refuse):
        here = Path(at)
        linked = [name for name in (*folders, *names) if (here / name).is_symlink() and here / name != path / GROUPS]
        hidden = [
            name
            for name in (*folders, *names)
            if (name.startswith(".") or name == "__pycache__") and name not in linked
        ]
        links, others = links + len(linked), others + len(hidden)
        left_out = {*linked, *hidden}
        folders[:] = [name for name in folders if name not in left_out]
        for name in names:
            if name in left_out or here / name == path / GROUPS:
                continue
            if Path(name).suffix.lower() in opening.SUFFIXES:
                files.append((here / name).relative_to(path).as_posix())
            else:
                others += 1
    if not files:
        beside = f" (but {links} links, which are not followed)" if links else ""
        raise BadInput(f"{path} holds no images{beside}: files that end in {', '.join(opening.SUFFIXES)} are wanted")
    for name in files:
        if not _is_text(name):
            raise BadInput(f"{path}: the name {name!r} is no UTF-8 text: rename it")
    return Folder(path, sorted(files), links, others)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True

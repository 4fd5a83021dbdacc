"""Makes a clone the project of other images. All that it changes is in git, or new."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from domain_denoiser import layout
from domain_denoiser.base import atomic, processes, progress
from domain_denoiser.base.errors import BadInput
from domain_denoiser.base.one_writer import RUNNING
from domain_denoiser.data import pairs
from domain_denoiser.data.listing import GROUPS, Folder
from domain_denoiser.operations import recover
from domain_denoiser.operations.init import standing

# What is ignored by git besides the images is left: it is in DVC's cache, or can be made again.
BACK = (
    f"git restore --source=HEAD --staged --worktree . && git clean -fdxq {layout.IMAGES} && "
    f"git clean -fdq {layout.IMAGES.parent}"
)


def apply(folder: Folder, noisy: Folder | None, content: str) -> Iterator[str]:
    """Copy the images, remove what belongs to the old domain, write params.yaml, and stage all of it.

    noisy: the noisy images of pairs, if there are any. content: of params.yaml. Yields a sentence on what was removed
    that git does not have. Whatever stops it, the way back is told. Raises Failed if git or DVC fails, BadInput if
    another process has begun or done the same here.
    """
    with _alone():
        for each in filter(None, (folder, noisy)):
            standing.check(each.path)  # once more, as reading the images may have taken long
        yield from _apply(folder, noisy, content)


@contextmanager
def _alone() -> Iterator[None]:
    place = RUNNING / "init.lock"
    place.parent.mkdir(exist_ok=True)
    try:
        with FileLock(place, timeout=0):
            yield
    except Timeout as error:
        raise BadInput("another `denoise init` is at work in this project: wait for it") from error


def _apply(folder: Folder, noisy: Folder | None, content: str) -> Iterator[str]:
    try:
        _copy(folder, noisy)
        old = [str(path) for path in layout.DOMAIN_PATHS if path != layout.PARAMS]
        processes.output("git", "rm", "-r", "--quiet", "--ignore-unmatch", "--", *old)
        with atomic.file(layout.PARAMS) as temporary:
            temporary.write_text(content, encoding="utf-8")
        processes.must("dvc", "add", "--quiet", str(layout.IMAGES))
        yield from recover.fix()
        processes.output("git", "add", "--", str(layout.PARAMS), *map(str, layout.IMAGES_TRACKED))
    except BaseException:
        progress.line(f"not finished; what was here before comes back with: {BACK}")
        raise


def _copy(folder: Folder, noisy: Folder | None) -> None:
    """Into data/images, which is there as a whole or not at all; of pairs into two folders of it."""
    clean, other = ("", "") if noisy is None else (pairs.CLEAN, pairs.NOISY)
    copies = [(folder.path / name, Path(clean, name)) for name in folder.files]
    if (folder.path / GROUPS).exists():
        copies.append((folder.path / GROUPS, Path(clean, GROUPS)))
    if noisy is not None:
        copies += [(noisy.path / name, Path(other, name)) for name in noisy.files]
    with atomic.folder(layout.IMAGES) as target:
        for source, name in progress.track(copies, len(copies), "copying", "files"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / name)

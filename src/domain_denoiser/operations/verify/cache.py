"""Objects in DVC's cache that dvc.lock does not have DVC keep: of other commits, the study, DVC's run cache.

DVC would restore them some day and trust them. An object's name is its MD5.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from domain_denoiser.operations.checks import OK, Check
from domain_denoiser.operations.verify import fixes
from domain_denoiser.operations.verify.files import problem, verdict
from domain_denoiser.operations.verify.hashing import Hashes


def check(cache: Path, named: Collection[Path]) -> Iterator[Check]:
    """A line for what is right, and one for each object that is not. named: those that were looked at already."""
    hashes = Hashes()
    others = {path: md5 for path in sorted(cache.glob("*/*")) if path not in named and (md5 := _md5(path))}
    hashes.read(others)
    wrong = [path for path, md5 in others.items() if hashes[path].md5 != md5]
    yield Check(OK, f"DVC cache: {len(others) - len(wrong)} other objects as their names say")
    for path in wrong:
        said = f"{path} (in the cache){problem(hashes[path], others[path])}"
        # What needs it makes or fetches it again.
        yield Check(verdict(hashes[path]), said, fixes.without([path]))


def _md5(path: Path) -> str | None:
    """What an object's name says; None for other files, such as those that DVC is writing."""
    name = re.fullmatch(r"([0-9a-f]{32})(\.dir)?", path.parent.name + path.name)
    return None if name is None else name[1]

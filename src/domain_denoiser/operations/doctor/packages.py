"""Is what is installed what pyproject.toml and the lock file want?"""

import platform
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from domain_denoiser.operations import place
from domain_denoiser.operations.checks import OK, WRONG, Check

LOCK = Path("requirements/all.lock")
SHOWN = 5  # packages by name
SETUP = "rm -f .venv/.ready && make setup && . .venv/bin/activate"  # into the environment that is there


def python(root: Path) -> Check:
    """The version of Python."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted, found = SpecifierSet(project["requires-python"]), platform.python_version()
    if wanted.contains(found, prereleases=True):
        return Check(OK, f"Python {found}")
    return Check(
        WRONG, f"Python {found}, but {wanted} is wanted", "rm -rf .venv && make setup PYTHON=/path/to/that/python"
    )


def belongs(root: Path) -> Check:
    """The environment and the code that runs: this folder's, or those of one that it was copied or moved from?"""
    made_in = place.made_elsewhere(root)
    if made_in is not None:
        said = f"folder: .venv was made in {made_in}, and its programs run the code there; here is {root}"
        return Check(WRONG, said, place.SETUP)
    if not place.is_its_own(root):
        return Check(WRONG, f"folder: the code that runs is that in {place.code()}, not in {root}/src", place.SETUP)
    return Check(OK, f"folder: the code that runs is that in {root}/src")


def installed(root: Path) -> Check:
    """Every package of the lock file that this machine needs, in its very version."""
    wanted = list(locked((root / LOCK).read_text()))
    wrong = [said for requirement in wanted if (said := _differs(requirement))]
    if not wrong:
        return Check(OK, f"{len(wanted)} packages as {LOCK} says")
    more = f", and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    said = f"{len(wrong)} of {len(wanted)} packages are not as {LOCK} says: {', '.join(wrong[:SHOWN])}{more}"
    return Check(WRONG, said, SETUP)


def locked(content: str) -> Iterator[Requirement]:
    """The requirements of a lock file whose markers hold here. Their hashes and comments are on lines of their own."""
    for line in content.splitlines():
        if line and not line.startswith((" ", "#", "-")):
            requirement = Requirement(line.removesuffix("\\"))
            if requirement.marker is None or requirement.marker.evaluate():
                yield requirement


def _differs(requirement: Requirement) -> str | None:
    try:
        found = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(found, prereleases=True):
        return None
    return f"{requirement.name} {found} instead of {str(requirement.specifier).removeprefix('==')}"

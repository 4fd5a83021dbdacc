"""What DVC keeps of a folder: a listing of its files with their MD5; the folder's hash is the MD5 of the listing."""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from domain_denoiser.base import checksum

SUFFIX = ".dir"
IGNORED = "__pycache__"  # as in .dvcignore


def _inside(relative: str) -> str:
    if not relative or relative.startswith("/") or ".." in PurePosixPath(relative).parts:
        raise ValueError("must lie inside the folder")
    return relative


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    relpath: Annotated[str, AfterValidator(_inside)]


_LISTING = TypeAdapter(list[_Entry])


def parse(content: bytes) -> dict[str, str] | None:
    """Path inside the folder -> MD5; None if the bytes are no listing, or one that leads out of the folder."""
    try:
        return {entry.relpath: entry.md5 for entry in _LISTING.validate_json(content)}
    except (ValidationError, RecursionError):
        return None


def hash_of(members: Mapping[str, str]) -> str:
    """The hash that DVC 3 gives a folder with these files (path inside it -> MD5)."""
    listed = [{"md5": members[path], "relpath": path} for path in sorted(members)]
    content = json.dumps(listed, sort_keys=True).encode()
    return checksum.md5(content) + SUFFIX


def of_contents(contents: Mapping[str, bytes]) -> str:
    """The hash of a folder with these files (path inside it -> content)."""
    return hash_of({path: checksum.md5(content) for path, content in contents.items()})


def of_folder(folder: Path) -> str:
    """The hash of a folder of code in the working directory, without what DVC leaves out."""
    return of_contents({str(path.relative_to(folder)): path.read_bytes() for path in files(folder)})


def files(path: Path) -> list[Path]:
    """A file, or those of a folder of code without what DVC leaves out; none if nothing is there."""
    if not path.is_dir():
        return [path] if path.is_file() else []
    return sorted(file for file in path.rglob("*") if file.is_file() and IGNORED not in file.parts)


def is_folder(md5: str) -> bool:
    """Whether a hash of dvc.lock is that of a folder."""
    return md5.endswith(SUFFIX)

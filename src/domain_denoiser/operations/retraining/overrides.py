"""`-S key=value`: other values in params.yaml, whose comments and order stay."""

import io
from collections.abc import Iterable, MutableMapping
from pathlib import Path

from domain_denoiser import params
from domain_denoiser.base import atomic, commented_yaml, parsing
from domain_denoiser.base.errors import BadInput
from domain_denoiser.networks import architectures


def write(path: Path, settings: Iterable[str]) -> None:
    """Set values in a params.yaml, all of them or none.

    Raises BadInput if a setting is not `key=value`, if there is no such key, or if the file would not be valid.
    """
    params.read(path)
    content = applied(path.read_text(), settings)
    where = f"{path} with these settings"
    architectures.check_all(
        params.check(params.Params, parsing.parse(content.encode(), str(path)), where).models, where
    )
    with atomic.file(path) as temporary:
        temporary.write_text(content)


def applied(content: str, settings: Iterable[str]) -> str:
    """The text of a params.yaml with other values.

    Raises BadInput if a setting is not `key=value` or there is no such key.
    """
    yaml = commented_yaml.parser()
    values = yaml.load(content)
    for setting in settings:
        key, separator, written = setting.partition("=")
        if not (separator and key):
            raise BadInput(f"-S {setting!r} is not key=value")
        holder, last = place_of(values, key)
        parsing.parse(written.encode("utf-8", "replace"), f"-S {setting!r}: the value")
        holder[last] = yaml.load(written)
    stream = io.StringIO()
    yaml.dump(values, stream)
    return stream.getvalue()


def place_of(values: object, key: str) -> tuple[MutableMapping, str]:
    """The mapping that has the last part of a key, and that part, which may hold a dot: gate.floors_db.0.5

    Raises BadInput if there is no such key.
    """
    holder, parts = values, key.split(".")
    while True:
        there = [
            count
            for count in range(1, len(parts) + 1)
            if isinstance(holder, MutableMapping) and ".".join(parts[:count]) in holder
        ]
        if not there:
            raise BadInput(f"params.yaml has no key {key!r}")
        name, parts = ".".join(parts[: there[-1]]), parts[there[-1] :]
        if not parts:
            return holder, name
        holder = holder[name]

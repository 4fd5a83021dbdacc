"""Values of a YAML file that people edit: as DVC reads it, without anchors."""

from collections.abc import Callable, Iterable
from functools import lru_cache

from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, Event, ScalarEvent

from domain_denoiser.base import merging, plain_yaml, reading
from domain_denoiser.base.errors import BadInput, one_line

_SHARING = (b"&", b"*", b"<<")  # in a value or a comment, perhaps
_NOT_YAML = (YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
MOST_ALIASES = 100  # in a file of a commit; those of this project had four


def parse(content: bytes, where: str) -> object:
    """What a YAML file holds; `where` opens the sentence of the BadInput if it is none.

    Anchors, aliases and merge keys are refused: `dvc exp run -S` writes the values out in their place, so that a later
    edit at the anchor changes nothing; and a few lines of them may stand for billions of values.
    """
    return _parsed(content, where, _refuse_shared)


def parse_recorded(content: bytes, where: str) -> object:
    """The same of a file that a commit has, which may be of a version that had anchors; they are few and not nested.

    It is not to be changed: what one commit has as another are the same values.
    """
    if len(content) <= reading.LARGEST_TEXT and not any(mark in content for mark in _SHARING):
        try:
            found = plain_yaml.together(map(_section, plain_yaml.sections(content)))
        except _NOT_YAML:  # for the sentence on the whole of it
            found = None
        if found is not None:
            return found
    return _parsed(content, where, _refuse_many)


@lru_cache(maxsize=4_096)  # most of a file stays from commit to commit
def _section(content: bytes) -> object:
    found = plain_yaml.load(content)
    return YAML(typ="safe").load(content) if found is None else found


def _parsed(content: bytes, where: str, judge: Callable[[Iterable[Event], str], None]) -> object:
    if len(content) > reading.LARGEST_TEXT:
        raise BadInput(f"{where} has more than {reading.LARGEST_TEXT} bytes")
    merging.check(content, where)
    try:
        if any(mark in content for mark in _SHARING):
            judge(YAML(typ="safe").parse(content), where)
        # The loader that DVC uses, so that both read the same values (YAML 1.2, no duplicate keys).
        return YAML(typ="safe").load(content)
    except _NOT_YAML as error:
        raise BadInput(f"{where} is not valid YAML: {one_line(' '.join(str(error).split()))}") from error


def _refuse_shared(events: Iterable[Event], where: str) -> None:
    for event in events:
        if shared := _shared(event):
            raise BadInput(
                f"{where}: line {event.start_mark.line + 1} uses the YAML {shared}, but every value must be "
                "spelled out: `dvc exp run -S` would write them out without a word"
            )


def _refuse_many(events: Iterable[Event], where: str) -> None:
    """Aliases of values that hold aliases would multiply."""
    anchored: list[bool] = []  # of each collection that is open: whether an anchor names it
    aliases = 0
    for event in events:
        if isinstance(event, CollectionStartEvent):
            anchored.append(event.anchor is not None)
        elif isinstance(event, CollectionEndEvent):
            anchored.pop()
        elif isinstance(event, AliasEvent):
            aliases += 1
            if any(anchored) or aliases > MOST_ALIASES:
                raise BadInput(
                    f"{where}: line {event.start_mark.line + 1} uses the YAML alias {event.anchor!r}, but at most "
                    f"{MOST_ALIASES} aliases are allowed, and none within an anchored value"
                )


def _shared(event: Event) -> str | None:
    """What makes a value stand in several places."""
    if isinstance(event, AliasEvent):
        return f"alias {event.anchor!r}"
    if getattr(event, "anchor", None) is not None:
        return f"anchor {event.anchor!r}"
    return "merge key '<<'" if isinstance(event, ScalarEvent) and event.value == "<<" and event.implicit[0] else None

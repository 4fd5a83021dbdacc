"""YAML as DVC writes it, read by libyaml: fourteen times as fast as the parser that DVC and we use for the rest.

Any YAML can be split into its sections, as most of a file stays as it is from commit to commit.

libyaml knows YAML 1.1, where `yes` is true and 010 is 8. So it only takes the text apart; what a value stands for is
asked of ruamel.yaml (YAML 1.2). Whatever is not plain is left to ruamel.yaml altogether.
"""

import re
from collections.abc import Callable, Iterable

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.resolver import VersionedResolver

# Not plain: anchors, aliases, tags, directives, block scalars, double quotes, tabs, several documents; flow style, but
# for an empty mapping; what stands for itself only by chance: an explicit key, a merge, a byte that is not ASCII.
_FLOW = rb"[\[\]]|(?<!: )\{|\{(?!\} *$)|(?<!: \{)\}|\}(?! *$)"
_NOT_PLAIN = re.compile(_FLOW + rb"|[^\x20-\x7e\n]|[&*!%|>?\"`]|<<|---|\.\.\.|=\s*$", re.MULTILINE)
_COMMENT = re.compile(rb"(?:^|(?<= ))#[\x20-\x7e]*$", re.MULTILINE)
_COMMENTS = re.compile(rb"(?: *(?:#[^\n]*)?\n)*")
_KEY = re.compile(rb"^(?=[A-Za-z_])", re.MULTILINE)
# A line that begins with something else, or ends otherwise.
_NO_KEY = re.compile(rb"^[^\sA-Za-z_#]|\r|\xc2\x85|\xe2\x80[\xa8\xa9]", re.MULTILINE)
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,17}")


def load(content: bytes) -> object | None:
    """What the text holds, just as ruamel.yaml's safe loader gives it; None if it is not plain or not valid."""
    # Comments need not be plain. What looks like one may stand in quotes, but then a quotation mark is left.
    without = _COMMENT.sub(b"", content)
    if _NOT_PLAIN.search(content if b"'" in without else without):
        return None
    try:
        root = yaml.compose(content, Loader=_Composer)
        return None if root is None else _built(root, _values())
    except (yaml.YAMLError, _Twice, RecursionError):
        return None


def sections(content: bytes) -> list[bytes]:
    """A text as a section for each key of its outermost mapping; empty if it is not surely such a mapping.

    What each holds is to be a mapping of one key (`together`), else the text is not what it looks like.
    """
    before, *found = _KEY.split(content)
    if not found or _NO_KEY.search(content) or not _COMMENTS.fullmatch(before):
        return []
    return [before + found[0], *found[1:]]


def together(held: Iterable[object]) -> dict[object, object] | None:
    """The mapping whose sections hold these; None if one of them has not one key, or one that another has."""
    found = {}
    for one in held:
        if not isinstance(one, dict) or len(one) != 1 or not found.keys().isdisjoint(one):
            return None
        found |= one
    return found or None


class _Twice(Exception):
    """A key is there twice."""


class _Composer(yaml.cyaml.CParser, yaml.resolver.BaseResolver):
    """Makes nodes of a text, every one of them a string, a list or a mapping."""

    def __init__(self, stream: bytes) -> None:
        yaml.cyaml.CParser.__init__(self, stream)
        yaml.resolver.BaseResolver.__init__(self)

    def dispose(self) -> None:
        """Nothing is held; yaml.compose asks for it."""


def _built(node: yaml.Node, value: Callable[[str], object]) -> object:
    if isinstance(node, yaml.ScalarNode):
        return node.value if node.style == "'" else value(node.value)
    if isinstance(node, yaml.SequenceNode):
        return [_built(item, value) for item in node.value]
    found = {}
    for key, item in node.value:
        if not isinstance(key, yaml.ScalarNode) or (name := _built(key, value)) in found:
            raise _Twice
        found[name] = _built(item, value)
    return found


def _values() -> Callable[[str], object]:
    """What gives the value of a plain scalar; each is asked of ruamel.yaml once."""
    resolver, known = VersionedResolver(version="1.2"), {}
    string = resolver.DEFAULT_SCALAR_TAG

    def value(text: str) -> object:
        if _DECIMAL.fullmatch(text):
            return int(text)
        if text not in known:
            resolvers = resolver.versioned_resolver.get(text[:1], [])
            is_string = not any(regexp.match(text) for tag, regexp in resolvers if tag != string)
            known[text] = text if is_string else YAML(typ="safe").load(text)
        return known[text]

    return value

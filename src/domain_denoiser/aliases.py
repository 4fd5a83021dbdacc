"""How large a YAML document is when every alias is written out: a few lines may stand for billions of values."""

from collections.abc import Iterator

from ruamel.yaml.nodes import MappingNode, Node, SequenceNode


class Recursive(Exception):
    """A value holds itself."""


def written_out(document: Node) -> int:
    """The number of scalars, sequences and mappings; what is aliased counts at every place. Raises Recursive."""
    sizes: dict[int, int | None] = {}  # None: being counted

    def size(node: Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = None
            sizes[id(node)] = 1 + sum(size(child) for child in _children(node))
        found = sizes[id(node)]
        if found is None:
            raise Recursive
        return found

    return size(document)


def _children(node: Node) -> Iterator[Node]:
    if isinstance(node, SequenceNode):
        yield from node.value
    elif isinstance(node, MappingNode):
        for pair in node.value:
            yield from pair

"""YAML that people write and programs change: comments, order, quotes and line breaks stay."""

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter


class _Representer(RoundTripRepresenter):
    """Writes null as `null`, as people do, not as nothing."""

    def represent_none(self, data: None) -> ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


_Representer.add_representer(type(None), _Representer.represent_none)


def parser() -> YAML:
    """What loads such a text, and dumps it with its comments."""
    yaml = YAML()
    yaml.Representer, yaml.width, yaml.preserve_quotes = _Representer, 10_000, True
    return yaml

"""A params file of a commit, read in sections: what comes out is what ruamel.yaml makes of the whole."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from domain_denoiser.base import parsing, plain_yaml
from domain_denoiser.base.errors import BadInput

ROOT = Path(__file__).parents[2]
PARAMS = b"""\
# Numbers, and what they're for.

seed: 2018                   # every draw's
noisy:
  random: {law: uniform, high: 1.0}
models:                      # `-S` sets them
  conv:
    augment: false           # the images'
    crop: null
    path: 'a # b'
gate:
  floors_db: {"0.25": 19.0}
"""


def whole(content: bytes) -> str:
    """What is in it, or that it is refused."""
    try:
        return repr(YAML(typ="safe").load(content))
    except parsing._NOT_YAML:
        return "refused"


def in_sections(content: bytes) -> str:
    try:
        return repr(parsing.parse_recorded(content, "params.yaml"))
    except BadInput:
        return "refused"


@pytest.mark.parametrize("name", ["params.yaml", "study/params.yaml", *sorted(map(str, ROOT.glob("presets/*.yaml")))])
def test_every_params_file_of_the_repository(name: str) -> None:
    content = (ROOT / name).read_bytes()
    assert plain_yaml.sections(content)
    assert in_sections(content) == whole(content)


@pytest.mark.parametrize(
    "content",
    [
        b"a: 1\n---\nb: 2\n",
        b"---\na: 1\nb: 2\n",
        b"a: 1\n...\nb: 2\n",
        b"%YAML 1.1\n---\na: yes\nb: 010\n",
        b"  a: 1\nb: 2\n",
        b"? a\n: b\n",
        b"{a: 1}\n{b: 2}\n",
        b"a: 1\na: 2\n",
        b"a:\n- 1\n- 2\nb: 3\n",
        b'a: "one\nb: two"\n',
        b"a: 'one\n  # no comment'\nb: 2\n",
        b"a: [1,\nb: 2]\n",
        b"a: |\n  # text\n\nb: |+\n  text\n\nc: 1\n",
        b"a: one\n  two # three\n  four\nb: 2\n",
        b"a: one#two\nb: one #two\n",
        b"a\nb: 1\n",
        b"a: 1\n# the end",
        b"# nothing else\n",
        b'a:\n  x: 1 # c\r  y: "1"\n',
        b"a:\n  x: 1 # c\xe2\x80\xa8  y: 2\n",
        b"a:\n  x: 1 # c\xc2\x85  y: 2\n",
        b"a: 1\r...\nb: 2\n",
        "a: 1 # größer\nb: 2\n".encode(),
        b"",
    ],
)
def test_a_text_that_can_be_cut_wrongly(content: bytes) -> None:
    assert in_sections(content) == whole(content)


@given(at=st.integers(0, len(PARAMS) - 1), bytes_=st.binary(max_size=3))
def test_changed_bytes(at: int, bytes_: bytes) -> None:
    content = PARAMS[:at] + bytes_ + PARAMS[at + len(bytes_) :]
    if not any(mark in content for mark in parsing._SHARING):
        assert in_sections(content) == whole(content)


@given(st.lists(st.sampled_from(PARAMS.splitlines(keepends=True) + [b"---\n", b"- a\n", b"  b: |\n", b'"c": "\n'])))
def test_lines_in_any_order(lines: list[bytes]) -> None:
    content = b"".join(lines)
    assert in_sections(content) == whole(content)

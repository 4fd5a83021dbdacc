"""YAML as DVC writes it: what the fast reader takes, it takes as the slow one does."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML, YAMLError

from domain_denoiser.base import plain_yaml

ROOT = Path(__file__).parents[2]
LOCK = b"""\
schema: '2.0'
stages:
  train@fixed:
    cmd: PYTHONPATH=src python stages/train.py fixed and so on until the line is longer than eighty
      characters
    deps:
    - path: data/noisy/fixed
      md5: 11111111111111111111111111111111.dir
      size: 10
    params:
      params.yaml:
        models.fixed:
          epochs: 30
          learning_rate: 0.003
          none:
          yes: on
          octal: 010
          time: 12:30:45
          quoted: '1e-4'
          small: 1e-4
"""


def slow(content: bytes) -> object:
    return YAML(typ="safe").load(content)


@pytest.mark.mnist
@pytest.mark.parametrize("name", ["dvc.lock", "study/dvc.lock", "study/large/dvc.lock"])
def test_every_lock_of_the_repository_is_read_fast_and_alike(name: str) -> None:
    content = (ROOT / name).read_bytes()
    found = plain_yaml.load(content)
    assert found is not None
    assert repr(found) == repr(slow(content))


@pytest.mark.parametrize(
    "value",
    (ROOT / "tests/data/scalars.txt").read_text().splitlines(),
)
def test_a_value_is_what_yaml_1_2_makes_of_it(value: str) -> None:
    content = f"key: {value}\n".encode()
    found = plain_yaml.load(content)
    if found is not None:
        assert repr(found) == repr(slow(content))
        assert type(found["key"]) is type(slow(content)["key"])


@pytest.mark.parametrize(
    "content",
    [
        b"a: &b 1\nc: *b\n",
        b"a: {b: 1}\n",
        b"a: [1]\n",
        b"a: !!str 1\n",
        b"%YAML 1.1\n---\na: yes\n",
        b"a: |\n  text\n",
        b'a: "b"\n',
        b"a: 1\na: 2\n",
        b"<<: {a: 1}\n",
        b"? a\n: b\n",
        b"a:\tb\n",
        "a: ü\n".encode(),
        b"a: b: c\n",
        b"",
    ],
)
def test_what_is_not_plain_is_left_to_the_other(content: bytes) -> None:
    assert plain_yaml.load(content) is None


def test_an_empty_mapping_is_plain() -> None:
    """As MNIST's filters in dvc.lock."""
    assert plain_yaml.load(b"a: {}\nb:\n  c: 1\n") == {"a": {}, "b": {"c": 1}}


@given(at=st.integers(0, len(LOCK) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_is_read_alike_or_not_at_all(at: int, byte: int) -> None:
    content = LOCK[:at] + bytes([byte]) + LOCK[at + 1 :]
    found = plain_yaml.load(content)
    if found is not None:
        assert repr(found) == repr(slow(content))


leaves = (
    st.text("abcyn01.-:#'~ eE_x", max_size=8) | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none()
)


@given(
    st.dictionaries(
        st.text("aby01.@/", min_size=1, max_size=5),
        st.recursive(
            leaves,
            lambda inner: (
                st.lists(inner, min_size=1, max_size=3)
                | st.dictionaries(st.text("ab1", min_size=1), inner, min_size=1, max_size=3)
            ),
        ),
        min_size=1,
    )
)
def test_what_ruamel_writes_is_read_alike_or_not_at_all(value: object) -> None:
    content = io.BytesIO()
    YAML(typ="safe", pure=True).dump(value, content)
    found = plain_yaml.load(content.getvalue())
    try:
        wanted = slow(content.getvalue())
    except (YAMLError, ValueError):
        assert found is None
        return
    assert found is None or repr(found) == repr(wanted)

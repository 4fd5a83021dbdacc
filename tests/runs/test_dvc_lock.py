import copy
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from domain_denoiser.base import parsing
from domain_denoiser.base.errors import BadInput
from domain_denoiser.runs import dvc_lock

LOCK = b"""\
schema: '2.0'
stages:
  download:
    cmd: python stages/download.py
    outs:
    - path: data/clean
      hash: md5
      md5: 0123456789abcdef0123456789abcdef.dir
      size: 100
      nfiles: 8
  train@fixed:
    cmd: python stages/train.py fixed
    deps:
    - path: data/noisy/fixed
      hash: md5
      md5: 11111111111111111111111111111111.dir
      size: 10
      nfiles: 7
    - path: stages/train.py
      hash: md5
      md5: '22222222222222222222222222222222'
      size: 20
    params:
      params.yaml:
        models.fixed:
          epochs: 30
          regime: fixed
        seed: 2018
    outs:
    - path: models/fixed/model.safetensors
      hash: md5
      md5: '33333333333333333333333333333333'
      size: 30
"""


@pytest.fixture
def entries() -> dict:
    """The lock as data, to be changed."""
    return YAML(typ="safe").load(LOCK)


def key_of(entries: dict) -> str:
    content = io.BytesIO()
    YAML().dump(entries, content)
    return dvc_lock.locked(content.getvalue(), "dvc.lock")["train@fixed"].key


def test_entries_are_what_the_lock_says():
    stages = dvc_lock.locked(LOCK, "dvc.lock")
    assert list(stages) == ["download", "train@fixed"]
    train = stages["train@fixed"]
    assert train.name == "train@fixed"
    assert train.cmd == "python stages/train.py fixed"
    assert train.deps == {"data/noisy/fixed": "1" * 32 + ".dir", "stages/train.py": "2" * 32}
    assert train.params == {"models.fixed": {"epochs": 30, "regime": "fixed"}, "seed": 2018}
    assert train.outs == {"models/fixed/model.safetensors": "3" * 32}
    assert stages["download"].params == {}
    assert dvc_lock.written(stages) == ["data/clean", "models/fixed/model.safetensors"]


def test_key_is_32_hexadecimal_digits():
    key = dvc_lock.locked(LOCK, "dvc.lock")["train@fixed"].key
    assert len(key) == 32
    assert set(key) <= set("0123456789abcdef")


def test_key_does_not_depend_on_order_outs_name_or_other_stages(entries):
    key = key_of(entries)
    train = entries["stages"]["train@fixed"]
    train["deps"].reverse()
    train["params"]["params.yaml"] = dict(reversed(train["params"]["params.yaml"].items()))
    train["params"]["params.yaml"]["models.fixed"] = {"regime": "fixed", "epochs": 30}
    train["outs"][0]["md5"] = "4" * 32
    train["outs"].append({"path": "models/fixed/history.csv", "md5": "5" * 32})
    train["deps"][0]["size"] = 99
    del entries["stages"]["download"]
    assert key_of(entries) == key
    stage = dvc_lock.locked(LOCK, "dvc.lock")["train@fixed"]
    assert stage._replace(outs=dict.fromkeys(stage.outs, "")).key == key  # before it has ended


def change_cmd(train):
    train["cmd"] += " --more"


def change_hash(train):
    train["deps"][1]["md5"] = "6" * 32


def change_hash_of_a_folder(train):
    train["deps"][0]["md5"] = "6" * 32 + ".dir"


def change_path(train):
    train["deps"][1]["path"] = "stages/other.py"


def change_swapped_hashes(train):
    one, two = train["deps"]
    one["md5"], two["md5"] = two["md5"], one["md5"]


def change_removed_dep(train):
    train["deps"].pop()


def change_param(train):
    train["params"]["params.yaml"]["seed"] = 2019


def change_param_inside(train):
    train["params"]["params.yaml"]["models.fixed"]["epochs"] = 31


def change_removed_param(train):
    del train["params"]["params.yaml"]["seed"]


def change_type_of_a_param(train):
    train["params"]["params.yaml"]["seed"] = "2018"


def test_key_changes_with_everything_that_was_read(entries):
    changes = [change for name, change in globals().items() if name.startswith("change_")]
    keys = {key_of(entries)}
    for change in changes:
        changed = copy.deepcopy(entries)
        change(changed["stages"]["train@fixed"])
        keys.add(key_of(changed))
    assert len(changes) == 10
    assert len(keys) == len(changes) + 1


@pytest.mark.parametrize("content", [b"", b"schema: '2.0'\n", b"schema: '2.0'\nstages: {}\n"])
def test_lock_without_stages(content):
    assert dvc_lock.locked(content, "dvc.lock") == {}


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"- 1\n", "dvc.lock: it is"),
        (b"text\n", "dvc.lock: it is 'text', but"),
        (b"stages: []\n", r"dvc.lock: stages is \[\], but"),
        (b"stages: {train: }\n", "dvc.lock: stages.train is None, but"),
        (b"stages: {train: {deps: []}}\n", "dvc.lock: stages.train.cmd is missing"),
        (b"stages: {train: {cmd: [a]}}\n", "dvc.lock: stages.train.cmd is"),
        (b"stages: {train: {cmd: a, deps: [{path: b}]}}\n", "dvc.lock: stages.train.deps.0.md5 is missing"),
        (b"stages: {train: {cmd: a, deps: [{path: b, md5: ../../x}]}}\n", "stages.train.deps.0.md5 is '../../x', but"),
        (b"stages: {train: {cmd: a, params: [1]}}\n", "dvc.lock: stages.train.params is"),
        (LOCK + b"  download:\n", "not valid YAML"),
        (b"<<<<<<< HEAD\n" + LOCK, "a merge has left both sides in it, from line 1"),
        (b"[" * 100_000, "not valid YAML"),
        (b"\xff\xff\xff", "not valid YAML"),
    ],
)
def test_malformed_lock_is_refused(content, wanted):
    with pytest.raises(BadInput, match=wanted):
        dvc_lock.locked(content, "dvc.lock")


@given(at=st.integers(0, len(LOCK) - 1), byte=st.integers(0, 255))
def test_any_altered_byte_is_a_lock_or_bad_input(at, byte):
    content = LOCK[:at] + bytes([byte]) + LOCK[at + 1 :]
    try:
        stages = dvc_lock.locked(content, "dvc.lock")
    except BadInput as error:
        assert str(error).startswith("dvc.lock")
        return
    assert all(len(stage.key) == 32 for stage in stages.values())


def test_two_params_files_with_one_key_are_two_values(entries):
    one_file = key_of(entries)
    params = entries["stages"]["train@fixed"]["params"]
    params["study/params.yaml"] = {"seed": 1}
    first = key_of(entries)
    params["study/params.yaml"], params["params.yaml"]["seed"] = {"seed": 2018}, 1
    assert len({one_file, first, key_of(entries)}) == 3
    merged = dvc_lock.merged_params(params)
    assert (merged["seed"], merged["study/params.yaml:seed"]) == (1, 2018)
    assert dvc_lock.param_place("study/params.yaml:seed") == ("study/params.yaml", "seed")
    assert dvc_lock.param_place("models.fixed") == ("params.yaml", "models.fixed")


def test_one_params_file_keeps_its_keys(entries):
    params = entries["stages"]["train@fixed"]["params"]
    key = key_of(entries)
    params["other.yaml"] = params.pop("params.yaml")
    assert key_of(entries) == key
    assert dvc_lock.locked(LOCK, "dvc.lock")["train@fixed"].key == "b58d8bd6ea2feecab917aa01b36a8fce"


def test_stages_of_models_that_are_gone_do_not_count(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.lock").write_bytes(LOCK)
    (tmp_path / "params.yaml").write_text("models: {other: {epochs: 1}}")
    assert list(dvc_lock.current()) == ["download"]
    (tmp_path / "params.yaml").write_text("models: {fixed: {epochs: 1}}")
    assert list(dvc_lock.current()) == ["download", "train@fixed"]
    (tmp_path / "params.yaml").write_text("seed: 1")
    with pytest.raises(BadInput, match="params.yaml has no models"):
        dvc_lock.current()


def test_a_lock_that_is_read_again_is_the_readers_own():
    dvc_lock.locked(LOCK, "dvc.lock").pop("download")
    assert "download" in dvc_lock.locked(LOCK, "dvc.lock")


def test_equal_locks_of_many_commits_are_parsed_once(monkeypatch):
    """Each takes a third of a second, and whoever looks at history sees most of them several times."""
    parsed, check = [], dvc_lock.check
    monkeypatch.setattr(dvc_lock, "check", lambda *arguments: [parsed.append(arguments), check(*arguments)][1])
    contents = [LOCK + b"# the first\n", LOCK + b"# the second\n"]
    for commit in range(200):
        assert "download" in dvc_lock.locked(contents[commit % 2], f"dvc.lock of {commit}")
    assert len(parsed) == len(contents)


def test_each_bad_lock_is_named():
    for where in ("dvc.lock of one", "dvc.lock of another"):
        with pytest.raises(BadInput, match=where):
            dvc_lock.locked(b"text\n", where)


def test_workspace_without_a_lock_has_no_stages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert dvc_lock.workspace() == {}
    (tmp_path / "dvc.lock").write_bytes(LOCK)
    assert list(dvc_lock.workspace()) == ["download", "train@fixed"]


def whole(content: bytes) -> object:
    """The stages of a lock by ruamel.yaml, in one piece; None if it is refused."""
    try:
        return dvc_lock._stages(YAML(typ="safe").load(content))
    except (BadInput, *parsing._NOT_YAML):
        return None


def stages(content: bytes) -> object:
    try:
        return dvc_lock.locked(content, "dvc.lock")
    except BadInput:
        return None


@pytest.mark.parametrize(
    "content",
    [
        b"  a:\n    cmd: x\nother:\n  b:\n    cmd: y\n",
        b"  a:\n    cmd: x\nother: 1\n  b:\n    cmd: y\n",
        b"  a:\n    cmd: x\nschema: '2.0'\n",
        b"  a:\n    cmd: x\n  a:\n    cmd: y\n",
        b'  a:\n    cmd: x # c\r    params: {p: {q: "1"}}\n',
        b"  a:\n    cmd: 'x\n  b: y'\n",
        b"  - a\n  - b\n",
        b"# none\n",
    ],
)
def test_a_lock_that_can_be_cut_wrongly_is_read_as_by_the_slow_parser(content: bytes):
    content = dvc_lock._HEAD + content
    assert stages(content) == whole(content)


@given(at=st.integers(0, len(LOCK) - 1), bytes_=st.binary(max_size=3) | st.sampled_from([b"\n", b"\n  ", b"'", b" #"]))
def test_changed_bytes_are_read_as_by_the_slow_parser(at: int, bytes_: bytes):
    content = LOCK[:at] + bytes_ + LOCK[at + len(bytes_) :]
    if not any(mark in content for mark in parsing._SHARING):
        assert stages(content) == whole(content)


@given(st.lists(st.sampled_from([*LOCK.splitlines(keepends=True), b"  - a\n", b"other: 1\n", b"# one\n"])))
def test_lines_in_any_order_are_read_as_by_the_slow_parser(lines: list[bytes]):
    content = dvc_lock._HEAD + b"".join(lines)
    assert stages(content) == whole(content)

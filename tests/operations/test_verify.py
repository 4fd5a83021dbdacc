"""`denoise verify` on the finished small pipeline: it finds each flipped bit, and its fixes fix."""

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas
import pytest
import torch
import warm
from dvc.repo import Repo
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree
from hypothesis import given
from hypothesis import strategies as st
from pipeline import Pipeline
from safetensors.torch import load_file, save

from domain_denoiser import layout, params
from domain_denoiser.base import parsing
from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations.checks import Check
from domain_denoiser.operations.verify import (
    chain,
    cleanroom,
    declared,
    hashing,
    inventory,
    recomputed,
    retrained,
    tolerance,
)
from domain_denoiser.operations.verify import check as verifying
from domain_denoiser.runs import dvc_lock, listings

SEED = 2018
CYCLE = "stages: {a: {cmd: x, deps: [one], outs: [two]}, b: {cmd: x, deps: [two], outs: [one]}}"
OBJECT = "an object in the cache"
RESTORED = "an object for DVC's run cache"  # of what git keeps
LISTING = "a listing in the cache"
MODELS = ("noisy", "plain", "fixed", "random", "conv")
TRAINED = MODELS[1:]
EVALUATED = {
    "evaluate-noisy",
    "summarise",
    *(f"{stage}@{name}" for stage in ("evaluate", "figures") for name in TRAINED),
}


@pytest.fixture(autouse=True)
def stages_are_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stages that a verification runs in this process's name are started beside this Python."""
    monkeypatch.setattr(sys, "executable", str(warm.programs() / "python"))


@pytest.fixture(scope="module")
def promoted(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """The finished pipeline with a champion, all committed."""
    made = pipeline.copy(tmp_path_factory.mktemp("verify") / "a project")
    made.params(lambda values: values["gate"].update(floors_db={"0.5": 1.0}))
    made.run("denoise", "promote", "--model", "fixed")
    made.run("git", "add", "-A")
    made.run("git", "commit", "-q", "-m", "A champion")
    made.run("dvc", "status", "--quiet", "dvc.yaml")  # now DVC has notes of every file
    return made


@pytest.fixture
def project(promoted: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """The same, as the working directory; what a test changes is put right behind it."""
    monkeypatch.chdir(promoted.root)
    before = contents(promoted.root)
    yield promoted
    for name, content in contents(promoted.root).items():
        if name not in before:
            Path(name).unlink()
        elif content != before[name]:
            put(Path(name), before[name])
    for name in before.keys() - contents(promoted.root).keys():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(before[name])


def wrong() -> list[Check]:
    """What the quick checks of the working directory object to."""
    return [check for check in verifying.checks([], quick=True) if not check.fine]


def flip(path: Path, draw: random.Random) -> None:
    """Flip a random bit where the file lies, with its mode and time stamps kept."""
    content, times = bytearray(path.read_bytes()), path.stat()
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    put(path, content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def put(path: Path, content: bytes) -> None:
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(content)  # into the same inode
    path.chmod(mode)


def fix(project: Pipeline, check: Check) -> None:
    """Do what the check says, as a person would."""
    project.run("sh", "-c", check.fix)


def contents(root: Path) -> dict[str, bytes]:
    """All that verify answers for."""
    places = (
        "data",
        "models",
        "reports",
        ".dvc/cache/files",
        "champion.json",
        "champion",
        "dvc.lock",
        "study/dvc.lock",
        "dvc.yaml",
        "params.yaml",
        "src",
    )
    files = [path for place in places for path in (root / place, *(root / place).rglob("*")) if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in files if path.suffix != ".pyc"}


def object_of(md5: str) -> Path:
    return Path(".dvc/cache/files/md5", md5[:2], md5[2:])


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def pick(pattern: str, draw: random.Random) -> Path:
    """A file of the working directory."""
    if pattern == OBJECT:
        return object_of(md5_of(pick("data/*/*/*.npy", draw)))
    if pattern == RESTORED:
        return object_of(md5_of(Path("reports/metrics.json")))
    if pattern == LISTING:
        return draw.choice(sorted(Path(".dvc/cache/files/md5").glob("*/*.dir")))
    return draw.choice(sorted(Path().glob(pattern)))


FILES = [
    "data/clean/*.npy",
    "data/noisy/*/*.npy",
    "data/noisy/*/law.json",
    "models/*/model.safetensors",
    "models/*/model.json",
    "models/*/platform.json",
    "models/*/history.csv",
    "reports/evaluation/*.csv",
    "reports/metrics.json",
    "reports/levels.csv",
    "reports/figures/*/*.png",
    "reports/gate.json",
    "champion.json",
    "champion/model.safetensors",
    "champion/model.onnx",
    "champion/model.json",
    OBJECT,
    RESTORED,
    LISTING,
]


@pytest.mark.parametrize("pattern", FILES)
def test_a_flipped_bit_is_found(project: Pipeline, pattern: str) -> None:
    draw = random.Random(f"{SEED} {pattern}")
    path = pick(pattern, draw)
    flip(path, draw)
    [check] = wrong()
    assert check.verdict in ("damaged", "changed")
    assert str(path) in check.said
    assert check.fix


@pytest.mark.parametrize("pattern", [OBJECT, LISTING])
def test_the_cache_is_filled_from_a_right_workspace(project: Pipeline, pattern: str) -> None:
    before, path = contents(project.root), pick(pattern, random.Random(SEED))
    flip(path, random.Random(SEED))
    [check] = wrong()
    assert re.fullmatch(rf"rm -f {path} && dvc commit --force \S+", check.fix)
    fix(project, check)
    assert contents(project.root) == before


def test_nothing_wrong_is_offered_to_the_cache(project: Pipeline) -> None:
    """`dvc commit` would write whatever lies in the workspace into the cache and into dvc.lock."""
    flip(object_of(md5_of(Path("models/fixed/model.safetensors"))), random.Random(SEED))
    [check] = wrong()
    assert "dvc commit" in check.fix
    for path in ("models/fixed/platform.json", "data/noisy/fixed/val.npy", "src/domain_denoiser/training/loop.py"):
        before = Path(path).read_bytes()
        flip(Path(path), random.Random(SEED))
        assert not any("dvc commit" in check.fix for check in wrong())
        put(Path(path), before)


def test_what_is_damaged_is_repaired_from_top_to_bottom(project: Pipeline) -> None:
    before, draw = contents(project.root), random.Random(SEED)
    patterns = ("data/clean/*.npy", "models/*/model.safetensors", "models/*/history.csv", "champion.json", OBJECT)
    paths = {pick(pattern, draw) for pattern in patterns}
    for path in paths:
        flip(path, draw)
    found = wrong()
    assert all(any(str(path) in check.said for check in found) for path in paths)
    for check in found:
        fix(project, check)
    assert contents(project.root) == before


def test_a_folder_without_its_listing_is_damaged_as_a_whole(project: Pipeline) -> None:
    before, draw = contents(project.root), random.Random(SEED)
    flip(object_of(dvc_lock.workspace()["corrupt@fixed"].outs["data/noisy/fixed"]), draw)
    flip(Path("data/noisy/fixed/val.npy"), draw)
    [check] = wrong()
    assert check.said.startswith("data/noisy/fixed is not what dvc.lock says; which of its files is not known")
    fix(project, check)
    assert contents(project.root) == before


def test_dvc_does_not_see_what_verify_finds(project: Pipeline) -> None:
    """Why fixes take away what is wrong before they ask DVC for what is right."""
    draw = random.Random(SEED)
    paths = sorted([pick("models/*/model.safetensors", draw), object_of(md5_of(Path("data/clean/val_images.npy")))])
    for path in paths:
        flip(path, draw)
    project.run("dvc", "status", "--quiet", "dvc.yaml")  # ends with 1 if it sees a difference
    project.run("dvc", "checkout", "--force", "dvc.yaml")
    assert sorted(path for check in wrong() for path in paths if str(path) in check.said) == paths


def both_damaged() -> list[Path]:
    path = Path("data/noisy/fixed/val.npy")
    return [path, object_of(md5_of(path))]


@pytest.mark.parametrize("pushed", [True, False])
def test_a_remote_is_asked_first(project: Pipeline, tmp_path: Path, pushed: bool) -> None:
    before, paths = contents(project.root), both_damaged()
    Path(".dvc/config.local").write_text(
        f"[core]\n    remote = team\n['remote \"team\"']\n    url = {tmp_path}/remote\n"
    )
    if pushed:
        project.run("dvc", "push", "data/noisy/fixed")
    for path in paths:
        flip(path, random.Random(SEED))
    [check] = wrong()  # damage here and in the cache is one finding
    assert all(str(path) in check.said for path in paths)
    assert "dvc pull" in check.fix
    done = project.run("sh", "-c", check.fix)
    assert ("Running stage 'corrupt@fixed'" in done.stdout) is not pushed
    assert contents(project.root) == before
    (project.root / ".dvc/config.local").unlink()


def remove_here() -> None:
    Path("data/noisy/test/law.json").unlink()
    Path("models/fixed/model.safetensors").unlink()
    Path("models/fixed/history.csv").unlink()


def remove_from_cache() -> None:
    kept = {object_of(md5_of(path)) for path in Path("data/noisy/fixed").iterdir()}  # equal files share one
    for path in [*kept, object_of(dvc_lock.workspace()["corrupt@fixed"].outs["data/noisy/fixed"])]:
        path.unlink()


def remove_everywhere() -> None:
    remove_from_cache()
    shutil.rmtree("data/noisy/fixed")


def remove_one_from_cache() -> None:
    object_of(md5_of(Path("models/conv/model.safetensors"))).unlink()


@pytest.mark.parametrize(
    ("remove", "said"),
    [
        (
            remove_here,
            [
                "data/noisy/test/law.json is missing",
                "models/fixed/model.safetensors is missing",
                "models/fixed/history.csv is missing",
            ],
        ),
        (remove_one_from_cache, ["(models/conv/model.safetensors in the cache) is missing"]),
        (remove_from_cache, ["data/noisy/fixed: not in the cache"]),
        (remove_everywhere, ["data/noisy/fixed: neither here nor in the cache"]),
    ],
    ids=["here", "one in the cache", "in the cache", "everywhere"],
)
def test_what_is_missing_is_said_to_be_missing_and_comes_back(project: Pipeline, remove, said: list[str]) -> None:
    before = contents(project.root)
    remove()
    found = wrong()
    assert {check.verdict for check in found} == {"missing"}
    assert len(found) == len(said)
    assert all(any(words in check.said for check in found) for words in said)
    for check in found:
        fix(project, check)
    assert contents(project.root) == before


def test_a_clone_that_pulled_nothing_lacks_everything_and_has_no_damage(
    promoted: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "clone", "-q", promoted.root, tmp_path / "clone"], check=True)
    monkeypatch.chdir(tmp_path / "clone")
    found = wrong()
    assert {check.verdict for check in found} == {"missing"}
    outs = {path for stage in dvc_lock.workspace().values() for path in stage.outs if not Path(path).exists()}
    assert {check.said.partition(":")[0] for check in found} == outs


def edit(path: str, old: str, new: str) -> None:
    content = Path(path).read_text()
    assert old in content
    Path(path).write_text(content.replace(old, new))


@pytest.mark.parametrize(
    ("path", "old", "new", "stages"),
    [
        ("stages/figures.py", '"""', '"""One word more. ', {f"figures@{model}" for model in TRAINED}),
        ("src/domain_denoiser/evaluation/figures.py", '"""', '"""One word more. ', EVALUATED),
        ("params.yaml", "sigma: 0.5}", "sigma: 0.4}", {"corrupt@fixed", "figures@fixed"}),
        ("params.yaml", "margin_db: 0.02", "margin_db: 0.03", set()),
        ("dvc.yaml", "python stages/summarise.py", "python -X utf8 stages/summarise.py", {"summarise"}),
        ("dvc.yaml", "    - stages/summarise.py\n", "", set()),
        (
            "dvc.yaml",
            "    - stages/summarise.py\n",
            "    - stages/summarise.py\n    - stages/train.py\n",
            {"summarise"},
        ),
        ("dvc.yaml", "params: [filters, models]", "params: [filters, models, gate]", {"summarise"}),
        (
            "dvc.yaml",
            "    - reports/levels.csv: {",
            "    - reports/more.csv: {cache: false}\n    - reports/levels.csv: {",
            {"summarise"},
        ),
    ],
)
def test_what_is_stale_is_what_dvc_status_says(
    project: Pipeline, path: str, old: str, new: str, stages: set[str]
) -> None:
    before = Path(path).read_text()
    edit(path, old, new)
    with Repo(".") as repo:
        status = set(repo.status(targets=["dvc.yaml"]))
    values = parsing.parse(Path("params.yaml").read_bytes(), "params.yaml")
    locked, declares = dvc_lock.workspace(), declared.read()
    breaks = chain.breaks(locked, declares, inventory.take(locked, declares), values)
    assert status == stages
    assert {name for found in breaks for name in found.stages} == status
    assert {found.check.verdict for found in breaks} <= {"stale"}
    if breaks and path != "dvc.yaml":
        fix(project, breaks[0].check)
        assert Path(path).read_text() == before


def test_a_link_that_does_not_hold_is_broken(project: Pipeline) -> None:
    """A stage that read other bytes than were written, as when two dvc.lock were merged."""
    read, before = dvc_lock.workspace()["summarise"].deps["reports/evaluation"], Path("dvc.lock").read_text()
    other = "f" * 32 + ".dir"
    Path("dvc.lock").write_text(before.replace(read, other))
    [check] = wrong()
    assert check.verdict == "broken"
    assert check.said.startswith(f"reports/evaluation: summarise read {other}, but evaluate")
    assert check.said.endswith("wrote other files")
    fix(project, check)
    assert Path("dvc.lock").read_text() == before


def forge(path: str, content: bytes) -> None:
    """Put other bytes in the place of an output, so that every hash says that all is well."""
    before, after = md5_of(Path(path)), hashlib.md5(content).hexdigest()
    Path(path).chmod(0o644)
    Path(path).write_bytes(content)
    object_of(after).parent.mkdir(exist_ok=True)
    object_of(after).write_bytes(content)
    edit("dvc.lock", before, after)
    if Path(path).parent == layout.EVALUATION:
        stages = dvc_lock.workspace()
        outs = [out for stage in stages.values() for out in stage.outs.items()]
        tables = {Path(out).name: md5 for out, md5 in outs if Path(out).parent == layout.EVALUATION}
        edit("dvc.lock", stages["summarise"].deps[str(layout.EVALUATION)], listings.hash_of(tables))


@pytest.fixture
def forged(promoted: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """A copy whose `plain` is another network, evaluated and summarised as if it had been trained."""
    copy = promoted.copy(tmp_path / "forged")
    monkeypatch.chdir(copy.root)
    weights = load_file("models/plain/model.safetensors")
    forge("models/plain/model.safetensors", save({name: weight * 0.9 for name, weight in weights.items()}))
    lock = Path("dvc.lock").read_text()
    for command, outs in (
        ("evaluate.py plain", ["reports/evaluation/plain.csv"]),
        ("summarise.py", [str(path) for path in (layout.METRICS, layout.LEVELS, layout.PSNR_AGAINST_NOISE)]),
    ):
        before = {out: Path(out).read_bytes() for out in outs}
        copy.run("sh", "-c", f"python stages/{command}")
        for out, content in before.items():
            now = Path(out).read_bytes()
            Path(out).write_bytes(content)
            forge(out, now)
    assert Path("dvc.lock").read_text() != lock
    return copy


def test_a_model_that_its_key_does_not_give_is_found_by_retraining_alone(promoted: Pipeline, forged: Pipeline) -> None:
    assert wrong() == []
    *others, check = verifying.checks(["train@plain"], quick=True)
    assert all(other.fine for other in others)
    assert check.verdict == "differs"
    assert check.said.endswith("models/plain/model.safetensors differs")
    fix(forged, check)
    honest, repaired = contents(promoted.root), contents(forged.root)
    assert {path: repaired[path] for path in honest} == honest


def test_a_forged_table_is_found_by_evaluating_again(
    promoted: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(promoted.copy(tmp_path / "forged").root)
    table, stages, declares = Path("reports/evaluation/noisy.csv"), dvc_lock.workspace(), declared.read()
    rows = pandas.read_csv(table)
    outputs = inventory.take(stages, declares)
    with cleanroom.opened() as room:
        room.bring(stages["evaluate-noisy"], outputs, [])
        room.run(stages["evaluate-noisy"], None)
        # The last bits are another machine's right, and no more.
        for factor, verdicts in ((1.0, ["ok", "ok"]), (1 + 1e-6, ["differs", "ok"]), (1.01, ["differs", "differs"])):
            changed = rows.copy()
            changed.loc[700, "psnr_db"] *= factor
            forge(str(table), changed.to_csv(index=False, float_format="%.9g", lineterminator="\n").encode())
            assert wrong() == []
            [output] = [
                output for output in inventory.take(dvc_lock.workspace(), declares) if output.path == str(table)
            ]
            assert [recomputed.compared(output, room.folder, same).verdict for same in (True, False)] == verdicts


def test_a_model_of_another_machine_may_reach_a_little_more_or_less(
    promoted: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(promoted.copy(tmp_path / "elsewhere").root)
    here = json.loads(Path("models/plain/platform.json").read_bytes())
    there = json.dumps(here | {"cpu_capability": "another"}).encode()
    forge("models/plain/platform.json", there)
    for path in Path("models").glob("*/platform.json"):  # they were all the same
        put(path, there)
    assert wrong() == []
    [*_, check] = verifying.checks(["train@plain"], quick=True)
    assert check.verdict == "ok"
    assert check.said.startswith(
        "train@plain: trained again on another kind of machine, mean PSNR apart by at most 0 dB"
    )
    stages = dvc_lock.workspace()
    outputs = inventory.take(stages, declared.read())
    rows = pandas.read_csv("reports/evaluation/plain.csv")
    for sigma, more, verdict in ((0.0, 0.4, "ok"), (0.0, 1.1, "differs"), (0.5, 0.2, "ok"), (0.5, 0.4, "differs")):
        reached = rows.assign(psnr_db=rows["psnr_db"] + more * (rows["sigma"] == sigma))
        reached.to_csv(tmp_path / "reached.csv", index=False)
        assert retrained.compared(stages["train@plain"], outputs, tmp_path / "reached.csv").verdict == verdict
    # As if it had come to what another model reaches.
    check = retrained.compared(stages["train@plain"], outputs, Path("reports/evaluation/fixed.csv"))
    assert check.verdict == "differs"
    with pytest.raises(cleanroom.Unable, match="has no plain to compare with"):
        retrained.compared(stages["train@plain"], [], Path("reports/evaluation/fixed.csv"))


def test_a_forged_model_of_another_machine_is_found_by_retraining(forged: Pipeline) -> None:
    here = json.loads(Path("models/plain/platform.json").read_bytes())
    there = json.dumps(here | {"cpu_capability": "another"}).encode()
    forge("models/plain/platform.json", there)
    for path in Path("models").glob("*/platform.json"):  # they were all the same
        put(path, there)
    [*_, check] = verifying.checks(["train@plain"], quick=True)
    assert (check.verdict, "that is more than machines differ" in check.said) == ("differs", True)


def test_what_is_computed_again_is_not_there_before(forged: Pipeline) -> None:
    stages = dvc_lock.workspace()
    outputs = inventory.take(stages, declared.read())
    made = [output for output in outputs if output.path.startswith("reports/")]
    with cleanroom.opened() as room:
        room.bring(stages["summarise"], outputs, made)
        assert not (room.folder / "reports").exists()
        idle = stages["summarise"]._replace(cmd="true")
        with pytest.raises(cleanroom.Unable, match="ended well, but wrote no .*reports/metrics.json"):
            room.run(idle, None)


def test_equal_bytes_are_wanted_of_this_machine_alone(promoted: Pipeline) -> None:
    made = (promoted.root / "models/plain/platform.json").read_bytes()
    compute = params.read(promoted.root / "params.yaml").compute
    assert tolerance.all_made_here([made], compute)
    assert not tolerance.all_made_here([made, made.replace(b'"torch": "', b'"torch": "1')], compute)
    assert not tolerance.all_made_here([b"{"], compute)


STUDIED = Path("data/study/levels/clean.npy")


@pytest.fixture
def studied(project: Pipeline) -> Pipeline:
    """The same with a folder that the study made, of a file that the cache has and one that it has not."""
    content = Path("data/clean/val_images.npy").read_bytes()
    STUDIED.parent.mkdir(parents=True, exist_ok=True)
    STUDIED.write_bytes(content)
    STUDIED.with_name("more.npy").write_bytes(b"more")
    members = {path.name: md5_of(path) for path in STUDIED.parent.iterdir()}
    made = f"outs: [{{path: {STUDIED.parent}, hash: md5, md5: {listings.hash_of(members)}}}]"
    Path("study/dvc.lock").write_text(f"schema: '2.0'\nstages:\n  levels:\n    cmd: a command\n    {made}\n")
    return project


def test_the_study_is_checked_where_it_is(studied: Pipeline) -> None:
    assert wrong() == []
    lost = shutil.move(STUDIED.parent, "data/study/elsewhere")
    assert wrong() == []
    shutil.move(lost, STUDIED.parent)
    flip(STUDIED, random.Random(SEED))
    [check] = wrong()
    assert check.said.startswith(f"{STUDIED.parent} is not what study/dvc.lock says")
    assert check.fix == f"rm -rf {STUDIED.parent} && make study"


def test_a_listing_in_the_cache_tells_which_file_of_the_study_is_wrong(studied: Pipeline) -> None:
    members = {path.name: md5_of(path) for path in STUDIED.parent.iterdir()}
    listing = object_of(listings.hash_of(members))
    listing.parent.mkdir(exist_ok=True)
    listed = [{"md5": members[name], "relpath": name} for name in sorted(members)]
    listing.write_text(json.dumps(listed))
    assert wrong() == []
    flip(STUDIED, random.Random(SEED))
    STUDIED.with_name("more.npy").unlink()
    assert {check.verdict: check.fix for check in wrong()} == {
        "damaged": f"rm -f {STUDIED} && make study",
        "missing": "make study",
    }
    flip(listing, random.Random(SEED))
    assert any(said.startswith(f"{listing} (in the cache) has MD5 ") for said in [check.said for check in wrong()])


def test_a_clean_project_is_proven_and_left_alone(promoted: Pipeline) -> None:
    before = contents(promoted.root)
    done = promoted.run("denoise", "verify", "--retrain", "train@plain", "--json")
    said = json.loads(done.stdout)
    assert said["fine"] is True
    assert {check["verdict"] for check in said["checks"]} == {"ok"}
    proven = "\n".join(check["said"] for check in said["checks"])
    for path in ("reports/metrics.json", "reports/levels.csv", *(f"reports/evaluation/{name}.csv" for name in MODELS)):
        assert f"{path}: computed again, equal bytes" in proven
    assert "train@plain: trained again, equal bytes" in proven
    assert contents(promoted.root) == before
    assert promoted.run("git", "status", "--porcelain").stdout == ""


def test_exit_status_says_whether_something_is_wrong(project: Pipeline) -> None:
    path = Path("models/fixed/history.csv")
    flip(path, random.Random(SEED))
    done = project.run("denoise", "verify", "--quick", check=False)
    assert done.returncode == 1
    [line] = [line for line in done.stdout.splitlines() if line.startswith("damaged")]
    assert str(path) in line
    assert line.endswith(f"fix: rm -f {path} && git checkout HEAD -- {path}")
    assert done.stdout.splitlines()[-1].startswith("1 wrong; ")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda: Path("params.yaml").write_text("seed: [1"), "params.yaml is not valid YAML"),
        (lambda: Path("params.yaml").unlink(), "params.yaml cannot be read"),
        (lambda: Path("dvc.lock").write_bytes(b"\xff\x00"), "dvc.lock is not valid YAML"),
        (lambda: Path("dvc.lock").unlink(), "the working directory has no dvc.lock with results"),
        (lambda: Path("dvc.yaml").write_text("stages: 3"), "DVC cannot read the project: "),
        (lambda: Path("dvc.yaml").write_text(CYCLE), "DVC cannot read the project: .*cycle"),
    ],
)
def test_bad_input_is_one_sentence(project: Pipeline, change, sentence: str) -> None:
    change()
    with pytest.raises(BadInput, match=sentence) as raised:
        wrong()
    assert "\n" not in str(raised.value)


def test_only_trainings_are_trained_again(project: Pipeline) -> None:
    done = project.run("denoise", "verify", "--retrain", "download", check=False)
    assert done.returncode == 2
    names = ", ".join(f"train@{name}" for name in MODELS[1:])
    assert done.stderr == f"error: --retrain wants one of {names}, not 'download'\n"
    assert done.stdout == ""


names = st.lists(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1), min_size=1)


@given(st.dictionaries(names.map("/".join).filter(lambda path: ".." not in path.split("/")), st.binary(max_size=3)))
def test_a_folder_has_the_hash_that_dvc_gives_it(files: dict[str, bytes]) -> None:
    members = {path: hashlib.md5(content).hexdigest() for path, content in files.items()}
    tree = Tree()
    for path, md5 in members.items():
        tree.add(tuple(path.split("/")), None, HashInfo("md5", md5))
    tree.digest()
    assert listings.hash_of(members) == tree.hash_info.value
    assert listings.parse(tree.as_bytes()) == members


@pytest.mark.parametrize("relative", ["../outside", "/etc/passwd", "inside/../../outside", ""])
def test_a_listing_that_leads_out_of_its_folder_is_none(relative: str) -> None:
    assert listings.parse(json.dumps([{"md5": "0" * 32, "relpath": relative}]).encode()) is None


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # reading it would wait forever
    assert hashing.find(tmp_path / "pipe").problem == "is no file"
    assert hashing.find(tmp_path).problem == "is no file"
    assert hashing.find(tmp_path / "nothing").missing


def test_results_of_a_gpu_that_is_not_here_are_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is begun, as every evaluation would end with the same sentence."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(cleanroom, "opened", lambda: pytest.fail("a folder was made for what cannot run"))
    on_gpu = params.Compute(device="cuda", threads=1)
    [check] = recomputed.check({}, [], set(), on_gpu)
    assert check.verdict == "failed"
    assert check.said == (
        "nothing was evaluated again: params.yaml: compute.device is 'cuda', but this machine has no CUDA device"
    )
    assert check.fix == "denoise verify --quick compares hashes alone"
    assert tolerance.no_device(params.Compute(device="cpu", threads=1)) is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert tolerance.no_device(on_gpu) is None


def test_lines_come_in_the_order_of_the_lock_and_of_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict, write_params
) -> None:
    """Never in that of a set or of a file system: two verifications of one state say the same, line by line."""
    monkeypatch.chdir(tmp_path)
    write_params(values)
    (tmp_path / ".dvc").mkdir()
    subprocess.run(["git", "init", "-q"], check=True)
    folder = {f"{name}/{number}": b"" for name in "hcagbedf" for number in range(2)}
    members = {path: hashlib.md5(content).hexdigest() for path, content in folder.items()}
    Path("dvc.yaml").write_text("stages: {made: {cmd: a command, outs: [made]}}")
    gone = [f"gone-{number}" for number in random.Random(SEED).sample(range(100), 20)]
    entry = {"cmd": "a command", "outs": [{"path": "made", "md5": listings.hash_of(members)}]}
    lock = {"schema": "2.0", "stages": {"made": entry} | {name: {"cmd": name} for name in gone}}
    Path("dvc.lock").write_text(json.dumps(lock))
    for name, content in (folder | {f"{path}.more": b"" for path in folder}).items():
        Path("made", name).parent.mkdir(parents=True, exist_ok=True)
        Path("made", name).write_bytes(content)
    listing = object_of(listings.hash_of(members))
    listing.parent.mkdir(parents=True)
    listing.write_text(json.dumps([{"md5": members[name], "relpath": name} for name in sorted(members)]))
    said = [check.said for check in verifying.checks([], quick=True)]
    undeclared = [line.partition(":")[0] for line in said if "not declared in dvc.yaml" in line]
    assert undeclared == gone
    unexpected = [line.partition(":")[0] for line in said if "names no such file" in line]
    assert unexpected == [f"made/{path}.more" for path in sorted(folder)]


def test_other_machines_are_granted_what_docs_say_and_no_more() -> None:
    stored = tolerance.read(Path("levels.csv"), b"model,sigma,psnr_db,ssim\nfixed,0.5,19.0,0.8\n")
    near = tolerance.read(Path("levels.csv"), b"model,sigma,psnr_db,ssim\nfixed,0.5,19.009,0.80009\n")
    far = tolerance.read(Path("levels.csv"), b"model,sigma,psnr_db,ssim\nfixed,0.5,19.011,0.8\n")
    other = tolerance.read(Path("levels.csv"), b"model,sigma,psnr_db,ssim\nrandom,0.5,19.0,0.8\n")
    lost = tolerance.read(Path("levels.csv"), b"model,sigma,psnr_db,ssim\nfixed,0.5,,0.8\nfixed,1.0,19.0,0.8\n")
    two = tolerance.read(Path("levels.csv"), b"model,sigma,psnr_db,ssim\nfixed,0.5,19.0,0.8\nfixed,1.0,19.0,0.8\n")
    assert tolerance.within(tolerance.distance(stored, near))
    assert not tolerance.within(tolerance.distance(stored, far))
    assert tolerance.distance(stored, other) is None
    assert tolerance.within(tolerance.distance(two, two))
    assert not tolerance.within(tolerance.distance(two, lost))

"""champion.json and champion/ in small git repositories: written together, recovered, taken back."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain_denoiser.base import atomic
from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations.verify import promoted
from domain_denoiser.runs import champion
from domain_denoiser.runs.champion import Champion

OLD_FORM = (
    '{"files": {"models/conv/model.json": "5f0cda6a3a2eb4cf44bfa4e427a8b6e1", '
    '"models/conv/model.safetensors": "4b54065b081ce496468ad5eac138c17c"}, "gain_db": null, '
    '"gate_images": "c188d40b09d2483c52cf53e0f1de4284.dir", "key": "ecfda083aae3ede39db2ad941f828d5f", '
    '"model": "conv", "psnr_db": {"0.5": 21.0}, "reasons": []}'
)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty repository, as the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "Tester")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "tester@example.invalid")
    git("init", "-q", "--initial-branch=main")
    return tmp_path


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


def files_of(name: str) -> dict[str, bytes]:
    return {path: f"{Path(path).suffix} of {name}".encode() for path in champion.FILES}


def made(name: str, reason: str = "it is better") -> Champion:
    return Champion(
        model=name.lower(),
        key=f"{ord(name[0]):032x}",
        files=champion.hashes(files_of(name)),
        gate_images=f"{0:032x}.dir",
        psnr_db={"0.5": 19.9},
        gain_db=None,
        reasons=[reason],
    )


def put(name: str, reason: str = "it is better") -> None:
    champion.write(made(name, reason), files_of(name))


def commit() -> None:
    git("add", "-A")
    git("commit", "-q", "--allow-empty", "-m", "A commit")


def promote(*names: str) -> None:
    """Each of them is promoted and committed."""
    for name in names:
        put(name)
        commit()


def roll_back() -> str:
    """What `denoise promote --rollback` does; the champion's name."""
    chosen, files = champion.previous()
    champion.write(chosen, files)
    assert champion.wrong(chosen) == []
    assert {path: Path(path).read_bytes() for path in champion.FILES} == files_of(chosen.model.upper())
    return chosen.model.upper()


def test_a_promotion_writes_the_champion_and_its_files(repository):
    put("A")
    assert champion.read() == made("A")
    names = ["README.md", "model.json", "model.onnx", "model.safetensors"]
    assert sorted(path.name for path in Path("champion").iterdir()) == names
    assert champion.graph(made("A")) == b".onnx of A"


def test_files_of_another_model_are_not_written(repository):
    with pytest.raises(ValueError, match="these files are not those of a"):
        champion.write(made("A"), files_of("B"))
    assert sorted(Path().iterdir()) == [Path(".git")]


@pytest.mark.parametrize(
    "history,before",
    [
        ("AB", "A"),
        ("ABC", "B"),
        ("ABAC", "A"),  # B was rolled back
        ("ABCB", "A"),  # C was
        ("ABCBD", "B"),
        ("ABCAD", "A"),  # C and B were
        ("AABB", "A"),
    ],
)
def test_the_champion_before_in_time_comes_back(repository, history, before):
    promote(*history)
    assert roll_back() == before


@pytest.mark.parametrize("history", ["", "A", "ABA", "ABCA", "ABACA"])
def test_where_nothing_stands_before_nothing_comes_back(repository, history):
    commit()
    promote(*history)
    now = {path: path.read_bytes() for path in Path().glob("champion*/*")}
    with pytest.raises(BadInput, match="git has no champion before the present one$"):
        champion.previous()
    assert {path: path.read_bytes() for path in Path().glob("champion*/*")} == now


def test_a_model_that_is_promoted_again_is_another_champion(repository):
    """A, B, and A once more by the gate, against B: B was not rolled back."""
    promote("A", "B")
    put("A", "it is better than B, on other images")
    commit()
    assert roll_back() == "B"


def test_a_promotion_that_is_not_committed_is_taken_back(repository):
    promote("A", "B")
    put("C")
    assert roll_back() == "B"
    assert roll_back() == "A"  # nor is that one


def test_a_removed_champion_comes_back(repository):
    promote("A")
    champion.remove()
    assert not list(Path("champion").iterdir())
    assert roll_back() == "A"


@pytest.mark.parametrize("seed", range(3))
def test_random_promotions_and_rollbacks_are_a_stack(repository, seed):
    draw, stack, names = random.Random(seed), ["A"], iter("BCDEFGHIJKLMNOPQRSTUVWXYZ")
    promote("A")
    for _ in range(12):
        if len(stack) > 1 and draw.random() < 0.5:
            stack.pop()
            assert roll_back() == stack[-1]
        else:
            stack.append(next(names))
            put(stack[-1])
        if draw.random() < 0.8:
            commit()
        else:
            git("reset", "-q", "--hard")
            commit()
            stack = [found.model.upper() for found in champion.standing(champion.promoted())]


def test_what_was_merged_counts_by_when_it_came_to_the_branch(repository):
    """B and C are proposed side by side; C was committed first, and merged last."""
    promote("A")
    git("switch", "-q", "-c", "second")
    promote("C")
    git("switch", "-q", "-c", "first", "main")
    promote("B")
    git("switch", "-q", "main")
    git("merge", "-q", "--no-ff", "-m", "B", "first")
    git("merge", "-q", "--no-ff", "-X", "theirs", "-m", "C", "second")
    assert champion.read() == made("C")
    assert roll_back() == "B"


def put_without_card(name: str) -> Champion:
    """As champions were before there were cards."""
    bare = made(name).without_card
    champion.write(bare, {path: files_of(name)[path] for path in bare.files})
    commit()
    return bare


def test_a_champion_without_a_card_is_read_and_comes_back(repository):
    bare = put_without_card("A")
    assert champion.read() == champion.committed() == bare
    promote("B")
    chosen, files = champion.previous()
    champion.write(chosen, files)
    assert champion.read() == bare
    assert [check.verdict for check in promoted.check()] == ["ok"]  # the card of B is gone
    Path(champion.GRAPH).unlink()
    champion.recover()
    assert champion.wrong(bare) == []


def test_a_new_card_makes_no_new_champion(repository):
    put_without_card("A")
    carded = champion.with_new_card(made("A", "the candidate is the champion"))
    assert carded == made("A")
    champion.write(carded, files_of("A"))
    commit()
    with pytest.raises(BadInput, match="no champion before"):
        champion.previous()
    promote("B")
    assert roll_back() == "A"


def test_a_card_is_taken_over_for_the_same_model_alone(repository):
    assert champion.with_new_card(made("A")) is None  # there is no champion
    put_without_card("A")
    assert champion.with_new_card(made("B")) is None
    elsewhere = made("A").model_copy(update={"gate_images": f"{1:032x}.dir"})
    assert champion.with_new_card(elsewhere) is None
    put("A")
    assert champion.with_new_card(made("A")) is None  # it has that card


def test_a_card_that_is_lost_or_changed_comes_back_from_git(repository):
    promote("A")
    for damage in (Path.unlink, lambda path: path.write_text("another")):
        damage(Path(champion.CARD))
        assert champion.wrong(made("A")) == [champion.CARD]
        assert champion.recover() != []
        assert champion.wrong(made("A")) == []


def test_where_history_is_cut_off_no_champion_is_taken_for_the_one_before(repository, tmp_path_factory, monkeypatch):
    """What is left of A, B, C, B is C, B; but C was rolled back."""
    promote(*"ABCB")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    git("clone", "-q", "--depth", "2", repository.as_uri(), ".")
    with pytest.raises(BadInput, match=r"is not known here; this clone is shallow.*`git fetch --unshallow`"):
        champion.previous()
    put("D")  # as somebody promoted it whose commit is not here
    files = {path: Path(path).read_bytes() for path in champion.FILES}
    Path(champion.WEIGHTS).unlink()
    [told] = champion.recover()
    assert "no commit has it" in told and "git fetch --unshallow" in told
    champion.write(made("D"), files)
    champion.take_back()
    git("fetch", "-q", "--unshallow")
    assert roll_back() == "A"


def test_a_champion_whose_files_nobody_has_does_not_come_back(repository):
    put("A")
    git("add", "champion.json")  # and not champion/
    git("commit", "-q", "-m", "Half a champion")
    put("B")
    commit()
    with pytest.raises(BadInput, match=r"^a 0{12} cannot come back: no commit has the files of champion/"):
        champion.previous()
    assert champion.read() == made("B")


def test_champions_of_the_old_form_do_not_come_back(repository):
    champion.PATH.write_text(OLD_FORM)
    commit()
    git("rm", "-q", "champion.json")
    promote("A")
    with pytest.raises(BadInput, match="no champion before the present one; those before it are of an old form"):
        champion.previous()
    promote("B")
    assert roll_back() == "A"
    assert [found.model for found in champion.promoted()] == ["a", "b", "a"]


def test_the_old_form_says_what_to_do(repository):
    champion.PATH.write_text(OLD_FORM)
    said = r"champion\.json is of an old form, .*: remove champion\.json, then `denoise promote`$"
    for look in (champion.read, champion.previous):
        with pytest.raises(champion.OldForm, match=said):
            look()
    assert champion.recover() == []
    commit()
    assert champion.committed() is None


def test_a_decision_of_the_old_form_counts_as_none(repository):
    champion.GATE_REPORT.parent.mkdir()
    champion.GATE_REPORT.write_text(f'{{"passed": true, "candidate": {OLD_FORM}}}')
    assert champion.decided() is None
    assert champion.challenger() is None


@pytest.mark.parametrize("renamed", range(6))
def test_a_promotion_that_is_killed_is_seen_and_put_right(repository, renamed):
    """Killed before each of the five renames, and after the last."""
    promote("A")
    program = f"""
import os, signal
from pathlib import Path
import test_champion
real, left = Path.replace, {renamed}
def replace(path, target):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return real(path, target)
Path.replace = replace
test_champion.put("B")
os.kill(os.getpid(), signal.SIGKILL)
"""
    paths = [str(Path(__file__).parent), *os.environ["PYTHONPATH"].split(os.pathsep)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, "-c", program], env=environment)
    assert done.returncode == -signal.SIGKILL
    told = champion.recover()
    assert len(told) == (1 if 0 < renamed < 5 else 0)
    assert all(sentence.endswith("taken from git") for sentence in told)
    present = champion.read()
    assert present == made("B" if renamed == 5 else "A")
    assert champion.wrong(present) == []
    assert champion.recover() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_between_the_renames_waits(repository, monkeypatch, number):
    promote("A")
    real, sent = Path.replace, []

    def replace(path: Path, target: Path) -> Path:
        if not sent:
            sent.append(os.kill(os.getpid(), number))
        return real(path, target)

    before = signal.signal(number, signal.default_int_handler)
    monkeypatch.setattr(Path, "replace", replace)
    try:
        with pytest.raises(KeyboardInterrupt):
            put("B")
    finally:
        signal.signal(number, before)
    assert champion.read() == made("B")
    assert champion.wrong(made("B")) == []


def test_what_no_commit_has_is_said(repository):
    commit()
    put("A")
    Path(champion.GRAPH).unlink()
    [told] = champion.recover()
    assert told.startswith("champion/model.onnx not what champion.json says")
    assert "no commit has it" in told
    with pytest.raises(BadInput, match=r"^champion/model\.onnx is not what champion\.json says of a 0"):
        champion.graph(made("A"))


def test_the_commit_has_the_last_word_on_a_proposal(repository):
    commit()
    put("A")
    champion.take_back()
    assert not champion.PATH.exists()
    assert not list(Path("champion").iterdir())
    promote("A")
    put("B")
    champion.take_back()
    assert champion.read() == made("A")
    assert champion.recover() == []


def test_one_file_more_or_less_is_refused(repository):
    held = made("A").model_dump()
    del held["files"][champion.GRAPH]
    with pytest.raises(BadInput, match="files must name"):
        champion.parse(atomic.as_json(held).encode(), "here")
    held["files"]["champion/../etc"] = "0" * 32
    with pytest.raises(BadInput):
        champion.parse(atomic.as_json(held).encode(), "here")

"""What git knows, and that what it refuses is never taken for nothing: on small real repositories."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from domain_denoiser import cli
from domain_denoiser.base import checksum
from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations.doctor import repository as looking
from domain_denoiser.operations.retraining import proposing, results
from domain_denoiser.runs import hashes, listings, mlflow_store, revisions, sync
from domain_denoiser.runs.revisions import GitFailed, NoRepository

LOCK = (
    "schema: '2.0'\nstages:\n  train@fixed:\n    cmd: {command}\n    deps:\n    - path: src/own.py\n      md5: {md5}\n"
)
MD5 = "a" * 32
ODD = "Bücher über [Rauschen]/eins *.txt"  # what git takes for a pattern, or quotes


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def commit(message: str) -> str:
    git("add", "-A")
    git("commit", "-q", "-m", message)
    return git("rev-parse", "HEAD")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that lies in no repository, as the working directory."""
    for name, value in (("NAME", "Tester"), ("EMAIL", "tester@example.invalid")):
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", value)
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", value)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    folder = tmp_path / "ein Ordner für Bilder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def project(place: Path) -> Path:
    """A project of two commits there, which git and DVC can read."""
    git("init", "-q", "--initial-branch=main")
    for name in (".dvc", "src", str(Path(ODD).parent)):
        Path(name).mkdir()
    Path(".dvc/config").write_text("[core]\n    analytics = false\n")
    Path("dvc.yaml").write_text("stages: {}\n")
    Path("src/own.py").write_text("1\n")
    Path("params.yaml").write_text("seed: 1\nmodels:\n  fixed: {}\n")
    Path(ODD).write_text("odd\n")
    Path("dvc.lock").write_text(LOCK.format(command="one", md5=MD5))
    commit("First")
    Path("dvc.lock").write_text(LOCK.format(command="two", md5=MD5))
    commit("Second")
    return place


def another_owner(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container: git's own switch for it; for root the files really are another's."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")


def really_another_owner(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.getuid() != 0:  # nobody else can give files away
        another_owner(project, monkeypatch)
        return
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, "/nonexistent")
    for path in (project, *project.rglob("*")):
        os.chown(path, 12345, 12345)


def damaged(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".git/HEAD").unlink()  # git says of it what it says where there is no repository


def a_worktree_whose_repository_is_gone(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(".git")
    Path(".git").write_text("gitdir: /nonexistent/.git/worktrees/gone\n")


def no_git(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project / "nothing"))


REFUSALS = [another_owner, really_another_owner, damaged, a_worktree_whose_repository_is_gone, no_git]
QUESTIONS: dict[str, Callable[[], object]] = {
    "head": revisions.head,
    "show": lambda: revisions.committed("dvc.lock"),
    "changed": revisions.changed,
    "dirty": lambda: revisions.dirty([]),
    "tracked": lambda: revisions.tracked(["dvc.lock"]),
    "commits": lambda: list(revisions.commits_of("dvc.lock", "--all")),
    "experiments": revisions.experiments,
    "resolve": lambda: revisions.resolve("HEAD"),
    "gap": revisions.gap,
    "branch": proposing.current_branch,
    "results": results.uncommitted,
    "unfinished": results.unfinished,
    "history": sync.read_history,
}
every_refusal = pytest.mark.parametrize("refuse", REFUSALS, ids=lambda refuse: refuse.__name__)


@every_refusal
def test_what_git_refuses_is_not_taken_for_nothing(project: Path, monkeypatch: pytest.MonkeyPatch, refuse) -> None:
    refuse(project, monkeypatch)
    for name, ask in QUESTIONS.items():
        with pytest.raises(GitFailed):
            pytest.fail(f"{name}: {ask()!r}")


@every_refusal
@pytest.mark.parametrize("command", [["propose"], ["announce", "--base", "main"], ["verify", "--quick"], ["retrain"]])
def test_no_command_says_that_there_is_nothing_to_do(
    project: Path, monkeypatch: pytest.MonkeyPatch, refuse, command: list[str]
) -> None:
    refuse(project, monkeypatch)
    done = CliRunner().invoke(cli.app, command)
    assert isinstance(done.exception, GitFailed), done.output


@pytest.mark.parametrize("refuse", [another_owner, really_another_owner])
def test_another_owner_is_answered_with_gits_own_command(
    project: Path, monkeypatch: pytest.MonkeyPatch, refuse
) -> None:
    refuse(project, monkeypatch)
    with pytest.raises(GitFailed, match="safe.directory") as raised:
        revisions.head()
    assert raised.value.fix.startswith("git config --global --add safe.directory ")
    assert str(project) in raised.value.fix
    check = looking.git(project)
    assert (check.verdict, check.fix) == ("wrong", raised.value.fix)
    monkeypatch.delenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", raising=False)
    monkeypatch.setenv("HOME", str(project))
    subprocess.run(check.fix, shell=True, check=True)
    assert revisions.head() is not None


def test_without_a_repository_there_is_no_history_and_that_is_said(place: Path) -> None:
    assert revisions.head() is None
    assert revisions.committed("dvc.lock") is None
    assert (list(revisions.commits_of("dvc.lock", "HEAD")), revisions.experiments()) == ([], [])
    assert revisions.dirty([])
    assert "no git repository" in revisions.gap()
    for ask in (revisions.changed, lambda: revisions.tracked(["x"]), revisions.require, proposing.current_branch):
        with pytest.raises(NoRepository, match="git init"):
            ask()
    assert looking.git(place).fix == NoRepository.fix


def test_a_repository_without_a_commit(place: Path) -> None:
    git("init", "-q")
    Path("dvc.lock").write_text("")
    assert revisions.head() is None and revisions.committed("dvc.lock") is None and revisions.gap() is None
    assert list(revisions.commits_of("dvc.lock", "--branches", "--tags", "--remotes", "HEAD")) == []
    assert list(revisions.commits_of("dvc.lock", "HEAD")) == []
    assert revisions.changed() == ["dvc.lock"]
    assert "there is no commit yet" in looking.git(place).said


def test_a_lost_object_is_no_missing_file(project: Path) -> None:
    blob = git("rev-parse", "HEAD:dvc.lock")
    (project / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(GitFailed):
        revisions.committed("dvc.lock")
    head = git("rev-parse", "HEAD")
    (project / ".git/objects" / head[:2] / head[2:]).unlink()
    for ask in (lambda: list(revisions.commits_of("dvc.lock", "HEAD")), lambda: revisions.committed("params.yaml")):
        with pytest.raises(GitFailed):
            ask()
    with pytest.raises(BadInput, match="git fsck"):
        revisions.resolve("HEAD")
    assert looking.git(project).fix == "git fsck"


def test_files_of_a_commit(project: Path) -> None:
    head = revisions.head()
    assert revisions.show(head, ODD) == b"odd\n"
    assert revisions.show(head, "src/own.py") == b"1\n"
    for missing in ("nowhere", "src", "src/own.py/deeper", "Bücher über [Rauschen]/eins x.txt"):
        assert revisions.show(head, missing) is None
    Path("big").write_bytes(bytes(revisions.LARGEST + 1))
    assert revisions.show(commit("Big"), "big") is None
    assert revisions.tracked([ODD, "nowhere", "dvc.lock"]) == {ODD, "dvc.lock"}
    Path(ODD).write_text("changed\n")
    assert revisions.changed() == [ODD]


def test_the_hash_of_what_a_commit_has_is_that_of_the_files(project: Path) -> None:
    Path("src/deeper/one").mkdir(parents=True)
    Path("src/deeper/one/two.py").write_text("two\n")
    head = commit("More")
    assert hashes.of_commit(head, "src", as_folder=True) == listings.of_folder(Path("src"))
    assert hashes.of_commit(head, "src/deeper", as_folder=True) == listings.of_folder(Path("src/deeper"))
    assert hashes.of_commit(head, ODD, as_folder=False) == checksum.md5(Path(ODD).read_bytes())
    assert hashes.of_commit(head, "./src/deeper", as_folder=True) == listings.of_folder(Path("src/deeper"))
    asked = [("src", False), (ODD, True), ("nowhere", True), ("nowhere", False), ("src/own.py/deeper", False)]
    assert [hashes.of_commit(head, *what) for what in asked] == [None] * len(asked)
    before = listings.of_folder(Path("src"))
    Path("src/link.py").symlink_to("own.py")  # what it leads to may be anywhere
    assert hashes.of_commit(commit("A link"), "src", as_folder=True) == before


def test_the_hash_of_a_folder_is_that_of_a_checkout(project: Path) -> None:
    git("config", "core.autocrlf", "true")
    Path("src/own.py").unlink()
    git("checkout", "--", "src")
    assert Path("src/own.py").read_bytes() == b"1\r\n"
    assert hashes.of_commit(revisions.head(), "src", as_folder=True) == listings.of_folder(Path("src"))


def test_a_lost_file_of_a_folder_is_no_missing_one(project: Path) -> None:
    Path("src/own.py").write_text("to be lost\n")  # in no other test: what a commit has is remembered
    head = commit("Another")
    blob = git("rev-parse", "HEAD:src/own.py")
    (project / ".git/objects" / blob[:2] / blob[2:]).unlink()
    for path, as_folder in (("src", True), ("src/own.py", False)):
        with pytest.raises(GitFailed):
            hashes.of_commit(head, path, as_folder)
    assert hashes.of_commit(head, "params.yaml", as_folder=False) is not None


def test_a_project_below_the_root_of_its_repository(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "above.txt").write_text("not of the project\n")
    (project / "src/deeper").mkdir()
    (project / "src/deeper/two.py").write_text("two\n")
    head = commit("Deeper")
    monkeypatch.chdir("src")
    assert hashes.of_commit(head, "deeper", as_folder=True) == listings.of_folder(Path("deeper"))
    Path("own.py").write_text("2\n")
    assert revisions.changed() == ["own.py"]
    assert revisions.committed("own.py") == b"1\n"
    assert len(list(revisions.commits_of("own.py", "HEAD"))) == 1


def test_a_worktree_and_a_detached_head_know_the_same(project: Path, tmp_path: Path, monkeypatch) -> None:
    known = [revisions.head(), list(revisions.commits_of("dvc.lock", "--all")), revisions.gap()]
    git("worktree", "add", "-q", "--detach", str(tmp_path / "zweiter Baum"))
    monkeypatch.chdir(tmp_path / "zweiter Baum")
    assert [revisions.head(), list(revisions.commits_of("dvc.lock", "--all")), revisions.gap()] == known
    assert proposing.current_branch() == ""
    assert revisions.changed() == []
    assert len(sync.read_history().commits) == 2
    git("checkout", "-q", "HEAD~1")
    assert revisions.head() == known[1][0]


def test_the_locale_changes_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(ODD).write_text("changed\n")
    program = (
        f"from domain_denoiser.runs import revisions\nassert revisions.changed() == [{ODD!r}], revisions.changed()"
    )
    for locale in ("C", "C.UTF-8", "POSIX"):
        subprocess.run([sys.executable, "-c", program], check=True, env=os.environ | {"LC_ALL": locale, "LANG": locale})


@pytest.fixture
def shallow(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    git("clone", "-q", "--depth", "1", project.as_uri(), str(tmp_path / "shallow"))
    monkeypatch.chdir(tmp_path / "shallow")
    return tmp_path / "shallow"


def test_history_that_is_cut_off_is_said_to_be(project: Path, shallow: Path) -> None:
    assert revisions.UNSHALLOW in revisions.gap()
    history = sync.read_history()
    assert len(history.commits) == 1 and history.gap == revisions.gap()
    with pytest.raises(BadInput, match="this clone is shallow.*git fetch --unshallow"):
        revisions.resolve("HEAD~1")
    check = looking.git(shallow)
    assert (check.verdict, check.fix) == ("note", revisions.UNSHALLOW)
    subprocess.run(check.fix, shell=True, check=True, capture_output=True)
    assert revisions.gap() is None and len(sync.read_history().commits) == 2


class Run:
    """As much of MLflow's as tags take."""

    def __init__(self, tags: dict[str, str]) -> None:
        self.info = type("Info", (), {"status": "FINISHED", "run_name": "fixed", "run_id": "1"})()
        self.data = type("Data", (), {"tags": tags})()


@pytest.mark.parametrize("gap", [None, "history is cut off"])
def test_tags_are_taken_away_only_where_all_history_is_seen(
    place: Path, monkeypatch: pytest.MonkeyPatch, gap: str | None
) -> None:
    run, written = Run({"key": "k", "commits": "111111111111 222222222222"}), {}
    monkeypatch.setattr(mlflow_store, "runs_by_key", lambda store: {"k": run})
    monkeypatch.setattr(mlflow_store, "rename", lambda store, run: False)
    monkeypatch.setattr(mlflow_store, "set_tags", lambda store, run, tags: written.update(tags))
    store = mlflow_store.Store(None, "", "", local=True, lock=None, domain=None)
    sync.retag(store, sync.History({}, {"k": ["222222222222" + "0" * 28]}, {}, (), gap))
    assert written["commits"] == ("222222222222" if gap is None else "111111111111 222222222222")


def test_a_source_that_git_does_not_know_is_missed(project: Path) -> None:
    assert results.uncommitted_others() == []
    Path("src/new.py").write_text("new\n")
    Path("notes.txt").write_text("nothing that a stage reads\n")
    Path("dvc.lock").write_text(LOCK.format(command="one", md5=MD5) + f"    - path: src/new.py\n      md5: {MD5}\n")
    assert results.uncommitted_others() == ["src/new.py"]
    Path(".gitignore").write_text("new.py\n")
    commit("With the lock, without the source")
    assert results.uncommitted_others() == ["src/new.py"]
    git("add", "--force", "src/new.py")
    commit("With the source")
    assert results.uncommitted_others() == []


def test_a_folder_that_a_stage_reads_is_missed_file_by_file(project: Path) -> None:
    Path("dvc.lock").write_text(LOCK.format(command="one", md5=MD5) + f"    - path: src\n      md5: {MD5}.dir\n")
    commit("Reads a folder")
    Path("src/new.py").write_text("new\n")
    assert results.uncommitted_others() == ["src/new.py"]


def test_of_a_folder_that_dvc_tracks_a_commit_has_the_file_that_says_so(project: Path) -> None:
    Path("dvc.lock").write_text(
        LOCK.format(command="one", md5=MD5) + f"    - path: data/images\n      md5: {MD5}.dir\n"
    )
    Path("data/images").mkdir(parents=True)
    Path("data/images/one.png").touch()
    Path("data/.gitignore").write_text("/images\n")
    commit("The images are ignored")
    assert results.uncommitted_others() == ["data/images/one.png"]
    Path("data/images.dvc").touch()
    assert results.uncommitted_others() == ["data/images.dvc"]
    commit("And tracked by DVC")
    assert results.uncommitted_others() == []
    Path("data/images.dvc").write_text("other images\n")
    assert results.uncommitted_others() == ["data/images.dvc"]


def test_a_branch_of_that_name_keeps_its_commits(project: Path) -> None:
    git("switch", "-q", "-c", "retrain/1")
    Path("report.md").write_text("of an earlier attempt\n")
    earlier = commit("Proposed, but never pushed")
    git("switch", "-q", "main")
    with pytest.raises(BadInput, match="git switch retrain/1"):
        proposing._begin("retrain/1")
    assert git("rev-parse", "retrain/1") == earlier and proposing.current_branch() == "main"
    git("update-ref", "refs/remotes/origin/retrain/1", earlier)  # now somebody else has it too
    Path("params.yaml").write_text("seed: 2\nmodels:\n  fixed: {}\n")
    proposing._begin("retrain/1")
    assert proposing.current_branch() == "retrain/1" and revisions.changed() == ["params.yaml"]


def test_only_results_are_given_up_for_the_same_results(project: Path) -> None:
    git("switch", "-q", "-c", "theirs")
    Path("params.yaml").write_text("seed: 2\nmodels:\n  fixed: {}\n")
    theirs = commit("Results")
    git("switch", "-q", "main")
    Path("params.yaml").write_text("seed: 2\nmodels:\n  fixed: {}\n")
    commit("The same results")
    assert proposing._same_results(theirs)
    Path("notes.txt").write_text("which nobody else has\n")
    commit("Notes")
    assert not proposing._same_results(theirs)

"""`denoise` itself: what it prints and its exit status where something is missing, and how little it loads for that.

Bad input to a single command is the subject of that command's tests.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import graph_files
import hostile_files
import pytest

from domain_denoiser import cli
from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations import choosing
from domain_denoiser.runtime import denoiser

ROOT = Path(__file__).parent.parent
# Not pydantic, which Typer itself takes to read any argument.
HEAVY = {"torch", "dvc", "mlflow", "scipy", "numpy", "pandas", "PIL", "rich", "matplotlib", "sqlalchemy", "onnxruntime"}


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    printed: str
    complained: str


@pytest.fixture
def denoise(monkeypatch, capsys):
    """Run a command in this process, as the program does, in a folder."""

    def run(folder: Path, *words: str) -> Ended:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["denoise", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Ended(ended.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What somebody has who cloned this: tracked files, no data, no weights."""
    return copied(tmp_path_factory.mktemp("fresh") / "a clone", with_git=True)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What somebody has who unpacked an archive of this: no git."""
    return copied(tmp_path_factory.mktemp("unpacked") / "an archive", with_git=False)


def copied(target: Path, with_git: bool) -> Path:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file() and not name.startswith(("reports/study/figures", "docs/screenshots")):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    if with_git:
        git = ["git", "-c", "user.name=Tester", "-c", "user.email=tester@example.invalid"]
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "As it lies here"]):
            subprocess.run([*git, *words], cwd=target, check=True)
    return target


def sentence(ended: Ended) -> str:
    """The one line of an error, without its `error: `."""
    assert ended.complained.startswith("error: "), ended
    assert ended.complained.count("\n") == 1, ended
    return ended.complained.removeprefix("error: ").rstrip("\n")


# Help


def test_help_says_each_command_in_a_line_that_is_not_cut(denoise, tmp_path):
    for words in ([], ["--help"]):
        shown = denoise(tmp_path, *words)
        assert (shown.status, shown.complained) == (0, "")
        assert "..." not in shown.printed.partition("Options:")[2]
        assert {f"  {name} " for name in COMMANDS if f"  {name} " not in shown.printed} == set()


@pytest.mark.parametrize(
    "words", [("--help",), ("restore", "--help"), ("inspect", "--help"), ("--version",)], ids=" ".join
)
def test_help_loads_nothing_heavy(words, tmp_path):
    """It is what a newcomer types first: 0.3 s."""
    program = (
        f"import sys; sys.argv[1:] = {list(words)}\nfrom domain_denoiser import cli\n"
        f"try:\n    cli.main()\nexcept SystemExit as ended:\n    assert not ended.code\n"
        f"print('loaded:', *sorted({HEAVY} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.rpartition("loaded:")[2].split() == []


def test_completion_is_offered_and_knows_commands(tmp_path):
    asked = {"_DENOISE_COMPLETE": "complete_bash", "COMP_WORDS": "denoise re", "COMP_CWORD": "1"}
    program = "import sys; sys.argv = ['denoise']; from domain_denoiser.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=os.environ | asked, capture_output=True, text=True
    )
    assert set(done.stdout.split()) == {"restore", "retrain", "recover", "report"}


# What is typed wrong

COMMANDS = {
    "announce": ["--base", "main"],
    "compare": [],
    "demo": [],
    "doctor": [],
    "fresh": [],
    "gate": [],
    "init": ["images"],
    "inspect": ["noisy.png"],
    "page": [],
    "promote": [],
    "propose": [],
    "recover": [],
    "report": ["--against", "HEAD"],
    "restore": ["noisy.png", "clean.png"],
    "retrain": [],
    "show": ["fixed"],
    "sweep": ["sweep.yaml"],
    "sync": [],
    "verify": ["--quick"],
}


def test_every_command_is_in_the_table():
    assert set(COMMANDS) == {command.name or command.callback.__name__ for command in cli.app.registered_commands}


@pytest.mark.parametrize("name", COMMANDS)
def test_option_that_there_is_not(denoise, tmp_path, name):
    ended = denoise(tmp_path, name, "--nonsense")
    assert ended.status == 2
    assert sentence(ended) == f"No such option: --nonsense (`denoise {name} --help` says what there is)"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["nonsense"], "No such command 'nonsense'. (`denoise --help` says"),
        (["--nonsense"], "No such option: --nonsense"),
        (["restore"], "Missing argument"),
        (["restore", "one"], "Missing argument"),
        (["inspect"], "Missing argument"),
        (["show"], "Missing argument"),
        (["sweep"], "Missing argument"),
        (["report"], "Missing option '--against'"),
        (["gate", "--model"], "Option '--model' requires an argument"),
        (["fresh", "extra"], "Got unexpected extra argument"),
    ],
    ids=str,
)
def test_words_that_make_no_command(denoise, tmp_path, words, wanted):
    ended = denoise(tmp_path, *words)
    assert (ended.status, ended.printed) == (2, "")
    assert wanted in sentence(ended)


# Where something is missing


@pytest.mark.parametrize("name", COMMANDS)
def test_folder_without_a_project(denoise, tmp_path, tree, name):
    ended = denoise(tmp_path, name, *COMMANDS[name])
    assert (ended.status, ended.printed) == (2, "")
    assert "lies in no project" in sentence(ended)
    assert tree(tmp_path) == set()


@pytest.mark.mnist
@pytest.mark.parametrize(
    ("words", "status", "wanted"),
    [
        (["restore", "--model", "conv", "a.png", "b.png"], 2, "none is trained yet: run `make repro`"),
        (["compare", "nonsense"], 2, "'nonsense' is no commit"),
        (["show", "nonsense"], 2, "'nonsense'"),
        (["gate"], 2, "run `"),
        (["gate", "--model", "nonsense"], 2, "'nonsense'"),
        (["promote"], 2, "run `"),
        (["report", "--against", "nonsense"], 2, "'nonsense' is no commit"),
        (["announce", "--base", "main"], 0, "nothing to announce"),
        (["verify", "--retrain", "nonsense"], 2, "--retrain wants one of train@"),
        (["verify", "--quick"], 1, "neither here nor in the cache"),
        (["retrain", "-S", "nonsense"], 2, "'nonsense'"),
        (["sync", "--rev", "nonsense"], 2, "'nonsense' is no commit"),
        (["sweep", "nonsense"], 2, "nonsense"),
        (["recover"], 0, ""),
        (["show", "fixed"], 0, "train@fixed"),
        (["compare"], 0, "conv"),
    ],
    ids=str,
)
def test_fresh_clone_without_data(denoise, fresh, words, status, wanted):
    ended = denoise(fresh, *words)
    assert ended.status == status, ended
    assert wanted in (ended.printed if status < 2 else sentence(ended))
    assert "Traceback" not in ended.complained


@pytest.mark.parametrize(
    "words",
    [
        ["restore", "--model", "conv", "a.png", "b.png"],
        ["compare"],
        ["show", "nonsense"],
        ["gate"],
        ["promote"],
        ["promote", "--rollback"],
        ["report", "--against", "HEAD"],
        ["verify", "--quick"],
        ["retrain", "-S", "seed=1"],
        ["sync", "--rev", "HEAD"],
    ],
    ids=str,
)
def test_archive_without_git(denoise, unpacked, words):
    ended = denoise(unpacked, *words)
    assert ended.status in (1, 2), ended
    assert sentence(ended)


def test_whether_an_archive_is_fresh_wants_no_git(denoise, unpacked):
    ended = denoise(unpacked, "fresh")
    assert ended.status in (0, 1)
    assert ended.complained == ""


# The model of `restore`


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with two models and no champion, and a model outside it."""
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / "dvc.yaml").write_text("stages: {}\n")
    for folder in ("project/models/fixed", "project/models/random", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "model.json").write_text("{}")
        (tmp_path / folder / "model.onnx").write_text(Path(folder).name)
    return root


def chosen(folder: Path, monkeypatch, model: str | None, given: Path | None = None) -> tuple[str, str]:
    """What the graph that is chosen holds, and what it is called."""
    monkeypatch.chdir(folder)
    found = choosing.choose(model, given)
    return found.content.decode(), found.name


def test_the_champion_is_used_if_no_model_is_named(project, tmp_path, monkeypatch):
    with pytest.raises(BadInput, match="has no champion yet .*; or name a trained model: --model fixed or random$"):
        chosen(project, monkeypatch, None)
    with monkeypatch.context() as patch, pytest.raises(BadInput, match="DENOISE_PROJECT, or a model by --model$"):
        patch.setattr(denoiser.resources, "files", lambda _: tmp_path)
        chosen(tmp_path, patch, None)
    (project / "champion").mkdir()
    (project / "champion/model.onnx").write_text("best")
    for folder, given in ((project, None), (project / "models", None), (tmp_path, project), (tmp_path, "project")):
        given = None if given is None else Path(given)
        assert chosen(folder, monkeypatch, None, given) == ("best", "the champion")


def test_a_model_by_name_or_folder(project, tmp_path, monkeypatch):
    assert chosen(project, monkeypatch, "fixed") == ("fixed", "fixed")
    assert chosen(project, monkeypatch, "../elsewhere") == ("elsewhere", "../elsewhere")
    assert chosen(tmp_path, monkeypatch, "elsewhere") == ("elsewhere", "elsewhere")
    assert chosen(tmp_path, monkeypatch, "./elsewhere/model.onnx") == ("elsewhere", "./elsewhere/model.onnx")
    assert chosen(tmp_path, monkeypatch, "random", project) == ("random", "random")
    for folder, model, given, wanted in (
        (project, "large", None, "no model 'large' in .*; the trained ones are fixed, random"),
        (tmp_path, "fixed", None, "lies in no project.* --project or DENOISE_PROJECT, or a model's folder"),
        (tmp_path, "./fixed", None, "fixed holds no model: model.json or model.onnx is wanted there"),
        (project, "fixed", tmp_path, "is no project: it has no dvc.yaml, or no .dvc"),
        (project, "x" * 300, None, "cannot be reached"),
    ):
        with pytest.raises(BadInput, match=wanted):
            chosen(folder, monkeypatch, model, given)


def test_several_inputs_by_the_champion_of_a_project_elsewhere(denoise, project, tmp_path, monkeypatch):
    hostile_files.write(project / "champion", {"model.onnx": graph_files.negative()})
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(hostile_files.png(28, 28))
    monkeypatch.setenv("DENOISE_PROJECT", str(project))
    ended = denoise(tmp_path, "restore", "a.png", "b.png", "clean")
    assert ended == (0, "2 images restored by the champion: clean\n", "")
    assert sorted(path.name for path in (tmp_path / "clean").iterdir()) == ["a.png", "b.png"]

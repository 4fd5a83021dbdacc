"""The commands by which a project of one's own images takes a later version of the code: docs/own-images.md."""

import subprocess
from pathlib import Path

import pytest

from domain_denoiser import layout

GUIDE = Path(__file__).parents[2] / "docs/own-images.md"
AUTHOR = ("-c", "user.name=Tester", "-c", "user.email=tester@example.invalid")


def commands() -> list[str]:
    """Those of the section, without the last, which names an author."""
    section = GUIDE.read_text().split("## A later version of this project\n")[1].split("\n## ")[0]
    return [line.strip() for line in section.splitlines() if line.startswith("    ")]


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *AUTHOR, *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def written(folder: Path, files: dict[str, str], message: str) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", message)


def held(folder: Path) -> dict[str, str]:
    return {name: (folder / name).read_text() for name in git(folder, "ls-files").splitlines()}


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A repository with a file at each path of a domain, and code."""
    folder = tmp_path / "template"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    written(folder, dict.fromkeys(OF_MNIST, "MNIST\n") | {"src/code.py": "1\n", "data/mnist.yaml": "1\n"}, "The first")
    return folder


OF_MNIST = ("params.yaml", "dvc.lock", "champion.json", "champion/model.onnx", "models/conv/history.csv",
            "reports/metrics.json", "reports/figures/conv/examples.png", "study/dvc.lock")  # fmt: skip
OWN = {"params.yaml": "own\n", "data/images.dvc": "own\n", "data/.gitignore": "/images\n", "dvc.lock": "own\n"}


@pytest.mark.parametrize("champion", [{}, {"champion.json": "own\n", "reports/metrics.json": "own\n"}])
@pytest.mark.parametrize("moved", [{}, {"study/mnist.lock": "MNIST\n"}], ids=["", "one is no domain's any more"])
@pytest.mark.parametrize(
    "later",
    [
        {"src/code.py": "2\n", "data/mnist.yaml": "2\n"},
        {"src/code.py": "2\n", "data/mnist.yaml": "2\n", "reports/new.csv": "MNIST\n"}
        | dict.fromkeys(OF_MNIST, "later MNIST\n"),
    ],
    ids=["code alone", "all of MNIST too"],
)
def test_code_changes_and_the_domain_does_not(template: Path, tmp_path: Path, later, moved, champion):
    project = tmp_path / "project"
    git(tmp_path, "clone", "--quiet", "--origin", "template", str(template), str(project))
    git(project, "rm", "--quiet", *OF_MNIST)
    written(project, OWN | champion, "The domain scans")
    (project / "data/images").mkdir()
    (project / "data/images/1.png").write_text("ignored by git\n")
    if moved:
        git(template, "rm", "--quiet", "study/dvc.lock")
        later = {name: content for name, content in later.items() if name != "study/dvc.lock"}
    written(template, later | moved, "Later")
    *lines, last = commands()
    assert last.startswith("git commit")
    subprocess.run(["sh", "-c", "\n".join(lines)], cwd=project, capture_output=True, check=True)
    git(project, "commit", "--quiet", "-m", "The latest version")
    assert held(project) == OWN | champion | {"src/code.py": "2\n", "data/mnist.yaml": "2\n"} | moved
    assert git(project, "status", "--porcelain") == ""
    assert (project / "data/images/1.png").exists()


def test_the_paths_are_those_that_init_replaces():
    [first] = [line for line in commands() if line.startswith("own=")]
    assert first.removeprefix("own=").strip('"').split() == [str(path) for path in layout.DOMAIN_PATHS]

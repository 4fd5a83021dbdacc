"""What the documents say is so: numbers, commands, links."""

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pandas
import pytest

from domain_denoiser.operations import freshness, page

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.mnist
def test_the_readme_has_the_numbers_of_metrics_json() -> None:
    models = json.loads((ROOT / "reports/metrics.json").read_text())["models"]
    rows = re.findall(r"^\| (?:`(\w+)`|the noisy input) \|(.*)\|$", README, re.MULTILINE)
    assert len(rows) == len(models)
    for name, cells in rows:
        levels = models[name or "noisy"]
        assert [cell.strip() for cell in cells.split("|")] == [f"{level['psnr_db']:.2f}" for level in levels.values()]


@pytest.mark.mnist
@pytest.mark.parametrize("path", ["dvc.lock", "study/dvc.lock", "champion.json", "champion/model.onnx", page.PAGE])
def test_what_was_made_is_in_git(path: str | Path) -> None:
    """`.ci/run` leaves out what wants it where it is not there, as in a project before its first reproduction."""
    done = subprocess.run(["git", "ls-files", "--error-unmatch", path], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_make_command_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name for path in DOCUMENTS for name in re.findall(r"(?:`|^    |&& )make (\w+)", path.read_text(), re.MULTILINE)
    }
    assert named <= targets


def test_every_denoise_command_exists() -> None:
    named = {
        name
        for path in DOCUMENTS
        for name in re.findall(r"(?:`|^    |&& )denoise ([a-z]+)", path.read_text(), re.MULTILINE)
    }
    shown = subprocess.run(["denoise", "--help"], capture_output=True, text=True, check=True).stdout
    assert named <= set(re.findall(r"^\W+([a-z]+) ", shown, re.MULTILINE))


@pytest.mark.mnist
@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert target.startswith("http") or (path.parent / target).exists(), target


@pytest.mark.mnist
def test_the_page_is_what_the_results_give(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    page.write(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_bytes() == (ROOT / page.PAGE).read_bytes(), "`make page` is wanted"


@pytest.mark.mnist
def test_the_page_and_fresh_agree_on_the_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry of dvc.lock whose stage was renamed makes nothing stale."""
    monkeypatch.chdir(ROOT)
    assert page.is_stale(page._locked(Path("dvc.lock"))) == bool(freshness.stale_stages())


@pytest.mark.mnist
def test_the_readme_has_the_numbers_of_the_study() -> None:
    study = ROOT / "reports/study"
    levels = pandas.read_csv(study / "levels.csv").set_index(["method", "sigma"])["psnr_db"]
    classical = ("median", "nonlocal_means", "total_variation", "wavelet")
    best = max(levels[method, 0.5] for method in classical)
    read = pandas.read_csv(study / "accuracy.csv").set_index(["images", "sigma"])["accuracy"]
    domains = pandas.read_csv(study / "domains.csv").set_index(["model", "domain"])
    told = README[README.index("## How good is that?") :].partition("![")[0]
    assert re.findall(r"([\d.]+) (?:dB|%)", told.replace("\n", " ")) == [
        f"{levels['conv', 0.5]:.1f}",
        f"{best:.1f}",
        f"{levels['linear', 0.5]:.1f}",
        f"{levels['post', 0.5]:.1f}",
        f"{read['noisy', 0.5]:.1%}"[:-1],
        f"{read['conv', 0.5]:.1%}"[:-1],
        f"{read['clean', 0.0]:.1%}"[:-1],
        f"{domains.loc[('conv', 'digits'), 'gain_over_linear_db']:.1f}",
        f"{-domains.loc[('conv', 'fashion'), 'gain_over_linear_db']:.1f}",
    ]


@pytest.mark.mnist
def test_the_readme_has_what_the_large_model_gains() -> None:
    ceiling = pandas.read_csv(ROOT / "reports/study/ceiling.csv").set_index("sigma")
    [told] = re.findall(r"larger network for longer: ([\d.]+) dB above `conv` at σ = 0.5", README)
    assert told == f"{ceiling.loc[0.5, 'difference_db']:.2f}"


def test_the_page_says_which_results_are_of_other_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/study.py").write_text("")
    deps = {"stages/study.py": hashlib.md5(b"").hexdigest(), "data/clean": "other.dir"}
    stage = page.Stage("levels", "python stages/study.py", deps, {}, {})
    assert not page.is_stale({"levels": stage})
    assert page.is_stale({"levels": stage._replace(deps={**deps, "src/gone.py": "0"})})
    (tmp_path / "stages/study.py").write_text("changed")
    assert page.is_stale({"levels": stage})

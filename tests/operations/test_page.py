"""The page of a project of one's own, which has another domain and no study."""

import re
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations import page

pytestmark = pytest.mark.mnist  # whose results these pages are written of
ROOT = Path(__file__).parents[2]
CELLS = {"name": "cells", "title": "Cells & <more>", "images": "cells of yeast", "look": "round", "dataset": None}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: the committed results, but those of the study, and the domain `cells`."""
    monkeypatch.chdir(tmp_path)
    for file in ("dvc.yaml", "dvc.lock", "reports/metrics.json"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    with (tmp_path / "params.yaml").open("w") as file:
        YAML().dump({"domain": CELLS | {"authors": None, "licence": None}}, file)
    return tmp_path


def titles(path: Path) -> list[str]:
    return re.findall("<h2>(.*)</h2>", path.read_text())


def test_it_is_about_the_domain_and_has_nothing_of_the_study(own: Path) -> None:
    page.write(own / "report.html")
    assert titles(own / "report.html") == ["On all test images", "Which run made which number"]
    text = (own / "report.html").read_text()
    assert "images of one domain: cells of yeast (Cells &amp; &lt;more&gt;). Noise" in text
    assert not re.search("mnist|digit|10,000|see the spread|conv-settings", text, re.IGNORECASE)


def test_with_a_study_all_of_it_is_wanted(own: Path) -> None:
    shutil.copytree(ROOT / "reports/study", own / "reports/study")
    page.write(own / "report.html")
    assert {"The ceiling", "Own domain only"} < set(titles(own / "report.html"))
    (own / "reports/study/domains.csv").unlink()
    with pytest.raises(BadInput, match="reports/study/domains.csv does not exist"):
        page.write(own / "another.html")
    assert not (own / "another.html").exists()


def test_without_a_domain_there_is_no_page(own: Path) -> None:
    (own / "params.yaml").write_text("seed: 1\n")
    with pytest.raises(BadInput, match="params.yaml: domain is missing"):
        page.write(own / "report.html")
    assert not (own / "report.html").exists()

"""MLflow's pages as people use them: a browser goes through them on the finished pipeline, offline.

DENOISE_SCREENSHOTS names a folder to keep the pictures in.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import servers
from playwright.sync_api import Browser, Page, expect, sync_playwright
from ruamel.yaml import YAML

from domain_denoiser.runs import dvc_lock

MODELS = ("plain", "fixed", "random", "conv")
BEST = "psnr_db_0.5"
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
CHROMIUM += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
PATIENCE_MS = 30_000  # pages come within a second or two; a busy machine may take its time


class Site(NamedTuple):
    """MLflow's pages in a browser."""

    root: Path  # of the pipeline
    names: dict[str, str]  # model -> name of its run
    url: str
    page: Page
    pictures: Path

    def open_runs(self) -> Page:
        """The experiment's table of runs."""
        self.page.goto(f"{self.url}/#/experiments")
        self.page.get_by_role("table").get_by_role("link", name="mnist-denoising").click()
        expect(self.page.get_by_role("link", name=self.names["random"], exact=True)).to_be_visible()
        return self.page

    def open_run(self, model: str) -> Page:
        """The page of a model's run."""
        name = self.names[model]
        self.open_runs().get_by_role("link", name=name, exact=True).click()
        expect(self.page.get_by_role("heading", name=name)).to_be_visible()
        return self.page

    def picture(self, name: str) -> None:
        self.page.wait_for_timeout(500)  # so that nothing is still sliding in
        self.page.screenshot(path=self.pictures / f"{name}.png")


@pytest.fixture(scope="module")
def url(pipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What `make ui` serves, from a copy of the store: to look at it must not change the pipeline."""
    folder = tmp_path_factory.mktemp("ui")
    shutil.copy(pipeline.root / "mlflow.db", folder)
    with servers.mlflow(folder, "sqlite:///mlflow.db", str(pipeline.root / "mlartifacts")) as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is missing: apt-get install chromium")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=CHROMIUM) as started,
    ):
        yield started


@pytest.fixture(scope="module")
def site(pipeline, browser: Browser, url: str, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A page that reaches the server and nothing else."""
    pictures = Path(os.environ.get("DENOISE_SCREENSHOTS") or tmp_path_factory.mktemp("pictures"))
    pictures.mkdir(parents=True, exist_ok=True)
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page.route(lambda address: not address.startswith(f"{url}/"), lambda route: route.abort())
    page.goto(url)
    # MLflow begins with its assistant, on a third of the page, and with its pages for language models.
    page.locator("[data-component-id='mlflow.assistant.chat_panel.close']").click()
    page.get_by_text("Model training", exact=True).click()
    return Site(pipeline.root, run_names(pipeline.root), url, page, pictures)


def run_names(root: Path) -> dict[str, str]:
    """Model -> what its run is called: the model and the beginning of its key."""
    stages = dvc_lock.locked((root / "dvc.lock").read_bytes(), "dvc.lock")
    return {model: f"{model}-{stages[f'train@{model}'].key[:8]}" for model in MODELS}


def measured(root: Path) -> dict[str, float]:
    """What decides which model is the best: mean PSNR of the test images at sigma 0.5."""
    models = json.loads((root / "reports/metrics.json").read_text())["models"]
    return {name: models[name]["0.5"]["psnr_db"] for name in MODELS}


def add_column(page: Page, name: str) -> None:
    """Add a column to the table of runs."""
    page.get_by_role("button", name="Columns", exact=True).click()
    page.get_by_placeholder("Search columns").fill(name)
    page.locator(".du-bois-light-tree-title", has_text=name).click()
    page.keyboard.press("Escape")


def column(page: Page, name: str) -> list[str]:
    """A column of the table of runs, from the top. The table keeps its rows in the order they came in."""
    cells = page.locator(f"[role=gridcell][col-id='{name}']").all()
    return [text for _, text in sorted((cell.bounding_box()["y"], cell.inner_text().strip()) for cell in cells)]


def eventually(page: Page, look: Callable[[], object], wanted: object) -> None:
    """Wait for the page to show what is wanted."""
    for _ in range(PATIENCE_MS // 100):
        if look() == wanted:
            return
        page.wait_for_timeout(100)
    assert look() == wanted


def test_find_the_best_model(site: Site) -> None:
    page, values = site.open_runs(), measured(site.root)
    add_column(page, BEST)
    page.get_by_test_id(f"sort-header-{BEST}").click()
    best_first = sorted(values, key=values.get, reverse=True)
    names = [site.names[model] for model in best_first]
    eventually(page, lambda: [text.split()[-1] for text in column(page, "attributes.`Run Name`")], names)
    shown = [float(text) for text in column(page, f"metrics.`{BEST}`")]
    site.picture("1-best-model")
    assert shown == pytest.approx([values[name] for name in best_first])


def test_compare_models(site: Site) -> None:
    page = site.open_runs()
    page.get_by_label("Select all runs").click()
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_text(f"Comparing {len(MODELS)} Runs from 1 Experiment")).to_be_visible()
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    site.picture("2-compare")
    page.get_by_text("Metrics", exact=True).last.scroll_into_view_if_needed()
    expect(page.get_by_text(BEST, exact=True)).to_be_visible()
    for value in measured(site.root).values():
        shown = f"{round(value, 2 if value >= 10 else 3):g}"  # as MLflow rounds it there
        expect(page.get_by_text(shown, exact=True).first).to_be_visible()
    site.picture("2-compare-metrics")


def test_compare_models_in_charts(site: Site) -> None:
    page = site.open_runs()
    page.locator("label:has(input[name='runs-view-mode'][value='CHART'])").click()
    expect(page.get_by_role("heading", name="test/psnr_db", exact=True)).to_be_visible()
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    for model in MODELS:
        expect(page.get_by_text(f"{site.names[model]} (test/psnr_db)").first).to_be_visible()
    site.picture("2-charts")


def test_see_which_data_a_model_was_trained_on(site: Site) -> None:
    page = site.open_run("random")
    page.get_by_text("data/", exact=False).first.click()
    stages = YAML(typ="safe").load(site.root / "dvc.lock")["stages"]
    deps = stages["train@random"]["deps"] + stages["evaluate@random"]["deps"]
    data = {dep["path"]: dep["md5"] for dep in deps if dep["path"].startswith("data/")}
    expect(page.get_by_text(f"{len(data)} datasets used")).to_be_visible()
    for path, md5 in data.items():
        expect(page.get_by_text(f"{path} ({md5})", exact=True).last).to_be_visible()
    site.picture("3-data")
    page.get_by_role("button", name="Close").last.click()


def test_see_the_restored_digits(site: Site) -> None:
    page = site.open_run("random")
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("examples.png", exact=True).click()
    image = page.locator("img[alt*='examples.png'], img[src^='blob:']").first
    expect(image).to_be_visible()
    eventually(page, lambda: image.evaluate("image => image.complete && image.naturalWidth > 100"), True)
    site.picture("4-digits")


def test_this_state_without_history(site: Site) -> None:
    page = site.open_runs()
    page.get_by_placeholder("metrics.rmse", exact=False).fill("tags.state != 'history'")
    page.keyboard.press("Enter")
    wanted = sorted(site.names.values())
    eventually(page, lambda: sorted(text.split()[-1] for text in column(page, "attributes.`Run Name`")), wanted)

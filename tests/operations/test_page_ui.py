"""The page in a browser, from disk and without a network, on a wide screen and on a telephone.

DENOISE_SCREENSHOTS names a folder to keep the pictures in. Looks at reports/report.html of MNIST, and at a page with
made-up numbers.
"""

import base64
import os
import shutil
from pathlib import Path

import pytest
from pipeline import PARAMS
from playwright.sync_api import sync_playwright

from domain_denoiser.operations import page

ROOT = Path(__file__).parents[2]

CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


@pytest.fixture(params=[pytest.param("committed", marks=pytest.mark.mnist), "made-up"])
def written(request, tmp_path, monkeypatch) -> Path:
    if request.param == "committed":
        return ROOT / page.PAGE
    monkeypatch.chdir(tmp_path)
    results = {
        "reports/metrics.json": '{"models": {"conv": {"0.5": {"psnr_db": 21.0}}, "noisy": {"0.5": {"psnr_db": 9.4}}}}',
        "reports/study/levels.csv": "method,sigma,psnr_db\nnoisy,0.5,9.4\nconv,0.5,21.0\n",
        "reports/study/differences.csv": "method,than,sigma,difference_db,low,high,verdict\n"
        "conv,noisy,0.5,1,1,1,better\n",
        "reports/study/spread.csv": "model,sigma,spread_db\nconv,0.5,0.02\n",
        "reports/study/domains.csv": "model,domain,psnr_db,gain_over_noisy_db,gain_over_noisy_low,gain_over_noisy_high,"
        "gain_over_linear_db,gain_over_linear_low,gain_over_linear_high\nconv,digits,21,1,1,1,1,1,1\n",
        "reports/study/accuracy.csv": "images,sigma,accuracy,low,high\nclean,0,.99,.98,1\nnoisy,0.5,.3,.2,.4\n",
    }
    for path, text in results.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "reports/study/figures").mkdir()
    for name in ("psnr_against_noise", "domains", "digits", "worst", "encoder_weights"):
        (tmp_path / f"reports/study/figures/{name}.png").write_bytes(PIXEL)
    shutil.copy(PARAMS, tmp_path)
    page.write(tmp_path / page.PAGE)
    return tmp_path / page.PAGE


@pytest.mark.services
def test_the_page_fits_every_screen_and_asks_nobody(written, tmp_path):
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is missing: apt-get install chromium")
    pictures = Path(os.environ.get("DENOISE_SCREENSHOTS") or tmp_path)
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=CHROMIUM) as browser,
    ):
        for width in (1280, 400):
            shown, asked, said = browser.new_page(viewport={"width": width, "height": 900}), [], []
            shown.on("request", lambda request, asked=asked: asked.append(request.url))
            shown.on("console", lambda message, said=said: said.append(message.text))
            shown.goto(written.as_uri())
            assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
            assert said == []
            assert shown.evaluate("document.documentElement.scrollWidth") <= width
            assert shown.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
            assert shown.get_by_role("heading", name="Own domain only").is_visible()
            shown.screenshot(path=pictures / f"report-{width}.png", full_page=True)

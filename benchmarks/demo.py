"""How fast the page of `make demo` restores in Chromium; its screenshots, and its test digits.

    python benchmarks/demo.py                 # prints milliseconds for docs/demo.md; writes nothing
    python benchmarks/demo.py --screenshots   # writes docs/screenshots/demo-*.png
    python benchmarks/demo.py --digits        # writes demo/digits.png, from MNIST as `make repro` downloads it

The first two want demo/site, which `make demo` writes.
"""

import argparse
import io
import re
import shutil
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from domain_denoiser import layout
from domain_denoiser.core import images
from domain_denoiser.operations import demo

CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
SCREENSHOTS = Path("docs/screenshots")
SIZES = {400: 1000, 1280: 830}  # width of the window -> its height
OPENINGS = 5
NOISES = 50  # of the same digit, after each opening
SIDE = 512  # pixels of a large image
# Keeps what the page says of each restored image, and when.
OBSERVE = """
addEventListener("DOMContentLoaded", () => {
  window.said = [];
  const says = document.getElementById("restored-says");
  new MutationObserver(() => window.said.push([performance.now(), says.textContent])).observe(says, {childList: true});
});
"""


@contextmanager
def served(root: Path) -> Iterator[str]:
    """The address of a project's site, while the block lasts."""
    server = demo.server(root, 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{demo.HERE}:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        with playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM) as browser:
            yield browser


def digits(shown: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The first image of each class from 0 to 9, side by side: uint8 [28, 280]."""
    return np.hstack([shown[np.flatnonzero(labels == digit)[0]] for digit in range(10)])


def opened(browser: Browser, address: str) -> tuple[Page, float]:
    """The page in a browser that has nothing of it yet, and the milliseconds until it shows a restored image."""
    page = browser.new_page()
    page.add_init_script(OBSERVE)
    page.goto(address)
    return page, said(page, 0)[0]


def said(page: Page, number: int) -> tuple[float, str]:
    """When and what the page said of a restored image; waits for it."""
    page.wait_for_function("number => window.said.length > number", arg=number)
    return tuple(page.evaluate("number => window.said[number]", number))


def milliseconds(page: Page, number: int) -> float:
    """What the page says that restoring took."""
    return float(re.search(r"([\d.]+) ms", said(page, number)[1])[1])


def measure(browser: Browser, address: str) -> None:
    content = io.BytesIO()
    Image.new("L", (SIDE, SIDE)).save(content, "png")
    large = {"name": "large.png", "mimeType": "image/png", "buffer": content.getvalue()}
    firsts, small, tiled = [], [], []
    for _ in range(OPENINGS):
        page, first = opened(browser, address)
        firsts.append(first)
        for number in range(1, NOISES + 1):
            page.get_by_role("button", name="New noise").click()
            small.append(milliseconds(page, number))
        page.locator("#file").set_input_files(large)
        tiled.append(milliseconds(page, NOISES + 1))
        page.close()
    print(f"first restored image: {statistics.median(firsts):.0f} ms after opening (median of {OPENINGS})")
    print(f"a digit, 28 x 28 pixels: {statistics.median(small):.1f} ms (median of {len(small)})")
    print(f"a grey image of {SIDE} x {SIDE} pixels, in tiles: {statistics.median(tiled):.0f} ms (median of {OPENINGS})")


def photograph(browser: Browser, address: str) -> None:
    for scheme in ("light", "dark"):
        for width, height in SIZES.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.add_init_script(OBSERVE)
            page.goto(address)
            said(page, 0)
            # The time differs from run to run.
            page.evaluate(
                "says => says.textContent = says.textContent.replace(/ · [^·]*$/, '')",
                page.locator("#restored-says").element_handle(),
            )
            page.screenshot(path=SCREENSHOTS / f"demo-{width}-{scheme}.png", full_page=True)
            page.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--screenshots", action="store_true", help="write docs/screenshots/demo-*.png")
    what.add_argument("--digits", action="store_true", help="write demo/digits.png")
    given = parser.parse_args()
    if given.digits:
        strip = digits(images.load(layout.clean_images("test")), np.load(layout.clean_labels("test")))
        Image.fromarray(strip).save(layout.DEMO / "digits.png", optimize=True)
        return
    with served(Path()) as address, chromium() as browser:
        (photograph if given.screenshots else measure)(browser, address)


if __name__ == "__main__":
    main()

"""The page of `make demo` in a browser: what it restores is what `Denoiser` restores, and nothing leaves it."""

import base64
import io
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import demo as benchmark
import domain_profiles
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route, expect, sync_playwright
from test_demo import COLOUR, LEAVES, ROOT, make_over, project, train

from domain_denoiser import Denoiser
from domain_denoiser.domain.profile import Profile
from domain_denoiser.domain.statistics import NAMES, statistics, sums
from domain_denoiser.operations import demo

PATIENCE_MS = 60_000
SIGMA = 0.5


def needed(program: str, package: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is missing: apt-get install {package}")
    return found


# The modules, without a browser


@pytest.mark.services
def test_the_modules_pass_their_own_tests() -> None:
    done = subprocess.run([needed("node", "nodejs"), "--test"], cwd=ROOT / "demo", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE), done.stdout


STATISTICS = """
    import { finding, statistics } from "./domain.js";
    let text = "";
    for await (const part of process.stdin) text += part;
    const { profile, pairs, shape } = JSON.parse(text);
    const [channels, height, width] = shape;
    const floats = (values) => Float32Array.from(values);
    const found = pairs.map((pair) => statistics(...pair.map(floats), { channels, height, width }));
    console.log(JSON.stringify({ found, findings: found.map((one) => profile && finding(profile, one)) }));
"""


def by_the_page(noisy: np.ndarray, restored: np.ndarray, profile: Profile | None) -> dict:
    """What domain.js says of images, float32 [N, C, H, W]."""
    pairs = [[one.ravel().tolist() for one in pair] for pair in zip(noisy, restored)]
    given = {"profile": profile and profile.as_json(), "pairs": pairs, "shape": noisy.shape[1:]}
    words = [needed("node", "nodejs"), "--input-type=module", "-e", STATISTICS]
    done = subprocess.run(words, cwd=ROOT / "demo", input=json.dumps(given), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.services
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 17, 31), (1, 1, 5), (1, 5, 1), (1, 1, 1)], ids=str)
def test_statistics_are_those_of_the_package(shape: tuple[int, int, int]) -> None:
    noisy, restored = np.random.default_rng(sum(shape)).random((2, *shape), dtype=np.float32)
    [found] = by_the_page(noisy[None], restored[None], None)["found"]
    expected, removed = statistics(sums(noisy, restored).sum(0, keepdims=True))
    assert found == pytest.approx({**dict(zip(NAMES, expected[0])), "rms": removed[0]}, rel=1e-5, abs=1e-7)


@pytest.mark.services
def test_images_are_judged_as_by_the_package(digits: np.ndarray) -> None:
    profile = domain_profiles.of(digits[:100])
    clean = np.concatenate([digits[100:], 255 - digits[100:130]])
    noisy = domain_profiles.with_noise(clean, np.linspace(0, 1, len(clean))[:, None, None], 3)
    restored = domain_profiles.smoothed(noisy)
    expected = profile.findings(sums(noisy, restored))
    assert 30 <= sum(finding is not None for finding in expected) <= 40
    found = by_the_page(noisy[:, None], restored[:, None], profile)["findings"]
    assert [one and one["name"] for one in found] == [one and NAMES[one.statistic] for one in expected]
    for one, finding in zip(found, expected):
        if finding is not None:
            said = [one["found"], one["low"], one["high"]]
            assert said == pytest.approx([finding.found, finding.low, finding.high], rel=1e-5, abs=1e-7)


# The page


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the champion, an untrained model of one size and one for colour, whose site is written."""
    npm = needed("npm", "npm")
    root = project(tmp_path_factory.mktemp("demo"))
    train(root, "small")
    train(root, "colour", COLOUR)
    subprocess.run([npm, "ci", "--silent", "--ignore-scripts", "--prefix", root / "demo"], check=True)
    demo.write(root)
    return root


@pytest.fixture(scope="module")
def page_address(root: Path) -> Iterator[str]:
    with benchmark.served(root) as page_address:
        yield page_address


@pytest.fixture
def other_address(root: Path, tmp_path: Path) -> Iterator[str]:
    """The site of a project of other images, written by the same installation."""
    other = project(tmp_path)
    make_over(other)
    (other / "demo/node_modules").symlink_to(root / "demo/node_modules")
    demo.write(other)
    with benchmark.served(other) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = needed("chromium", "chromium")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=benchmark.CHROMIUM) as started,
    ):
        yield started


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        context.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        yield context


@pytest.fixture
def page(context: BrowserContext, page_address: str) -> Page:
    return opened(context, page_address)


def opened(context: BrowserContext, page_address: str) -> Page:
    page = context.new_page()
    page.goto(page_address)
    settled(page)
    return page


def settled(page: Page) -> None:
    """Wait until the page shows what its controls say."""
    expect(page.locator("#figures")).to_have_attribute("aria-busy", "false")


def move(page: Page, control: str, value: float) -> None:
    page.get_by_label(control).fill(str(value))
    settled(page)


def choose(page: Page, digit: int) -> None:
    page.get_by_role("radio", name=f"Test digit {digit}").check()
    settled(page)


def shown(page: Page, name: str) -> np.ndarray:
    """What a canvas shows: uint8 [H, W, 3]."""
    url = page.evaluate("name => document.getElementById(name).toDataURL()", name)
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as opened:
        return np.asarray(opened.convert("RGB"))


def png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "png")
    return content.getvalue()


def give(page: Page, name: str, content: bytes) -> None:
    """Open a file by the page's own control."""
    page.locator("#file").set_input_files({"name": name, "mimeType": "image/png", "buffer": content})


def give_image(page: Page, pixels: np.ndarray) -> None:
    give(page, "noisy.png", png(pixels))
    expect(page.locator("#original-says")).to_contain_text("noisy.png")
    settled(page)


def apart(one: np.ndarray, other: np.ndarray) -> int:
    """The largest difference of two images, of 255."""
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def noisy_image(*shape: int) -> np.ndarray:
    """Strokes with noise, uint8."""
    drawn = np.random.default_rng(sum(shape))
    clean = np.zeros(shape)
    clean[shape[0] // 3 : shape[0] // 2, shape[1] // 5 : -shape[1] // 5] = 1.0
    return (np.clip(clean + drawn.normal(0.0, SIGMA, shape), 0.0, 1.0) * 255.0).round().astype(np.uint8)


@pytest.fixture(scope="module")
def champion(root: Path) -> Denoiser:
    return Denoiser.load(root / "champion/model.onnx", threads=1)


def test_ten_digits_are_restored_as_by_python(page: Page, champion: Denoiser, digits: np.ndarray) -> None:
    """With the very noise that the page has drawn, as its module draws it."""
    move(page, "Noise", SIGMA)
    strip = np.asarray(Image.open(ROOT / "demo/digits.png")).reshape(28, 10, 28).swapaxes(0, 1)
    for digit, clean in enumerate(strip):
        choose(page, digit)
        noisy = page.evaluate(
            """async ([clean, sigma]) => {
                const { noisy } = await import("./noise.js");
                return Array.from(noisy(Float32Array.from(clean, (value) => value / 255), sigma, 1));
            }""",
            [clean.ravel().tolist(), SIGMA],
        )
        noisy = np.asarray(noisy, np.float32).reshape(28, 28)
        restored = champion(noisy)
        assert apart(shown(page, "original"), clean[..., None]) == 0
        assert apart(shown(page, "noisy"), (noisy * 255.0).round()[..., None]) == 0
        assert apart(shown(page, "restored"), (restored * 255.0).round()[..., None]) <= 1
        for name, values in (("noisy", noisy), ("restored", restored)):
            psnr = -10.0 * np.log10(np.square(values - clean / 255.0).mean())
            assert page.locator(f"#{name}-psnr").inner_text() == f"{psnr:.1f} dB"


@pytest.mark.parametrize("shape", [(28, 28), (37, 21), (30, 500), (21, 37, 3)], ids=str)
@pytest.mark.parametrize("invert", [False, True])
def test_a_noisy_file_is_restored_as_by_python(
    page: Page, champion: Denoiser, shape: tuple[int, ...], invert: bool
) -> None:
    """Grey and in colour, in one piece and in tiles."""
    noisy = noisy_image(*shape)
    move(page, "Noise", 0)
    page.get_by_label("Invert").set_checked(invert)
    give_image(page, noisy)
    expected = champion(noisy, invert=invert)
    assert apart(shown(page, "noisy"), noisy.reshape(*shape[:2], -1)) == 0
    assert apart(shown(page, "restored"), expected.reshape(*shape[:2], -1)) <= 1


@pytest.mark.parametrize("shape", [(21, 37, 3), (30, 500, 3), (37, 21), (30, 500)], ids=str)
def test_a_model_for_colour_restores_a_dropped_image_as_python_does(
    page: Page, root: Path, shape: tuple[int, ...]
) -> None:
    """Colours together, a grey image as three equal channels; in one piece and in tiles."""
    noisy = noisy_image(*shape)
    move(page, "Noise", 0)
    page.get_by_label("Model").select_option(label="colour")
    drop(page, noisy)
    expect(page.locator("#restored-says")).to_contain_text("colour")
    expected = Denoiser.load(root / "demo/site/models/colour.onnx", threads=1)(noisy)
    assert expected.std() > 5
    assert apart(shown(page, "noisy"), noisy.reshape(*shape[:2], -1)) == 0
    assert apart(shown(page, "restored"), expected.reshape(*shape[:2], -1)) <= 1


def test_a_model_for_colour_restores_what_is_drawn(page: Page, root: Path) -> None:
    page.get_by_label("Model").select_option(label="colour")
    move(page, "Noise", 0)
    draw(page)
    drawn = shown(page, "original")[..., 0]
    assert drawn.max() > 200
    expected = Denoiser.load(root / "demo/site/models/colour.onnx", threads=1)(drawn)
    assert apart(shown(page, "restored"), expected[..., None]) <= 1


def test_what_is_drawn_is_restored(page: Page) -> None:
    draw(page)
    assert page.get_by_role("radio", checked=True).count() == 0
    drawn = shown(page, "original")
    assert (drawn[6:22, 13:15] > 200).all()  # the stroke, and nothing of the digit that was there
    assert drawn[:, :11].max() == drawn[:, 17:].max() == 0
    assert apart(shown(page, "restored"), drawn) < apart(shown(page, "noisy"), drawn)
    page.get_by_role("button", name="Clear").click()
    settled(page)
    assert shown(page, "original").max() == 0


def draw(page: Page) -> None:
    """A stroke from above to below, by mouse."""
    original = page.get_by_role("img", name="Original")
    box = original.bounding_box()

    def point(across: float, down: float) -> tuple[float, float]:
        return box["x"] + across * box["width"], box["y"] + down * box["height"]

    page.mouse.move(*point(0.5, 0.2))
    page.mouse.down()
    page.mouse.move(*point(0.5, 0.8), steps=5)
    page.mouse.up()
    expect(page.locator("#original-says")).to_contain_text("drawing")
    settled(page)


def test_a_finger_draws(browser: Browser, page_address: str) -> None:
    with browser.new_context(viewport={"width": 400, "height": 900}, has_touch=True, is_mobile=True) as context:
        page = opened(context, page_address)
        box = page.get_by_role("img", name="Original").bounding_box()
        session = context.new_cdp_session(page)
        for kind, down in (("touchStart", 0.2), ("touchMove", 0.5), ("touchMove", 0.8), ("touchEnd", None)):
            point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + (down or 0) * box["height"]}
            points = [] if down is None else [point]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        expect(page.locator("#original-says")).to_contain_text("drawing")
        settled(page)
        assert (shown(page, "original")[6:22, 13:15] > 200).all()
        assert page.evaluate("() => scrollY") == 0


def drop(page: Page, pixels: np.ndarray) -> None:
    """Drop a file on the page, and wait until it is restored."""
    page.evaluate(
        """(content) => {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], "dropped.png", {type: "image/png"}));
            document.body.dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true}));
        }""",
        base64.b64encode(png(pixels)).decode(),
    )
    expect(page.locator("#original-says")).to_have_text(f"dropped.png · {pixels.shape[1]} x {pixels.shape[0]}")
    settled(page)


def test_a_file_that_is_dropped_is_restored_and_saved(page: Page, champion: Denoiser) -> None:
    noisy = noisy_image(40, 50)
    move(page, "Noise", 0)
    drop(page, noisy)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save restored").click()
    with Image.open(download.value.path()) as saved:
        assert apart(np.asarray(saved.convert("L")), champion(noisy)) <= 1


@pytest.mark.mnist  # whose champion restores
@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_of_other_images_begins_with_a_file(
    browser: Browser, other_address: str, root: Path, champion: Denoiser, width: int
) -> None:
    noisy, errors, failed = noisy_image(48, 64), [], []
    with browser.new_context(viewport={"width": width, "height": 900}) as context:
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
        page.goto(other_address, wait_until="networkidle")
        assert LEAVES["images"] in page.locator("header").inner_text()
        for hidden in ("#figures", ".controls"):
            expect(page.locator(hidden)).to_be_hidden()
        give(page, "broken.png", b"no image")
        expect(page.get_by_role("alert")).to_be_visible()
        page.evaluate((root / "demo/node_modules/axe-core/axe.min.js").read_text())
        assert page.evaluate("() => axe.run()")["violations"] == []
        drop(page, noisy)
        expect(page.get_by_role("alert")).to_be_hidden()
        assert apart(shown(page, "noisy"), noisy[..., None]) == 0  # no noise is added
        assert apart(shown(page, "restored"), champion(noisy)[..., None]) <= 1
        move(page, "Noise", SIGMA)
        expect(page.locator("#noisy-says")).to_have_text("σ = 0.50")
        assert page.evaluate("() => axe.run()")["violations"] == []
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert (errors, failed) == ([], [])


def test_a_file_that_cannot_be_restored_costs_one_sentence(page: Page) -> None:
    before = shown(page, "restored")
    give(page, "broken.png", b"no image")
    expect(page.get_by_role("alert")).to_have_text(
        "broken.png is no image that this browser can read; PNG, JPEG, WebP, BMP and GIF are."
    )
    give(page, "large.png", png(np.zeros((2001, 2000), np.uint8)))
    expect(page.get_by_role("alert")).to_contain_text("large.png has 2000 x 2001 pixels; this page takes 4 million")
    assert np.array_equal(shown(page, "restored"), before)
    choose(page, 5)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_model_of_one_size_gets_a_resized_image_and_says_so(page: Page, root: Path) -> None:
    move(page, "Noise", 0)
    give_image(page, noisy_image(56, 56))
    page.get_by_label("Model").select_option(label="small (28 x 28 pixels only)")
    settled(page)
    expect(page.locator("#note")).to_contain_text("Resized from 56 x 56 to 28 x 28 pixels: small takes no other size.")
    expect(page.locator("#restored-says")).to_contain_text("small")
    expected = Denoiser.load(root / "demo/site/models/small.onnx", threads=1)(shown(page, "noisy")[..., 0])
    assert apart(shown(page, "restored"), expected[..., None]) <= 1
    choose(page, 4)
    expect(page.locator("#note")).not_to_contain_text("Resized")


# Keeps what the worker has answered: the number of the request, and the shape of the image if it was restored.
LISTEN = """
window.answers = [];
window.Worker = class extends Worker {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", ({ data }) => window.answers.push([data.id, data.restored?.length ?? null]));
  }
};
"""


def test_a_newer_image_does_not_wait_for_a_large_one(context: BrowserContext, page_address: str) -> None:
    context.add_init_script(LISTEN)
    page = opened(context, page_address)
    give(page, "large.png", png(noisy_image(1000, 1000)))
    expect(page.get_by_role("progressbar")).to_be_visible()
    choose(page, 7)
    expect(page.get_by_role("progressbar")).to_be_hidden()
    restored = [length for _, length in page.evaluate("() => window.answers") if length is not None]
    assert restored == [28 * 28, 28 * 28]


def test_noise_repeats_until_new_noise_is_wanted(page: Page) -> None:
    first = shown(page, "noisy")
    move(page, "Noise", 0.3)
    assert not np.array_equal(shown(page, "noisy"), first)
    move(page, "Noise", SIGMA)
    assert np.array_equal(shown(page, "noisy"), first)
    page.get_by_role("button", name="New noise").click()
    settled(page)
    assert not np.array_equal(shown(page, "noisy"), first)


def test_all_but_drawing_works_by_keyboard(page: Page) -> None:
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.name"))
        if reached[-1] == "digit":
            page.keyboard.press("ArrowRight")
            expect(page.locator("#original-says")).to_contain_text("test digit 4")
        elif reached[-1] == "sigma":
            page.keyboard.press("Home")
            expect(page.locator("#noisy-says")).to_have_text("as it is")
        elif reached[-1] == "model":
            page.keyboard.press("s")
            expect(page.locator("#restored-says")).to_contain_text("small")
    assert reached == ["clear", "sigma", "again", "digit", "file", "model", "invert", "save"]


def test_a_screen_reader_is_told_what_came_out(page: Page) -> None:
    choose(page, 2)
    said = re.compile(r"^champion restored test digit 2 in [\d.]+ ms: PSNR [\d.]+ dB noisy, [\d.]+ dB restored\.$")
    expect(page.get_by_role("status")).to_have_text(said)
    expect(page.get_by_role("img", name="Original: test digit 2")).to_be_visible()


def profile(low: float, high: float) -> dict:
    """One that expects all statistics between low and high, and takes any distance from the middle for unusual."""
    count = len(NAMES)
    bins = {
        "mean": [(low + high) / 2] * count,
        "precision": np.eye(count).tolist(),
        "limit": 1e-9,
        "low": [low] * count,
        "high": [high] * count,
    }
    return {"statistics": list(NAMES), "noise_edges": list(range(1, 8)), "bins": [bins] * 8, "threshold": 1.0}


def test_an_image_of_another_kind_comes_with_a_warning(context: BrowserContext, page_address: str) -> None:
    def with_profile(route: Route) -> None:
        answer = route.fetch()
        champion, *others = answer.json()["models"]
        route.fulfill(response=answer, json={"models": [champion | {"profile": profile(-1.0, 0.6)}, *others]})

    context.route("**/models.json", with_profile)
    page = opened(context, page_address)
    move(page, "Noise", 0)
    give_image(page, np.full((28, 28), 230, np.uint8))
    sentence = (
        "This does not look like the images that the model was trained for: brightness of the noisy image 0.9, "
        "-1 to 0.6 expected. Dark strokes on a light ground? Try invert."
    )
    expect(page.locator("#warning")).to_have_text(sentence)
    expect(page.get_by_role("status")).to_contain_text(sentence)
    page.get_by_label("Invert").check()  # then the model gets a dark image
    expect(page.locator("#warning")).not_to_contain_text("brightness of the noisy image")
    page.get_by_label("Model").select_option(label="small (28 x 28 pixels only)")  # without a profile
    expect(page.locator("#warning")).to_be_hidden()


def test_nothing_leaves_the_browser(context: BrowserContext, page_address: str) -> None:
    """Only files of the site are fetched, and without any network all goes on."""
    asked: list[Request] = []
    context.on("request", lambda request: asked.append(request))
    page = opened(context, page_address)
    assert {"worker.js", "champion.onnx", "ort/ort-wasm-simd-threaded.wasm"} <= {
        request.url.removeprefix(page_address) for request in asked
    }
    loaded = len(asked)
    context.set_offline(True)
    choose(page, 9)
    give_image(page, noisy_image(30, 30))
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="New noise").click()
    settled(page)
    expect(page.get_by_role("alert")).to_be_hidden()
    assert [request.url for request in asked[loaded:]] == []
    context.set_offline(False)
    page.get_by_label("Model").select_option(label="small (28 x 28 pixels only)")
    settled(page)
    assert [request.url for request in asked[loaded:]] == [f"{page_address}models/small.onnx"]
    assert all(request.url.startswith((page_address, "data:")) for request in asked)
    assert {request.method for request in asked} == {"GET"}
    assert all(request.post_data is None for request in asked)


def test_the_browser_refuses_what_would_leave_the_page(page: Page) -> None:
    refused = page.evaluate(
        """(url) => new Promise((resolve) => {
            document.addEventListener("securitypolicyviolation", (event) => resolve(event.blockedURI));
            fetch(url).catch(() => {});
        })""",
        "http://127.0.0.2:9/",
    )
    assert refused == "http://127.0.0.2:9/"


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_nothing_overflows(
    browser: Browser, root: Path, page_address: str, scheme: str, width: int
) -> None:
    with browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:
        page = opened(context, page_address)
        give(page, "broken.png", b"no image")
        expect(page.get_by_role("alert")).to_be_visible()
        for name in ("warning", "note"):
            page.locator(f"#{name}").evaluate("one => Object.assign(one, { hidden: false, textContent: 'Text' })")
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        page.evaluate((root / "demo/node_modules/axe-core/axe.min.js").read_text())
        found = page.evaluate("() => axe.run()")
    assert found["passes"]
    assert found["violations"] == []

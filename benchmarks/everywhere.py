"""How near every way of restoring by the champion is to `Denoiser`, on the same images: docs/restoring.md.

They are test images of the project, grey or colour, with 8 bits a channel, as the page in the browser takes no more.
In a reproduced project after `denoise sync` and `make site`: PYTHONPATH=src:tests python benchmarks/everywhere.py
"""

import base64
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import demo
import measure
import numpy as np
import onnxruntime
import servers
import serving
import torch
from PIL import Image

from domain_denoiser import Denoiser, layout, params
from domain_denoiser.core import images, noisy_sets
from domain_denoiser.networks import stored
from domain_denoiser.operations.restoring import command
from domain_denoiser.runtime.scale import Scale

PAGE = Path("docs/restoring.md")
NUMBER = 100


def by_torch(noisy: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        restored = stored.load(layout.CHAMPION, "cpu")(images.to_float(noisy, "cpu")).clamp(0.0, 1.0)
    return images.to_unit(restored, np.dtype(np.float32))


def by_onnx_runtime(noisy: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(layout.CHAMPION / layout.GRAPH)
    [restored] = session.run(None, {session.get_inputs()[0].name: images.to_float(noisy, "cpu").numpy()})
    return restored.reshape(noisy.shape).clip(0.0, 1.0)


def by_http(noisy: np.ndarray) -> np.ndarray:
    request = json.dumps({"inputs": images.to_float(noisy, "cpu").tolist()}).encode()
    registered = params.read_domain(layout.PARAMS).registered
    with servers.model(Path.cwd(), f"models:/{registered}@champion") as url:
        _, content = serving.answer(url, request)
    return np.float32(json.loads(content)["predictions"]).reshape(noisy.shape).clip(0.0, 1.0)


def by_command(noisy: np.ndarray) -> np.ndarray:
    """`denoise restore` of a folder of PNGs."""
    with tempfile.TemporaryDirectory() as temporary:
        source, target = Path(temporary) / "noisy", Path(temporary) / "restored"
        source.mkdir()
        for number, image in enumerate(noisy):
            _picture(image).save(source / f"{number:03}.png")
        options = command.Options(None, Path.cwd(), Scale(), None, skip_existing=False, dry_run=False, strict=False)
        command.run([source], target, options)
        return np.stack([_pixels(Image.open(path)) for path in sorted(target.iterdir())])


def by_browser(noisy: np.ndarray) -> np.ndarray:
    with demo.served(Path()) as address, demo.chromium() as browser:
        page = browser.new_page()
        page.goto(address, wait_until="networkidle")
        return np.stack(list(_shown(page, noisy)))


def _shown(page: demo.Page, noisy: np.ndarray) -> Iterator[np.ndarray]:
    for number, image in enumerate(noisy):
        content = io.BytesIO()
        _picture(image).save(content, "png")
        file = {"name": f"{number}.png", "mimeType": "image/png", "buffer": content.getvalue()}
        page.locator("#file").set_input_files(file)
        page.locator("#original-says", has_text=f"{number}.png").wait_for()
        page.get_by_label("Noise").fill("0")
        page.locator("#figures[aria-busy=false]").wait_for()
        url = page.evaluate("document.getElementById('restored').toDataURL()")
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as opened:
            yield _pixels(opened.convert("L" if image.ndim == 2 else "RGB"))


def _picture(image: np.ndarray) -> Image.Image:
    """Of [H, W] or [3, H, W]."""
    return Image.fromarray(image if image.ndim == 2 else image.transpose(1, 2, 0))


def _pixels(opened: Image.Image) -> np.ndarray:
    """The inverse of `_picture`."""
    pixels = np.asarray(opened)
    return pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def main() -> None:
    sigma = params.read(layout.PARAMS).gate.sigma
    noisy = images.load(layout.NOISE_LEVELS / noisy_sets.level_file("test", sigma))[:NUMBER]
    noisy = images.stored(images.to_float(noisy, "cpu"), np.uint8)
    denoiser = Denoiser.champion()
    exact, whole = denoiser(noisy / np.float32(255)), denoiser(noisy).astype(int)
    floats = {"the network in torch": by_torch, "ONNX Runtime alone": by_onnx_runtime, "MLflow over HTTP": by_http}
    bytes_ = {"`denoise restore`, PNG files": by_command, "the page in Chromium": by_browser}
    rows = [[name, f"{np.abs(way(noisy) - exact).max():.1g} of 1"] for name, way in floats.items()]
    rows += [[name, f"{np.abs(way(noisy) - whole).max()} of 255"] for name, way in bytes_.items()]
    of = f"the first {len(noisy)} test images at noise level {sigma}"
    said = f"Largest difference of any pixel from `Denoiser`, on {of}:"
    measure.keep(PAGE, "everywhere", f"{said}\n\n{measure.table('way | apart by at most', rows)}")


if __name__ == "__main__":
    main()

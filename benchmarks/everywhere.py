"""How near every way of restoring by the champion is to `Denoiser`, on the same images: docs/restoring.md.

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

from domain_denoiser import Denoiser, layout
from domain_denoiser.core import images, noisy_sets
from domain_denoiser.networks import stored
from domain_denoiser.operations.restoring import command
from domain_denoiser.runtime.scale import Scale

PAGE = Path("docs/restoring.md")
NUMBER, SIGMA = 100, 0.5


def by_torch(noisy: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        restored = stored.load(layout.CHAMPION, "cpu")(images.to_float(noisy, "cpu")).clamp(0.0, 1.0)
    return images.to_unit(restored, np.dtype(np.float32))


def by_onnx_runtime(noisy: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(layout.CHAMPION / layout.GRAPH)
    [restored] = session.run(None, {session.get_inputs()[0].name: noisy[:, np.newaxis] / np.float32(255)})
    return restored[:, 0].clip(0.0, 1.0)


def by_http(noisy: np.ndarray) -> np.ndarray:
    request = json.dumps({"inputs": (noisy[:, np.newaxis] / np.float32(255)).tolist()}).encode()
    with servers.model(Path.cwd(), serving.CHAMPION) as url:
        _, content = serving.answer(url, request)
    return np.float32(json.loads(content)["predictions"])[:, 0].clip(0.0, 1.0)


def by_command(noisy: np.ndarray) -> np.ndarray:
    """`denoise restore` of a folder of PNGs."""
    with tempfile.TemporaryDirectory() as temporary:
        source, target = Path(temporary) / "noisy", Path(temporary) / "restored"
        source.mkdir()
        for number, image in enumerate(noisy):
            Image.fromarray(image).save(source / f"{number:03}.png")
        options = command.Options(None, Path.cwd(), Scale(), None, skip_existing=False, dry_run=False, strict=False)
        command.run([source], target, options)
        return np.stack([np.asarray(Image.open(path)) for path in sorted(target.iterdir())])


def by_browser(noisy: np.ndarray) -> np.ndarray:
    with demo.served(Path()) as address, demo.chromium() as browser:
        page, _ = demo.opened(browser, address)
        page.get_by_label("Noise").fill("0")
        demo.said(page, 1)
        return np.stack(list(_shown(page, noisy)))


def _shown(page: demo.Page, noisy: np.ndarray) -> Iterator[np.ndarray]:
    for number, image in enumerate(noisy):
        content = io.BytesIO()
        Image.fromarray(image).save(content, "png")
        file = {"name": f"{number}.png", "mimeType": "image/png", "buffer": content.getvalue()}
        page.locator("#file").set_input_files(file)
        demo.said(page, number + 2)
        url = page.evaluate("document.getElementById('restored').toDataURL()")
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as opened:
            yield np.asarray(opened.convert("L"))


def main() -> None:
    noisy = images.load(layout.NOISE_LEVELS / noisy_sets.level_file("test", SIGMA))[:NUMBER]
    denoiser = Denoiser.champion()
    exact, whole = denoiser(noisy / np.float32(255)), denoiser(noisy).astype(int)
    floats = {"the network in torch": by_torch, "ONNX Runtime alone": by_onnx_runtime, "MLflow over HTTP": by_http}
    bytes_ = {"`denoise restore`, PNG files": by_command, "the page in Chromium": by_browser}
    rows = [[name, f"{np.abs(way(noisy) - exact).max():.1g} of 1"] for name, way in floats.items()]
    rows += [[name, f"{np.abs(way(noisy) - whole).max()} of 255"] for name, way in bytes_.items()]
    said = f"Largest difference of any pixel from `Denoiser`, on the first {NUMBER} test images at noise level {SIGMA}:"
    measure.keep(PAGE, "everywhere", f"{said}\n\n{measure.table('way | apart by at most', rows)}")


if __name__ == "__main__":
    main()

"""How near the served champion is to `Denoiser`, and what a request of each size takes: docs/serving.md.

In a reproduced project after `denoise sync`: PYTHONPATH=src:tests python benchmarks/serving.py
"""

import json
import urllib.error
import urllib.request
from pathlib import Path

import measure
import numpy as np
import psutil
import servers

from domain_denoiser import Denoiser, layout
from domain_denoiser.core import images, noisy_sets

CHAMPION = "models:/mnist-denoiser@champion"
PAGE = Path("docs/serving.md")
DIGITS = 100
SIZES = ((1, 28), (1000, 28), (1, 512), (1, 1024), (1, 2048), (1, 4096))  # images, and pixels of a side


def body(noisy: np.ndarray) -> bytes:
    """The request for images [N, H, W] in [0, 1], of four decimals, as from 8 bits."""
    return json.dumps({"inputs": noisy[:, np.newaxis].round(4).tolist()}).encode()


def answer(url: str, request: bytes) -> tuple[int, bytes]:
    """Status and content of the answer."""
    asked = urllib.request.Request(f"{url}/invocations", request, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked) as opened:
            return opened.status, opened.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def largest_memory_mb(url: str) -> float:
    """The maximum so far of the process that listens there."""
    port = int(url.rpartition(":")[2])
    [process] = {found.pid for found in psutil.net_connections("tcp") if found.laddr.port == port and not found.raddr}
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in status if line.startswith("VmHWM"))


def row(url: str, count: int, side: int) -> list[str]:
    request, answers = body(np.random.default_rng(2018).random((count, side, side))), []
    took = measure.seconds(lambda: answers.append(answer(url, request)))
    [(status, content)] = answers
    what = f"{len(content) / 1e6:.1f} MB" if status == 200 else f"{status}: {content.decode()}"
    size = f"{count:,} of {side} x {side}"
    return [size, f"{len(request) / 1e6:.1f} MB", what, f"{took:.1f} s", f"{largest_memory_mb(url):,.0f} MB"]


def main() -> None:
    noisy = images.load(layout.NOISE_LEVELS / noisy_sets.level_file("test", 0.5))[:DIGITS] / np.float32(255)
    with servers.model(Path.cwd(), CHAMPION) as url:
        request = json.dumps({"inputs": noisy[:, np.newaxis].tolist()}).encode()
        served = np.float32(json.loads(answer(url, request)[1])["predictions"])[:, 0]
        rows = [row(url, *size) for size in SIZES]
    apart = float(np.abs(served.clip(0.0, 1.0) - Denoiser.champion()(noisy)).max())
    said = (
        f"Clipped to [0, 1], a pixel of the answer and one of `Denoiser` differ by at most {apart:.1g}: the first "
        f"{DIGITS} test images at noise level 0.5."
    )
    table = measure.table("images | request | answer | time | memory of the server, maximum so far", rows)
    measure.keep(PAGE, "requests", f"{table}\n\n{said}")


if __name__ == "__main__":
    main()

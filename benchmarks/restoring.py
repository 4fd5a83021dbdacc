"""What `denoise restore` costs beside ONNX Runtime alone, its memory, its distance to the pipeline: `make bench`.

Uses the champion, and the test images of the reproduced pipeline.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import measure
import numpy as np
import onnxruntime
import torch
from PIL import Image

from domain_denoiser import Denoiser, layout
from domain_denoiser.core import images, metrics, noisy_sets
from domain_denoiser.evaluation import per_image
from domain_denoiser.evaluation.wholes import ALONE
from domain_denoiser.networks import stored
from domain_denoiser.runtime.denoiser import champion

DENOISE = Path(sys.executable).parent / "denoise"
BATCH = 250  # digits of a call of ONNX Runtime, as the package has them
REPEATS, STARTS = 3, 7
FILES = (1_000, 10_000)
SIDE = 10_000  # pixels: 100 megapixels
ODD = ((1, 1), (3, 5), (27, 29), (64, 33), (513, 257))


def alone(content: bytes, digits: np.ndarray) -> None:
    """The graph on float32 batches, and nothing else."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    for start in range(0, len(digits), BATCH):
        session.run(None, {"noisy": digits[start : start + BATCH, None]})


# In a small process of its own: a child's maximum begins with the memory of the process that started it.
LAUNCH = """
import resource, subprocess, sys, time
started = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000)
"""


def program(folder: Path, *words: str) -> tuple[float, float]:
    """Seconds of `denoise restore`, and the maximum of its memory in MB."""
    command = [sys.executable, "-c", LAUNCH, str(DENOISE), "restore", *words]
    done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    seconds, memory = map(float, done.stdout.split())
    return seconds, memory


def worst_psnr(denoiser: Denoiser, clean: np.ndarray) -> float:
    """The greatest difference in mean PSNR, dB, between the champion's graph and its network, at any noise level."""
    network, apart = stored.load(layout.CHAMPION, "cpu"), []
    for sigma in noisy_sets.load_levels(layout.NOISE_LEVELS):
        noisy = images.load(layout.NOISE_LEVELS / noisy_sets.level_file("test", sigma))
        restored = denoiser((noisy / np.float32(255)).astype(np.float32))
        mse = metrics.mse(images.from_unit(restored, "cpu"), images.to_float(clean, "cpu"))
        pair = torch.from_numpy(noisy), torch.from_numpy(clean)
        evaluated = per_image.evaluate(network, *pair, sigma, [ALONE] * len(clean))
        apart.append(abs(float(metrics.psnr_db(mse).mean()) - evaluated["psnr_db"].mean()))
    return max(apart)


def beside_torch(denoiser: Denoiser, noisy: np.ndarray) -> float:
    """The greatest difference of a pixel between graph and network: all test images, and images of odd sizes."""
    network = stored.load(layout.CHAMPION, "cpu")
    drawn = np.random.default_rng(2018)
    given = [drawn.random((2, *size), dtype=np.float32) for size in ODD]
    given += [part / np.float32(255) for part in np.split(noisy, len(noisy) // 1000)]
    with torch.inference_mode():
        nets = [network(images.from_unit(part, "cpu")).clamp(0.0, 1.0).squeeze(1).numpy() for part in given]
    return max(float(np.abs(denoiser(part[..., None])[..., 0] - net).max()) for part, net in zip(given, nets))


def main() -> None:
    content, _ = champion(Path.cwd())
    clean = images.load(layout.clean_images("test"))
    noisy = images.load(layout.NOISE_LEVELS / noisy_sets.level_file("test", 0.5))
    denoiser = Denoiser.champion()
    as_floats = noisy / np.float32(255)
    took = measure.interleaved(
        {"alone": lambda: alone(content, as_floats), "ours": lambda: Denoiser.champion()(noisy)}, REPEATS
    )
    rows = [
        ["10,000 digits by ONNX Runtime alone", f"{took['alone']:.1f} s", ""],
        ["the same by `Denoiser`", f"{took['ours']:.1f} s", f"{took['ours'] / took['alone']:.2f} times that"],
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        where = ("--project", str(Path.cwd()))
        Image.fromarray(noisy[0]).save(folder / "one.png")
        starts = [program(folder, *where, "one.png", "restored.png")[0] for _ in range(STARTS)]
        rows.append(
            ["`denoise restore` of one PNG of 28 x 28, start-up included", f"{sorted(starts)[STARTS // 2]:.2f} s", ""]
        )
        for count in FILES:
            (folder / f"{count}").mkdir()
            for number in range(count):
                Image.fromarray(noisy[number]).save(folder / f"{count}/{number}.png")
            seconds, memory = program(folder, *where, f"{count}", f"{count} restored")
            rows.append([f"a folder of {count:,} PNGs", f"{seconds:.1f} s", f"at most {memory:.0f} MB"])
        tiled = np.tile(noisy[:100].reshape(10, 10, 28, 28).swapaxes(1, 2).reshape(280, 280), (36, 36))
        Image.fromarray(tiled[:SIDE, :SIDE]).save(folder / "large.png")
        seconds, memory = program(folder, *where, "large.png", "restored.png")
        rows.append(["one PNG of 100 megapixels, in tiles", f"{seconds:.0f} s", f"at most {memory:.0f} MB"])
    psnr_db, pixel = worst_psnr(denoiser, clean), beside_torch(denoiser, noisy)
    said = (
        f"By the graph and by the champion's network in torch, mean PSNR of the 10,000 test images differs by at most "
        f"{psnr_db:.4f} dB at any noise level, and a pixel by at most {pixel:.1g}: all test images at noise level 0.5, "
        "and sizes from 1 x 1 to 513 x 257."
    )
    measure.keep_speeds("restoring", f"{measure.table('restoring | time | beside', rows)}\n\n{said}")


if __name__ == "__main__":
    main()

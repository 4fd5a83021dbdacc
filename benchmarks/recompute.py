"""The numbers of reports/metrics.json once more, from the stored models and images.

Shares no code with the package: NumPy and safetensors alone, networks, metrics and all written out again.

    python benchmarks/recompute.py --images 500
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

TOLERANCE_DB = 0.01


def conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int = 1) -> np.ndarray:
    """x [N, C, H, W], weight [D, C, K, K]. Zeros outside; without padding where windows do not overlap."""
    n, c, h, w = x.shape
    d, _, k, _ = weight.shape
    pad = k // 2 if stride == 1 else 0
    wide = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (k, k), (2, 3))[:, :, ::stride, ::stride]
    rows, columns = windows.shape[2:4]
    flat = windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * rows * columns, c * k * k)
    out = flat @ weight.reshape(d, -1).T + bias
    return out.reshape(n, rows, columns, d).transpose(0, 3, 1, 2)


def unshuffle(x: np.ndarray) -> np.ndarray:
    """[N, C, H, W] -> [N, 4 C, H / 2, W / 2]."""
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 3, 5, 2, 4).reshape(n, 4 * c, h // 2, w // 2)


def shuffle(x: np.ndarray) -> np.ndarray:
    """[N, 4 C, H, W] -> [N, C, 2 H, 2 W]."""
    n, c, h, w = x.shape
    return x.reshape(n, c // 4, 2, 2, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, c // 4, 2 * h, 2 * w)


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0.0)


def mlp(noisy: np.ndarray, w: dict[str, np.ndarray], settings: dict) -> np.ndarray:
    code = relu(noisy.reshape(len(noisy), -1) @ w["encoder.weight"].T + w["encoder.bias"])
    values = code @ w["decoder.weight"].T + w["decoder.bias"]
    outputs = {
        "sigmoid": lambda v: 0.5 * (1.0 + np.tanh(0.5 * v)),
        "hard_sigmoid": lambda v: v / 6.0 + 0.5,
        "relu": relu,
        "linear": lambda v: v,
    }
    return outputs[settings["output"]](values).reshape(noisy.shape)


def unet(noisy: np.ndarray, w: dict[str, np.ndarray], settings: dict) -> np.ndarray:
    def layer(x: np.ndarray, name: str, stride: int = 1) -> np.ndarray:
        return conv(x, w[f"{name}.weight"], w[f"{name}.bias"], stride)

    def residuals(x: np.ndarray, name: str) -> np.ndarray:
        for block in range(settings[f"{name}_blocks"]):
            x = x + layer(relu(layer(x, f"{name}.{block}.first")), f"{name}.{block}.second")
        return x

    fine = relu(layer(unshuffle(noisy[:, None]), "head"))
    coarse = residuals(relu(layer(fine, "down", stride=2)), "coarse")
    fine = residuals(fine + shuffle(layer(coarse, "up")), "fine")
    return shuffle(layer(fine, "tail"))[:, 0]


NETWORKS = {"mlp": mlp, "unet": unet}


def mean_psnr_db(root: Path, name: str, sigma: str, images: int) -> float:
    """Mean over the first test images of their PSNR, capped at 100 dB."""
    clean = np.load(root / "data/clean/test_images.npy")[:images] / np.float64(255)
    noisy = np.load(root / f"data/noisy/test/test_{sigma}.npy")[:images] / np.float64(255)
    if name == "noisy":
        restored = noisy
    else:
        settings = json.loads((root / f"models/{name}/model.json").read_bytes())
        weights = {
            key: value.astype(np.float64) for key, value in load_file(root / f"models/{name}/model.safetensors").items()
        }
        network = NETWORKS[settings["architecture"]]
        parts = range(0, len(noisy), 500)
        restored = np.concatenate([network(noisy[start : start + 500], weights, settings) for start in parts])
    mse = np.square(np.clip(restored, 0.0, 1.0) - clean).mean((1, 2))
    return float(np.minimum(-10.0 * np.log10(np.maximum(mse, 1e-300)), 100.0).mean())


def reported_psnr_db(root: Path, name: str, sigma: str, images: int) -> float:
    """What the evaluation says of the same images: metrics.json of all, or its table of the first ones."""
    if images == len(np.load(root / "data/clean/test_images.npy", mmap_mode="r")):
        return json.loads((root / "reports/metrics.json").read_bytes())["models"][name][sigma]["psnr_db"]
    lines = (root / f"reports/evaluation/{name}.csv").read_text().splitlines()
    heads = lines[0].split(",")
    rows = [dict(zip(heads, line.split(","))) for line in lines[1:]]
    found = [row for row in rows if float(row["sigma"]) == float(sigma) and int(row["image"]) < images]
    return float(np.mean([float(row["psnr_db"]) for row in found]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path())
    parser.add_argument("--images", type=int, default=10_000, help="the first test images; all: compares metrics.json")
    given = parser.parse_args()
    images = min(given.images, len(np.load(given.root / "data/clean/test_images.npy", mmap_mode="r")))
    models = json.loads((given.root / "reports/metrics.json").read_bytes())["models"]
    greatest = 0.0
    for name, levels in models.items():
        for sigma in levels:
            again = mean_psnr_db(given.root, name, sigma, images)
            reported = reported_psnr_db(given.root, name, sigma, images)
            greatest = max(greatest, abs(again - reported))
            print(f"{name} at sigma {sigma}: {again:.4f} dB, reported {reported:.4f} dB", flush=True)
    print(f"greatest difference over {images} images: {greatest:.5f} dB (allowed: {TOLERANCE_DB})")
    return int(greatest > TOLERANCE_DB)


if __name__ == "__main__":
    sys.exit(main())

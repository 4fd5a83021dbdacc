"""A model at a noise level: one row an image, then means over all images."""

from collections.abc import Callable

import pandas
import torch
from torch import Tensor

from domain_denoiser.core import metrics
from domain_denoiser.core.images import scaled

AT_ONCE = 1_000  # images


@torch.inference_mode()
def evaluate(restore: Callable[[Tensor], Tensor], noisy: Tensor, clean: Tensor, sigma: float) -> pandas.DataFrame:
    """The columns of tables.COLUMNS; a row an image.

    noisy, clean: uint8 [N, 28, 28], or float32 [N, 1, 28, 28] in [0, 1], on one device.
    Restored images are clipped to [0, 1], as an image file would be.
    """
    tables = []
    for start in range(0, len(clean), AT_ONCE):
        target = scaled(clean[start : start + AT_ONCE])
        restored = restore(scaled(noisy[start : start + AT_ONCE])).clamp(0.0, 1.0)
        mse = metrics.mse(restored, target)
        tables.append(
            pandas.DataFrame(
                {
                    "sigma": sigma,
                    "image": range(start, start + len(target)),
                    "mse": mse.double().cpu(),
                    "psnr_db": metrics.psnr_db(mse).double().cpu(),
                    "ssim": metrics.ssim(restored, target).double().cpu(),
                }
            )
        )
    return pandas.concat(tables, ignore_index=True)


def means(table: pandas.DataFrame) -> dict[str, dict[str, float]]:
    """From per-image rows to {sigma: {psnr_db, psnr_db_global, mse, ssim}}; sigma is written like "0.5".

    psnr_db is the mean of per-image values; psnr_db_global is the PSNR of the mean MSE.
    """
    result = {}
    for sigma, rows in table.groupby("sigma"):
        mse = float(rows["mse"].mean())
        result[str(sigma)] = {
            "psnr_db": float(rows["psnr_db"].mean()),
            "psnr_db_global": float(metrics.psnr_db(torch.tensor(mse, dtype=torch.float64))),
            "mse": mse,
            "ssim": float(rows["ssim"].mean()),
        }
    return result

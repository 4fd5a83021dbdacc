"""The metrics of a model at a noise level: one row per image, then means over all images."""

import pandas
import torch
from torch import Tensor

from domain_denoiser.core.images import per_batch, scaled
from domain_denoiser.core.metrics import METRICS, psnr_db
from domain_denoiser.evaluation import wholes
from domain_denoiser.evaluation.wholes import Grid, Restore

BATCH = 784_000  # values: 1,000 images of MNIST's size


@torch.inference_mode()
def evaluate(restore: Restore, noisy: Tensor, clean: Tensor, sigma: float, grids: list[Grid]) -> pandas.DataFrame:
    """A table with one row per tile, each an image of its own or a part of one, and the columns of tables.COLUMNS.

    noisy, clean: as on disk, or float32 [N, C, H, W] in [0, 1], on one device. grids: which tiles are of one image,
    which is restored as a whole. Restored images are clipped to [0, 1], as in an image file.
    """
    tables, count = [], per_batch(BATCH, clean)
    for part, grid in wholes.batches(grids, count):
        restored = wholes.restored(restore, scaled(noisy[part]), grid)
        for start in range(part.start, part.stop, count):  # of a large image, some tiles at a time
            target = scaled(clean[start : min(start + count, part.stop)])
            some = restored[start - part.start :][: len(target)]
            values = {name: metric.function(some, target).double().cpu() for name, metric in METRICS.items()}
            tables.append(pandas.DataFrame({"sigma": sigma, "image": range(start, start + len(target)), **values}))
    return pandas.concat(tables, ignore_index=True)


def means(table: pandas.DataFrame) -> dict[str, dict[str, float]]:
    """{sigma: {metric: mean over the images}} of a per-image table; sigma is a string such as "0.5".

    psnr_db_global is the PSNR of the mean MSE.
    """
    result = {}
    for sigma, rows in table.groupby("sigma"):
        mean = {name: float(rows[name].mean()) for name in METRICS}
        overall = float(psnr_db(torch.tensor(mean["mse"], dtype=torch.float64)))
        result[str(sigma)] = {"psnr_db": mean["psnr_db"], "psnr_db_global": overall} | mean
    return result

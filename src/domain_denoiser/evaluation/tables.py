"""The CSV files of the stages: one row per test image and noise level, or one row per epoch."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas

from domain_denoiser.base import reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core.metrics import METRICS

COLUMNS = ["sigma", "image", *METRICS]  # image: its index among the test images
HISTORY = ["epoch", "train_loss", "val_loss", "val_psnr_db", "learning_rate"]


def write(path: Path, levels: Sequence[pandas.DataFrame]) -> None:
    """Write the rows of all noise levels as one per-image table."""
    # Nine digits identify every float32.
    pandas.concat(levels).to_csv(path, index=False, float_format="%.9g", lineterminator="\n")


def load(path: Path) -> pandas.DataFrame:
    """Read a per-image table. Raises BadInput if the file is not one."""
    return parse(reading.content(path, reading.LARGEST_TABLE), str(path))


def parse(content: bytes, where: str, columns: Sequence[str] = COLUMNS) -> pandas.DataFrame:
    """The per-image table of a CSV file: at each noise level the images 0, 1, 2, ... in this order.

    columns: the required columns, with sigma and image among them; all others are dropped, so that tables of another
    version can be read. Raises BadInput, whose message starts with `where`, if the content is not such a table.
    """
    table = _numbers(content, where, columns)
    levels = table.groupby("sigma")
    if (table["image"] != levels.cumcount()).any() or levels.size().nunique() != 1:
        raise BadInput(f"{where} does not have the same images 0, 1, 2, ... at each noise level")
    return table.astype({"image": int})


def history(content: bytes, where: str, optional: Sequence[str] = ()) -> pandas.DataFrame:
    """The table of a history.csv: the epochs 1, 2, 3, ... in this order.

    optional: columns that a file of another version may lack. Raises BadInput, whose message starts with `where`, if
    the content is not such a table.
    """
    table = _numbers(content, where, HISTORY, optional)
    if list(table["epoch"]) != list(range(1, len(table) + 1)):
        raise BadInput(f"{where} does not have the epochs 1, 2, 3, ...")
    return table.astype({"epoch": int})


def _numbers(content: bytes, where: str, columns: Sequence[str], optional: Sequence[str] = ()) -> pandas.DataFrame:
    """At least one row of finite numbers, in these columns of a CSV file.

    Other columns are dropped; the optional columns may be missing. Raises BadInput otherwise.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about columns of mixed types, which are refused below
            table = pandas.read_csv(io.BytesIO(content), keep_default_na=False)
    except (ValueError, OverflowError) as error:
        raise BadInput(f"{where} is not a table: {error}") from error
    missing = [column for column in columns if column not in table.columns and column not in optional]
    # If rows have more values than there are columns, pandas takes the first values as the index.
    if missing or not isinstance(table.index, pandas.RangeIndex):
        found = ", ".join([str(column)[:100] for column in table.columns[:20]] + ["..."] * (len(table.columns) > 20))
        wrong = f"lacks {', '.join(missing)}" if missing else "has rows with more values"
        raise BadInput(f"{where} has the columns {found}, but {wrong}")
    table = table[[column for column in columns if column in table.columns]]
    try:
        table = table.astype(float)
    except (ValueError, TypeError, OverflowError) as error:
        raise BadInput(f"{where} is not a table of numbers: {error}") from error
    if table.empty or not np.isfinite(table.to_numpy()).all():
        raise BadInput(f"{where} has no rows, or numbers that are not finite")
    return table

"""The per-image table that the evaluate stage writes: a row for each test image at each noise level."""

import io
from pathlib import Path

import pandas

from domain_denoiser.errors import BadInput

COLUMNS = ["sigma", "image", "mse", "psnr_db", "ssim"]  # image: its number among the test images


def load(path: Path) -> pandas.DataFrame:
    """Read a table. Raises BadInput if it is none."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
    return parse(content, str(path))


def parse(content: bytes, where: str) -> pandas.DataFrame:
    """The table of a CSV file; `where` opens the sentence of the BadInput if it is none."""
    try:
        table = pandas.read_csv(io.BytesIO(content))
        if list(table.columns) != COLUMNS:
            raise BadInput(f"{where} has the columns {', '.join(table.columns)}, but {', '.join(COLUMNS)} are wanted")
        return table.astype(dict.fromkeys(COLUMNS, float) | {"image": int})
    except ValueError as error:
        raise BadInput(f"{where} is not a table: {error}") from error

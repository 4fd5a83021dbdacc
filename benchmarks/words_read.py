"""How many words of a known text Debian's tesseract finds in an image of it."""

import re
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from domain_denoiser.base.errors import BadInput

ENLARGED = 2  # times, as tesseract wants about 30 pixels a line


def check() -> None:
    """Raises BadInput if there is no tesseract."""
    if shutil.which("tesseract") is None:
        raise BadInput("tesseract is not installed, which reads the restored pages: apt-get install tesseract-ocr")


def share(image: np.ndarray, text: str) -> float:
    """The share of the words of the text that are read, in any order, each as often as it stands there.

    image: uint8 [H, W].
    """
    known, found = (Counter(re.findall(r"[a-z]+", said.lower())) for said in (text, _read(image)))
    return (known & found).total() / known.total()


def _read(image: np.ndarray) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.png"
        whole = Image.fromarray(image)
        whole.resize((ENLARGED * whole.width, ENLARGED * whole.height), Image.Resampling.BICUBIC).save(path)
        words = ["tesseract", str(path), "stdout", "-l", "eng", "--dpi", "300"]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout

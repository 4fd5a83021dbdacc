"""EXIF's orientation: how the stored rows and columns of an image lie when it is shown."""

import warnings

import numpy as np
from PIL import Image

TAG = 0x0112

# Orientation -> whether rows and columns are exchanged, and then the steps through rows and through columns.
_SHOWN = {
    1: (False, 1, 1),
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}


def upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """Stored pixels [H, W, C] as they are shown: a view, [H, W, C], or [W, H, C] from orientation 5 on."""
    exchanged, rows, columns = _SHOWN[orientation]
    return (stored.swapaxes(0, 1) if exchanged else stored)[::rows, ::columns]


def stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """The inverse of `upright`."""
    exchanged, rows, columns = _SHOWN[orientation]
    turned = upright[::rows, ::columns]
    return turned.swapaxes(0, 1) if exchanged else turned


def known(value: object) -> int:
    """An orientation tag's value; 1, which means upright, if it is none of the eight."""
    return value if isinstance(value, int) and value in _SHOWN else 1


def of_exif(exif: bytes | None) -> int:
    """The orientation in a block of EXIF. A damaged block says nothing, as it does to viewers."""
    if not exif:
        return 1
    found = Image.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found.load(exif)
            return known(found.get(TAG))
    except Exception:  # Pillow lets through whatever its parsing runs into
        return 1

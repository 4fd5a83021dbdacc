"""How the values of an array stand for grey values: bits, bytes, words or floats."""

from typing import NamedTuple

import numpy as np

from domain_denoiser.base.errors import BadInput

WHOLE = {"bool": 1, "uint8": 255, "uint16": 65535}  # type -> the value of white


class Scale(NamedTuple):
    """low, high: the values of a float image that stand for black and white; invert: dark strokes on a light ground."""

    low: float = 0.0
    high: float = 1.0
    invert: bool = False

    def checked(self, where: str) -> "Scale":
        """Itself. Raises BadInput, whose message starts with `where`, if low and high are no range of float32."""
        with np.errstate(over="ignore", invalid="ignore"):
            low, high = np.float32(self.low), np.float32(self.high)
            if not (low < high and np.isfinite(high - low)):
                raise BadInput(
                    f"{where} is {self.low:g},{self.high:g}, but LOW must be less than HIGH, both of float32"
                )
        return self

    def to_unit(self, values: np.ndarray) -> np.ndarray:
        """Values of a type in WHOLE, or floats of any precision and byte order -> float32 in [0, 1], of that shape.

        Floats outside the range are clipped to it.
        """
        if values.dtype.name in WHOLE:
            unit = values / np.float32(WHOLE[values.dtype.name])
        else:
            unit = ((values.astype(np.float32) - self.low) / (self.high - self.low)).clip(0.0, 1.0)
        return 1.0 - unit if self.invert else unit

    def from_unit(self, unit: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """float32 in [0, 1] -> values of `dtype`; whole numbers are rounded to the nearest."""
        unit = 1.0 - unit if self.invert else unit
        if dtype.name in WHOLE:
            return (unit * np.float32(WHOLE[dtype.name])).round().astype(dtype)
        return (unit * (self.high - self.low) + self.low).astype(dtype)

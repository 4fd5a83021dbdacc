"""The range of float images: what is clipped with a note, and what is refused."""

import math
from collections.abc import Iterable

import numpy as np

from domain_denoiser.base.errors import BadInput

UNIT = (0.0, 1.0)
SLACK = 0.05  # of the range: what sharpening and interpolation leave beyond it


def notes(where: object, parts: Iterable[np.ndarray], value_range: tuple[float, float] | None) -> tuple[str, ...]:
    """What is to be said about values outside the range, by default [0, 1]. Reads one part at a time.

    Raises BadInput if they lie outside by more than SLACK of the range, or are no numbers.
    """
    least, most = math.inf, -math.inf
    for part in parts:
        with np.errstate(invalid="ignore"):
            low, high = part.min(), part.max()
        if not (np.isfinite(low) and np.isfinite(high)):
            raise BadInput(
                f"{where} has values that are NaN or infinite, but finite ones are wanted: see np.nan_to_num"
            )
        least, most = min(least, low), max(most, high)
    low, high = value_range or UNIT
    slack = SLACK * (high - low)
    wanted = f"[{low:g}, {high:g}]"
    found = f"{where} has values from {least!s} to {most!s}"  # all digits: none may be rounded to a limit
    if least < low - slack or most > high + slack:
        way = "give their range with --range LOW,HIGH, or bring them into it with np.clip"
        raise BadInput(f"{found}, but float images lie in {wanted}; {way}")
    if least < low or most > high:
        return (f"{found}; those outside {wanted} are clipped to it",)
    return ()

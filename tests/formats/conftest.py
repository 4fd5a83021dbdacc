"""Writes what was read, unchanged, and compares what every kind of file must keep."""

import numpy as np
import pytest

from domain_denoiser.base.errors import BadInput
from domain_denoiser.formats.opening import opened


@pytest.fixture
def noise():
    """Random samples of a shape and type: floats in [0, 1], whole numbers of all values."""

    def make(shape, dtype):
        drawn = np.random.default_rng(7).random(shape)
        dtype = np.dtype(dtype)
        if dtype.kind == "f":
            return drawn.astype(dtype)
        return drawn > 0.5 if dtype.kind == "b" else (drawn * (np.iinfo(dtype).max + 1.0)).astype(dtype)

    return make


@pytest.fixture
def rewritten(tmp_path):
    """The path of a file's output when nothing is restored; asserts that it holds the same blocks."""

    def write(path, suffix=None):
        file = opened(path, None)
        suffix = suffix or file.suffix
        target = tmp_path / f"output{suffix}"
        file.write(target, file.blocks(), suffix)
        found = opened(target, None)
        if suffix != ".jpg":
            assert (found.images, found.size, found.channels, found.dtype) == (
                file.images,
                file.size,
                file.channels,
                file.dtype,
            )
            for before, after in zip(file.blocks(), found.blocks(), strict=True):
                assert before.dtype == file.dtype
                assert before.shape[-1] == file.channels
                np.testing.assert_array_equal(before, after)
        again = tmp_path / "again"
        file.write(again, opened(path, None).blocks(), suffix)
        assert again.read_bytes() == target.read_bytes()
        return target

    return write


@pytest.fixture
def pixels():
    """All images of a file of equal sizes: [N, H, W, C]."""
    return lambda path: np.concatenate(list(opened(path, None).blocks()))


@pytest.fixture
def refuse():
    """Opening a file, or reading its blocks, must end with a BadInput that says what is wanted."""

    def check(wanted, path, value_range=None):
        with pytest.raises(BadInput, match=wanted) as caught:
            list(opened(path, value_range).blocks())
        assert str(path) in str(caught.value)

    return check

"""Other domains: images like MNIST's, pinned and repeatable."""

import gzip
import hashlib
import urllib.request

import numpy as np
import pytest

from domain_denoiser.base.errors import BadInput
from domain_denoiser.data import domains


def test_upside_down_twice_is_nothing(digits):
    turned = domains.upside_down(digits)
    assert turned[0, 0, 0] == digits[0, -1, -1]
    assert not np.array_equal(turned, digits)
    assert np.array_equal(domains.upside_down(turned), digits)


def test_inverted_twice_is_nothing(digits):
    assert domains.inverted(digits)[0, 0, 0] == 255
    assert np.array_equal(domains.inverted(domains.inverted(digits)), digits)


def test_letters_are_repeatable_and_like_digits():
    made = domains.letters(60, 7, "test")
    assert made.dtype == np.uint8
    assert made.shape == (60, 28, 28)
    assert np.array_equal(made, domains.letters(60, 7, "test"))
    assert not np.array_equal(made, domains.letters(60, 8, "test"))
    assert not np.array_equal(made, domains.letters(60, 7, "train"))
    assert made[:, 0].max() == 0  # black border
    assert (made.reshape(60, -1).max(1) > 100).all()  # every one shows something
    assert 0.02 < (made > 127).mean() < 0.3


def test_every_font_draws_different_letters():
    from pathlib import Path

    import matplotlib
    from PIL import ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts/ttf"
    for name in domains.FONTS:
        font = ImageFont.truetype(folder / name, 40)
        assert len({bytes(font.getmask(letter)) for letter in domains.LETTERS}) == len(domains.LETTERS), name


def test_fashion_takes_the_first_source_that_serves(tmp_path, sample_sources, idx_files):
    for name, content in idx_files.items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
    said = []
    pinned = sample_sources.model_copy(update={"sources": ["dir:/nowhere", f"dir:{tmp_path}"]})
    train, test = domains.fashion(pinned, "the test", said.append)
    assert (len(train.images), len(test.images)) == (1200, 200)
    assert said[0].startswith("dir:/nowhere: has neither")


def test_fashion_says_what_every_source_lacked(tmp_path, sample_sources, idx_files):
    for name, content in idx_files.items():
        (tmp_path / name).write_bytes(content[:-1] + b"\0x")
    wrong = hashlib.sha256((tmp_path / "train-images-idx3-ubyte").read_bytes()).hexdigest()
    with pytest.raises(BadInput, match=f"no source gave Fashion-MNIST: dir:/nowhere: has neither.*; .*{wrong}"):
        domains.fashion(
            sample_sources.model_copy(update={"sources": ["dir:/nowhere", f"dir:{tmp_path}"]}),
            "the test",
            lambda _: None,
        )


def test_fashion_without_a_network(monkeypatch, sample_sources):
    def unreachable(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(BadInput, match="torchvision: no network"):
        domains.fashion(sample_sources.model_copy(update={"sources": ["torchvision"]}), "the test", lambda _: None)

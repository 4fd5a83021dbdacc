import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from domain_denoiser.formats import orientation
from domain_denoiser.formats.opening import opened

EIGHT = pytest.mark.parametrize("value", range(1, 9))


def exif(value):
    found = Image.Exif()
    found[orientation.TAG] = value
    return found


@EIGHT
def test_upright_is_what_pillow_shows(noise, value):
    stored = noise((4, 7, 3), "u1")
    image = Image.fromarray(stored)
    image.info["exif"] = exif(value).tobytes()
    upright = orientation.upright(stored, value)
    np.testing.assert_array_equal(upright, np.asarray(ImageOps.exif_transpose(image)))
    np.testing.assert_array_equal(orientation.stored(upright, value), stored)


@EIGHT
@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg", ".tif"])
def test_blocks_are_upright_and_the_output_is_stored_as_the_input(tmp_path, noise, rewritten, suffix, value):
    given = tmp_path / f"a{suffix}"
    image = Image.fromarray(noise((4, 7, 3), "u1"))
    image.save(given, exif=exif(value), lossless=True)
    with Image.open(given) as stored:
        shown = np.asarray(ImageOps.exif_transpose(stored))
    file = opened(given, None)
    assert file.size == shown.shape[:2]
    [block] = file.blocks()
    np.testing.assert_array_equal(block[0], shown)
    for output in {suffix, file.suffix}:
        with Image.open(given) as before, Image.open(rewritten(given, output)) as after:
            assert after.size == before.size
            assert after.getexif()[orientation.TAG] == value
            if output != ".jpg":
                np.testing.assert_array_equal(np.asarray(after), np.asarray(before))


@EIGHT
def test_alpha_stays_with_its_pixels(tmp_path, noise, rewritten, value):
    Image.fromarray(noise((4, 7, 4), "u1")).save(tmp_path / "a.png", exif=exif(value))
    with Image.open(tmp_path / "a.png") as before, Image.open(rewritten(tmp_path / "a.png")) as after:
        np.testing.assert_array_equal(np.asarray(after), np.asarray(before))


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_means_upright(tmp_path, noise, pixels, value):
    stored = noise((4, 7), "u1")
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif(value))
    np.testing.assert_array_equal(pixels(tmp_path / "a.png")[0, ..., 0], stored)
    tifffile.imwrite(tmp_path / "a.tif", stored, extratags=[(274, "H", 1, value, True)])
    np.testing.assert_array_equal(pixels(tmp_path / "a.tif")[0, ..., 0], stored)


@pytest.mark.parametrize("damaged", [b"Exif\0\0", b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"\0"])
def test_damaged_exif_does_not_spoil_a_picture(tmp_path, noise, pixels, rewritten, damaged):
    stored = noise((4, 7), "u1")
    Image.fromarray(stored).save(tmp_path / "a.png", exif=damaged)
    np.testing.assert_array_equal(pixels(tmp_path / "a.png")[0, ..., 0], stored)
    rewritten(tmp_path / "a.png")

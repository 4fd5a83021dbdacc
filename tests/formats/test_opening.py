import io
import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from domain_denoiser.base.errors import BadInput
from domain_denoiser.formats import png_file, raster
from domain_denoiser.formats.opening import SUFFIXES, kind_of, opened


def save(path, suffix):
    """A small grey image in the format of a suffix."""
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    if suffix == ".npy":
        with path.open("wb") as file:
            np.save(file, image)
    else:
        Image.fromarray(image).save(path, format=Image.registered_extensions()[suffix])
    return path


@pytest.mark.parametrize(("suffix", "kind"), SUFFIXES.items())
def test_the_kind_is_told_by_the_content(tmp_path, suffix, kind):
    for name in (f"a{suffix}", f"A{suffix.upper()}", "Bild größer ☃", "-rf"):
        path = save(tmp_path / name, suffix)
        assert kind_of(path) == kind
        assert opened(path, None).kind == kind
        assert opened(path, None).notes == ()
    for wrong in SUFFIXES:
        path = save(tmp_path / f"wrong{wrong}", suffix)
        notes = opened(path, None).notes
        assert (
            notes == ()
            if SUFFIXES[wrong] == kind
            else (f"{path} is named like a {SUFFIXES[wrong]} file, but is a {kind} file",)
        )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_said_of_a_kind_fits_together(tmp_path, suffix):
    file = opened(save(tmp_path / f"a{suffix}", suffix), None)
    assert file.suffix in file.output_suffixes()
    assert suffix in file.output_suffixes()
    assert set(file.output_suffixes()) <= set(SUFFIXES)
    assert (file.path, file.images, file.size, file.dtype) == (tmp_path / f"a{suffix}", 1, (3, 4), np.uint8)
    assert file.channels == (3 if suffix == ".webp" else 1)


def test_both_byte_orders_and_address_sizes_of_tiff_are_known(tmp_path):
    for bigtiff in (False, True):
        for byteorder in "<>":
            tifffile.imwrite(tmp_path / "a", np.zeros((3, 4), np.uint8), bigtiff=bigtiff, byteorder=byteorder)
            assert kind_of(tmp_path / "a") == "TIFF"


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix != ".npy"])
def test_a_range_is_for_float_images_only(tmp_path, refuse, suffix):
    path = save(tmp_path / f"a{suffix}", suffix)
    refuse("holds uint8 values, whose range is known; a range is for float images only", path, (0, 255))


def gif():
    content = io.BytesIO()
    Image.new("L", (3, 4)).save(content, format="GIF")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"", "is empty, but an image is wanted: PNG, JPEG, TIFF, BMP, WebP or .npy"),
        (b"just text\n", "is of an unknown kind, but"),
        (b"\0" * 100, "is of an unknown kind"),
        (gif(), "is a GIF, but"),
        (b"%PDF-1.7", "is a PDF, but"),
        (b"PK\3\4" + bytes(20), "is an archive, as .zip and .npz are, but"),
        (b"\0\0\0\x18ftypheic" + bytes(20), "is a HEIC, AVIF or video file, but"),
        (b"RIFF\0\0\0\0WAVEfmt ", "is of an unknown kind"),
        *(
            (start, "is not a")
            for start in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"BM", b"\x93NUMPY")
        ),
        (b"RIFF\0\0\0\0WEBPVP8 ", "is not a whole WebP"),
        (b"II*\0\0\0\0\0", "is not a whole TIFF"),
        (b"II*\0\x08\0\0\0", "is not a whole TIFF"),
    ],
    ids=str,
)
def test_what_is_no_image(tmp_path, refuse, content, wanted):
    (tmp_path / "a.png").write_bytes(content)
    refuse(wanted, tmp_path / "a.png")


def test_what_is_no_file(tmp_path, refuse):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "itself.png").symlink_to(tmp_path / "itself.png")
    refuse("nowhere.png does not exist", tmp_path / "nowhere.png")
    refuse("is a folder, but an image file is wanted", tmp_path)
    refuse("pipe.png is a pipe or a device, but a file is wanted", tmp_path / "pipe.png")
    refuse("itself.png cannot be read", tmp_path / "itself.png")
    refuse("cannot be read", tmp_path / ("x" * 300 + ".png"))
    with pytest.raises(BadInput, match="cannot be read"):
        kind_of(tmp_path / "nul\0.png")
    with pytest.raises(BadInput, match="does not exist"):
        kind_of(tmp_path / "nowhere.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp"])
def test_a_file_of_too_many_bytes_is_refused(tmp_path, refuse, monkeypatch, suffix):
    path = save(tmp_path / f"a{suffix}", suffix)
    size = path.stat().st_size
    for module in (png_file, raster):
        monkeypatch.setattr(module, "LARGEST_FILE", size)
    opened(path, None)
    for module in (png_file, raster):
        monkeypatch.setattr(module, "LARGEST_FILE", size - 1)
    refuse(f"has more than {size - 1} bytes", path)


def test_decoders_are_imported_when_they_are_needed():
    """They take a part of a second, which all that restores no such file would pay."""
    program = "import sys; import domain_denoiser.formats.opening; print(*sys.modules)"
    found = set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "PIL.Image" in found
    assert not {"png", "tifffile", "torch", "scipy", "pydantic", "domain_denoiser.params"} & found

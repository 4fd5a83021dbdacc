"""Whatever bytes come: a good file, or one sentence; never another exception, never pixels that were not there."""

import io

import numpy as np
import png
import pytest
import tifffile
from hostile_files import mutated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from domain_denoiser.base.errors import BadInput
from domain_denoiser.formats.opening import opened


def saved(array, form, mode=None, **beside):
    content = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(content, format=form, **beside)
    return content.getvalue()


def by_tifffile(*arrays, **how):
    content = io.BytesIO()
    with tifffile.TiffWriter(content) as writer:
        for array in arrays:
            writer.write(array, **how)
    return content.getvalue()


def by_numpy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def by_pypng(array, **how):
    content = io.BytesIO()
    height, width, samples = array.shape
    png.Writer(width, height, greyscale=samples < 3, alpha=samples % 2 == 0, bitdepth=16, **how).write(
        content, array.reshape(height, -1).tolist()
    )
    return content.getvalue()


def examples():
    drawn = np.random.default_rng(1).integers(0, 256, (6, 7, 4), dtype=np.uint8)
    grey, colour, deep = drawn[..., 0].copy(), drawn[..., :3].copy(), drawn.astype(np.uint16) * 257
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[36867] = "2020:01:02 03:04:05"
    beside = {"exif": exif.tobytes(), "icc_profile": b"profile", "dpi": (300, 300)}
    return {
        "PNG 1": saved(grey, "PNG", "1"),
        "PNG grey": saved(grey, "PNG", **beside),
        "PNG RGBA": saved(drawn, "PNG", **beside),
        "PNG palette": saved(colour, "PNG", "P", transparency=3),
        "PNG I;16": saved(deep[..., 0].copy(), "PNG", **beside),
        "PNG RGB 16": by_pypng(deep[..., :3]),
        "PNG RGBA 16 interlaced": by_pypng(deep, interlace=True),
        "JPEG grey": saved(grey, "JPEG", **beside),
        "JPEG RGB": saved(colour, "JPEG", **beside),
        "MPO": saved(colour, "MPO", save_all=True, append_images=[Image.fromarray(colour)]),
        "BMP 1": saved(grey, "BMP", "1"),
        "BMP palette": saved(colour, "BMP", "P"),
        "BMP RGB": saved(colour, "BMP", dpi=(300, 300)),
        "WebP": saved(drawn, "WEBP", **beside),
        "WebP lossless": saved(colour, "WEBP", lossless=True),
        "TIFF": by_tifffile(grey, grey[:3], description="pages", resolution=(300, 300)),
        "TIFF EXIF": saved(grey, "TIFF", **beside),
        "TIFF float": by_tifffile((colour / 255).astype(np.float32), photometric="rgb", compression="zlib"),
        "TIFF planar tiles": by_tifffile(
            np.moveaxis(deep, -1, 0), photometric="rgb", planarconfig="separate", tile=(16, 16)
        ),
        "TIFF 1": by_tifffile(grey > 99, photometric="miniswhite"),
        "TIFF palette": by_tifffile(grey, photometric="palette", colormap=np.zeros((3, 256), np.uint16)),
        "TIFF ImageJ": by_tifffile(deep[..., 0], metadata=None, description="ImageJ=1\nimages=1\n"),
        "TIFF OME": by_tifffile(grey, metadata=None, description="<?xml version='1.0'?><OME></OME>"),
        "npy": by_numpy(grey),
        "npy float": by_numpy((colour / 255).astype(">f2")),
    }


EXAMPLES = examples()
STARTS = [
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"II*\0",
    b"MM\0*",
    b"II+\0\x08\0\0\0",
    b"BM",
    b"RIFF\0\0\0\0WEBP",
    b"\x93NUMPY\1\0",
]
IN_ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def check(folder, content):
    """Reads and writes the file in each of its formats, if it is one."""
    path = folder / "a"
    path.write_bytes(content)
    try:
        file = opened(path, None)
        blocks = list(file.blocks())
        assert sum(len(block) for block in blocks) == file.images
        assert blocks[0].shape[1:] == (*file.size, file.channels)
        assert {block.dtype for block in blocks} == {file.dtype}
        assert all(isinstance(note, str) for note in file.notes)
        for suffix in file.output_suffixes():
            file.write(folder / "out", blocks, suffix)
            if suffix not in (".jpg", ".jpeg"):
                again = opened(folder / "out", None)
                for block, found in zip(blocks, again.blocks(), strict=True):
                    np.testing.assert_array_equal(found, block)
    except BadInput as error:
        assert str(path) in str(error)
        assert " object at 0x" not in str(error) or content.startswith(b"\x93NUMPY")


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_valid_file_is_good(tmp_path, name):
    (tmp_path / "a").write_bytes(EXAMPLES[name])
    assert list(opened(tmp_path / "a", None).blocks())
    check(tmp_path, EXAMPLES[name])


@pytest.mark.parametrize("name", EXAMPLES)
@IN_ONE_FOLDER
@given(st.data())
def test_a_damaged_file(tmp_path, capfd, name, data):
    check(tmp_path, data.draw(mutated(EXAMPLES[name])))
    assert capfd.readouterr() == ("", "")


@IN_ONE_FOLDER
@given(st.sampled_from(STARTS), st.binary(max_size=200))
def test_arbitrary_bytes(tmp_path, start, rest):
    check(tmp_path, start + rest)

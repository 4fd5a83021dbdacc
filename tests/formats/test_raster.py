import errno
import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin
from skimage import data as skimage_data
from skimage.metrics import peak_signal_noise_ratio

from domain_denoiser.base.errors import BadInput
from domain_denoiser.formats.opening import opened

SIZE = (9, 13)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def exif():
    """A block of EXIF with a name of a camera and a time in its inner folder."""
    found = Image.Exif()
    found[271] = "Camera"
    found.get_ifd(0x8769)[36867] = "2020:01:02 03:04:05"
    return found.tobytes()


def read(path):
    with Image.open(path) as image:
        image.load()
        return image


# BMP and WebP


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_bmp_keeps_its_mode_pixels_and_resolution(tmp_path, noise, rewritten, mode):
    Image.fromarray(noise((*SIZE, 3), "u1")).convert(mode).save(tmp_path / "a.bmp", dpi=(300, 200))
    file = opened(tmp_path / "a.bmp", None)
    assert (file.kind, file.suffix, file.size, file.channels) == (
        "BMP",
        ".bmp",
        SIZE,
        len(mode) if mode == "RGB" else 1,
    )
    assert file.dtype == (bool if mode == "1" else np.uint8)
    before, after = read(tmp_path / "a.bmp"), read(rewritten(tmp_path / "a.bmp"))
    assert after.mode == before.mode == mode
    np.testing.assert_array_equal(np.asarray(after), np.asarray(before))
    assert after.info["dpi"] == pytest.approx((300, 200), abs=0.1)


def test_bmp_without_resolution_gets_none(tmp_path, noise, rewritten):
    Image.fromarray(noise(SIZE, "u1")).save(tmp_path / "a.bmp", dpi=(0, 0))
    assert "dpi" not in read(rewritten(tmp_path / "a.bmp")).info


@pytest.mark.parametrize("grey", [False, True])
def test_bmp_with_a_palette_is_looked_up_and_said(tmp_path, noise, rewritten, grey):
    image = Image.fromarray(noise(SIZE, "u1"), mode="P")
    palette = [(255 - i, 255 - i, 255 - i if grey else i) for i in range(256)]
    image.putpalette([value for colour in palette for value in colour])
    image.save(tmp_path / "a.bmp")
    mode = "L" if grey else "RGB"
    assert opened(tmp_path / "a.bmp", None).notes == (f"{tmp_path}/a.bmp has a palette; it comes out as {mode}",)
    after = read(rewritten(tmp_path / "a.bmp"))
    assert after.mode == mode
    np.testing.assert_array_equal(np.asarray(after.convert("RGB")), np.asarray(read(tmp_path / "a.bmp").convert("RGB")))


def bmp(bits, compression, masks, rows, height):
    head = 14 + 108
    described = struct.pack("<IiiHHIIIIII", 108, SIZE[1], height, 1, bits, compression, len(rows), 0, 0, 0, 0)
    return (
        b"BM" + struct.pack("<IHHI", head + len(rows), 0, 0, head) + described + struct.pack("<IIII52x", *masks) + rows
    )


def test_bmp_with_alpha_keeps_it(tmp_path, noise, rewritten):
    pixels = noise((*SIZE, 4), "u1")
    rows = pixels[..., [2, 1, 0, 3]].tobytes()  # from the top, as a negative height says
    (tmp_path / "a.bmp").write_bytes(bmp(32, 3, (0xFF0000, 0xFF00, 0xFF, 0xFF000000), rows, -SIZE[0]))
    np.testing.assert_array_equal(np.asarray(read(tmp_path / "a.bmp")), pixels)
    after = read(rewritten(tmp_path / "a.bmp"))
    assert after.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(after), pixels)


def test_bmp_of_32_bits_without_alpha_comes_out_with_24(tmp_path, noise, rewritten):
    pixels = noise((*SIZE, 4), "u1")
    (tmp_path / "a.bmp").write_bytes(bmp(32, 0, (0, 0, 0, 0), pixels.tobytes(), SIZE[0]))
    after = read(rewritten(tmp_path / "a.bmp"))
    assert after.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(after), pixels[::-1, :, 2::-1])


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("channels", [3, 4])
def test_webp_comes_out_lossless_with_all_that_it_carries(tmp_path, noise, rewritten, exif, lossless, channels):
    pixels = noise((*SIZE, channels), "u1")
    pixels[..., 3:] //= 2
    pixels[:4, :4, 3:] = 0  # what is hidden is kept too
    beside = {"exif": exif, "icc_profile": PROFILE, "xmp": b"<x/>"}
    Image.fromarray(pixels).save(tmp_path / "a.webp", lossless=lossless, exact=True, **beside)
    file = opened(tmp_path / "a.webp", None)
    assert (file.kind, file.suffix, file.size, file.channels, file.dtype) == ("WebP", ".webp", SIZE, 3, np.uint8)
    before, after = read(tmp_path / "a.webp"), read(rewritten(tmp_path / "a.webp"))
    np.testing.assert_array_equal(np.asarray(after), np.asarray(before))
    assert after.mode == ("RGB" if channels == 3 else "RGBA")
    for name in beside:
        assert after.info[name] == before.info[name]


def test_animated_webp_is_refused_with_the_way_to_it(tmp_path, noise, refuse):
    first, *others = (Image.fromarray(each) for each in noise((3, *SIZE, 3), "u1"))
    first.save(tmp_path / "a.webp", save_all=True, append_images=others, duration=9)
    refuse("is an animated WebP; save its frames as files of their own", tmp_path / "a.webp")


# JPEG


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_comes_out_as_png_with_all_that_it_carries(tmp_path, noise, rewritten, exif, mode):
    beside = {"exif": exif, "icc_profile": PROFILE, "dpi": (300, 200), "xmp": b"<x/>"}
    Image.fromarray(noise((*SIZE, 3), "u1")).convert(mode).save(tmp_path / "a.jpg", **beside)
    file = opened(tmp_path / "a.jpg", None)
    assert (file.kind, file.suffix, file.size, file.dtype, file.notes) == ("JPEG", ".png", SIZE, np.uint8, ())
    assert file.output_suffixes() == (".png", ".jpg", ".jpeg")
    before, after = read(tmp_path / "a.jpg"), read(rewritten(tmp_path / "a.jpg"))
    assert (after.format, after.mode) == ("PNG", mode)
    np.testing.assert_array_equal(np.asarray(after), np.asarray(before))
    assert after.getexif()[271] == "Camera"
    assert after.getexif().get_ifd(0x8769)[36867] == "2020:01:02 03:04:05"
    assert after.info["icc_profile"] == PROFILE
    assert after.info["dpi"] == pytest.approx((300, 200), abs=0.1)
    assert after.text["XML:com.adobe.xmp"] == "<x/>"


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_jpeg_is_written_well_if_it_must_be(tmp_path, rewritten, exif, suffix):
    colours = skimage_data.astronaut()[:200, :200]
    beside = {"exif": exif, "icc_profile": PROFILE, "dpi": (300, 200), "xmp": b"<x/>", "comment": b"mine"}
    Image.fromarray(colours).save(tmp_path / "a.jpg", quality=99, subsampling=0, **beside)
    file = opened(tmp_path / "a.jpg", None)
    file.write(tmp_path / "out", file.blocks(), suffix)
    before, after = read(tmp_path / "a.jpg"), read(tmp_path / "out")
    assert (after.format, after.mode) == ("JPEG", "RGB")
    assert [layer[1:3] for layer in after.layer] == [(1, 1)] * 3  # no subsampling
    assert peak_signal_noise_ratio(np.asarray(before), np.asarray(after)) > 40
    for name in beside:
        assert after.info[name] == before.info[name]


def test_of_a_phones_several_pictures_the_first_is_taken(tmp_path, noise, rewritten, pixels):
    first, second = (Image.fromarray(each) for each in noise((2, *SIZE, 3), "u1"))
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    file = opened(tmp_path / "a.jpg", None)
    assert (file.images, file.kind) == (1, "JPEG")
    assert file.notes == (f"{tmp_path}/a.jpg holds 2 pictures; only the first is restored",)
    np.testing.assert_array_equal(pixels(tmp_path / "a.jpg")[0], np.asarray(read(tmp_path / "a.jpg")))
    rewritten(tmp_path / "a.jpg")
    rewritten(tmp_path / "a.jpg", ".jpg")


def test_jpeg_for_printing_is_refused_with_the_way_to_it(tmp_path, noise, refuse):
    Image.fromarray(noise((*SIZE, 4), "u1"), mode="CMYK").save(tmp_path / "a.jpg")
    refuse("has the colours CMYK, but grey or RGB is wanted; convert it to RGB", tmp_path / "a.jpg")


def test_exif_too_long_for_one_part_of_a_jpeg_is_left_out_of_it_alone(tmp_path, noise, rewritten, monkeypatch):
    exif = TiffImagePlugin.ImageFileDirectory_v2()
    exif[271] = "x" * 60_000
    block = b"Exif\0\0MM\0*\0\0\0\x08" + exif.tobytes(8)
    Image.fromarray(noise(SIZE, "u1")).save(tmp_path / "a.jpg", exif=block)
    content = (tmp_path / "a.jpg").read_bytes()
    more = b"\xff\xe1" + struct.pack(">H", 8 + 9000) + b"Exif\0\0" + bytes(9000)
    (tmp_path / "a.jpg").write_bytes(content[:2] + content[2:20] + more + content[20:])
    assert len(read(tmp_path / "a.jpg").info["exif"]) > 65_533
    assert "exif" in read(rewritten(tmp_path / "a.jpg")).info
    assert "exif" not in read(rewritten(tmp_path / "a.jpg", ".jpg")).info


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize(
    ("kind", "value"),
    [(5, struct.pack("<II", 2**32 - 1, 1)), (10, struct.pack("<ii", -300, 1)), (12, struct.pack("<d", np.inf))],
)
def test_a_resolution_in_exif_that_no_output_can_hold_is_left_out(tmp_path, noise, rewritten, suffix, kind, value):
    entries = struct.pack("<HHIIHHIII", 282, kind, 1, 38, 296, 3, 1, 2, 0)
    Image.fromarray(noise(SIZE, "u1")).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\2\0" + entries + value)
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[:2] + content[20:])  # without JFIF's own
    assert not 0 < read(tmp_path / "a.jpg").info["dpi"][0] < 2**31
    after = read(rewritten(tmp_path / "a.jpg", suffix))
    assert "exif" in after.info
    assert "dpi" not in after.info if suffix == ".png" else after.info["jfif_unit"] == 0


# All of them


@pytest.mark.parametrize(
    "raised, wanted",
    [
        (struct.error("too large"), BadInput),
        (OSError("cannot write file"), BadInput),  # as Pillow says of data
        (OSError(errno.ENOSPC, "No space"), OSError),
        (PermissionError(errno.EACCES, "No permission"), PermissionError),
        (MemoryError(), MemoryError),
    ],
    ids=repr,
)
@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".jpg"])
def test_what_the_files_data_raise_in_writing_is_told_from_what_the_target_raises(
    tmp_path, noise, monkeypatch, suffix, raised, wanted
):
    def fail(*_, **__):
        raise raised

    Image.fromarray(noise((*SIZE, 3), "u1")).save(tmp_path / f"a{suffix}")
    file = opened(tmp_path / f"a{suffix}", None)
    blocks = list(file.blocks())
    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(wanted) as caught:
        file.write(tmp_path / "out", blocks, suffix)
    if wanted is BadInput:
        assert str(caught.value) == f"{file.path} carries what cannot be written: {raised}"
    else:
        assert caught.value is raised


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".webp"])
def test_cut_off_anywhere_they_are_refused(tmp_path, noise, refuse, suffix):
    saved = io.BytesIO()
    Image.fromarray(noise((40, 50, 3), "u1")).save(saved, format={".jpg": "JPEG"}.get(suffix, suffix[1:]))
    content = saved.getvalue()
    for length in [13, 16, 20, 30, 60, *(len(content) * part // 9 for part in range(1, 9)), len(content) - 3]:
        (tmp_path / f"a{suffix}").write_bytes(content[:length])
        refuse("is not a whole|at least 1 x 1", tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".bmp", ".webp", ".jpg"])
def test_a_header_that_claims_too_much_is_refused_before_anything_is_decoded(tmp_path, noise, refuse, suffix):
    saved = io.BytesIO()
    Image.fromarray(noise((40, 50, 3), "u1")).save(
        saved, format={".jpg": "JPEG"}.get(suffix, suffix[1:]), exif=b"Exif\0\0"
    )
    content = saved.getvalue()
    match suffix:
        case ".bmp":
            content = content[:18] + struct.pack("<ii", 20_000, 20_000) + content[26:]
        case ".jpg":
            place = content.index(b"\xff\xc0") + 5
            content = content[:place] + struct.pack(">HH", 20_000, 20_000) + content[place + 4 :]
        case ".webp":  # its header in front, and the one of its picture
            content = content[:24] + b"\x1f\x4e\0" * 2 + content[30:]
    (tmp_path / f"a{suffix}").write_bytes(content)
    refuse("the most of one image; cut it into parts|is not a whole WebP", tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".tif"])
def test_the_output_has_the_format_of_the_input(tmp_path, noise, suffix):
    Image.fromarray(noise(SIZE, "u1")).save(tmp_path / f"a{suffix}")
    file = opened(tmp_path / f"a{suffix}", None)
    with pytest.raises(BadInput, match=rf"whose output is a \{suffix}( or .tiff)? file, not a .jpg file"):
        file.write(tmp_path / "out", file.blocks(), ".jpg")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".jpg"])
def test_blocks_that_do_not_fit_are_a_mistake_of_the_program(tmp_path, noise, suffix):
    Image.fromarray(noise((*SIZE, 3), "u1")).save(tmp_path / f"a{suffix}")
    file = opened(tmp_path / f"a{suffix}", None)
    [good] = file.blocks()
    for blocks in ([], [good, good], [good[0]], [good[:, 1:]], [good[..., :1]], [good.astype(float)]):
        with pytest.raises(ValueError):
            file.write(tmp_path / "out", blocks, file.suffix)


def test_a_file_that_changes_in_between_is_noticed(tmp_path, noise):
    Image.fromarray(noise((*SIZE, 3), "u1")).save(tmp_path / "a.bmp")
    file = opened(tmp_path / "a.bmp", None)
    Image.fromarray(noise((5, 6), "u1")).save(tmp_path / "a.bmp")
    with pytest.raises(BadInput, match="was changed while it was read"):
        list(file.blocks())

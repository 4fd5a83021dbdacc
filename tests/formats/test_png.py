import io
import struct
import tracemalloc
import zlib

import numpy as np
import png
import pytest
from PIL import Image, PngImagePlugin

from domain_denoiser.formats import png_chunks
from domain_denoiser.formats.opening import opened

SIZE = (9, 13)
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
SAMPLES = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
KINDS = [
    *((GREY, bits) for bits in (1, 2, 4, 8, 16)),
    *((PALETTE, bits) for bits in (1, 2, 4, 8)),
    *((colour, bits) for colour in (RGB, GREY_ALPHA, RGBA) for bits in (8, 16)),
]


def encoded(colour, bits, *, interlace=False, **settings):
    """A PNG of random samples that pypng wrote, and the samples: [H, W, C]."""
    samples = np.random.default_rng(3).integers(0, 2**bits, (*SIZE, SAMPLES[colour]))
    written = io.BytesIO()
    kind = (
        {"palette": settings.pop("palette", [(i, 255 - i, i // 2) for i in range(2**bits)])}
        if colour == PALETTE
        else {
            "greyscale": colour in (GREY, GREY_ALPHA),
            "alpha": colour in (GREY_ALPHA, RGBA),
        }
    )
    writer = png.Writer(SIZE[1], SIZE[0], bitdepth=bits, interlace=interlace, **kind, **settings)
    writer.write(written, samples.reshape(SIZE[0], -1).tolist())
    return written.getvalue(), samples


def direct(content):
    """What pypng shows of a PNG: [H, W, C] with alpha, at its own depth, and that depth."""
    _, _, rows, info = png.Reader(bytes=content).asDirect()
    return np.array([list(row) for row in rows]).reshape(*SIZE, info["planes"]), info["bitdepth"]


def described(content):
    return png_chunks.header(content)[2:4]


@pytest.mark.parametrize("interlace", [False, True])
@pytest.mark.parametrize(("colour", "bits"), KINDS)
def test_every_type_comes_out_with_its_pixels(tmp_path, rewritten, pixels, colour, bits, interlace):
    content, _ = encoded(colour, bits, interlace=interlace)
    (tmp_path / "a.png").write_bytes(content)
    shown, depth = direct(content)
    wanted_bits = 8 if bits in (2, 4) or colour == PALETTE else bits
    if depth < wanted_bits:
        shown = shown * 255 // (2**depth - 1)
    channels = 1 if colour in (GREY, GREY_ALPHA) else 3
    file = opened(tmp_path / "a.png", None)
    assert (file.kind, file.suffix, file.images, file.size, file.channels) == ("PNG", ".png", 1, SIZE, channels)
    assert file.dtype == {1: bool, 8: np.uint8, 16: np.uint16}[wanted_bits]
    np.testing.assert_array_equal(pixels(tmp_path / "a.png")[0], shown[..., :channels])
    output = rewritten(tmp_path / "a.png").read_bytes()
    assert described(output) == (wanted_bits, RGB if colour == PALETTE else colour)
    np.testing.assert_array_equal(direct(output)[0], shown)


def test_16_bits_stay_16_bits(tmp_path, rewritten):
    for colour in (GREY, RGB, GREY_ALPHA, RGBA):
        content, samples = encoded(colour, 16)
        (tmp_path / "a.png").write_bytes(content)
        found, _ = direct(rewritten(tmp_path / "a.png").read_bytes())
        np.testing.assert_array_equal(found, samples)
        assert len(np.unique(found % 256)) > 80  # the lower bytes


@pytest.mark.parametrize(
    ("colour", "bits"), [(GREY, 1), (GREY, 2), (GREY, 4), (GREY, 8), (GREY, 16), (RGB, 8), (RGB, 16)]
)
def test_a_transparent_colour_becomes_alpha(tmp_path, rewritten, colour, bits):
    _, samples = encoded(colour, bits)
    key = tuple(int(value) for value in max(samples.reshape(-1, SAMPLES[colour]).tolist()))  # not 0: it is scaled
    content, _ = encoded(colour, bits, transparent=key if colour == RGB else key[0])
    (tmp_path / "a.png").write_bytes(content)
    most, depth = 2**bits - 1, max(bits, 8)
    wanted = np.concatenate(
        [samples * ((2**depth - 1) // most), (samples != key).any(-1, keepdims=True) * (2**depth - 1)], -1
    )
    assert (wanted[..., -1] == 0).any()
    file = opened(tmp_path / "a.png", None)
    assert file.notes == (f"{tmp_path}/a.png has a transparent colour; it comes out with alpha",)
    assert file.dtype == {8: np.uint8, 16: np.uint16}[depth]
    output = rewritten(tmp_path / "a.png").read_bytes()
    assert described(output) == (depth, GREY_ALPHA if colour == GREY else RGBA)
    np.testing.assert_array_equal(direct(output)[0], wanted)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("grey", [False, True])
def test_a_palette_is_looked_up_and_said(tmp_path, rewritten, bits, alpha, grey):
    colours = [(255 - i, (255 - i) if grey else i, 255 - i, *([i * 7 % 256] if alpha else [])) for i in range(2**bits)]
    content, samples = encoded(PALETTE, bits, palette=colours)
    (tmp_path / "a.png").write_bytes(content)
    as_grey = "grey" if grey else "RGB"
    assert opened(tmp_path / "a.png", None).notes == (
        f"{tmp_path}/a.png has a palette; it comes out as {as_grey}{' with alpha' if alpha else ''}",
    )
    output = rewritten(tmp_path / "a.png").read_bytes()
    wanted = np.array(colours)[samples[..., 0]]
    np.testing.assert_array_equal(direct(output)[0], wanted[..., [0, 3][: 1 + alpha]] if grey else wanted)


def test_a_palette_with_a_colour_profile_stays_rgb(tmp_path, pixels):
    """The profile of a palette is for RGB, and does not fit a grey PNG."""
    content, _ = encoded(PALETTE, 2, palette=[(i, i, i) for i in range(4)])
    with (tmp_path / "a.png").open("wb") as file:
        png_chunks.write(file, memoryview(content), [png_chunks.Chunk(b"iCCP", b"p\0\0" + zlib.compress(b"profile"))])
    assert pixels(tmp_path / "a.png").shape == (1, *SIZE, 3)


def test_a_palette_that_is_too_short_is_black_there_as_viewers_show_it(tmp_path, pixels):
    content, samples = encoded(PALETTE, 4, palette=[(9, 8, 7)] * 3)
    (tmp_path / "a.png").write_bytes(content)
    np.testing.assert_array_equal(pixels(tmp_path / "a.png")[0], np.where(samples < 3, [9, 8, 7], 0))


def test_fewer_than_8_bits_are_said(tmp_path):
    for bits in (2, 4):
        (tmp_path / "a.png").write_bytes(encoded(GREY, bits)[0])
        assert opened(tmp_path / "a.png", None).notes == (
            f"{tmp_path}/a.png has {bits} bits a pixel; it comes out with 8",
        )
    for kind in (1, 8, 16):
        (tmp_path / "a.png").write_bytes(encoded(GREY, kind)[0])
        assert opened(tmp_path / "a.png", None).notes == ()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P", "I;16", "deep"])
def test_what_lies_beside_the_pixels_is_kept(tmp_path, noise, rewritten, mode):
    if mode == "deep":
        content, _ = encoded(RGB, 16)
    else:
        image = (
            Image.fromarray(noise(SIZE, "u2"))
            if mode == "I;16"
            else Image.fromarray(noise((*SIZE, 3), "u1")).convert(mode)
        )
        saved = io.BytesIO()
        image.save(saved, format="PNG")
        content = saved.getvalue()
    added = [
        png_chunks.Chunk(b"gAMA", struct.pack(">I", 45455)),
        png_chunks.Chunk(b"iCCP", b"my profile\0\0" + zlib.compress(b"profile" * 9)),
        png_chunks.Chunk(b"pHYs", struct.pack(">IIB", 11811, 11812, 1)),
        png_chunks.Chunk(b"tEXt", b"Author\0somebody"),
        png_chunks.Chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"long" * 99)),
        png_chunks.Chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>"),
        png_chunks.Chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0\0\0\0\0"),
    ]
    dropped = [
        png_chunks.Chunk(b"tIME", struct.pack(">HBBBBB", 2020, 1, 2, 3, 4, 5)),
        png_chunks.Chunk(
            b"sBIT", bytes([1, 1, 1, 1][: len(Image.open(io.BytesIO(content)).getbands()) if mode != "P" else 3])
        ),
        png_chunks.Chunk(b"prVT", b"private"),
    ]
    with (tmp_path / "a.png").open("wb") as file:
        png_chunks.write(file, memoryview(content), [*added, *dropped])
    output = rewritten(tmp_path / "a.png").read_bytes()
    found = [(name, bytes(data)) for name, data in png_chunks.chunks(output)]
    assert [chunk for chunk in found if chunk[0] not in (b"IHDR", b"IDAT", b"IEND")] == added
    with Image.open(io.BytesIO(output)) as image:
        image.load()
        assert image.text["Author"] == "somebody"
        assert image.info["icc_profile"] == b"profile" * 9
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_text_after_the_pixels_is_kept(tmp_path, noise, rewritten):
    saved = io.BytesIO()
    Image.fromarray(noise(SIZE, "u1")).save(saved, format="PNG")
    content = saved.getvalue()
    text = b"Author\0me"
    chunk = struct.pack(">I4s", len(text), b"tEXt") + text + struct.pack(">I", zlib.crc32(b"tEXt" + text))
    (tmp_path / "a.png").write_bytes(content[:-12] + chunk + content[-12:])
    with Image.open(rewritten(tmp_path / "a.png")) as image:
        assert image.text == {"Author": "me"}


# What is refused


def test_animation_is_refused_with_the_way_to_it(tmp_path, noise, refuse):
    first, *others = (Image.fromarray(each) for each in noise((3, *SIZE), "u1"))
    first.save(tmp_path / "a.png", save_all=True, append_images=others)
    refuse("is an animated PNG; save its frames as files of their own", tmp_path / "a.png")


def changed_header(content, **fields):
    header = png_chunks.header(content)._replace(**fields)
    data = b"IHDR" + struct.pack(">IIBBBBB", *header)
    return content[:12] + data + struct.pack(">I", zlib.crc32(data)) + content[33:]


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"width": 13378, "height": 13378}, "has 13378 x 13378 pixels, but 178,956,970 are the most of one image"),
        ({"width": 2**31 - 1, "height": 2**31 - 1}, "are the most of one image"),
        ({"width": 0}, "has 0 x 9 pixels, but an image has at least 1 x 1"),
        ({"height": 0}, "has 13 x 0 pixels"),
        ({"height": 10}, "is not a whole PNG"),
        ({"width": 14}, "is not a whole PNG"),
        ({"colour": 5}, "is not a whole PNG: its colour type 5 is not known"),
        ({"bits": 3}, "is not a whole PNG"),
        ({"colour": 3}, "is not a whole PNG"),
        ({"filtering": 1}, "is not a whole PNG"),
    ],
    ids=str,
)
def test_a_header_that_does_not_fit(tmp_path, refuse, deep, fields, wanted):
    (tmp_path / "a.png").write_bytes(changed_header(encoded(RGB, 16 if deep else 8)[0], **fields))
    refuse(wanted, tmp_path / "a.png")


@pytest.mark.parametrize("deep", [False, True])
def test_cut_off_anywhere_it_is_refused(tmp_path, refuse, deep):
    content, _ = encoded(RGB, 16 if deep else 8)
    for length in [9, 20, 33, 40, 60, len(content) // 2, *range(len(content) - 20, len(content))]:
        (tmp_path / "a.png").write_bytes(content[:length])
        refuse("is not a whole PNG", tmp_path / "a.png")


def rebuilt(content, pixels):
    """The file with other compressed pixels, whose checksum is right."""
    written = io.BytesIO()
    chunks = [
        chunk if chunk.name != b"IDAT" else chunk._replace(content=pixels) for chunk in png_chunks.chunks(content)
    ]
    png_chunks.write(written, memoryview(content[:33]), chunks[1:])
    return written.getvalue()


@pytest.mark.parametrize("bits", [8, 16])
def test_too_few_or_too_many_pixels_are_refused_before_they_fill_the_memory(tmp_path, refuse, bits, monkeypatch):
    content, _ = encoded(RGB, bits)
    raw = zlib.decompress(b"".join(bytes(data) for name, data in png_chunks.chunks(content) if name == b"IDAT"))
    (tmp_path / "a.png").write_bytes(rebuilt(content, zlib.compress(raw)))
    opened(tmp_path / "a.png", None)
    (tmp_path / "a.png").write_bytes(rebuilt(content, zlib.compress(raw[:-1])))
    refuse("is not a whole PNG", tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(rebuilt(content, zlib.compress(raw)[:-4]))  # without its checksum
    refuse("is not a whole PNG", tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(rebuilt(content, zlib.compress(raw[: len(raw) // 9 * 8])))  # a row less
    refuse("its pixels are fewer than its header claims", tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(rebuilt(content, zlib.compress(raw + bytes(2**26))))
    monkeypatch.setattr(png_chunks, "STEP", 1000)
    tracemalloc.start()
    refuse("its pixels are more than its header claims", tmp_path / "a.png")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_parts_after_the_end_of_the_pixels_are_refused(tmp_path, refuse):
    content, _ = encoded(RGB, 8)
    more = b"IDAT" + bytes(10)
    chunk = struct.pack(">I", 10) + more + struct.pack(">I", zlib.crc32(more))
    (tmp_path / "a.png").write_bytes(content[:-12] + chunk * 3 + content[-12:])
    refuse("is not a whole PNG: there are pixels after their end", tmp_path / "a.png")


def test_a_part_with_a_wrong_checksum_is_named(tmp_path, noise, refuse):
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "somebody")
    Image.fromarray(noise(SIZE, "u1")).save(tmp_path / "a.png", pnginfo=info)
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content.replace(b"somebody", b"anybody "))
    refuse("is not a whole PNG: its part 'tEXt' is damaged", tmp_path / "a.png")

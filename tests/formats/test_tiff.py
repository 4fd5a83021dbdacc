import errno
import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from domain_denoiser.base.errors import BadInput
from domain_denoiser.formats import tiff, tiff_folders
from domain_denoiser.formats.opening import opened

SIZE = (9, 13)
TYPES = ["u1", "u2", "?", "f2", "f4", "f8"]
LAYOUTS = {
    "grey": {"shape": SIZE},
    "rgb": {"shape": (*SIZE, 3), "photometric": "rgb"},
    "planar": {"shape": (3, *SIZE), "photometric": "rgb", "planarconfig": "separate"},
    "rgba": {"shape": (*SIZE, 4), "photometric": "rgb", "extrasamples": ["unassalpha"]},
    "premultiplied": {"shape": (*SIZE, 4), "photometric": "rgb", "extrasamples": ["assocalpha"]},
    "planar alpha": {"shape": (4, *SIZE), "photometric": "rgb", "planarconfig": "separate", "extrasamples": [2]},
    "grey alpha": {"shape": (*SIZE, 2), "photometric": "minisblack", "planarconfig": "contig", "extrasamples": [2]},
    "miniswhite": {"shape": SIZE, "photometric": "miniswhite"},
    "miniswhite alpha": {
        "shape": (*SIZE, 2),
        "photometric": "miniswhite",
        "planarconfig": "contig",
        "extrasamples": [2],
    },
}
MATRIX = [
    (dtype, layout)
    for dtype in TYPES
    for layout in LAYOUTS
    if not (dtype[0] == "f" and "miniswhite" in layout) and not (dtype == "?" and layout not in ("grey", "miniswhite"))
]


@pytest.fixture
def save(tmp_path, noise):
    """Write pages of random samples, one for each of the given layouts; returns the path."""

    def write(*layouts, dtype="u1", bigtiff=False, byteorder="<", **settings):
        with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=bigtiff, byteorder=byteorder) as writer:
            for layout in layouts:
                described = {"metadata": None, "software": False} | layout | settings
                writer.write(noise(described.pop("shape"), dtype), **described)
        return tmp_path / "a.tif"

    return write


def raw(path):
    """Each page as tifffile reads it, its type, and how its samples are to be understood."""
    with tifffile.TiffFile(path) as file:
        pages = [
            (page.asarray(), page.bitspersample, page.photometric, page.planarconfig, page.extrasamples)
            for page in file.pages
        ]
        return file.byteorder, file.is_bigtiff, pages


@pytest.mark.parametrize(("byteorder", "bigtiff"), [("<", False), (">", False), ("<", True), (">", True)])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(("dtype", "layout"), MATRIX)
def test_every_type_comes_out_as_it_was(save, rewritten, dtype, layout, compression, byteorder, bigtiff):
    path = save(LAYOUTS[layout], dtype=dtype, byteorder=byteorder, bigtiff=bigtiff, compression=compression)
    file = opened(path, None)
    channels = 3 if "photometric" in LAYOUTS[layout] and LAYOUTS[layout]["photometric"] == "rgb" else 1
    assert (file.kind, file.suffix, file.images, file.size, file.channels) == ("TIFF", ".tif", 1, SIZE, channels)
    assert file.dtype == np.dtype(dtype)
    output = rewritten(path)
    *wanted, [before] = raw(path)
    *found, [after] = raw(output)
    assert found == wanted
    np.testing.assert_array_equal(after[0], before[0])
    assert after[0].dtype == before[0].dtype == np.dtype(dtype)
    assert after[1:] == before[1:]
    with tifffile.TiffFile(output) as written:
        assert written.pages[0].compression == (8 if compression else 1)
        assert not {270, 305, 306} & {tag.code for tag in written.pages[0].tags}  # nothing was added


def test_blocks_are_the_values_that_are_seen(save, pixels, tmp_path):
    for layout in ("miniswhite", "grey", "rgb"):
        path = save(LAYOUTS[layout])
        shown = np.asarray(Image.open(path))  # Pillow inverts too
        np.testing.assert_array_equal(pixels(path)[0].squeeze(), shown)
    planar = save(LAYOUTS["planar"])
    np.testing.assert_array_equal(pixels(planar)[0], np.moveaxis(tifffile.imread(planar), 0, -1))
    bits = save(LAYOUTS["miniswhite"], dtype="?")
    np.testing.assert_array_equal(pixels(bits)[0, ..., 0], np.asarray(Image.open(bits)))


def test_16_bits_stay_16_bits(save, rewritten):
    found = tifffile.imread(rewritten(save({"shape": (40, 50)}, dtype="u2")))
    assert len(np.unique(found)) > 1000


def test_each_page_keeps_its_size_orientation_and_description(save, tmp_path, rewritten):
    sizes = [(9, 13), (9, 13), (5, 6), (1, 1), (13, 1), (1, 3)]
    pages = [
        {
            "shape": size,
            "description": f"page {number}",
            "resolution": ((300 + number, 7), (200, 1)),
            "resolutionunit": "centimeter",
            "iccprofile": b"profile %d" % number,
            "software": f"scanner {number}",
            "compression": "zlib" if number % 2 else None,
            "subfiletype": 2,
            "extratags": [
                (274, "H", 1, number % 8 + 1, True),
                (271, "s", 0, "maker", True),
                (306, "s", 0, "2020:01:02 03:04:05", True),
                (315, "s", 0, "Zoë".encode(), True),
                (297, "H", 2, (number, 6), True),
                (700, "B", 12, b"<x>meta</x>\n", True),
            ],
        }
        for number, size in enumerate(sizes)
    ]
    path = save(*pages)
    file = opened(path, None)
    assert (file.images, file.size) == (6, (9, 13))
    assert [block.shape for block in file.blocks()] == [
        (1, *(size[::-1] if number % 8 + 1 > 4 else size), 1) for number, size in enumerate(sizes)
    ]
    output = rewritten(path)
    with tifffile.TiffFile(path) as before, tifffile.TiffFile(output) as after:
        assert len(after.pages) == 6
        for old, new in zip(before.pages, after.pages):
            np.testing.assert_array_equal(new.asarray(), old.asarray())
            for code in (*tiff.KEPT, 254, 282, 283, 296, 259):
                assert new.tags.valueof(code) == old.tags.valueof(code)
            assert new.tags.valueof(315) == "Zoë"


@pytest.mark.parametrize("settings", [{}, {"imagej": True}, {"ome": True}])
def test_descriptions_of_stacks_are_kept(tmp_path, noise, rewritten, settings):
    stack = noise((5, *SIZE), "u2")
    tifffile.imwrite(tmp_path / "a.tif", stack, metadata={"axes": "ZYX"}, **settings)
    file = opened(tmp_path / "a.tif", None)
    assert (file.images, file.size) == (5, SIZE)
    output = rewritten(tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as before, tifffile.TiffFile(output) as after:
        assert [page.description for page in after.pages] == [page.description for page in before.pages]
        assert after.series[0].axes == before.series[0].axes
        np.testing.assert_array_equal(after.asarray(), stack)


@pytest.mark.parametrize(
    "settings", [{"tile": (16, 32)}, {"rowsperstrip": 2}, {"predictor": True, "compression": "zlib"}]
)
@pytest.mark.parametrize("layout", ["grey", "rgb", "planar"])
def test_strips_tiles_and_predictors_are_read(save, rewritten, settings, layout):
    path = save(LAYOUTS[layout] | {"shape": tuple(4 * n if n > 4 else n for n in LAYOUTS[layout]["shape"])}, **settings)
    np.testing.assert_array_equal(tifffile.imread(rewritten(path)), tifffile.imread(path))


@pytest.mark.parametrize("compression", ["packbits", "lzma"])
def test_other_compressions_come_out_as_deflate(save, tmp_path, rewritten, noise, compression):
    if compression == "lzma":
        path = save(LAYOUTS["grey"], compression="lzma")
    else:
        path = tmp_path / "a.tif"
        Image.fromarray(noise(SIZE, "u1")).save(path, compression="packbits")
    output = rewritten(path)
    np.testing.assert_array_equal(tifffile.imread(output), tifffile.imread(path))
    with tifffile.TiffFile(output) as file:
        assert file.pages[0].compression == 8


@pytest.mark.parametrize("scale", [257, 1])
def test_a_palette_comes_out_as_rgb(tmp_path, noise, rewritten, pixels, scale):
    indices = noise(SIZE, "u1")
    colours = np.random.default_rng(5).integers(0, 256, (3, 256)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", indices, photometric="palette", colormap=colours * np.uint16(scale))
    assert opened(tmp_path / "a.tif", None).notes == (f"{tmp_path}/a.tif has a palette; it comes out as RGB of 8 bits",)
    np.testing.assert_array_equal(pixels(tmp_path / "a.tif")[0], colours.T[indices])
    np.testing.assert_array_equal(tifffile.imread(rewritten(tmp_path / "a.tif")), colours.T[indices])


def test_a_name_that_ends_in_tiff_is_kept(save, tmp_path):
    path = save(LAYOUTS["grey"]).rename(tmp_path / "a.TIFF")
    assert opened(path, None).suffix == ".tiff"
    assert opened(path, None).output_suffixes() == (".tif", ".tiff")


def test_blocks_that_do_not_fit_are_a_mistake_of_the_program(save, tmp_path):
    file = opened(save({"shape": SIZE}, {"shape": (5, 6)}), None)
    first, second = file.blocks()
    for blocks in ([], [first], [first, second, second], [second, first], [first, second.astype(np.uint16)]):
        with pytest.raises(ValueError):
            file.write(tmp_path / "out.tif", iter(blocks), ".tif")


def test_reading_keeps_no_block(save):
    import gc
    import weakref

    gc.collect()
    blocks = opened(save(*[{"shape": SIZE}] * 3), None).blocks()
    block = next(blocks)
    seen = weakref.ref(block.base if block.base is not None else block)
    del block
    assert seen() is None
    next(blocks)


@pytest.mark.parametrize("place", [(tifffile.TiffWriter, "write"), (tiff_folders, "put")])
def test_what_the_files_data_raise_in_writing_is_told_from_what_the_target_raises(tmp_path, noise, monkeypatch, place):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[36867] = "2020:01:02 03:04:05"
    Image.fromarray(noise(SIZE, "u1")).save(tmp_path / "a.tif", exif=exif.tobytes())
    file = opened(tmp_path / "a.tif", None)
    for raised, wanted in [
        (struct.error("too large"), BadInput),
        (OSError(errno.ENOSPC, "No space"), OSError),
        (OSError("9 requested and 0 written"), OSError),  # as numpy says of a full disk
    ]:

        def fail(*_, raised=raised, **__):
            raise raised

        monkeypatch.setattr(*place, fail)
        with pytest.raises(wanted, match=str(raised.args[-1])):
            file.write(tmp_path / "out.tif", file.blocks(), ".tif")


# What is refused


@pytest.mark.parametrize(
    ("array", "settings", "wanted"),
    [
        (
            np.zeros(SIZE, np.int16),
            {},
            "page 1, has int16 samples, but 1, 8 or 16 bits without sign",
        ),
        (np.zeros(SIZE, np.uint32), {}, "has uint32 samples"),
        (np.zeros(SIZE, np.complex64), {}, "has complex64 samples"),
        (np.zeros((*SIZE, 4), np.uint8), {"photometric": "separated"}, "has the colours SEPARATED, but grey or RGB"),
        (np.zeros((*SIZE, 3), np.uint8), {"photometric": "cielab"}, "has the colours CIELAB, .* convert it to RGB"),
        (np.zeros((*SIZE, 3), np.uint8), {"photometric": "ycbcr"}, "has the colours YCBCR"),
        (np.zeros((*SIZE, 5), np.uint8), {"photometric": "rgb"}, "has 5 samples of 8 bits a pixel"),
        (np.zeros((*SIZE, 3), np.uint8), {"photometric": "minisblack", "planarconfig": "contig"}, "has 3 samples"),
        (np.zeros((16, 16, 16), np.uint8), {"volumetric": True, "tile": (16, 16, 16)}, "is a volume"),
        (np.zeros(SIZE, np.uint8), {"subifds": 1}, "has images within the page"),
        (np.zeros(SIZE, np.float32), {"photometric": "miniswhite"}, "has float values whose least one is white"),
        (np.zeros((2, *SIZE), np.uint8), {"truncate": True}, "keeps several images behind one page"),
    ],
    ids=str,
)
def test_types_that_are_not_read(tmp_path, refuse, array, settings, wanted):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(array, **settings)
        if "subifds" in settings:
            writer.write(array)
    refuse(wanted, tmp_path / "a.tif")


def test_a_stack_of_imagej_behind_one_page_is_refused(tmp_path, refuse):
    description = "ImageJ=1.54\nimages=3\nslices=3\n"
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(SIZE, np.uint8), description=description, metadata=None)
    refuse("keeps several images behind one page; save each image as a page of its own", tmp_path / "a.tif")


def test_pages_of_several_types_are_refused(tmp_path, refuse):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(np.zeros(SIZE, np.uint8))
        writer.write(np.zeros((*SIZE, 3), np.uint8), photometric="rgb")
    refuse("has pages of several types .*split it into files of one type each", tmp_path / "a.tif")


@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg", "group4"])
def test_a_compression_that_needs_another_package_names_it(tmp_path, noise, refuse, monkeypatch, compression):
    bits = compression == "group4"
    Image.fromarray(noise(SIZE, "?" if bits else "u1")).save(tmp_path / "a.tif", compression=compression)
    monkeypatch.setattr(tifffile.TIFF, "DECOMPRESSORS", {})  # as it is without that package
    monkeypatch.setattr(tiff.importlib.util, "find_spec", lambda name: None)
    name = {"tiff_lzw": "LZW", "jpeg": "JPEG", "group4": "CCITTFAX4"}[compression]
    refuse(f"is compressed with {name}, which needs one more package: pip install imagecodecs", tmp_path / "a.tif")


def test_a_compression_that_does_not_exist(save, refuse):
    path = save(LAYOUTS["grey"])
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags[259].overwrite(65003)
    refuse("is compressed with 65003", path)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_cut_off_anywhere_it_is_refused(save, refuse, compression):
    path = save(*[{"shape": (30, 40)}] * 2, compression=compression, rowsperstrip=4)
    content = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        ends = [page.dataoffsets[-1] + page.databytecounts[-1] for page in file.pages]
    for length in [8, 20, 100, *(len(content) * part // 9 for part in range(1, 9)), max(ends) - 1]:
        path.write_bytes(content[:length])
        refuse("is not a whole TIFF", path)


def test_missing_strips_are_not_filled(save, refuse):
    path = save({"shape": (30, 40)}, rowsperstrip=10)
    content = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        offsets, counts = tags[273].valueoffset, tags[279].valueoffset
        count_format = {3: "<H", 4: "<I"}[tags[279].dtype]
    for place, form in ((offsets, "<I"), (counts, count_format)):
        changed = bytearray(content)
        struct.pack_into(form, changed, place, 0)
        path.write_bytes(changed)
        refuse("a strip or tile of page 1 lies outside the file", path)


@pytest.mark.parametrize("compression", ["zlib", "lzma"])
def test_a_strip_that_unpacks_to_more_than_its_page_is_refused_before_it_fills_the_memory(
    save, refuse, compression, monkeypatch
):
    import lzma
    import tracemalloc

    monkeypatch.setattr(tiff, "STEP", 10_000)
    path = save(LAYOUTS["grey"], compression=compression)
    bomb = {"zlib": zlib.compress, "lzma": lzma.compress}[compression](bytes(2**26))
    content = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        offset, count = tags[273].valueoffset, tags[279].valueoffset
        form = {3: "<H", 4: "<I"}[tags[279].dtype]
    if form == "<H":
        pytest.skip("the number of bytes has 16 bits")
    changed = bytearray(content + bomb)
    struct.pack_into("<I", changed, offset, len(content))
    struct.pack_into(form, changed, count, len(bomb))
    path.write_bytes(changed)
    tracemalloc.start()
    refuse("unpacks to more than its page has", path)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_odd_tags_say_nothing(save, capfd, caplog):
    path = save({"shape": SIZE, "extratags": [(42113, "s", 0, "no number", True), (33629, "B", 1, b"x", True)]})
    list(opened(path, None).blocks())
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


@pytest.mark.parametrize(("byteorder", "bigtiff"), [("<", False), (">", False), ("<", True), (">", True)])
def test_exif_and_gps_data_of_each_page_are_kept(tmp_path, noise, rewritten, byteorder, bigtiff):
    exif = {33434: (1, 60), 36867: "2020:01:02 03:04:05", 37500: b"maker's own" * 9, 41990: 2, 37121: b"\1\2\3\0"}
    gps = {1: "N", 2: ((52, 1), (31, 1), (12, 1)), 5: 1}
    types = {33434: 5, 36867: 2, 37500: 7, 41990: 3, 37121: 7, 1: 2, 2: 5, 5: 1}
    form = {("<", False): tifffile.TIFF.CLASSIC_LE, (">", False): tifffile.TIFF.CLASSIC_BE}.get(
        (byteorder, bigtiff), tifffile.TIFF.BIG_LE if byteorder == "<" else tifffile.TIFF.BIG_BE
    )
    written = [{}, {34665: made(exif, types, form), 34853: made(gps, types, form)}, {34853: made(gps, types, form)}]
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, bigtiff=bigtiff, byteorder=byteorder) as writer:
        for folders in written:
            tags = [tiff_folders.placeholder(code, form) for code in folders]
            writer.write(noise(SIZE, "u1"), metadata=None, extratags=tags)
    tiff_folders.put(path, written)
    before, after = inner(path), inner(rewritten(path))
    assert after == before
    assert [sorted(folders) for folders in after] == [[], [34665, 34853], [34853]]
    assert after[1][34665]["DateTimeOriginal"] == "2020:01:02 03:04:05"
    assert after[1][34665]["MakerNote"] == b"maker's own" * 9
    assert after[1][34665]["ExposureTime"] == (1, 60)
    assert after[2][34853]["GPSLatitude"] == (52, 1, 31, 1, 12, 1)


def made(values, types, form):
    """A folder of the given values."""
    folder = object.__new__(tiff_folders.Folder)
    folder._tags = []
    for code, value in sorted(values.items()):
        match types[code]:
            case 2:
                packed, count = value.encode() + b"\0", len(value) + 1
            case 3:
                packed, count = struct.pack(form.byteorder + "H", value), 1
            case 5:
                flat = np.ravel(value)
                packed, count = struct.pack(f"{form.byteorder}{flat.size}I", *flat), flat.size // 2
            case 1:
                packed, count = bytes([value]), 1
            case 7:
                packed, count = value, len(value)
        folder._tags.append((code, types[code], count, packed))
    return folder


def inner(path):
    """The EXIF and GPS data of each page, as tifffile reads them."""
    with tifffile.TiffFile(path) as file:
        return [
            {code: page.tags[code].value for code in tiff_folders.FOLDERS if code in page.tags} for page in file.pages
        ]


def test_exif_that_pillow_wrote_is_kept(tmp_path, noise, rewritten):
    exif = Image.Exif()
    exif[271] = "maker"
    exif.get_ifd(0x8769)[36867] = "2020:01:02 03:04:05"
    Image.fromarray(noise(SIZE, "u1")).save(tmp_path / "a.tif", exif=exif.tobytes())
    with Image.open(rewritten(tmp_path / "a.tif")) as image:
        assert image.getexif().get_ifd(0x8769) == {36867: "2020:01:02 03:04:05"}
        assert image.getexif()[271] == "maker"


def test_exif_outside_the_file_is_refused(tmp_path, noise, refuse):
    exif = Image.Exif()
    exif[271] = "maker"
    exif.get_ifd(0x8769)[36867] = "2020:01:02 03:04:05"
    path = tmp_path / "a.tif"
    Image.fromarray(noise(SIZE, "u1")).save(path, exif=exif.tobytes())
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].tags[34665].valueoffset
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, place + 2 + 8, 2**31)  # of its first value
    path.write_bytes(content)
    refuse("is not a whole TIFF: a value of its EXIF or GPS data lies outside the file", path)


def test_pages_that_share_exif_longer_than_the_file_are_refused(tmp_path, noise, refuse, rewritten):
    def write(pages, length):
        form = tifffile.TIFF.CLASSIC_LE
        with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
            for _ in range(pages):
                writer.write(noise(SIZE, "u1"), metadata=None, extratags=[tiff_folders.placeholder(34665, form)])
        folder = made({37500: b"x" * length}, {37500: 7}, form)
        tiff_folders.put(tmp_path / "a.tif", [{34665: folder}, *[{}] * (pages - 1)])
        with (tmp_path / "a.tif").open("r+b") as opened, tifffile.TiffFile(opened) as file:
            place = file.pages[0].tags[34665].valueoffset
            for page in file.pages[1:]:
                tag = page.tags[34665 - 1]
                opened.seek(tag.offset)
                opened.write(struct.pack("<H", 34665))
                opened.seek(tag.valueoffset)
                opened.write(struct.pack("<I", place))
        return tmp_path / "a.tif"

    assert [len(found[34665]["MakerNote"]) for found in inner(rewritten(write(5, 40)))] == [40] * 5
    refuse("the EXIF and GPS data of all its pages are longer than the file", write(5, 4000))


def test_exif_is_held_of_one_page_at_a_time(tmp_path, noise, rewritten):
    form = tifffile.TIFF.CLASSIC_LE
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for _ in range(10):
            writer.write(noise(SIZE, "u1"), metadata=None, extratags=[tiff_folders.placeholder(34665, form)])
    tiff_folders.put(tmp_path / "a.tif", [{34665: made({37500: bytes(10**6)}, {37500: 7}, form)}] * 10)
    file = opened(tmp_path / "a.tif", None)
    blocks = list(file.blocks())
    tracemalloc.start()
    file.write(tmp_path / "out.tif", blocks, ".tif")
    assert tracemalloc.get_traced_memory()[1] < 6 * 10**6
    tracemalloc.stop()


def test_a_source_that_cannot_be_read_is_named_also_while_the_target_is_written(save, tmp_path, monkeypatch):
    file = opened(save(LAYOUTS["grey"]), None)
    blocks = list(file.blocks())

    def fail(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched, pytest.raises(BadInput, match="a.tif cannot be read: Input/output error"):
        patched.setattr(tifffile.TiffPage, "asarray", fail)
        list(file.blocks())
    file.path.unlink()
    for read in (lambda: list(file.blocks()), lambda: file.write(tmp_path / "out.tif", blocks, ".tif")):
        with pytest.raises(BadInput, match="a.tif cannot be read: No such file"):
            read()


def test_values_of_exif_are_together_no_longer_than_the_file_and_point_to_no_other_folder():
    form = tifffile.TIFF.CLASSIC_LE
    entries = [(37500, 7, 90, 10), (37510, 7, 90, 10)]  # both at the same place
    content = struct.pack("<H", 3) + b"".join(struct.pack("<HHII", *entry) for entry in [*entries, (40965, 4, 1, 8)])
    content += bytes(100)
    folder = tiff_folders.Folder(io.BytesIO(content), 0, form, 36 + 180)
    assert [code for code, *_ in folder._tags] == [37500, 37510]
    with pytest.raises(ValueError, match="lies outside the file"):
        tiff_folders.Folder(io.BytesIO(content), 0, form, 36 + 179)


@pytest.mark.parametrize(
    ("count", "size", "wanted"),
    [(2**38, 2**20, "its EXIF or GPS data lies outside the file"), (2**16, 2**24, "has more than 65,535 entries")],
)
def test_a_number_of_entries_that_cannot_be_is_refused_before_they_are_read(count, size, wanted):
    class File(io.BytesIO):
        def read(self, length):
            assert length == 8
            return super().read(length)

    with pytest.raises(ValueError, match=wanted):
        tiff_folders.Folder(File(struct.pack("<Q", count)), 0, tifffile.TIFF.BIG_LE, size)


def test_many_pages_take_no_longer_each(save, monkeypatch):
    """To open the file for each would take the longer, the more pages come before."""
    opens = []
    monkeypatch.setattr(
        tifffile, "TiffFile", lambda *given, real=tifffile.TiffFile, **named: opens.append(1) or real(*given, **named)
    )
    file = opened(save(*[{"shape": (2, 3)}] * 20), None)
    opens.clear()
    assert sum(len(block) for block in file.blocks()) == 20
    assert len(opens) == 1

"""What a stranger may give: bytes of files that look right, nearly right, or nothing like it, drawn by hypothesis."""

import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

EXTREMES = st.sampled_from([0, 1, 27, 28, 29, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64, 10**12])
# Names that files have on other people's machines; the last is no text at all.
NAMES = st.sampled_from(
    ["7", "two words", "größer ☃", "-rf", "a\nb", "\x1b[31mred", "x" * 200, "'\"$(id)", "\udcff\udcfe"]
)


@cache
def bomb() -> bytes:
    """65 kB that zlib makes 67 MB of."""
    return zlib.compress(bytes(2**26))


@cache
def gzip_bomb() -> bytes:
    """130 kB that gzip makes 134 MB of."""
    return gzip.compress(bytes(2**27), mtime=0)


class Payload:
    """Unpickling it leaves a folder behind."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.path,)


HARM = "harm"  # the folder that hostile code would make where it runs


@st.composite
def mutated(draw: st.DrawFn, valid: bytes) -> bytes:
    """Valid bytes with a few of them changed, cut off, doubled or put elsewhere."""
    content = bytearray(valid)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        match draw(st.sampled_from(["flip", "cut", "insert", "double", "integer"])):
            case "flip" if content:
                content[place] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del content[place : place + draw(st.integers(1, len(valid) or 1))]
            case "insert":
                content[place:place] = draw(st.binary(max_size=8))
            case "double":
                content[place:place] = content[place : place + 64]
            case "integer":
                value = draw(EXTREMES) % 2**32
                content[place : place + 4] = struct.pack(draw(st.sampled_from("<>")) + "I", value)
    return bytes(content)


# Values, for YAML and JSON

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | EXTREMES
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["../../x", "/etc/passwd", "\x00", "\x1b[2J", "fixed", "", "1e999", "x" * 5000])
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)


def varied(valid: object) -> st.SearchStrategy[object]:
    """A valid value with anything at all in one place of it, or without something."""

    @st.composite
    def vary(draw: st.DrawFn, value: object) -> object:
        if isinstance(value, dict) and value and draw(st.integers(0, 4)):
            key = draw(st.sampled_from(sorted(value)))
            match draw(st.sampled_from(["inside", "inside", "inside", "without", "beside"])):
                case "inside":
                    return value | {key: draw(vary(value[key]))}
                case "without":
                    return {name: inner for name, inner in value.items() if name != key}
                case _:
                    return value | {draw(st.text(max_size=6)): draw(ANYTHING)}
        if isinstance(value, list) and value and draw(st.integers(0, 4)):
            place = draw(st.integers(0, len(value) - 1))
            return [*value[:place], draw(vary(value[place])), *value[place + 1 :]]
        return draw(ANYTHING)

    return vary(valid)


@st.composite
def json_texts(draw: st.DrawFn, valid: object) -> bytes:
    """JSON, or nearly: keys twice, NaN, numbers of thousands of digits, brackets without end."""
    text = json.dumps(draw(varied(valid) | st.just(valid)))
    match draw(st.sampled_from(["plain", "plain", "plain", "mutated", "digits", "deep", "twice", "utf-16"])):
        case "mutated":
            return draw(mutated(text.encode()))
        case "digits":
            return text.replace("0", "9" * draw(st.integers(1, 6000)), 1).encode()
        case "deep":
            return b"[" * draw(st.integers(1, 100_000))
        case "twice":
            return ("{" + text[1:-1] + "," + text[1:-1] + "}").encode()
        case "utf-16":
            return text.encode("utf-16")
    return text.encode()


YAML_TAGS = (
    "!!python/object/apply:os.mkdir [harm]",
    "!!python/name:os.system",
    "!!python/object/new:os.mkdir [harm]",
    *("!!timestamp x", "!!binary é", "!!set [1]", "!!omap x", "!!int ''", "!!float x", "!!merge x", "!foo bar"),
    *("2001-99-99", "0b", "0x", "1e999", ".nan", "<<: 1", "*nowhere", "&a [*a]", "? [a, {b: c}]", "{{a: 1}: 2}"),
)


def laughs(depth: int, width: int, merged: bool) -> bytes:
    """`width ** depth` values in a few lines."""
    lines = ["l0: &l0 {a: 1}"]
    for level in range(1, depth + 1):
        below = ", ".join([f"*l{level - 1}"] * width)
        lines.append(f"l{level}: &l{level} " + (f"{{<<: [{below}], k{level}: 1}}" if merged else f"[{below}]"))
    return ("\n".join(lines) + "\n").encode()


@st.composite
def yaml_texts(draw: st.DrawFn, valid: object, written: bytes) -> bytes:
    """YAML, or nearly. JSON is YAML too; `written` is a valid file as people write it."""
    match draw(
        st.sampled_from(["value", "value", "value", "mutated", "tag", "laughs", "digits", "deep", "twice", "text"])
    ):
        case "value":
            return json.dumps(draw(varied(valid))).encode()
        case "mutated":
            return draw(mutated(written))
        case "tag":
            return written.replace(b"2018", draw(st.sampled_from(YAML_TAGS)).encode(), 1)
        case "laughs":
            depth = draw(st.integers(1, 25))
            text = laughs(depth, draw(st.integers(2, 9)), draw(st.booleans()))
            return text + written.replace(b"2018", f"*l{depth}".encode(), 1)
        case "digits":
            prefix, digit = draw(st.sampled_from([("0x", "f"), ("0o", "7"), ("0b", "1"), ("", "9"), ("-", "9")]))
            return written.replace(b"2018", (prefix + digit * draw(st.integers(1, 20_000))).encode(), 1)
        case "deep":
            return draw(st.sampled_from([b"[", b"{", b"- ", b"? ", b"a: {"])) * draw(st.integers(1, 3000))
        case "twice":
            return written + written
    return draw(st.text(max_size=60)).encode("utf-8", "surrogatepass")


# Images

SHAPES = st.lists(st.sampled_from([0, 1, 2, 28]) | EXTREMES, max_size=4).map(tuple) | st.just((2, 28, 28))
DESCRIPTIONS = st.sampled_from(
    ["|u1", "<f4", ">f4", "<f2", "<f8", "<f16", "|b1", "<i8", "<u2", "<c8", "|O", "|V0", "|S0", "<U3", "<M8[ns]", ""]
).map(repr) | st.sampled_from(
    ["()", "[]", "('<f4',)", "('<f4', (2,))", "[('a', '<f4')]", "None", "1", "-" * 5000 + "1", "(" * 100 + ")" * 100]
)


def header(description: str, shape: object, fortran: object, version: tuple[int, int], length: int | None) -> bytes:
    """The beginning of a .npy file that says so; `length` is what it claims of itself."""
    text = f"{{'descr': {description}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode()
    size = struct.pack("<H" if version[0] == 1 else "<I", (len(text) if length is None else length) % 2**16)
    return b"\x93NUMPY" + bytes(version) + size + text


def npy(array: np.ndarray, pickled: bool = False) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=pickled)
    return content.getvalue()


@st.composite
def arrays(draw: st.DrawFn) -> bytes:
    """.npy files."""
    match draw(st.sampled_from(["header", "header", "values", "values", "mutated", "pickle", "other"])):
        case "header":
            version = draw(st.sampled_from([(1, 0), (1, 0), (2, 0), (3, 0), (255, 255)]))
            length = draw(st.none() | st.sampled_from([0, 10, 65535]))
            fortran = draw(st.sampled_from([False, True, "'x'"]))
            top = header(draw(DESCRIPTIONS), draw(SHAPES), fortran, version, length)
            return top + bytes(draw(st.sampled_from([0, 1, 784, 1568, 6272, 12544])))
        case "values":
            kind = draw(st.sampled_from(["u1", "<f2", ">f4", "<f8", "g", "i4", "?"]))
            shape = draw(st.sampled_from([(1, 28, 28), (3, 28, 28), (2, 27, 28), (28, 28), (2, 5, 9), (1, 1, 1)]))
            values = np.full(shape, draw(st.floats(-0.125, 1.125)))
            with np.errstate(all="ignore"):
                if draw(st.booleans()):
                    values.flat[-1] = draw(st.sampled_from([np.nan, np.inf, -np.inf, -1e-9, 1.0, 255.0, 1e300]))
                values = values.astype(kind)
            return npy(np.asfortranarray(values) if draw(st.booleans()) else values)
        case "pickle":
            return draw(st.sampled_from([npy(np.array([Payload(HARM)]), True), pickle.dumps(Payload(HARM))]))
        case "mutated":
            return draw(mutated(npy(np.zeros((1, 28, 28), np.uint8))))
    return draw(st.binary(max_size=100) | st.just(b"PK\x03\x04") | st.just(b"\x93NUMPY"))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@cache
def chunks() -> list[bytes]:
    """Parts of a PNG that promise more than they hold, or hold more than they should."""
    empty = (b"tRNS", b"gAMA", b"pHYs", b"cHRM", b"sRGB", b"eXIf", b"PLTE", b"IDAT", b"IHDR")
    return [
        chunk(b"zTXt", b"a\0\0" + bomb()),
        chunk(b"iTXt", b"a\0\1\0\0\0" + bomb()),
        chunk(b"iCCP", b"a\0\0" + bomb()),
        chunk(b"IDAT", bomb()),
        chunk(b"tEXt", b"a\0" + b"x" * 1000) * 1000,
        chunk(b"acTL", struct.pack(">II", 2**31, 0)),
        chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 2**31 - 1, 2**31 - 1, 0, 0, 1, 1, 0, 0)),
        *(chunk(kind, b"") for kind in empty),
        chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"),
        b"\xff\xff\xff\xffIDAT",
    ]


SIDES = st.sampled_from([28, 28, 28, 0, 1, 9, 64, 9500, 4097, 65536, 2**31 - 1, 2**32 - 1])


def png(width: int, height: int, depth: int = 8, colour: int = 0, interlace: int = 0, between: bytes = b"") -> bytes:
    """A PNG whose checksums hold, whatever it claims; its pixels are those of 28 x 28."""
    top = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))
    pixels = chunk(b"IDAT", zlib.compress(bytes(28 * 29)))
    return b"\x89PNG\r\n\x1a\n" + top + between + pixels + chunk(b"IEND", b"")


@st.composite
def pictures(draw: st.DrawFn) -> bytes:
    """PNG files."""
    match draw(st.sampled_from(["built", "built", "chunks", "mutated", "mutated", "other"])):
        case "built":
            depth, colour = draw(st.sampled_from([1, 2, 4, 5, 8, 16])), draw(st.integers(0, 7))
            return png(draw(SIDES), draw(SIDES), depth, colour, draw(st.integers(0, 2)))
        case "chunks":
            return png(28, 28, between=b"".join(draw(st.lists(st.sampled_from(chunks()), min_size=1, max_size=3))))
        case "mutated":
            return draw(mutated(png(28, 28, between=chunk(b"tEXt", b"a\0b") + chunk(b"tRNS", b"\0\1"))))
    return draw(
        st.binary(max_size=60) | st.just(png(28, 28)) | st.sampled_from([b"GIF89a", b"\xff\xd8\xff", b"\x89PNG"])
    )


# MNIST's own format, and the package that brings it


def idx(content: bytes, *shape: int, kind: int = 8) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, kind, len(shape), *(length % 2**32 for length in shape)) + content


@st.composite
def idx_texts(draw: st.DrawFn) -> bytes:
    """Uncompressed IDX files of three images, or not quite."""
    valid = idx(bytes(3 * 784), 3, 28, 28)
    match draw(st.sampled_from(["header", "header", "mutated", "other", "valid"])):
        case "header":
            content = bytes(draw(st.sampled_from([0, 3, 784, 2352, 2353, 9408])))
            kind = draw(st.sampled_from([8, 8, 9, 11, 12, 13, 14, 0, 255]))
            return idx(content, *draw(st.lists(st.sampled_from([3, 28]) | EXTREMES, max_size=4)), kind=kind)
        case "mutated":
            return draw(mutated(valid))
        case "valid":
            return valid
    return draw(st.binary(max_size=60))


@st.composite
def gzipped(draw: st.DrawFn, content: bytes) -> bytes:
    """A gzip file of the content, or not quite."""
    packed = gzip.compress(content, 1, mtime=0)
    match draw(st.sampled_from(["whole", "whole", "mutated", "bomb", "name", "twice", "members"])):
        case "mutated":
            return draw(mutated(packed))
        case "bomb":
            return gzip_bomb()[: draw(st.sampled_from([10_000, 2**30]))]
        case "name":
            return packed[:3] + b"\x08" + packed[4:10] + b"a" * draw(st.sampled_from([10, 2**20])) + packed[10:]
        case "twice":
            return packed + packed
        case "members":
            return gzip.compress(b"", mtime=0) * 1000 + packed
    return packed


@st.composite
def tarballs(draw: st.DrawFn, wanted: list[str], content: bytes) -> bytes:
    """Packages with the wanted members, and members that no archive should have."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=draw(st.sampled_from([1, 1, 2]))) as archive:
        hostile = ["../../evil", "/evil", "package/data/../../../evil", "package/" + "x" * 300, ".", ""]
        for name in draw(st.permutations([*draw(st.lists(st.sampled_from(hostile), max_size=3)), *wanted])):
            member = tarfile.TarInfo(name)
            if draw(st.integers(0, 3)):
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            else:
                kinds = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
                member.type = draw(st.sampled_from([*kinds, b"S", b"L", b"K", b"x", b"g", b"\xff"]))
                member.linkname = draw(st.sampled_from(["/etc/passwd", "../../../etc/passwd", name, wanted[0]]))
                member.pax_headers = draw(st.sampled_from([{}, {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}]))
                archive.addfile(member)
    packed = whole.getvalue()
    return draw(gzipped(draw(st.just(packed) | mutated(packed))))


# Weights


@st.composite
def weights(draw: st.DrawFn, valid: bytes) -> bytes:
    """safetensors files; `valid` is one that fits."""
    length = struct.unpack("<Q", valid[:8])[0]
    described, content = json.loads(valid[8 : 8 + length]), valid[8 + length :]
    match draw(st.sampled_from(["header", "header", "length", "values", "mutated", "other", "pickle"])):
        case "header":
            text = draw(json_texts(described))
        case "length":
            claimed = draw(st.sampled_from([0, 1, 2**20, 2**20 + 1, 99_999_999, 2**31, 2**60, 2**64 - 1]))
            return struct.pack("<Q", claimed) + valid[8:]
        case "values":
            extreme = draw(st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45]))
            values = np.frombuffer(content, "<f4").copy()
            values[draw(st.sampled_from([slice(0, 1), slice(None)]))] = extreme
            return valid[: 8 + length] + values.tobytes()
        case "mutated":
            return draw(mutated(valid))
        case "pickle":
            return pickle.dumps(Payload(HARM))
        case _:
            return draw(st.binary(max_size=40) | st.just(valid))
    return struct.pack("<Q", len(text)) + text + content


# Tables


@st.composite
def tables(draw: st.DrawFn, columns: list[str], rows: list[list[object]]) -> bytes:
    """CSV files; `rows` are valid ones."""
    odd = st.sampled_from(
        ["", "nan", "inf", "-inf", "1e999", "x", "0x10", "1,1", '"', "\x00", "9" * 400, "1.5", "-1", "é"]
    )
    drawn = [list(map(str, row)) for row in rows]
    match draw(st.sampled_from(["value", "value", "rows", "columns", "mutated", "other", "valid"])):
        case "value":
            row = draw(st.integers(0, len(drawn) - 1))
            drawn[row][draw(st.integers(0, len(columns) - 1))] = draw(odd | st.floats().map(str))
        case "rows":
            drawn = [row for row in drawn for _ in range(draw(st.integers(0, 2)))]
            drawn = [[*row, *["1"] * draw(st.integers(0, 1))] for row in drawn]
        case "columns":
            columns = draw(st.permutations([*columns, draw(st.sampled_from(["", "epoch", "x", "sigma"]))]))
        case "mutated":
            return draw(mutated(csv(columns, drawn)))
        case "other":
            return draw(st.binary(max_size=60))
    return csv(columns, drawn)


def csv(columns: list[str], rows: list[list[object]]) -> bytes:
    return "\n".join([",".join(map(str, line)) for line in [columns, *rows]]).encode() + b"\n"


def write(folder: Path, files: dict[str, bytes | Path]) -> None:
    """Put files into a folder; a path stands for a link to it."""
    for name, content in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(content) if isinstance(content, Path) else target.write_bytes(content)

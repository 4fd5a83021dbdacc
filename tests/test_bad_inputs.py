"""Whatever a stranger gives: a valid result or one sentence, within seconds and a gigabyte, nothing half written."""

import gzip
import io
import json
import os
import resource
import struct
import subprocess
import tarfile
from pathlib import Path

import hostile
import hostile_files
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from domain_denoiser import params
from domain_denoiser.base import parsing, reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import images
from domain_denoiser.data import archives, sources
from domain_denoiser.evaluation import tables
from domain_denoiser.formats import opening
from domain_denoiser.networks import stored
from domain_denoiser.operations.restoring.plan import plan

KINDS = list(hostile.kinds())
SLOW = {
    "params.yaml": 30,
    "npm package": 25,
    "IDX files": 25,
    "dvc.lock": 30,
}  # examples of what takes a tenth of a second each


@pytest.mark.parametrize("kind", KINDS)
def test_any_input_is_a_valid_result_or_one_sentence(kind: str) -> None:
    seen = set()

    @settings(
        max_examples=SLOW.get(kind, 60),
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(drawn=hostile.kinds()[kind].given)
    def check(drawn: hostile.Files) -> None:
        found = hostile.outcome(kind, drawn)
        assert found.verdict in (hostile.VALID, hostile.SENTENCE), found
        seen.add(found.verdict)

    check()
    assert seen == {hostile.VALID, hostile.SENTENCE}  # else the generator tries one side only


# What was found to hang, to fill the memory, to end in a traceback, or to give a wrong result that looks right


def refused(read, *arguments: object, within: int = 2**28) -> str:
    """The sentence; reading takes no more memory than `within` above what is taken already."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadInput) as raised:
        read(*arguments)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < within
    return str(raised.value)


@pytest.mark.parametrize("merged", [False, True], ids=["aliases", "merges"])
def test_few_lines_of_yaml_that_stand_for_billions_of_values(merged: bool) -> None:
    laughs = hostile_files.laughs(20, 9, merged)
    assert len(laughs) < 2000
    assert "line 1 uses the YAML anchor 'l0'" in refused(parsing.parse, laughs, "params.yaml")


def test_number_of_thousands_of_digits(committed: dict) -> None:
    given = committed | {"seed": 16**10_000}
    sentence = refused(params.check, params.Params, given, "params.yaml")
    assert sentence.startswith("params.yaml: seed is a number of thousands of digits, but input should be")


def test_file_of_more_than_the_stated_size(tmp_path: Path) -> None:
    with (tmp_path / "params.yaml").open("wb") as opened:
        opened.truncate(2**34)
    assert refused(params.read, tmp_path / "params.yaml").endswith(f"has more than {2**20} bytes")


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_is_not_waited_for(kind: str, tmp_path: Path) -> None:
    def put(name: str) -> Path:
        path = tmp_path / name
        os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
        return path

    for read in (
        lambda: params.read(put("params.yaml")),
        lambda: images.load(put("images.npy")),
        lambda: opening.opened(put("noisy.npy"), None),
        lambda: opening.opened(put("noisy.png"), None),
        lambda: stored.load_settings(put("model.json").parent),
        lambda: stored._load_weights(put("model.safetensors")),
        lambda: tables.load(put("table.csv")),
    ):
        assert "is a pipe or a device" in refused(read)


def test_array_of_a_thousand_billion_nothings(tmp_path: Path) -> None:
    """numpy copies them one by one, for hours."""
    for description in ("'|V0'", "'<U0'", "[]"):
        content = hostile_files.header(description, (2**40, 1, 1), False, (1, 0), None)
        (tmp_path / "a.npy").write_bytes(content)
        assert "its header claims" in refused(images.load_array, tmp_path / "a.npy")


@pytest.mark.parametrize("description", ["()", "('<f4',)", "(((),),)"])
def test_array_whose_type_is_an_empty_list(tmp_path: Path, description: str) -> None:
    (tmp_path / "a.npy").write_bytes(hostile_files.header(description, (1,), False, (1, 0), None))
    assert "is not a .npy array" in refused(images.load_array, tmp_path / "a.npy")


def test_header_of_an_array_that_claims_four_billion_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\2\0" + struct.pack("<I", 2**32 - 1) + b"{}")
    assert "is not a .npy array" in refused(images.load_array, tmp_path / "a.npy")


def seen(path: Path) -> None:
    """Open an image file, and read all that it holds."""
    for _ in opening.opened(path, None).blocks():
        pass


@pytest.mark.parametrize("side", [9_500, 2**31 - 1])
def test_picture_of_more_pixels_than_there_is_memory(tmp_path: Path, side: int) -> None:
    """Of the first, Pillow only warns; its pixels are not there."""
    (tmp_path / "a.png").write_bytes(hostile_files.png(side, side))
    refused(seen, tmp_path / "a.png")


def test_picture_whose_part_claims_four_billion_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(hostile_files.png(28, 28, between=b"\xff\xff\xff\xffIDAT"))
    with hostile._limited():
        assert "is not a whole PNG" in refused(seen, tmp_path / "a.png")


@pytest.mark.parametrize("bomb", [b"zTXt", b"iTXt", b"iCCP"])
def test_picture_with_a_text_that_unpacks_without_end(tmp_path: Path, bomb: bytes) -> None:
    found = next(chunk for chunk in hostile_files.chunks() if chunk[4:8] == bomb)
    (tmp_path / "a.png").write_bytes(hostile_files.png(28, 28, between=found))
    refused(seen, tmp_path / "a.png")


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside.png", "inside.png", "loop.png"])
def test_link_in_a_folder_of_pictures(tmp_path: Path, target: str) -> None:
    """What it leads to was not given."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for path in (folder / "inside.png", tmp_path / "outside.png"):
        path.write_bytes(hostile_files.png(28, 28))
    (folder / "link.png").symlink_to(target if target != "loop.png" else "link.png")
    planned = plan([folder], tmp_path / "restored", skip_existing=False)
    inside = target == "inside.png"
    assert [job.path.name for job in planned.jobs] == ["inside.png"] + ["link.png"] * inside
    assert inside or [name for name in planned.broken if "is a link that leads out of" in name]


def test_names_that_no_path_can_have(tmp_path: Path) -> None:
    for name, wanted in (("x" * 300, "cannot be reached"), ("\0", "cannot be reached|does not exist")):
        with pytest.raises(BadInput, match=wanted):
            plan([tmp_path / f"{name}.npy"], tmp_path / "restored.npy", skip_existing=False)


def test_weights_with_a_million_names(tmp_path: Path) -> None:
    """Each is a tensor of no size: a gigabyte of memory for a file that says little."""
    names = {f"t{number}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(30_000)}
    text = json.dumps(names).encode()
    given = hostile.stored_model("mlp") | {"model.safetensors": struct.pack("<Q", len(text)) + text}
    hostile_files.write(tmp_path, given)
    assert "its header claims" in refused(stored.load, tmp_path, "cpu")


def test_network_of_a_thousand_billion_weights(tmp_path: Path) -> None:
    unet = {"architecture": "unet", "fine_blocks": 100, "coarse_blocks": 100}
    large = {"fine_channels": 4096, "coarse_channels": 4096}
    for network in (unet | large, unet | {"fine_channels": 10**5, "coarse_channels": 10**5}):
        given = hostile.stored_model("mlp") | {"model.json": json.dumps(network).encode()}
        hostile_files.write(tmp_path, given)
        refused(stored.load, tmp_path, "cpu")


HEADER = ",".join(tables.COLUMNS).encode() + b"\n"


@pytest.mark.parametrize(
    "rows",
    [
        b"9,0.5,0,0.1,10,0.5\n",  # pandas would take the first value for the row's name
        b"0.5,0,0.1,10,0.5\n0.5,2,0.1,10,0.5\n",  # an image is missing
        b"0.5,0,0.1,10,0.5\n0.5,0,0.1,10,0.5\n",  # one is there twice
        b"0.5,1,0.1,10,0.5\n0.5,0,0.1,10,0.5\n",  # in another order: images are paired by it
        b"0.5,0,0.1,10,0.5\n1.0,0,0.1,10,0.5\n1.0,1,0.1,10,0.5\n",  # another number of images at another level
        b"0.5,0.4,0.1,10,0.5\n",
        b"0.5,0,nan,10,0.5\n",
        b"0.5,0,0.1,inf,0.5\n",
        b"",
    ],
)
def test_table_that_would_give_a_wrong_result(rows: bytes) -> None:
    refused(tables.parse, HEADER + rows, "fixed.csv")


@pytest.mark.parametrize("epochs", [(1, 3), (2, 3), (1, 1), (1.5,), ()])
def test_history_with_other_epochs(epochs: tuple[float, ...]) -> None:
    rows = "".join(f"{epoch},0.1,0.1,19.9,0.003\n" for epoch in epochs)
    refused(tables.history, (",".join(tables.HISTORY) + "\n" + rows).encode(), "history.csv")


@pytest.mark.parametrize(
    "text", [b'{"a": 1, "a": 2}', b'{"a": NaN}', b"[-Infinity]", b"9" * 5000, b"[" * 10**6, b"\xff"]
)
def test_json_that_python_takes_and_others_do_not(text: bytes) -> None:
    assert refused(reading.from_json, text, "model.json").startswith("model.json is not JSON: ")


# Archives


def members(package: bytes, tmp_path: Path) -> dict[str, bytes]:
    (tmp_path / "package.tgz").write_bytes(package)
    return dict(archives.members(tmp_path / "package.tgz", ["package/data/a"], 1000))


def tgz(*members: tuple[str, bytes, bytes], **pax: str) -> bytes:
    """Members as (name, type, content)."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz", format=tarfile.PAX_FORMAT, pax_headers=pax) as archive:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, len(content), "/etc/passwd"
            archive.addfile(member, io.BytesIO(content))
    return whole.getvalue()


def test_members_that_lead_elsewhere_are_not_written(tmp_path: Path, tree) -> None:
    good = ("package/data/a", tarfile.REGTYPE, b"good")
    hostile_members = [
        ("../../evil", tarfile.REGTYPE, b"evil"),
        (str(tmp_path / "evil"), tarfile.REGTYPE, b"evil"),
        ("evil", tarfile.CHRTYPE, b""),
        ("evil", tarfile.SYMTYPE, b""),
    ]
    assert members(tgz(*hostile_members, good), tmp_path) == {"package/data/a": b"good"}
    assert tree(tmp_path) == {"package.tgz"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_member_that_is_no_file(kind: bytes, tmp_path: Path) -> None:
    with pytest.raises(archives.Unfit, match="not a plain file"):
        members(tgz(("package/data/a", kind, b"")), tmp_path)


@pytest.mark.parametrize(
    ("package", "wanted"),
    [
        (lambda: hostile_files.gzip_bomb() * 1, "it has no package/data/a|not an archive"),
        (lambda: gzip.compress(bytes(2**29), 1), f"it has more than {2**28} bytes"),
        (lambda: tgz(("package/data/a", tarfile.REGTYPE, bytes(2000))), "not a plain file of 1000 bytes"),
        (lambda: tgz(*[("x", tarfile.REGTYPE, b"")] * 10_001), "more than 10000 members"),
        (lambda: tgz(("package/data/a", tarfile.REGTYPE, b"good"))[:-20], "truncated"),
        (lambda: b"", "truncated"),
        (lambda: b"\x1f\x8b no archive", "not an archive"),
        (lambda: gzip.compress(b"\xff" * 10_000), "not an archive"),
        (lambda: gzip.compress(claims(b"x", 2**35)), "claim more than it has|not an archive"),
        (lambda: gzip.compress(claims(b"L", 2**35)), "claim more than it has|not an archive"),
        (lambda: gzip.compress(sparse(10**9)), "not an archive|not a plain file|claim more"),
    ],
    ids=["zeros", "bomb", "large", "many", "cut", "empty", "start", "text", "pax", "longname", "sparse"],
)
def test_package_that_is_none(package, wanted: str, tmp_path: Path) -> None:
    with pytest.raises(archives.Unfit, match=wanted):
        members(package(), tmp_path)


def claims(kind: bytes, size: int) -> bytes:
    """A header whose content is said to be so large."""
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT) + bytes(10_240)


def sparse(holes: int) -> bytes:
    """A file that is said to have so many holes, whose list never comes."""
    member = tarfile.TarInfo("package/data/a")
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "package/data/a"}
    member.size = 512
    return member.tobuf(tarfile.PAX_FORMAT) + f"{holes}\n".encode().ljust(512, b"0")


def test_gzip_header_that_goes_on_and_on() -> None:
    """Python's own reader takes it byte by byte, and empty members one by one."""
    packed = gzip.compress(b"x", mtime=0)
    name = packed[:3] + b"\x08" + packed[4:10] + b"a" * 2**24 + b"\0" + packed[10:]
    assert sources._uncompressed(name, "file") == b"x"
    assert sources._uncompressed(gzip.compress(b"", mtime=0) * 10**5, "file") == b""


def test_a_bad_idx_file_is_named() -> None:
    files = {f"train-{kind}-ubyte": hostile_files.idx(b"", 2**31) for kind in ("images-idx3", "labels-idx1")}
    with pytest.raises(sources.SourceFailed, match="^train-images-idx3-ubyte is not an IDX file"):
        sources._labelled("train", files)


# The real command line


def test_a_bad_input_at_the_command_line(tmp_path: Path) -> None:
    """Exit status 2 and one line on standard error, whatever the name has in it."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    hostile_files.write(tmp_path / "models/given", hostile.stored_model("mlp"))
    name = "größer\n\x1b[31m ☃ \udcff.npy"
    np.save(tmp_path / name, np.full((1, 28, 28), np.nan))
    command = ["denoise", "restore", "--model", "given", name, "restored.npy"]
    before = sorted(tmp_path.rglob("*"))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=hostile.PATIENCE_S)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: größer\\n\\x1b[31m ☃ \\udcff.npy has values that are NaN or infinite")
    assert done.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
    np.save(tmp_path / name, np.zeros((1, 28, 28)))
    command[-1] = f"restored {name}"
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=hostile.PATIENCE_S)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "1 image restored by given: restored größer\\n\\x1b[31m ☃ \\udcff.npy\n"
    assert (tmp_path / f"restored {name}").exists()

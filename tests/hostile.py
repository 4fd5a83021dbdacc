"""Kinds of input that a stranger may give, what reads each, and what comes of it.

benchmarks/bad_inputs.py has them too.

Whatever is given, there is a valid result or one sentence, within seconds and within `MEMORY`.
"""

import contextlib
import hashlib
import os
import resource
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import graph_files
import hostile_files as files
import numpy as np
import torch
from hypothesis import strategies as st
from pipeline import PARAMS
from ruamel.yaml import YAML
from safetensors.torch import save as safetensors_bytes

from domain_denoiser import params
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import images, noisy_sets
from domain_denoiser.data import archives, sources
from domain_denoiser.evaluation import per_image, summary, tables
from domain_denoiser.networks import architectures, stored
from domain_denoiser.operations.restoring import files as restoring
from domain_denoiser.operations.restoring.foreign import Watch
from domain_denoiser.operations.restoring.plan import plan
from domain_denoiser.operations.retraining import overrides
from domain_denoiser.runs import champion, dvc_lock, records
from domain_denoiser.runtime.denoiser import Denoiser
from domain_denoiser.runtime.scale import Scale

MEMORY = 2**30  # bytes above what the program has before it reads the input
PATIENCE_S = 60  # no input takes so long, however busy the machine is

VALID, SENTENCE, TRACEBACK, HANG, PARTIAL = "valid result", "one sentence", "traceback", "hang", "partial output"
VERDICTS = (VALID, SENTENCE, TRACEBACK, HANG, PARTIAL)

Files = dict[str, bytes | Path]  # name in a folder -> content, or what a link leads to


class Kind(NamedTuple):
    """What is given, and what the project does with it when it lies in the working directory; returns what it wrote."""

    given: st.SearchStrategy[Files]
    read: Callable[[Files], object]


class Outcome(NamedTuple):
    """What came of an input, and what was said."""

    verdict: str
    said: str


class Hang(BaseException):
    """It takes too long."""


def outcome(name: str, given: Files) -> Outcome:
    """Give the files to what reads this kind of them, in an empty folder."""
    kind = kinds()[name]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        files.write(Path(), given)
        before = _seen()
        try:
            with _limited():
                kind.read(given)
        except (BadInput, sources.SourceFailed, archives.Unfit) as error:
            verdict = SENTENCE if _seen() == before and str(error) else PARTIAL
            return Outcome(verdict, str(error))
        except Hang:
            return Outcome(HANG, "")
        except Exception as error:
            return Outcome(TRACEBACK, f"{type(error).__name__}: {error}")
        left = {path for path in _seen().keys() - before.keys() if not path.startswith(OUTPUT)}
        return Outcome(PARTIAL if left or Path(files.HARM).exists() else VALID, str(sorted(left)))


def _seen() -> dict[str, bytes]:
    """Every path here, with the content of files."""
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in Path().rglob("*")}


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """No more memory than is stated, no more time than is patient."""

    def hang(number: int, frame: FrameType | None) -> None:
        raise Hang

    taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    before, handler = resource.getrlimit(resource.RLIMIT_AS), signal.signal(signal.SIGALRM, hang)
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, before[1]))
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # they would be shown beside the sentence
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


OUTPUT = "output"
MLP = {"architecture": "mlp", "hidden": 3, "output": "sigmoid"}
UNET = {
    "architecture": "unet",
    "image_channels": 1,
    "residual": False,
    "fine_channels": 1,
    "coarse_channels": 1,
    "fine_blocks": 0,
    "coarse_blocks": 0,
}
MD5 = "0" * 32


@cache
def network(kind: str) -> torch.nn.Module:
    """A small network with weights."""
    torch.manual_seed(0)
    return architectures.build(architectures.settings({"mlp": MLP, "unet": UNET}[kind], "here"))


def stored_model(kind: str) -> dict[str, bytes]:
    """The two files of a model."""
    return {
        "model.safetensors": safetensors_bytes(network(kind).state_dict()),
        "model.json": _json({"mlp": MLP, "unet": UNET}[kind]),
    }


def one(name: str, content: st.SearchStrategy[bytes]) -> st.SearchStrategy[Files]:
    return content.map(lambda drawn: {name: drawn})


# What reads each kind


def _parsed(parse: Callable[[bytes, str], object]) -> Callable[[Files], object]:
    def read(given: Files) -> object:
        [(name, content)] = given.items()
        return parse(content, name)

    return read


def source_of(given: Files) -> Path:
    """What to restore: the only file, or the folder of all."""
    first = Path(next(iter(given)))
    return first if first.parent == Path() else first.parent


def _restore(given: Files) -> int:
    """As `denoise restore` does; a folder if there is more than one file."""
    source = source_of(given)
    written = Path(f"{OUTPUT}{source.suffix}")
    planned = plan([source], written, skip_existing=False)
    done = restoring.restore(
        _denoiser("mlp" in str(source)),
        planned.jobs,
        Scale(),
        lambda path, sentence: None,
        Watch(strict=False, hint=lambda path, index: ""),
    )
    if not done.restored:  # else the others are there
        raise BadInput([*planned.broken, *done.broken.values()][0])
    if source.suffix == ".npy":
        read, restored = np.load(source, mmap_mode="r"), np.load(written, mmap_mode="r")
        assert (restored.shape, restored.dtype) == (read.shape, read.dtype)
        assert restored.min() >= 0
    return done.images


@cache
def _denoiser(of_one_size: bool) -> Denoiser:
    return Denoiser(graph_files.negative((28, 28) if of_one_size else None), "the model", 1)


def _obtain(given: Files) -> object:
    """As the stage `download` does: the checksums are those of the files, so that the files themselves are judged."""
    held = {}
    for name in params.IDX_FILES:
        if name in given:
            held[name] = given[name]
        else:
            with contextlib.suppress(sources.SourceFailed):
                held[name] = sources._uncompressed(given[f"{name}.gz"], name)
    checksums = {name: hashlib.sha256(held.get(name, b"")).hexdigest() for name in params.IDX_FILES}
    wanted = {"sources": ["dir:."], "timeout_s": 1.0, "limit_s": 60.0, "sha256": checksums}
    return sources.obtain(params.Sources.model_validate(wanted), "the test", lambda line: None)


def _package(given: Files) -> dict[str, bytes]:
    return dict(archives.members(Path("package.tgz"), MEMBERS, 10_000))


def _load(given: Files) -> object:
    loaded = stored.load(Path(), "cpu")
    size = architectures.image_size(stored.load_settings(Path())) or (5, 9)
    return loaded(torch.zeros(1, 1, *size))


def _lock(given: Files) -> object:
    stages = dvc_lock.workspace()
    keys = [stage.key for stage in stages.values()]
    return keys, records.gather(stages, lambda path, md5: None), dvc_lock.written(stages)


def _law(given: Files) -> object:
    try:
        return noisy_sets.load_regime(Path())
    except BadInput:
        return noisy_sets.load_levels(Path())


def _stage_images(given: Files) -> object:
    clean, corrupted = images.mapped_pair(Path("a.npy"), Path("b.npy"))
    return images.load_array(Path("a.npy")), images.to_float(corrupted[:1], "cpu"), clean.sum()


def _restore_valid() -> None:
    for of_one_size in (True, False):
        _denoiser(of_one_size)(np.zeros((2, 28, 28), np.uint8))


# What they are given

MEMBERS = ["package/data/a", "package/data/b"]
CHAMPION = {
    "model": "fixed",
    "key": MD5,
    "files": {"champion/model.json": MD5, "champion/model.onnx": MD5, "champion/model.safetensors": MD5},
    "gate_images": f"{MD5}.dir",
    "psnr_db": {"0.5": 19.9},
    "gain_db": None,
    "reasons": ["it is better"],
}
LOCK = {
    "schema": "2.0",
    "stages": {
        "train@fixed": {
            "cmd": "python stages/train.py fixed",
            "deps": [{"path": "data/noisy/fixed", "hash": "md5", "md5": f"{MD5}.dir", "size": 2018, "nfiles": 3}],
            "params": {"params.yaml": {"models.fixed": {"epochs": 2, "regime": "fixed"}, "seed": 2018}},
            "outs": [{"path": "models/fixed/history.csv", "hash": "md5", "md5": MD5, "size": 1}],
        }
    },
}
MEANS = {"psnr_db": 19.9, "psnr_db_global": 19.5, "mse": 0.01, "ssim": 0.5}
METRICS = {"models": {"fixed": {"0.0": MEANS, "0.5": MEANS}}}
LAWS = [
    {"law": "constant", "noise": "gaussian", "sigma": 0.5},
    {"law": "uniform", "noise": "gaussian", "low": 0.0, "high": 1.0},
    {"law": "levels", "noise": "gaussian", "sigmas": [0.5]},
    {"law": "given", "sigma": 0.5},
]
EPOCHS = [[epoch, 0.1, 0.1, 19.9, 0.003] for epoch in (1, 2, 3)]
IMAGES = [[sigma, image, 0.1, 10.0, 0.5] for sigma in (0.0, 0.5) for image in (0, 1)]
LEVELS = [["fixed", sigma, 10.0, 10.0, 0.1, 0.5] for sigma in (0.0, 0.5)]


@st.composite
def _idx_folders(draw: st.DrawFn) -> Files:
    held = {}
    for name in params.IDX_FILES:
        count = 3
        whole = files.idx(bytes(count * 784), count, 28, 28) if "images" in name else files.idx(bytes(count), count)
        content = draw(st.just(whole) | st.just(whole) | files.idx_texts())
        held |= {name: content} if draw(st.booleans()) else {f"{name}.gz": draw(files.gzipped(content))}
    return held


@st.composite
def _folders(draw: st.DrawFn) -> Files:
    """Pictures under names of all sorts, one of them a link now and then."""
    held: Files = {}
    for name in draw(st.lists(files.NAMES, min_size=1, max_size=3, unique=True)):
        held[f"mlp/{name}.png"] = draw(st.just(files.png(28, 28)) | files.pictures())
    if not draw(st.integers(0, 3)):
        target = draw(st.sampled_from(["/etc/passwd", "../../etc/passwd", "link.png", "7.png", "/dev/zero", "."]))
        held["mlp/link.png"] = Path(target)
    return held


@st.composite
def _named(draw: st.DrawFn, suffix: str, content: st.SearchStrategy[bytes]) -> Files:
    return {draw(st.sampled_from(["mlp ", ""])) + draw(files.NAMES) + suffix: draw(content)}


@st.composite
def _stored(draw: st.DrawFn) -> Files:
    kind = draw(st.sampled_from(["mlp", "unet"]))
    valid, settings = stored_model(kind), {"mlp": MLP, "unet": UNET}[kind]
    if draw(st.booleans()):
        return valid | {"model.safetensors": draw(files.weights(valid["model.safetensors"]))}
    return valid | {"model.json": draw(files.json_texts(settings))}


def _json(value: object) -> bytes:
    return files.json.dumps(value).encode()


@cache
def kinds() -> dict[str, Kind]:
    """By name."""
    torch.set_num_threads(1)
    written = PARAMS.read_bytes()
    values = YAML(typ="safe").load(written)
    # What these libraries set aside when they are first used is not counted.
    tables.parse(files.csv(tables.COLUMNS, IMAGES), "here")
    _restore_valid()
    arrays = st.fixed_dictionaries({"a.npy": files.arrays(), "b.npy": files.arrays()})
    settings = st.sampled_from(
        ["seed", "models.fixed", "models.fixed.hidden", "a.b", "gate.floors_db.0.5", ""]
    ).flatmap(lambda key: (st.sampled_from(files.YAML_TAGS) | st.text(max_size=20)).map(lambda value: f"{key}={value}"))
    return {
        "params.yaml": Kind(
            one("params.yaml", files.yaml_texts(values, written)), lambda given: params.read(Path("params.yaml"))
        ),
        "settings (-S)": Kind(
            one("setting", settings.map(str.encode)),
            lambda given: overrides.applied(written.decode(), [given["setting"].decode()]),
        ),
        "IDX files": Kind(_idx_folders(), _obtain),
        "npm package": Kind(one("package.tgz", files.tarballs(MEMBERS, b"content")), _package),
        ".npy to restore": Kind(_named(".npy", files.arrays()), _restore),
        ".npy of a stage": Kind(arrays, _stage_images),
        "PNG": Kind(_named(".png", files.pictures()), _restore),
        "folder of PNGs": Kind(_folders(), _restore),
        "model": Kind(_stored(), _load),
        "law.json": Kind(one("law.json", st.sampled_from(LAWS).flatmap(files.json_texts)), _law),
        "dvc.lock": Kind(one("dvc.lock", files.yaml_texts(LOCK, _json(LOCK))), _lock),
        "history.csv": Kind(one("history.csv", files.tables(tables.HISTORY, EPOCHS)), _parsed(tables.history)),
        "per-image table": Kind(
            one("fixed.csv", files.tables(tables.COLUMNS, IMAGES)),
            lambda given: per_image.means(tables.load(Path("fixed.csv"))),
        ),
        "metrics.json": Kind(one("metrics.json", files.json_texts(METRICS)), _parsed(summary.parse)),
        "champion.json": Kind(one("champion.json", files.json_texts(CHAMPION)), lambda given: champion.read()),
        "gate.json": Kind(
            one("reports/gate.json", files.json_texts({"passed": True, "candidate": CHAMPION, "levels": {}})),
            lambda given: champion.challenger(),
        ),
    }

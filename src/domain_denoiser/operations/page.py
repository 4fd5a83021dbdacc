"""One self-contained HTML file of the committed results: `denoise page`."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jinja2
import pandas
from ruamel.yaml import YAML

from domain_denoiser import layout, params
from domain_denoiser.base import atomic, checksum, reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.evaluation import summary
from domain_denoiser.runs import listings
from domain_denoiser.runs.dvc_lock import PARAMS, Stage, locked

PAGE = layout.PAGE
STUDY = layout.STUDY_REPORTS
MODEL = "conv"  # the one whose differences from all others are told
# A pipeline and the command that reproduces it.
LOCKS = {"dvc.lock": "make repro", "study/dvc.lock": "make study", "study/large/dvc.lock": "make large"}


class Cell(NamedTuple):
    text: str
    best: bool = False
    aside: str = ""


class Table(NamedTuple):
    heads: list[str]
    rows: list[list[Cell]]


class Picture(NamedTuple):
    alt: str
    content: str  # base64 of a PNG


class Source(NamedTuple):
    """Where a number comes from."""

    path: str
    md5: str
    command: str
    key: str


class Section(NamedTuple):
    title: str
    shows: str
    limits: str
    pictures: list[Picture]
    tables: list[Table]
    sources: list[Source]


class Run(NamedTuple):
    """A trained model."""

    name: str
    key: str
    md5: str
    command: str


def write(path: Path) -> int:
    """Write the page to `path` from what lies in the working directory; return its size in bytes.

    Sections about the study are left out where there is none. Raises BadInput if a result is missing, or if params.yaml
    does not say what the images are.
    """
    stages = {lock: _locked(Path(lock)) for lock in LOCKS}
    makers = {out: (lock, stage) for lock, found in stages.items() for stage in found.values() for out in stage.outs}
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    behind = [LOCKS[lock] for lock, found in stages.items() if is_stale(found)]
    told = template.render(
        sections=sections(makers),
        runs=runs(makers),
        stale=behind,
        has_study=STUDY.is_dir(),
        domain=params.read_domain(Path(PARAMS)),
    )
    content = told + "\n"
    with atomic.file(path) as temporary:
        temporary.write_text(content, encoding="utf-8")
    return len(content.encode())


def is_stale(stages: Mapping[str, Stage]) -> bool:
    """Whether some code that these stages read has changed."""
    read = {(path, md5) for stage in stages.values() for path, md5 in stage.deps.items()}
    code = [(Path(path), md5) for path, md5 in read if path.startswith(("src/", "stages/"))]
    return any(not path.exists() or _hash(path) != md5 for path, md5 in code)


def _hash(path: Path) -> str:
    return listings.of_folder(path) if path.is_dir() else checksum.md5(_content(path))


def sections(makers: Mapping[str, tuple[str, Stage]]) -> list[Section]:
    """What page.yaml says, with the tables and pictures of the working directory."""
    told, has_study = [], STUDY.is_dir()
    for section in YAML(typ="safe").load(Path(__file__).with_name("page.yaml").read_bytes()):
        if "optional" in section and not _table_file(section["optional"]).exists():
            continue
        names = section.get("tables", [])
        pictures = [STUDY / f"figures/{name}.png" for name in section.get("pictures", [])]
        files = [*map(_table_file, names), *pictures]
        if not has_study:
            if any(path.is_relative_to(STUDY) for path in files):
                continue
            section |= section.get("without_study", {})
        told.append(
            Section(
                section["title"],
                section["shows"],
                section["limits"],
                [_picture(section["title"], path) for path in pictures],
                [_table_of(name) for name in names],
                [_source(path, makers) for path in files],
            )
        )
    return told


def _table_file(name: str) -> Path:
    return layout.METRICS if name == "metrics" else STUDY / f"{name}.csv"


def runs(makers: Mapping[str, tuple[str, Stage]]) -> list[Run]:
    """Every trained model that a lock knows."""
    return [
        Run(str(Path(out).parent.relative_to(layout.MODELS)), stage.key, stage.outs[out], _command(lock, stage))
        for out, (lock, stage) in makers.items()
        if out.endswith(layout.WEIGHTS)
    ]


def _command(lock: str, stage: Stage) -> str:
    """DVC knows the stages of the study only while their own command runs."""
    return f"dvc repro {stage.name}" if lock == "dvc.lock" else LOCKS[lock]


def _locked(path: Path) -> dict[str, Stage]:
    """The stages of a lock that its pipeline still has: DVC keeps the entries of those that were renamed."""
    if not path.exists():
        return {}
    pipeline = path.with_name("dvc.yaml" if path.parent == Path() else "pipeline.yaml")
    declared = YAML(typ="safe").load(_content(pipeline))["stages"]
    return {name: stage for name, stage in locked(_content(path), str(path)).items() if _is_declared(name, declared)}


def _is_declared(name: str, stages: Mapping[str, Mapping[str, object]]) -> bool:
    group, at, _ = name.partition("@")
    return group in stages and bool(at) == bool({"foreach", "matrix"} & set(stages[group]))


def _source(path: Path, makers: Mapping[str, tuple[str, Stage]]) -> Source:
    content = _content(path)
    lock, stage = makers.get(str(path), ("study/dvc.lock", None))
    return Source(str(path), checksum.md5(content), LOCKS[lock], stage.key if stage else "")


def _content(path: Path) -> bytes:
    if not path.exists():
        raise BadInput(f"{path} does not exist; `make repro` and `make study` make it")
    return reading.content(path, reading.LARGEST_TABLE)


def _picture(title: str, path: Path) -> Picture:
    return Picture(title, base64.b64encode(_content(path)).decode())


def _read(path: Path) -> pandas.DataFrame:
    return pandas.read_csv(io.BytesIO(_content(path)))


def _metrics(path: Path) -> Table:
    models = summary.parse(_content(path), str(path))
    sigmas = list(next(iter(models.values())))
    middle = sigmas[len(sigmas) // 2]
    order = sorted(models, key=lambda name: models[name][middle]["psnr_db"])
    values = {name: [models[name][sigma]["psnr_db"] for sigma in sigmas] for name in order}
    return _table("PSNR in dB at σ =", sigmas, values, "{:.2f}")


def _table_of(name: str) -> Table:
    """Raises BadInput if the file does not hold what its stage writes there."""
    path = _table_file(name)
    try:
        return TABLES[name](path)
    except (LookupError, ValueError, TypeError) as error:
        raise BadInput(f"{path} is not the table that `make study` writes there: {error}") from error


def _levels(path: Path) -> Table:
    wide = _read(path).pivot(index="method", columns="sigma", values="psnr_db")
    wide = wide.loc[list(dict.fromkeys(_read(path)["method"]))]
    return _table(
        "PSNR in dB at σ =", [f"{s:g}" for s in wide.columns], dict(zip(wide.index, wide.to_numpy())), "{:.2f}"
    )


def _table(corner: str, columns: list[str], values: Mapping[str, list[float]], form: str) -> Table:
    """A row a name; the best of each column stands out."""
    best = [max(row[place] for row in values.values()) for place in range(len(columns))]
    rows = [
        [Cell(name.replace("_", " ")), *(Cell(form.format(value), value == top) for value, top in zip(row, best))]
        for name, row in values.items()
    ]
    return Table([corner, *columns], rows)


def _differences(path: Path) -> Table:
    """conv against every method, turned so that it stands first, and the verdict where it does not win."""
    table = _read(path)
    table = table[table["sigma"].isin([0.0, 0.1, 0.3, 0.5, 0.7, 1.0, 1.5])]
    turned = table[table["than"] == MODEL].rename(
        columns={"method": "than", "than": "method", "low": "high", "high": "low"}
    )
    turned[["difference_db", "low", "high"]] *= -1
    turned["verdict"] = turned["verdict"].map({"better": "worse", "worse": "better", "noise": "noise"})
    mine = pandas.concat([table[table["method"] == MODEL], turned])
    sigmas = sorted(mine["sigma"].unique())
    rows = []
    for than, found in mine.groupby("than", sort=False):
        by_sigma = found.set_index("sigma")
        cells = [by_sigma.loc[sigma] for sigma in sigmas]
        rows.append(
            [
                Cell(f"{MODEL} − {than.replace('_', ' ')}"),
                *(
                    Cell(
                        f"{cell['difference_db']:+.2f}",
                        cell["verdict"] == "better",
                        f"[{cell['low']:+.2f}, {cell['high']:+.2f}]"
                        + ("" if cell["verdict"] == "better" else f" {cell['verdict']}"),
                    )
                    for cell in cells
                ),
            ]
        )
    return Table(["difference in dB at σ =", *(f"{sigma:g}" for sigma in sigmas)], rows)


def _spread(path: Path) -> Table:
    wide = _read(path).pivot(index="model", columns="sigma", values="spread_db")
    heads = ["best minus worst seed in dB at σ =", *(f"{sigma:g}" for sigma in wide.columns)]
    return Table(
        heads,
        [[Cell(name), *(Cell(f"{value:.2f}") for value in row)] for name, row in zip(wide.index, wide.to_numpy())],
    )


def _domains(path: Path) -> Table:
    heads = ["model", "domain", "PSNR (dB)", "gain over noisy", "gain over linear"]
    rows = [
        [
            Cell(row["model"]),
            Cell(row["domain"].replace("_", " ")),
            Cell(f"{row['psnr_db']:.2f}"),
            *(
                Cell(
                    f"{row[f'gain_over_{than}_db']:+.2f}",
                    row[f"gain_over_{than}_low"] > 0.0,
                    f"[{row[f'gain_over_{than}_low']:+.2f}, {row[f'gain_over_{than}_high']:+.2f}]",
                )
                for than in ("noisy", "linear")
            ),
        ]
        for _, row in _read(path).iterrows()
    ]
    return Table(heads, rows)


def _accuracy(path: Path) -> Table:
    table = _read(path)
    clean, rest = table[table["images"] == "clean"].iloc[0], table[table["images"] != "clean"]
    sigmas = sorted(rest["sigma"].unique())
    rows = [[Cell("clean"), _share(clean), *(Cell("") for _ in sigmas[1:])]]
    for name, found in rest.groupby("images", sort=False):
        by_sigma = found.set_index("sigma")
        rows.append([Cell(name), *(_share(by_sigma.loc[sigma]) for sigma in sigmas)])
    return Table(["digits read at σ =", *(f"{sigma:g}" for sigma in sigmas)], rows)


def _share(row: pandas.Series) -> Cell:
    return Cell(f"{row['accuracy']:.2%}", aside=f"[{row['low']:.1%}, {row['high']:.1%}]")


def _ceiling(path: Path) -> Table:
    rows = [
        [
            Cell(f"{row['sigma']:g}"),
            Cell(f"{row['psnr_db']:.2f}"),
            Cell(f"{row['difference_db']:+.2f}", row["low"] > 0.0, f"[{row['low']:+.2f}, {row['high']:+.2f}]"),
        ]
        for _, row in _read(path).iterrows()
    ]
    return Table(["σ", "PSNR of large (dB)", "large − conv (dB)"], rows)


TABLES = {
    "metrics": _metrics,
    "levels": _levels,
    "differences": _differences,
    "spread": _spread,
    "domains": _domains,
    "accuracy": _accuracy,
    "ceiling": _ceiling,
}

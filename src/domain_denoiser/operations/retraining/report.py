"""`denoise report`: what a retraining changed and what came of it, for the people who decide, in Markdown."""

import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from domain_denoiser import layout
from domain_denoiser.base import atomic, parsing
from domain_denoiser.base.errors import BadInput
from domain_denoiser.evaluation.baselines import NAMES
from domain_denoiser.operations.retraining import grids, remote, results, stagelog
from domain_denoiser.runs import champion, changes, compare, revisions
from domain_denoiser.runs.changes import Changes
from domain_denoiser.runs.compare import Row, Side
from domain_denoiser.runs.dvc_lock import Stage
from domain_denoiser.runs.records import flattened

MARK = "<!-- denoise report"  # opens every report, so that its comment on a pull request is found again
FILE = results.REPORT / "report.md"


def write(against: str) -> str:
    """Write the report on the working directory, with its pictures, and return it.

    against: the commit, branch, tag or experiment that the working directory is compared with.
    Raises BadInput if there is no such commit, or if the working directory has no results.
    """
    before, after = _before(against), compare.side(compare.WORKSPACE)
    remote.fetch(revisions.resolve(against), _tables(before))
    changed = changes.between(before.stages, after.stages)
    rows = compare.compare(before, after)
    verdict = _verdict(after)
    models = _changed_models(rows, verdict)
    pictures = {model: _picture(model, before, after) for model in models}
    parts = [
        f"{first_line()}\n## Retraining: {_headline(verdict)}",
        f"Against {_named(against)}.",
        _what_changed(changed),
        _stages(after.stages, changed),
        _quality(rows, models, compare.resampled(before, after)),
        _gate(verdict),
        _restored(pictures),
        _again(),
    ]
    text = "\n\n".join(part for part in parts if part) + "\n"
    with atomic.folder(results.REPORT) as folder:
        (folder / FILE.name).write_text(text)
        for model, picture in pictures.items():
            if picture is not None:
                (folder / f"{model}.png").write_bytes(picture)
    return text


def first_line() -> str:
    """The mark that a report on the present dvc.lock begins with."""
    return f"{MARK}, dvc.lock {lock_digest()} -->"


def lock_digest() -> str:
    """12 hexadecimal digits that follow from dvc.lock."""
    return hashlib.sha256(Path(results.LOCK).read_bytes()).hexdigest()[:12]


def _before(against: str) -> Side:
    """The other state; one of no stages if that commit has no results yet."""
    commit = revisions.resolve(against)
    return compare.nothing(against) if revisions.show(commit, results.LOCK) is None else compare.side(against)


def _tables(side: Side) -> dict[str, str]:
    """The per-image tables of a state, path -> MD5."""
    outs = [out for stage in side.stages.values() for out in stage.outs.items()]
    return {path: md5 for path, md5 in outs if path.startswith(f"{layout.EVALUATION}/")}


def _verdict(after: Side) -> tuple[champion.Champion, bool] | None:
    """The gate's last decision, if it was on a model of this state."""
    decided = champion.decided()
    keys = {stage.key for stage in after.stages.values()}
    return decided if decided is not None and decided[0].key in keys else None


def _changed_models(rows: Iterable[Row], verdict: tuple[champion.Champion, bool] | None) -> list[str]:
    """The models whose figures are new or others, the gate's candidate first."""
    found = list(dict.fromkeys(row.model for row in rows if row.before != row.after and row.model not in NAMES))
    candidate = None if verdict is None else verdict[0].model
    return sorted(found, key=lambda model: model != candidate)


def _headline(verdict: tuple[champion.Champion, bool] | None) -> str:
    if verdict is None:
        return "the gate has not decided yet"
    candidate, passed = verdict
    return f"`{candidate.model}` {'is proposed as champion' if passed else 'is kept from promotion'}"


def _named(against: str) -> str:
    commit = revisions.resolve(against)[:12]
    return f"`{commit}`" if against == "HEAD" or commit.startswith(against) else f"`{against}` (`{commit}`)"


def _what_changed(changed: Changes) -> str:
    lines = ["### What changed"]
    if changed.params:
        lines += ["", "| param | before | after |", "|---|---:|---:|"]
        lines += [f"| `{key}` | {_value(old)} | {_value(new)} |" for key, (old, new) in changed.params.items()]
        lines.append("")
    else:
        lines.append("- Params: nothing")
    lines.append(f"- Data: {_list(changed.data)}")
    lines.append(f"- Code: {_list(changed.code)}")
    return "\n".join(lines)


def _stages(stages: Mapping[str, Stage], changed: Changes) -> str:
    how = {name: stagelog.how(stages[name]) for name in changed.again}
    made = {
        "Ran": [name for name, seen in how.items() if seen == stagelog.RAN],
        "Restored from the cache": [name for name, seen in how.items() if seen == stagelog.RESTORED],
        "Done before": [name for name, seen in how.items() if seen is None],
        "Unchanged": [name for name in stages if name not in changed.again],
    }
    return "\n".join(["### Stages", *(f"- {title}: {_list(names)}" for title, names in made.items() if names)])


def _quality(rows: list[Row], models: list[str], resampled: str) -> str:
    lines = ["### Quality on the test images"]
    if not models:
        return "\n".join([*lines, "No model's test metrics changed."])
    shown = [row for model in models for row in rows if row.model == model]
    same = sorted({row.model for row in rows if row.model not in NAMES} - set(models))
    lines += ["Mean PSNR at each noise level; the interval is of the gain, 95 %, paired over the test images.", ""]
    lines.append(compare.as_markdown(shown, "before", "now", resampled))
    if same:
        lines += ["", f"As before: {_list(same)}."]
    return "\n".join(lines)


def _gate(verdict: tuple[champion.Champion, bool] | None) -> str:
    if verdict is None:
        return "### Gate\nIt has not decided on this state: `denoise gate`."
    candidate, passed = verdict
    consequence = "champion.json names it; merging promotes it." if passed else "champion.json stays as it is."
    decision = f"`{candidate.model}` (`{candidate.key[:12]}`): **{'passed' if passed else 'kept'}**. {consequence}"
    return "\n".join(["### Gate", decision, "", *(f"- {reason}" for reason in candidate.reasons)])


def _picture(model: str, before: Side, after: Side) -> bytes | None:
    """The images that a model restored before and after; None if neither state has drawn any."""
    path = str(layout.figures(model)[0])
    found = {}
    for label, side in ((f"{model} before", before), (f"{model} now", after)):
        for stage in side.stages.values():
            content = side.contents.find(path, stage.outs[path]) if path in stage.outs else None
            if content is not None:
                found[label] = content
    return grids.stacked(found) if found else None


def _restored(pictures: Mapping[str, bytes | None]) -> str | None:
    drawn = [model for model, picture in pictures.items() if picture is not None]
    if not drawn:
        return None
    lines = ["### Restored test images"]
    for place, model in enumerate(drawn):
        image = f"![Test images restored by {model}: before, and now]({model}.png)"
        lines += [image] if place == 0 else ["", f"<details><summary>{model}</summary>\n\n{image}\n</details>"]
    return "\n".join(lines)


def _again() -> str:
    """The one command that gives the same results somewhere else."""
    lines, head = ["### Again"], revisions.head()
    settings, others = _settings(), results.uncommitted_others()
    if head is None or settings is None or others:
        lines.append(f"No commit has all of it yet: {_list(others or [results.PARAMS])}.")
    else:
        words = " ".join(f"-S {shlex.quote(setting)}" for setting in settings)
        lines.append(f"    git checkout {head[:12]} && {f'denoise retrain {words}' if settings else 'make pull repro'}")
    return "\n\n".join(lines)


def _settings() -> list[str] | None:
    """The changed params, as `key=value`; None if that form cannot express them."""
    content = revisions.committed(results.PARAMS)
    try:
        sides = [
            flattened("", parsing.parse_recorded(text, results.PARAMS))
            for text in (content if content is not None else b"{}", Path(results.PARAMS).read_bytes())
        ]
    except BadInput:
        return None
    if sides[0].keys() != sides[1].keys():
        return None
    return [f"{key}={json.dumps(value)}" for key, value in sides[1].items() if sides[0][key] != value]


def _value(value: object) -> str:
    return "-" if value is None else f"`{json.dumps(value)}`"


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"

"""Did every stage in dvc.lock read what another one wrote, and what code, params and dvc.yaml say now?"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from domain_denoiser.base.errors import BadInput
from domain_denoiser.base.parsing import parse, parse_recorded
from domain_denoiser.operations.checks import Check
from domain_denoiser.operations.verify import fixes
from domain_denoiser.operations.verify.declared import Project, within
from domain_denoiser.operations.verify.hashing import Hashes
from domain_denoiser.operations.verify.inventory import Output
from domain_denoiser.runs import dvc_lock, listings, revisions
from domain_denoiser.runs.dvc_lock import Stage
from domain_denoiser.runs.records import flattened

PARAMS = Path("params.yaml")
STALE, BROKEN = "stale", "broken"  # the project has changed since; dvc.lock contradicts itself


class Break(NamedTuple):
    """Where the chain does not hold."""

    stages: tuple[str, ...]  # that did not read what is there now
    check: Check


def breaks(stages: Mapping[str, Stage], project: Project, outputs: Collection[Output], params: object) -> list[Break]:
    """Follow every hash of dvc.lock from where it was written to where it was read.

    stages: those of dvc.lock that dvc.yaml has; params: what params.yaml holds.
    """
    return [
        *(_never(name) for name in project.stages if name not in stages),
        *(found for stage in stages.values() for found in _redeclared(stage, project)),
        *_files(stages, outputs),
        *_params(stages, params),
    ]


def fresh(stages: Mapping[str, Stage], outputs: Iterable[Output], broken: Iterable[Break]) -> set[str]:
    """The stages whose inputs, code and params are as dvc.lock says."""
    stale = {name for found in broken for name in found.stages}
    wrong = {output.path for output in outputs if not output.right}
    return {
        name
        for name, stage in stages.items()
        if name not in stale and not any(within(dep, out) for dep in stage.deps for out in wrong)
    }


def _never(name: str) -> Break:
    return Break((name,), Check(STALE, f"{name}: declared in dvc.yaml, but not in dvc.lock", fixes.REPRODUCE))


def _redeclared(stage: Stage, project: Project) -> Iterator[Break]:
    declared = project.stages[stage.name]
    said = [] if stage.cmd == declared.cmd else [f"its command was {stage.cmd!r}"]
    # What a stage reads or writes no longer makes no result wrong; DVC leaves it alone as well.
    for what, then, now in (
        ("reads", stage.deps.keys(), declared.deps),
        ("reads the params", stage.params.keys(), declared.params),
        ("writes", stage.outs.keys(), declared.outs.keys()),
    ):
        said += [f"it {what} {', '.join(sorted(now - then))} now"] if now - then else []
    if said:
        yield Break((stage.name,), Check(STALE, f"{stage.name} in dvc.yaml: {', '.join(said)}", fixes.REPRODUCE))


def _files(stages: Mapping[str, Stage], outputs: Collection[Output]) -> Iterator[Break]:
    """What was read and is not what was written; for code, what lies in the workspace."""
    hashes = Hashes()
    written = {output.path: output.md5 for output in outputs}
    written |= {str(item.path): item.md5 for output in outputs for item in output.items}
    readers: dict[tuple[str, str], list[str]] = {}
    for stage in stages.values():
        for path, md5 in stage.deps.items():
            readers.setdefault((path, md5), []).append(stage.name)
    for (path, md5), names in readers.items():
        writer = next((output for output in outputs if within(path, output.path)), None)
        if writer is None and listings.is_folder(md5):
            inside = {output.path[len(path) + 1 :]: output for output in outputs if within(output.path, path)}
            if inside:  # a folder of outputs: tables of each model
                if listings.hash_of({name: output.md5 for name, output in inside.items()}) != md5:
                    wrote = ", ".join(dict.fromkeys(output.stage for output in inside.values()))
                    said = f"{path}: {_all(names)} read {md5}, but {wrote} wrote other files"
                    yield Break(tuple(names), Check(BROKEN, said, fixes.REPRODUCE))
            elif (listings.of_folder(Path(path)) if Path(path).is_dir() else None) != md5:
                problem = "" if Path(path).is_dir() else "is missing"
                yield Break(tuple(names), _changed(Path(path), problem, md5, names))
        elif writer is None:
            found = hashes[Path(path)]
            if found.md5 != md5:
                yield Break(tuple(names), _changed(Path(path), found.problem, md5, names))
        elif written.get(path) != md5 and (writer.known or path in written):
            wrote = f"wrote {written[path]}" if path in written else "wrote no such file"
            said = f"{path}: {_all(names)} read {md5}, but {writer.stage} {wrote}"
            yield Break(tuple(names), Check(BROKEN, said, fixes.REPRODUCE))


def _changed(path: Path, problem: str, md5: str, names: list[str]) -> Check:
    said = f"{path}: {problem or 'changed'} since {_all(names)} read it (if that is meant: `{fixes.REPRODUCE}`)"
    return Check(STALE, said, fixes.committed(path) if fixes.in_commit(path, md5) else fixes.REPRODUCE)


def _params(stages: Mapping[str, Stage], params: object) -> Iterator[Break]:
    committed = _committed_params()
    readers: dict[tuple[str, str, str], list[Stage]] = {}
    for stage in stages.values():
        for key, value in stage.params.items():
            then, now = flattened(key, value), flattened(key, _now(params, key))
            for name in dict.fromkeys([*then, *now]):
                if then.get(name) != now.get(name):
                    said = (name, str(now.get(name, "not there")), str(then.get(name, "nothing")))
                    readers.setdefault(said, []).append(stage)
    for (name, now, then), read in readers.items():
        names = [stage.name for stage in read]
        before = all(dvc_lock.param(committed, key) == stage.params[key] for stage in read for key in stage.params)
        fix = fixes.committed(PARAMS) if before else fixes.REPRODUCE
        meant = f"(if that is meant: `{fixes.REPRODUCE}`)"
        yield Break(
            tuple(names), Check(STALE, f"{PARAMS}: {name} is {now}, but {_all(names)} read {then} {meant}", fix)
        )


def _now(params: object, key: str) -> object:
    """The value in params.yaml, or in the params file that the key begins with; None if there is none."""
    file, inner = dvc_lock.param_place(key)
    if file == str(PARAMS):
        return dvc_lock.param(params, inner)
    path = Path(file)
    return dvc_lock.param(parse(path.read_bytes(), file), inner) if path.is_file() else None


def _committed_params() -> object:
    try:
        return parse_recorded(revisions.committed(str(PARAMS)) or b"", f"{PARAMS} of HEAD")
    except BadInput:
        return None


def _all(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"

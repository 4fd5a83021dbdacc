"""Is every file that dvc.lock names what dvc.lock says, in the workspace and in DVC's cache?"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from domain_denoiser.operations.checks import OK, Check
from domain_denoiser.operations.verify import fixes
from domain_denoiser.operations.verify.hashing import Found
from domain_denoiser.operations.verify.inventory import Item, Object, Output

DAMAGED, MISSING, UNEXPECTED = "damaged", "missing", "unexpected"


def check(outputs: Collection[Output], fresh: Collection[str], remote: str | None) -> Iterator[Check]:
    """A line for what is right, and one for each thing that is not, upstream first.

    fresh: the stages that read just what dvc.lock says; remote: the name of DVC's remote, if there is one.
    """
    here = [item.found for output in outputs for item in output.items if item.right]
    yield Check(OK, f"workspace: {_amount(here, 'file')} as dvc.lock says")
    objects = {kept.path: kept for output in outputs for kept in output.objects}
    yield Check(OK, f"DVC cache: {_amount([kept.found for kept in objects.values() if kept.right], 'object')} likewise")
    # Files go from here into the cache only where nothing wrong would go with them.
    wrong = {output.stage for output in outputs if not output.right}
    whole = [output for output in outputs if output.stage in fresh and output.stage not in wrong]
    keep = {kept.path: fixes.commit(output.stage) for output in whole for kept in output.objects}
    told = set[Path]()  # objects: several outputs may share one
    for output in outputs:
        yield from _of_output(output, fixes.get(output.path, output.stage, remote), keep, told)


def _amount(found: Collection[Found], unit: str) -> str:
    size = sum(one.size for one in found)
    return f"{len(found)} {unit}{'' if len(found) == 1 else 's'}, {size / 1e6:,.1f} MB,"


def _of_output(output: Output, get: str, keep: Mapping[Path, str], told: set[Path]) -> Iterator[Check]:
    """get: what brings the output back when it is nowhere; keep: what fills a place in the cache from the workspace."""
    lost = all(kept.found.missing for kept in output.objects)
    there = Path(output.path).exists() or Path(output.path).is_symlink()
    if output.objects and lost and not there:
        yield Check(MISSING, f"{output.path}: neither here nor in the cache", get)
        return
    if not output.known:
        bad = [Path(output.path), *(kept.path for kept in output.objects)]
        said = f"{output.path} is not what dvc.lock says; which of its files is not known, as its listing is lost too"
        yield Check(DAMAGED, said, fixes.without(bad, get))
        return
    new = [kept for kept in output.objects if kept.path not in told]
    if output.right and lost and len(new) > 1 and new == output.objects:
        yield Check(MISSING, f"{output.path}: not in the cache", keep.get(new[0].path, get))
        told.update(kept.path for kept in new)
        return
    for item in output.items:
        if not item.right:
            yield _of_item(item, output, get)
            told.update([] if item.object is None or item.object.right else [item.object.path])
    for path in output.unexpected:
        yield Check(UNEXPECTED, f"{path}: dvc.lock names no such file in {output.path}", fixes.without([path]))
    for kept in output.objects:
        if not kept.right and kept.path not in told:
            what = f"the listing of {output.path}" if kept is output.listing else _name(kept, output)
            fix = fixes.without([kept.path], keep.get(kept.path, get))
            yield Check(verdict(kept.found), f"{kept.path} ({what} in the cache){problem(kept.found, kept.md5)}", fix)
            told.add(kept.path)


def _of_item(item: Item, output: Output, get: str) -> Check:
    """A file that is wrong in the workspace, and what the cache has of it."""
    said = f"{item.path}{problem(item.found, item.md5)}"
    # Where a folder should be, a file may be in the way.
    bad = [item.path] if Path(output.path) in item.path.parents and Path(output.path).is_dir() else [Path(output.path)]
    if item.object is None and fixes.in_commit(item.path, item.md5):
        fix = fixes.committed(item.path)
    elif item.object is None:
        fix = fixes.without(bad, fixes.make(output.stage))
    elif item.object.right:
        fix = fixes.without(bad, fixes.checkout(output.path))
    else:
        said += f"; {item.object.path} in the cache{problem(item.object.found, item.md5)}"
        fix = fixes.without([*bad, item.object.path], get)
    return Check(verdict(item.found), said, fix)


def _name(kept: Object, output: Output) -> str:
    return next(str(item.path) for item in output.items if item.object is not None and item.object.path == kept.path)


def verdict(found: Found) -> str:
    """How it is wrong, in one word."""
    return MISSING if found.missing else DAMAGED


def problem(found: Found, md5: str) -> str:
    """How it is wrong, in the words that follow its name."""
    return f" {found.problem}" if found.md5 is None else f" has MD5 {found.md5}, not {md5}"

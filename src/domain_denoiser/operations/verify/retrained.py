"""Does a training give the stored model when it is done once more?"""

import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import pandas

from domain_denoiser import layout
from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations.checks import OK, Check
from domain_denoiser.operations.verify import cleanroom, fixes, hashing, tolerance
from domain_denoiser.operations.verify.inventory import Output
from domain_denoiser.operations.verify.recomputed import DIFFERS, FAILED
from domain_denoiser.runs.dvc_lock import Stage

PREFIX = "train@"


def check(stage: Stage, stages: Mapping[str, Stage], outputs: Collection[Output], broken: Collection[str]) -> Check:
    """Train again in a folder of its own, and compare bytes; on another kind of machine what the model reaches.

    broken: the stages whose code or params are not those of dvc.lock.
    """
    made = [output for output in outputs if output.stage == stage.name]
    evaluate = stages.get(f"evaluate@{stage.name.removeprefix(PREFIX)}")
    try:
        if stage.name in broken:
            raise cleanroom.Unable("its code or params have changed")
        with cleanroom.opened() as room:
            room.bring(stage, outputs, made)
            room.run(stage, sys.stderr)
            different = [output for output in made if hashing.find(room.folder / output.path).md5 != output.md5]
            if not different:
                return Check(OK, f"{stage.name}: trained again, equal bytes")
            if not _elsewhere(made, room.folder):
                listed = ", ".join(output.path for output in different)
                said = f"{stage.name}: trained again on the same kind of machine, but {listed} differs"
                return Check(DIFFERS, said, fixes.again(stage.name))
            if evaluate is None or evaluate.name in broken:
                raise cleanroom.Unable("other bytes, on another kind of machine, and no evaluation to compare")
            room.bring(evaluate, outputs, made)
            room.run(evaluate, None)
            table = next(iter(evaluate.outs))
            return compared(stage, outputs, room.folder / table)
    except cleanroom.Unable as error:
        return Check(FAILED, f"{stage.name} was not trained again: {error}")


def _elsewhere(made: Collection[Output], folder: Path) -> bool:
    """Whether the stored model was trained on another kind of machine, by its own word."""
    told = [output for output in made if Path(output.path).name == layout.PLATFORM]
    return any(hashing.find(folder / output.path).md5 != output.md5 for output in told)


def compared(stage: Stage, outputs: Collection[Output], table: Path) -> Check:
    """The means of a retrained model beside those in metrics.json. table: what it reaches on each image.

    Raises cleanroom.Unable if metrics.json is not to be had.
    """
    from domain_denoiser.evaluation import per_image, tables

    model = stage.name.removeprefix(PREFIX)
    place = next((item.place for output in outputs for item in output.items if item.path == layout.METRICS), None)
    try:
        stored = tolerance.read(layout.METRICS, b"" if place is None else place.read_bytes()).loc[model, "psnr_db"]
    except (BadInput, KeyError) as error:
        said = f"other bytes came out, on another kind of machine, and {layout.METRICS} has no {model} to compare with"
        raise cleanroom.Unable(said) from error
    again = {sigma: values["psnr_db"] for sigma, values in per_image.means(tables.load(table)).items()}
    apart = (stored - pandas.Series(again)).abs()  # of a noise level that only one of them has: not a number
    allowed = [tolerance.retrained_db(float(sigma)) for sigma in apart.index]
    largest = f"{apart.max(skipna=False):.2g} dB"
    said = f"{stage.name}: trained again on another kind of machine, mean PSNR apart by at most {largest}"
    if (apart <= allowed).all():
        return Check(OK, said)
    return Check(DIFFERS, f"{said}; that is more than machines differ", fixes.again(stage.name))

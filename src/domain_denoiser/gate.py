"""`denoise gate`: is a candidate better than the champion?

Decided on the stored noisy gate images, never on test images.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from domain_denoiser import champion as champions
from domain_denoiser import compute, images, lineage, noisy, revisions
from domain_denoiser.champion import Champion
from domain_denoiser.contents import Contents
from domain_denoiser.errors import BadInput
from domain_denoiser.evaluation import evaluate
from domain_denoiser.intervals import paired_difference
from domain_denoiser.lineage import Stage
from domain_denoiser.models import stored
from domain_denoiser.params import Gate, Params
from domain_denoiser.seeds import derive

if TYPE_CHECKING:
    import torch

IMAGES = Path("data/noisy/test")


class Decision(NamedTuple):
    """What the gate found."""

    candidate: Champion  # as it would stand in champion.json
    champion: str | None  # the key of the one that it was compared with
    passed: bool
    levels: Mapping[str, Mapping[str, float | None]]  # noise level -> figures, PSNR in dB over the gate images

    def as_json(self) -> dict[str, object]:
        """The content of reports/gate.json."""
        return {
            "passed": self.passed,
            "candidate": self.candidate.model_dump(),
            "champion": self.champion,
            "levels": self.levels,
        }


def decide(params: Params, model: str | None) -> Decision:
    """Compare a model of the working directory with the champion; without a name, the best at the headline noise level.

    Both sides are evaluated on the present gate images, so that no figure is compared across sets.
    Raises BadInput if a model, the champion's files or the gate images are not there.
    """
    stages, contents = lineage.workspace(), Contents(revisions.head())
    trained = {name.removeprefix("train@"): stage for name, stage in stages.items() if name.startswith("train@")}
    if model is not None and model not in trained:
        raise BadInput(f"dvc.lock has the models {', '.join(trained) or '(none yet)'}, but not {model!r}")
    gate_images = _hash_of_gate_images(stages)
    device = compute.prepare(params.compute)
    clean = images.to_float(images.load(Path("data/clean/gate_images.npy")), device)
    levels = noisy.load_levels(IMAGES)
    if params.gate.sigma not in levels:
        raise BadInput(f"params.yaml: gate.sigma is {params.gate.sigma}, but the gate images have {levels}")

    def quality(files: Mapping[str, str]) -> dict[str, np.ndarray]:
        return _psnr(_weights(files, contents), clean, levels, device)

    named = [model] if model is not None else list(trained)
    qualities = {name: quality(_files(trained[name])) for name in named}
    best = max(named, key=lambda name: qualities[name][str(params.gate.sigma)].mean())
    present = champions.read()
    before = None if present is None else quality(present.files)
    figures = _figures(before, qualities[best], params.seed)
    same = present is not None and _files(trained[best]) == present.files
    passed, reasons = judge(figures, params.gate, present is not None, same)
    candidate = Champion(
        model=best,
        key=trained[best].key,
        files=_files(trained[best]),
        gate_images=gate_images,
        psnr_db={sigma: values["candidate_psnr_db"] for sigma, values in figures.items()},
        gain_db=figures[str(params.gate.sigma)]["gain_db"],
        reasons=reasons,
    )
    return Decision(candidate, None if present is None else present.key, passed, figures)


def judge(
    figures: Mapping[str, Mapping[str, float | None]], rules: Gate, has_champion: bool, same: bool
) -> tuple[bool, list[str]]:
    """Whether the rules of params.yaml let the candidate pass, and a sentence for each rule that was applied."""
    if same:
        return False, ["the candidate is the champion"]
    if not has_champion:
        checks = [
            (
                figures[sigma]["candidate_psnr_db"] >= floor,
                f"{figures[sigma]['candidate_psnr_db']:.2f} dB at sigma {sigma}, "
                f"at least {floor:g} dB wanted of a first champion",
            )
            for sigma, floor in rules.floors_db.items()
        ]
    else:
        headline = figures[str(rules.sigma)]
        checks = [
            (
                headline["low_db"] > rules.margin_db,
                f"gain at sigma {rules.sigma}: {headline['gain_db']:+.3f} dB, 95 % interval "
                f"from {headline['low_db']:+.3f} dB, above {rules.margin_db:+g} dB wanted",
            )
        ] + [
            (
                values["gain_db"] >= -rules.allowed_loss_db,
                f"gain at sigma {sigma}: {values['gain_db']:+.3f} dB, at least {-rules.allowed_loss_db:+g} dB wanted",
            )
            for sigma, values in figures.items()
            if sigma != str(rules.sigma)
        ]
    return all(held for held, _ in checks), [f"{'held' if held else 'FAILED'}: {said}" for held, said in checks]


def _figures(
    before: Mapping[str, np.ndarray] | None, after: Mapping[str, np.ndarray], seed: int
) -> dict[str, dict[str, float | None]]:
    figures = {}
    for sigma, psnr in after.items():
        figures[sigma] = {"candidate_psnr_db": float(psnr.mean()), "champion_psnr_db": None}
        figures[sigma] |= {"gain_db": None, "low_db": None, "high_db": None}
        if before is not None:
            gain = paired_difference(before[sigma], psnr, derive(seed, "gate", sigma))
            figures[sigma] |= {"champion_psnr_db": float(before[sigma].mean())}
            figures[sigma] |= {"gain_db": gain.mean, "low_db": gain.low, "high_db": gain.high}
    return figures


def _hash_of_gate_images(stages: Mapping[str, Stage]) -> str:
    made = stages.get("corrupt@test")
    changed = ["all"] if made is None else [*lineage.changed_outs("corrupt@test"), *lineage.changed_outs("download")]
    if changed:
        raise BadInput(
            f"the gate images are not those of dvc.lock ({', '.join(changed)} differ): `dvc pull dvc.yaml` what "
            "somebody else made, or run `make repro`"
        )
    return made.outs[str(IMAGES)]


def _files(stage: Stage) -> dict[str, str]:
    return {path: md5 for path, md5 in stage.outs.items() if path.endswith(("model.safetensors", "model.json"))}


def _weights(files: Mapping[str, str], contents: Contents) -> dict[str, bytes]:
    found = {Path(path).name: contents.find(path, md5) for path, md5 in files.items()}
    for (path, md5), content in zip(files.items(), found.values()):
        if content is None:
            raise BadInput(
                f"{path} with MD5 {md5} is neither here nor in the DVC cache; `dvc fetch --all-commits` may have it"
            )
    return found


def _psnr(
    weights: Mapping[str, bytes], clean: "torch.Tensor", levels: list[float], device: "torch.device"
) -> dict[str, np.ndarray]:
    """PSNR in dB of each gate image, float64 [N], by noise level."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in weights.items():
            (Path(folder) / name).write_bytes(content)
        network = stored.load(Path(folder), device)
    found = {}
    for sigma in levels:
        corrupted = images.to_float(images.load(IMAGES / noisy.level_file("gate", sigma)), device)
        found[str(sigma)] = evaluate(network, corrupted, clean, sigma)["psnr_db"].to_numpy()
    return found

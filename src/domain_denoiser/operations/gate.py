"""`denoise gate`: is a candidate better than the champion?

Decided on the stored noisy gate images, never on test images, and on ONNX graphs: what a champion restores does not
depend on today's code.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from domain_denoiser import layout
from domain_denoiser.base import progress, temporary
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import images, metrics, noisy_sets
from domain_denoiser.core.seeds import derive
from domain_denoiser.domain import profile
from domain_denoiser.domain.profile import Profile
from domain_denoiser.evaluation import per_image, wholes
from domain_denoiser.evaluation.intervals import over, paired_difference
from domain_denoiser.evaluation.pieces import in_pieces
from domain_denoiser.evaluation.wholes import ALONE, Grid
from domain_denoiser.networks import exporting, stored
from domain_denoiser.networks.architectures import Settings
from domain_denoiser.operations import beside, card, export
from domain_denoiser.operations.beside import Best
from domain_denoiser.params import Constant, Gate, Given, Idx, Params
from domain_denoiser.runs import champion as champions
from domain_denoiser.runs import dvc_lock, revisions
from domain_denoiser.runs.cache import Contents
from domain_denoiser.runs.champion import Champion
from domain_denoiser.runs.dvc_lock import Stage
from domain_denoiser.runtime.graphs import Graph
from domain_denoiser.runtime.scale import Scale

if TYPE_CHECKING:
    import torch

IMAGES = layout.NOISE_LEVELS
CLEAN, VAL = layout.clean_images("gate"), layout.clean_images("val")
FEWEST_TILES = 5
SAME_DB = 0.01  # how far a champion's figures may lie from champion.json's on the same images

# Noise level -> figures, PSNR in dB over the gate images; and the name of the best filter there, if there are filters.
Figures = Mapping[str, Mapping[str, float | str | None]]


class Decision(NamedTuple):
    """What the gate found."""

    candidate: Champion  # as it would stand in champion.json
    files: Mapping[str, bytes]  # as they would lie in champion/: path -> content
    champion: str | None  # the key of the one that it was compared with
    passed: bool
    levels: Figures

    def as_json(self) -> dict[str, object]:
        """The content of reports/gate.json."""
        return {
            "passed": self.passed,
            "candidate": self.candidate.model_dump(),
            "champion": self.champion,
            "levels": self.levels,
        }


def decide(params: Params, model: str | None) -> Decision:
    """Compare a model of the working directory with the champion; without a name, the best one on the val images.

    Both sides restore the present gate images. Raises BadInput if a model, the champion or the gate images are not
    there, or not what they should be.
    """
    stages, present = dvc_lock.workspace(), champions.read()
    trained = _candidates(stages, params, model)
    gate_images = _hash_of_gate_images(stages)
    levels = noisy_sets.load_levels(IMAGES)
    _check_levels(params.gate, [str(sigma) for sigma in levels])
    threads, contents = params.compute.threads, Contents(revisions.head())
    profiled = {name: stages.get(f"recognise@{name}") if params.gate.profile else None for name in trained}
    files = {name: _exported(stage, profiled[name], contents) for name, stage in trained.items()}
    graphs = {name: Graph(made[champions.GRAPH], f"the graph of {name}", threads) for name, made in files.items()}
    best = next(iter(graphs)) if len(graphs) == 1 else _best_on_val(graphs, params)
    _check_exported(best, files[best], graphs[best], params.seed)
    before, notes = None, []
    if present is not None:
        before = _psnr(Graph(champions.graph(present), champions.GRAPH, threads), "the champion", levels)
        notes = _as_recorded(present, before, gate_images)
    restored = _psnr(graphs[best], best, levels)
    groups = _groups(params)
    filtered = beside.best(params.filters, _unrestored(levels), stages, gate_images, contents)
    figures = _figures(before, restored, filtered, params.seed, groups)
    hashes = champions.hashes(files[best])
    others = None if present is None else [path for path in hashes if hashes[path] != present.files[path]]
    if others and champions.WEIGHTS not in others:
        passed, reasons = judge_anew(figures)
    else:
        within = beside.within(trained[best], stages, figures) if filtered else None
        passed, reasons = judge(figures, params.gate, present is not None, others == [], within, over(groups))
    candidate = Champion(
        model=best,
        key=trained[best].key,
        files=hashes,
        gate_images=gate_images,
        psnr_db={sigma: values["candidate_psnr_db"] for sigma, values in figures.items()},
        gain_db=figures[str(params.gate.sigma)]["gain_db"],
        reasons=[*reasons, *notes],
    )
    described = card.content(candidate, params.domain, stages, restored, graphs[best], filtered, groups, params.seed)
    made = files[best] | {champions.CARD: described}
    candidate = candidate.model_copy(update={"files": champions.hashes(made)})
    return Decision(candidate, made, None if present is None else present.key, passed, figures)


def judge(
    figures: Figures, rules: Gate, has_champion: bool, same: bool, within: Collection[str] | None, resampled: str
) -> tuple[bool, list[str]]:
    """Whether the rules of params.yaml let the candidate pass, and a sentence for each rule that was applied.

    same: whether it is the champion. within: the noise levels at which it must be above the best filter; None if there
    are no filters. resampled: what the intervals are over.
    """
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
        headline, losses = figures[str(rules.sigma)], rules.allowed_loss_db
        checks = [
            (
                headline["low_db"] > rules.margin_db,
                f"gain at sigma {rules.sigma}: {headline['gain_db']:+.3f} dB, 95 % interval over {resampled}, which "
                f"ignores that seeds differ, from {headline['low_db']:+.3f} dB, above {rules.margin_db:+g} dB wanted",
            )
        ] + [
            (
                values["gain_db"] >= -losses[sigma],
                f"gain at sigma {sigma}: {values['gain_db']:+.3f} dB, at least {-losses[sigma]:+g} dB wanted",
            )
            for sigma, values in figures.items()
            if sigma != str(rules.sigma)
        ]
    return _verdict(checks + ([] if within is None else _above_filters(figures, within, resampled)))


def _above_filters(figures: Figures, within: Collection[str], resampled: str) -> list[tuple[bool, str]]:
    if not within:
        return [(False, "no noise level above 0 lies in its training range: it cannot be compared with the filters")]
    return [
        (
            figures[sigma]["over_filter_low_db"] > 0.0,
            f"over the best filter at sigma {sigma}, {figures[sigma]['best_filter']} with "
            f"{figures[sigma]['best_filter_psnr_db']:.2f} dB: {figures[sigma]['over_filter_db']:+.3f} dB, 95 % "
            f"interval over {resampled} from {figures[sigma]['over_filter_low_db']:+.3f} dB, above +0 dB wanted",
        )
        for sigma in within
    ]


def judge_anew(figures: Figures) -> tuple[bool, list[str]]:
    """As `judge`, for the champion's weights with another graph or other settings: it must restore the same.

    Today's code exports another graph of them, its settings have keys that they did not have, or both.
    """
    checks = [
        (
            abs(values["gain_db"]) <= SAME_DB,
            f"the champion's weights, exported anew: {values['gain_db']:+.4f} dB at sigma {sigma}",
        )
        for sigma, values in figures.items()
    ]
    return _verdict(checks)


def _verdict(checks: list[tuple[bool, str]]) -> tuple[bool, list[str]]:
    return all(held for held, _ in checks), [f"{'held' if held else 'FAILED'}: {said}" for held, said in checks]


def _candidates(stages: Mapping[str, Stage], params: Params, model: str | None) -> dict[str, Stage]:
    """The trainings of models that params.yaml has, in its order; or the one that is asked for."""
    ours = dvc_lock.of_models(stages, params.models)
    trained = {name: ours[f"train@{name}"] for name in params.models if f"train@{name}" in ours}
    if model is not None and model not in trained:
        there = f"dvc.lock has the models {', '.join(trained) or '(none yet)'}, but not {model!r}"
        gone = f"{model!r} is in dvc.lock, but not in params.yaml any more, which has {', '.join(params.models)}"
        raise BadInput(gone if f"train@{model}" in stages and model not in params.models else there)
    if not trained:
        raise BadInput("dvc.lock has no training of a model in params.yaml: run `make repro`")
    chosen = trained if model is None else {model: trained[model]}
    for name in chosen:
        # Its graph is exported by today's code, which must be the code that it was trained by.
        if changed := dvc_lock.changed_code(f"train@{name}"):
            raise BadInput(
                f"{name} was trained by other code ({', '.join(changed[:3])} changed since): run `dvc repro`"
            )
    return chosen


def _groups(params: Params) -> np.ndarray | None:
    """The file or group that each gate image is a tile of, as tiles of one are not independent; None for MNIST.

    Raises BadInput if there are so few tiles that a mean over them decides nothing.
    """
    if isinstance(params.data, Idx):
        return None
    groups = images.load_array(layout.clean_labels("gate"))
    if len(groups) < FEWEST_TILES:
        raise BadInput(
            f"the gate has {len(groups)} tiles of the images, but at least {FEWEST_TILES} are wanted: add images, make "
            "data.shares.gate of params.yaml larger, or data.tile smaller"
        )
    return groups


def _check_levels(rules: Gate, levels: list[str]) -> None:
    """The gate images may be older than params.yaml."""
    there = f"but the gate images have {', '.join(levels)}: `dvc repro` makes those of params.yaml"
    for key, named in (("sigma", [str(rules.sigma)]), ("floors_db", rules.floors_db)):
        if missing := [sigma for sigma in named if sigma not in levels]:
            raise BadInput(f"params.yaml: gate.{key} names the noise level {', '.join(missing)}, {there}")
    if unknown := [sigma for sigma in levels if sigma not in rules.allowed_loss_db]:
        raise BadInput(f"params.yaml: gate.allowed_loss_db does not name the noise level {', '.join(unknown)}, {there}")


def _hash_of_gate_images(stages: Mapping[str, Stage]) -> str:
    made = stages.get("corrupt@test")
    changed = ["all"] if made is None else [*dvc_lock.changed_outs("corrupt@test"), *dvc_lock.changed_outs("download")]
    if changed:
        raise BadInput(
            f"the gate images are not those of dvc.lock ({', '.join(changed)} differ): `dvc pull dvc.yaml` what "
            "somebody else made, or run `make repro`"
        )
    return made.outs[str(IMAGES)]


def _exported(stage: Stage, profiled: Stage | None, contents: Contents) -> dict[str, bytes]:
    """The files of a candidate as they would lie in champion/: what its training wrote, and its graph.

    profiled: the stage that made the profile of its domain; None if it has none, or is to carry none.
    """
    folder = layout.MODELS / stage.name.partition("@")[2]
    names = {path: str(folder / Path(path).name) for path in (champions.SETTINGS, champions.WEIGHTS)}
    found = {path: _content(stage, wrote, contents) for path, wrote in names.items()}
    domain = None if profiled is None else _profile(stage, profiled, str(folder / layout.PROFILE), contents)
    with _loaded(found) as (network, settings):
        return found | {champions.GRAPH: export.graph(network, settings, domain)}


def _content(stage: Stage, wrote: str, contents: Contents) -> bytes:
    content = contents.find(wrote, stage.outs.get(wrote, ""))
    if content is None:
        raise BadInput(
            f"{wrote} of dvc.lock is neither here nor in the DVC cache: `dvc pull dvc.yaml`, or `make repro`"
        )
    return content


def _profile(stage: Stage, profiled: Stage, wrote: str, contents: Contents) -> Profile:
    if any(profiled.deps.get(path, md5) != md5 for path, md5 in stage.outs.items()):
        raise BadInput(f"{wrote} is of other weights than those of {stage.name}: run `dvc repro`")
    return profile.parse(_content(profiled, wrote, contents), wrote)


@contextmanager
def _loaded(files: Mapping[str, bytes]) -> Iterator[tuple["torch.nn.Module", Settings]]:
    """The network of a model's files, on the CPU. Its weights are mapped: the files lie there as long as it is used."""
    with temporary.laid_out({Path(path).name: content for path, content in files.items()}) as folder:
        yield stored.load(folder, "cpu"), stored.load_settings(folder)


def _check_exported(name: str, files: Mapping[str, bytes], graph: Graph, seed: int) -> None:
    """Raise BadInput for a candidate that is too large for git, or whose graph is not its network."""
    size = sum(map(len, files.values()))
    if size > champions.LARGEST:
        raise BadInput(
            f"{name} takes {size / 1e6:.1f} MB with its graph, but a champion has at most {champions.LARGEST / 1e6:g}, "
            "as every clone carries it: make it smaller, or choose another by --model"
        )
    with _loaded(files) as (network, settings):
        apart = exporting.difference(network, settings, graph, seed)
    if not apart <= exporting.TOLERANCE:
        raise BadInput(f"the graph of {name} differs from its network by up to {apart:.2g}")


def _best_on_val(graphs: Mapping[str, Graph], params: Params) -> str:
    """The best model at the headline noise level, on val images with noise of their own.

    The best of several is flattered by the images that chose it, so these are not the gate images.
    """
    clean = images.load(VAL)
    tested = params.noisy["test"].root
    if isinstance(tested, Given):
        corrupted = images.load(layout.given_noisy("val"))
    else:
        law = Constant(law="constant", noise=tested.noise, sigma=params.gate.sigma)
        corrupted = np.concatenate(list(noisy_sets.corrupt(clean, law, params.seed, "gate", "val").parts))
    means = {}
    for name, graph in graphs.items():
        try:
            means[name] = float(_psnr_db(graph, corrupted, clean, [ALONE] * len(clean)).mean())
        except BadInput:  # one whose training ran away stands not in the way of the others
            means[name] = -np.inf
    return max(means, key=means.__getitem__)


def _as_recorded(present: Champion, measured: Mapping[str, np.ndarray], gate_images: str) -> list[str]:
    """Raise BadInput if the champion does not do on the same images what champion.json says. On others: a note."""
    if present.gate_images != gate_images:
        return ["note: the gate images are others than at the last promotion, so the champion was measured anew"]
    means = {sigma: float(psnr.mean()) for sigma, psnr in measured.items()}
    recorded = present.psnr_db
    for sigma in means | recorded:
        if not abs(means.get(sigma, np.nan) - recorded.get(sigma, np.nan)) <= SAME_DB:
            found, wanted = (f"{of[sigma]:.2f} dB" if sigma in of else "nothing" for of in (means, recorded))
            raise BadInput(
                f"the champion restores the gate images at sigma {sigma} to {found}, but champion.json says {wanted} "
                f"of the same images: it and {champions.GRAPH} do not belong together (`git checkout HEAD -- "
                "champion.json champion` takes the commit's), or ONNX Runtime computes otherwise on this machine"
            )
    return []


def _figures(
    before: Mapping[str, np.ndarray] | None,
    after: Mapping[str, np.ndarray],
    filtered: Mapping[str, Best],
    seed: int,
    groups: np.ndarray | None,
) -> dict[str, dict[str, float | str | None]]:
    figures = {}
    for sigma, psnr in after.items():
        figures[sigma] = {"candidate_psnr_db": float(psnr.mean()), "champion_psnr_db": None}
        figures[sigma] |= {"gain_db": None, "low_db": None, "high_db": None}
        if before is not None:
            gain = paired_difference(before[sigma], psnr, derive(seed, "gate", sigma), groups)
            figures[sigma] |= {"champion_psnr_db": float(before[sigma].mean())}
            figures[sigma] |= {"gain_db": gain.mean, "low_db": gain.low, "high_db": gain.high}
        if sigma in filtered:
            name, psnr_of_filter = filtered[sigma]
            gain = paired_difference(psnr_of_filter, psnr, derive(seed, "gate", "filter", sigma), groups)
            figures[sigma] |= {"best_filter": name, "best_filter_psnr_db": float(psnr_of_filter.mean())}
            figures[sigma] |= {"over_filter_db": gain.mean, "over_filter_low_db": gain.low}
    return figures


def _psnr(graph: Graph, name: str, levels: list[float]) -> dict[str, np.ndarray]:
    """PSNR in dB of each gate image, or tile of one, float64 [N], by noise level."""
    grids = wholes.load("gate", len(images.mapped(CLEAN)))
    pairs = progress.track(_pairs(levels).items(), len(levels), f"the gate measures {name}", "noise levels")
    return {sigma: _psnr_db(graph, corrupted, clean, grids) for sigma, (clean, corrupted) in pairs}


def _unrestored(levels: list[float]) -> dict[str, np.ndarray]:
    """As `_psnr`, of the noisy gate images as they are."""
    return {
        sigma: metrics.psnr_db(metrics.mse(*(images.to_float(given, "cpu") for given in pair))).double().numpy()
        for sigma, pair in _pairs(levels).items()
    }


def _pairs(levels: list[float]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Clean and noisy gate images, as they lie on disk, by noise level."""
    paths = {str(sigma): IMAGES / noisy_sets.level_file("gate", sigma) for sigma in levels}
    return {sigma: images.mapped_pair(CLEAN, path) for sigma, path in paths.items()}


def _psnr_db(graph: Graph, corrupted: np.ndarray, clean: np.ndarray, grids: list[Grid]) -> np.ndarray:
    """PSNR in dB of each restored image or tile, float64 [N]. corrupted, clean: as they lie on disk.

    Colours are restored as `denoise restore` does: one by one by a champion that is for grey images.
    """

    def restore(noisy: "torch.Tensor") -> "torch.Tensor":
        return images.from_unit(graph.restore_any(noisy.numpy()), "cpu")

    found, restore_any = [], in_pieces(restore, graph.reach)
    for part, grid in wholes.batches(wholes.fitting(grids, graph.size), images.per_batch(per_image.BATCH, clean)):
        noisy = images.from_unit(Scale().to_unit(corrupted[part]), "cpu")
        restored = wholes.restored(restore_any, noisy, grid)
        found.append(metrics.psnr_db(metrics.mse(restored, images.to_float(clean[part], "cpu"))).double().numpy())
    return np.concatenate(found)

"""The champion's model card, champion/README.md, in the form of Hugging Face: what it is, how good, what it is not for.

It holds names, settings, hashes and mean figures, and no pixel of any image: with images of one's own, these enter git.
It says nothing of the decision, nor of time and place, so that equal models on equal gate images have equal cards.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jinja2
import numpy as np
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from domain_denoiser import layout
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import images, metrics, noisy_sets
from domain_denoiser.core.seeds import derive
from domain_denoiser.evaluation.intervals import over, paired_difference
from domain_denoiser.operations.beside import Best
from domain_denoiser.params import Domain
from domain_denoiser.runs import dvc_lock, records
from domain_denoiser.runs.champion import Champion
from domain_denoiser.runs.dvc_lock import Stage
from domain_denoiser.runtime.graphs import Graph

GIVEN = "given"  # the law of noisy images that came with the clean ones


class Row(NamedTuple):
    """Mean PSNR in dB over the gate images at a noise level, and the 95 % interval of that of the restored ones."""

    sigma: str
    noisy_db: float
    psnr_db: float
    low_db: float
    high_db: float
    best: Best | None  # the best filter there; None if there are no filters


def content(
    candidate: Champion,
    domain: Domain,
    stages: Mapping[str, Stage],
    restored: Mapping[str, np.ndarray],
    graph: Graph,
    filtered: Mapping[str, Best],
    groups: np.ndarray | None,
    seed: int,
) -> bytes:
    """The card, in Markdown.

    candidate: the model that it describes; domain: what its images are; stages: those of the dvc.lock that has its
    training. restored: noise level -> PSNR in dB of each restored gate image, float64 [N]. graph: its own. filtered:
    noise level -> the best filter there, if there are filters. groups: [N], the file of each gate image, if they are
    tiles; None if each is for itself. seed: of the bootstrap. Reads the noisy gate images; raises BadInput if they or
    their noise are not known.
    """
    training = stages[f"train@{candidate.model}"]
    figures = [_row(sigma, psnr, filtered.get(sigma), groups, seed) for sigma, psnr in restored.items()]
    count = f"{len(next(iter(restored.values()))):,}"
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(Path(__file__).with_name("card.md").read_text(encoding="utf-8"))
    text = template.render(
        front=_front_matter(candidate.model, domain, figures, count),
        model=candidate.model,
        domain=domain,
        rights=", ".join(said for said in (domain.authors, domain.licence) if said is not None),
        files={Path(path).name: md5 for path, md5 in candidate.files.items()},
        size="images of any size" if graph.size is None else f"images of {graph.size[1]} x {graph.size[0]} pixels",
        channels=graph.channels,
        accepted="[H, W] or [N, H, W]" if graph.channels == 1 else "[H, W, 3] or [N, H, W, 3]",
        knows_its_domain=graph.profile is not None,
        count=count,
        gate_images=candidate.gate_images,
        noise=_noise(stages),
        rows=figures,
        resampled="the images" if groups is None else over(groups),
        params=records.params(training, candidate.model, stages),
        data={path: md5 for path, md5 in training.deps.items() if layout.is_dataset(path)},
    )
    return text.encode()


def _row(sigma: str, psnr: np.ndarray, best: Best | None, groups: np.ndarray | None, seed: int) -> Row:
    path = layout.NOISE_LEVELS / noisy_sets.level_file("gate", float(sigma))
    clean, noisy = (images.to_float(given, "cpu") for given in images.mapped_pair(layout.clean_images("gate"), path))
    before = metrics.psnr_db(metrics.mse(noisy, clean)).double().mean()
    mean = paired_difference(np.zeros_like(psnr), psnr, derive(seed, "card", sigma), groups)
    return Row(sigma, float(before), *mean, best)


def _noise(stages: Mapping[str, Stage]) -> str:
    """The noise of the gate images, by its name in NOISES; GIVEN if it is that of pairs."""
    law = stages["corrupt@test"].params.get("noisy.test")
    if dvc_lock.param(law, "law") == GIVEN:
        return GIVEN
    noise = dvc_lock.param(law, "noise")
    if not isinstance(noise, str):
        raise BadInput("dvc.lock does not say which noise the gate images have: run `dvc repro`")
    return noise


def _front_matter(model: str, domain: Domain, figures: list[Row], count: str) -> str:
    """What Hugging Face reads: https://huggingface.co/docs/hub/model-cards."""
    results = [
        {
            "task": {"type": "image-to-image", "name": "Denoising"},
            "dataset": {
                "name": f"{domain.title}, {count} gate images, sigma {row.sigma}",
                "type": domain.name if domain.dataset is None else domain.dataset,  # the hub wants one
                **({} if domain.dataset is None else {"split": "train"}),  # the gate images are drawn from it
                "args": {"sigma": float(row.sigma)},
            },
            "metrics": [{"type": "psnr", "name": "mean PSNR in dB", "value": round(row.psnr_db, 2)}],
        }
        for row in figures
    ]
    front = {
        "license": "mit",
        "library_name": "onnx",
        "pipeline_tag": "image-to-image",
        "tags": ["denoising", "image-restoration", "onnx", domain.name],
        **({} if domain.dataset is None else {"datasets": [domain.dataset]}),
        "metrics": ["psnr"],
        # In YAML 1.1, as it is read there, a model called `no` would be none.
        "model-index": [{"name": DoubleQuotedScalarString(model), "results": results}],
    }
    written = io.StringIO()
    YAML().dump(front, written)
    return written.getvalue()

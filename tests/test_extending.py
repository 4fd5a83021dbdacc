"""One block, one file, one row: what is added to the house is trained, evaluated, drawn, shown and verified."""

import json
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from pipeline import Pipeline

ARCHITECTURE = '''"""One convolution."""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from domain_denoiser.networks import architectures

IMAGE_SIZE = None


class Settings(architectures.Settings):
    architecture: Literal["blur"]
    size: Annotated[int, Field(ge=1, le=9)]


class Blur(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, size, padding=size // 2)

    def forward(self, noisy: Tensor) -> Tensor:
        return self.convolution(noisy)


def build(settings: Settings) -> Blur:
    return Blur(settings.size)
'''
METRIC = '    "mae": Metric(lambda restored, clean: (restored - clean).abs().flatten(1).mean(1), "", 1e-5),\n'
NOISE = """    "relative": lambda clean, sigma, generator: (
        clean + clean * sigma.view(-1, 1, 1, 1) * torch.empty_like(clean).normal_(generator=generator)
    ),
"""


@pytest.fixture
def changed(pipeline: Pipeline, tmp_path: Path) -> Pipeline:
    return pipeline.copy(tmp_path / "a copy")


def touched(changed: Pipeline) -> set[str]:
    """The files of the project's own that differ from the commit: not what its stages wrote."""
    listed = changed.run("git", "status", "--porcelain", "--untracked-files=all").stdout.splitlines()
    paths = {line[3:] for line in listed}
    return {path for path in paths if path != "dvc.lock" and not path.startswith(("models/", "reports/"))}


def reproduce(changed: Pipeline, *quick: str) -> dict:
    """Everything, as a person would; the means by model and noise level. Nothing is left to say for `verify`."""
    changed.run("dvc", "repro")
    changed.run("denoise", "sync")
    changed.run("denoise", "fresh")
    changed.run("denoise", "verify", *quick)
    return json.loads((changed.root / "reports/metrics.json").read_text())["models"]


def shown(changed: Pipeline, model: str) -> tuple[dict, set[str]]:
    """The metrics and the figures of the model's run of this state, as MLflow has them."""
    client = MlflowClient(f"sqlite:///{changed.root}/mlflow.db")
    experiment = client.get_experiment_by_name("mnist-denoising").experiment_id
    wanted = f"tags.model = '{model}' and tags.state LIKE '%current%'"
    [run] = client.search_runs([experiment], wanted)
    return run.data.metrics, {
        path.name for path in (changed.root / "mlartifacts").rglob("*.png") if run.info.run_id in str(path)
    }


@pytest.mark.services
def test_a_model_is_one_block_and_an_architecture_one_file_and_a_block(changed: Pipeline) -> None:
    path = "src/domain_denoiser/networks/blur.py"
    (changed.root / path).write_text(ARCHITECTURE)

    def change(values: dict) -> None:
        models = values["models"]
        models["narrow"] = dict(models["fixed"]) | {"hidden": 8}
        conv = {
            key: value
            for key, value in models["conv"].items()
            if not key.endswith(("_channels", "_blocks", "residual"))
        }
        models["blurred"] = conv | {"architecture": "blur", "size": 3}

    changed.params(change)
    metrics = reproduce(changed, "--quick")
    assert touched(changed) == {"params.yaml", path}
    for name in ("narrow", "blurred"):
        assert metrics[name].keys() == metrics["fixed"].keys()
        values, figures = shown(changed, name)
        assert values["psnr_db_0.5"] == pytest.approx(metrics[name]["0.5"]["psnr_db"])
        assert {"examples.png", "learning_curves.png", "psnr_against_noise.png"} <= figures
    # Taken away again, they are left behind nowhere.
    changed.run("git", "checkout", "--", "params.yaml")
    refused = changed.run("dvc", "repro", check=False)
    assert refused.returncode != 0
    assert "blurred.csv, narrow.csv" in refused.stderr
    assert "`denoise recover`" in refused.stderr
    told = changed.run("denoise", "recover")
    assert "reports/evaluation/narrow.csv is removed" in told.stdout + told.stderr
    changed.run("dvc", "repro")
    assert "narrow" not in json.loads((changed.root / "reports/metrics.json").read_text())["models"]


@pytest.mark.services
def test_a_metric_and_a_noise_are_one_entry_each(changed: Pipeline) -> None:
    folder = changed.root / "src/domain_denoiser/core"
    for name, old, new in (
        ("metrics.py", '    "ssim": Metric(', f'{METRIC}    "ssim": Metric('),
        ("noise.py", '    "gaussian": gaussian,\n', f'    "gaussian": gaussian,\n{NOISE}'),
    ):
        content = (folder / name).read_text()
        assert old in content
        (folder / name).write_text(content.replace(old, new))
    before = json.loads((changed.root / "reports/metrics.json").read_text())["models"]

    def change(values: dict) -> None:
        for name in ("fixed", "test"):
            values["noisy"][name]["noise"] = "relative"

    changed.params(change)
    metrics = reproduce(changed)
    assert touched(changed) == {
        "params.yaml",
        *(f"src/domain_denoiser/core/{name}.py" for name in ("metrics", "noise")),
    }
    # Black stays black: there is less noise.
    assert metrics["noisy"]["0.5"]["psnr_db"] > before["noisy"]["0.5"]["psnr_db"] + 1.0
    assert all("mae" in means for levels in metrics.values() for means in levels.values())
    assert "mae" in (changed.root / "reports/levels.csv").read_text().partition("\n")[0].split(",")
    values, figures = shown(changed, "fixed")
    assert {"test/mae", "test/ssim"} <= values.keys()
    assert "examples.png" in figures


@pytest.mark.services
def test_a_filter_is_one_entry_and_stands_beside_the_models(changed: Pipeline) -> None:
    models = named(changed)
    changed.params(lambda values: values["filters"].update({"wavelet": [0.8, 1.2], "total_variation": [1.0]}))
    figures = {f"figures@{name}" for name in models if name != "noisy"}
    assert changed.stages_run() == {"filter@wavelet", "filter@total_variation", "summarise", *figures}
    metrics = reproduce(changed)
    assert touched(changed) == {"params.yaml"}
    assert named(changed) == ["noisy", "wavelet", "total_variation", *models[1:]]
    for name in ("wavelet", "total_variation"):
        assert metrics[name]["0.5"]["psnr_db"] > metrics["noisy"]["0.5"]["psnr_db"]
        assert json.loads((changed.root / f"reports/filters/{name}.json").read_text())["strength"] in (0.8, 1.0, 1.2)
    values, drawn = shown(changed, "fixed")  # the means are those of the model still
    assert values["psnr_db_0.5"] == pytest.approx(metrics["fixed"]["0.5"]["psnr_db"])
    assert "psnr_against_noise.png" in drawn
    client = MlflowClient(f"sqlite:///{changed.root}/mlflow.db")
    experiment = client.get_experiment_by_name("mnist-denoising").experiment_id
    assert {run.data.tags["model"] for run in client.search_runs([experiment])} == set(models[1:])
    assert "total_variation" in changed.run("denoise", "compare").stdout
    changed.run("denoise", "gate", check=False)
    decided = json.loads((changed.root / "reports/gate.json").read_text())
    assert decided["levels"]["0.5"]["best_filter"] in ("wavelet", "total_variation")
    # Taken away again, they are left behind nowhere.
    changed.run("git", "checkout", "--", "params.yaml")
    assert "total_variation.csv, wavelet.csv" in changed.run("dvc", "repro", check=False).stderr
    told = changed.run("denoise", "recover")
    assert "reports/evaluation/wavelet.csv is removed" in told.stdout + told.stderr
    changed.run("dvc", "repro")
    assert named(changed) == models


def named(changed: Pipeline) -> list[str]:
    """The models and baselines, in the order in which they are shown."""
    lines = (changed.root / "reports/levels.csv").read_text().splitlines()[1:]
    return list(dict.fromkeys(line.partition(",")[0] for line in lines))

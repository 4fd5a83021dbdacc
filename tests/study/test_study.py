"""The study from end to end at a tiny size: every command of its pipeline, then the page and the numbers recomputed.

The commands run in one process, in the order of the file: `dvc repro` would start Python anew for each, three minutes.
What DVC needs to know of them is compared in test_structure.
"""

import json
import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas
import pytest
from pipeline import PARAMS, sample_sources
from ruamel.yaml import YAML
from test_structure import STAGES

ROOT = Path(__file__).parents[2]
RUN_ALL = """
import runpy, shlex, sys

for line in sys.stdin.read().splitlines():
    _, _, script, *arguments = shlex.split(line)
    sys.argv = [script, *arguments]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as ended:
        if ended.code:
            sys.exit(f"{line}: exit status {ended.code}")
"""
SIGMAS = [0.0, 0.5, 1.5]


def tiny(values: dict, study: dict, given: dict) -> None:
    """Make both files describe the sample and trainings of a moment."""
    values["compute"]["threads"] = 1
    values["data"]["split"] = {"train": 200, "val": 100, "gate": 900}
    for model in [*values["models"].values(), *(n["settings"] for n in study["networks"].values())]:
        small = {
            "hidden": 8,
            "fine_channels": 4,
            "coarse_channels": 4,
            "fine_blocks": 1,
            "coarse_blocks": 1,
            "channels": 4,
        }
        model.update({key: value for key, value in small.items() if key in model} | {"epochs": 1})
    study["large"]["settings"].update({"fine_channels": 4, "coarse_channels": 8, "epochs": 1})
    for network in [*study["networks"].values(), study["large"]]:
        network["compute"]["threads"] = 1
    study["compute"]["threads"] = 1
    study["levels"] = {"images": 40, "sigmas": SIGMAS}
    study["classical"]["tuning_images"] = 5
    study["domains"]["test_images"] = 30
    study["domains"]["fashion"] = given | {"split": values["data"]["split"]}
    study["classifier"]["epochs"] = 1


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory, committed) -> Path:
    """A folder in which both pipelines have run, without DVC."""
    root = tmp_path_factory.mktemp("study")
    for folder in ("src", "stages", "study", "tests/data"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("*.lock", "__pycache__"))
    values = YAML(typ="safe").load(PARAMS.read_bytes())
    study = YAML(typ="safe").load((ROOT / "study/params.yaml").read_bytes())
    given = sample_sources()
    tiny(values, study, given)
    (root / "data").mkdir()
    YAML().dump(given, root / "data/mnist.yaml")
    for held, path in ((values, root / "params.yaml"), (study, root / "study/params.yaml")):
        YAML().dump(json.loads(json.dumps(held)), path)
    first = ["PYTHONPATH=src python stages/download.py", "PYTHONPATH=src python stages/corrupt.py test"]
    first += [f"PYTHONPATH=src python stages/corrupt.py {regime}" for regime in ("plain", "fixed", "random")]
    trained = [" ".join(stage.words) for stage in STAGES if stage.name.startswith(("train@", "evaluate", "summarise"))]
    commands = [" ".join(stage.words) for stage in STAGES if stage.script.startswith("stages/study/")]
    order = sorted(commands, key=lambda command: "large" in command)  # what its own pipeline.yaml runs comes last
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN_ALL],
        cwd=root,
        input="\n".join([*first, *sorted(trained, key=rank), *order]),
        env=environment(root),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return root


def rank(command: str) -> int:
    return next(
        place for place, name in enumerate(("train", "evaluate", "summarise")) if f"stages/{name}.py" in command
    )


def environment(root: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_"))}
    return kept | {
        "PYTHONPATH": os.pathsep.join([str(root / "src"), *sys.path]),
        "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db",
    }


def read(root: Path, name: str) -> pandas.DataFrame:
    return pandas.read_csv(root / "reports/study" / f"{name}.csv")


def test_every_stage_wrote_what_its_pipeline_says(studied):
    for stage in STAGES:
        if stage.script.startswith("stages/study/"):
            for out in stage.outs:
                assert (studied / out).exists(), f"{stage.name}: {out}"


def test_every_method_was_measured_on_the_same_images(studied):
    levels = read(studied, "levels")
    assert set(levels["images"]) == {40}
    assert set(levels["sigma"]) == set(SIGMAS)
    assert {"noisy", "median", "linear", "conv", "post", "keras"} <= set(levels["method"])
    assert (levels["low"] <= levels["psnr_db"]).all()


def test_every_pair_is_compared_and_every_seed_counts(studied):
    methods = read(studied, "levels")["method"].nunique()
    assert len(read(studied, "differences")) == methods * (methods - 1) // 2 * len(SIGMAS)
    assert set(read(studied, "spread")["seeds"]) == {2}
    assert set(read(studied, "spread")["model"]) == {"plain", "fixed", "random", "conv"}


def test_every_model_meets_every_domain(studied):
    found = read(studied, "domains")
    assert set(found["domain"]) == {"digits", "letters", "upside_down", "inverted", "fashion"}
    assert len(found) == found["model"].nunique() * 5
    assert (found["gain_over_noisy_db"] - (found["psnr_db"] - found["noisy_db"])).abs().max() < 1e-6


def test_clean_and_unharmed_digits_read_alike(studied):
    found = read(studied, "accuracy").set_index(["images", "sigma"])["accuracy"]
    assert found["clean", 0.0] == found["noisy", 0.0]


class Page(HTMLParser):
    """What a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tables = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        self.tables += tag == "table"


def test_the_page_stands_alone_and_is_repeatable(studied):
    program = "from pathlib import Path; from domain_denoiser.operations import page; print(page.write(Path('a.html')))"
    contents = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=studied, env=environment(studied), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        contents.append((studied / "a.html").read_bytes())
    content = contents[0]
    assert content == contents[1]
    page = Page()
    page.feed(content.decode())
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert len(page.sources) == 5
    assert page.tables == 8
    assert b"http" not in content
    assert str(studied).encode() not in content
    assert len(content) < 4 * 2**20


def test_a_missing_result_is_one_sentence(studied, tmp_path, monkeypatch):
    from domain_denoiser.base.errors import BadInput
    from domain_denoiser.operations import page

    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="reports/metrics.json does not exist.*make study"):
        page.write(tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def recompute(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks/recompute.py"), "--root", str(root)]
    return subprocess.run(command, env={"PATH": ""}, capture_output=True, text=True)


def test_the_numbers_recomputed_agree(studied):
    done = recompute(studied)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "conv at sigma 0.5" in done.stdout


def test_a_wrong_number_is_found(studied, tmp_path):
    root = tmp_path / "wrong"
    shutil.copytree(studied, root)
    metrics = json.loads((root / "reports/metrics.json").read_bytes())
    metrics["models"]["conv"]["0.5"]["psnr_db"] += 0.02
    (root / "reports/metrics.json").write_text(json.dumps(metrics))
    assert recompute(root).returncode == 1


def test_the_recomputation_shares_no_code():
    imported = [
        line.split()[1] for line in (ROOT / "benchmarks/recompute.py").read_text().splitlines() if "import " in line
    ]
    assert {name.split(".")[0] for name in imported if name[0].islower()} <= {
        "argparse",
        "json",
        "sys",
        "pathlib",
        "numpy",
        "safetensors",
    }


def test_a_network_in_numpy_is_the_network_in_torch(studied):
    """Away from the pipeline's own size."""
    import runpy

    import torch

    from domain_denoiser.networks.unet import Settings, Unet

    settings = Settings(
        architecture="unet",
        image_channels=1,
        residual=False,
        fine_channels=3,
        coarse_channels=5,
        fine_blocks=2,
        coarse_blocks=1,
    )
    network, noisy = Unet(settings).double(), np.random.default_rng(1).random((2, 28, 28))
    weights = {name: weight.detach().numpy() for name, weight in network.state_dict().items()}
    again = runpy.run_path(str(ROOT / "benchmarks/recompute.py"))["unet"](noisy, weights, settings.model_dump())
    with torch.inference_mode():
        assert again == pytest.approx(network(torch.from_numpy(noisy)[:, None])[:, 0].numpy(), abs=1e-9)


def test_a_result_that_is_another_table_is_one_sentence(studied, tmp_path, monkeypatch):
    from domain_denoiser.base.errors import BadInput
    from domain_denoiser.operations import page

    copied = tmp_path / "copy"
    shutil.copytree(studied / "reports", copied / "reports")
    for lock in page.LOCKS:
        if (studied / lock).exists():
            (copied / lock).parent.mkdir(exist_ok=True)
            shutil.copy(studied / lock, copied / lock)
    monkeypatch.chdir(copied)
    (copied / "reports/study/levels.csv").write_text("other,columns\n1,2\n")
    with pytest.raises(BadInput, match="reports/study/levels.csv is not the table that `make study` writes there"):
        page.write(tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()

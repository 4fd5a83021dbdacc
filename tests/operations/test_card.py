"""The model card: its figures, its form, and that its examples run."""

import re
import shutil
import subprocess
from pathlib import Path

import domain_profiles
import graph_files
import numpy as np
import pytest
import yaml
from PIL import Image
from pipeline import PARAMS

from domain_denoiser import Denoiser
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import images, noisy_sets
from domain_denoiser.operations import card
from domain_denoiser.operations.beside import Best
from domain_denoiser.params import Domain, read_domain
from domain_denoiser.runs import champion
from domain_denoiser.runs.champion import Champion
from domain_denoiser.runs.dvc_lock import Stage
from domain_denoiser.runtime.graphs import Graph

ROOT = Path(__file__).parents[2]
GRAPH = graph_files.darker()
MNIST = read_domain(PARAMS)
RESTORED = {"0.0": np.linspace(30.0, 50.0, 60), "0.5": np.linspace(10.0, 30.0, 60)}
STAGES = {
    "corrupt@test": Stage("corrupt@test", "", {}, {"noisy.test": {"noise": "gaussian"}}, {}),
    "corrupt@random": Stage("corrupt@random", "", {}, {"noisy.random": {"low": 0.25}}, {"data/noisy/random": "1" * 32}),
    "train@conv": Stage(
        "train@conv",
        "",
        {"src/code.py": "2" * 32, "data/noisy/random": "1" * 32},
        {"models.conv": {"regime": "random", "epochs": 5}, "seed": 2018},
        {},
    ),
}


@pytest.fixture(autouse=True)
def gate_images(tmp_path: Path, digits: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """60 clean ones; at 0.0 as they are, at 0.5 each pixel off by 128: 5.99 dB."""
    monkeypatch.chdir(tmp_path)
    clean = digits[:60]
    noisy = {0.0: clean, 0.5: np.where(clean < 128, clean + 128, clean - 128).astype(np.uint8)}
    images.save(Path("data/clean/gate_images.npy"), clean)
    for sigma, corrupted in noisy.items():
        images.save(Path("data/noisy/test") / noisy_sets.level_file("gate", sigma), corrupted)


def made(
    restored: dict[str, np.ndarray] = RESTORED,
    stages: dict[str, Stage] = STAGES,
    model: str = "conv",
    graph: bytes = GRAPH,
    domain: Domain = MNIST,
    filtered: dict[str, Best] = {},
    groups: np.ndarray | None = None,
) -> str:
    candidate = Champion(
        model=model,
        key="0" * 32,
        files=champion.hashes({champion.GRAPH: GRAPH, champion.SETTINGS: b"{}", champion.WEIGHTS: b""}),
        gate_images="3" * 32 + ".dir",
        psnr_db={},
        gain_db=None,
        reasons=[],
    )
    return card.content(candidate, domain, stages, restored, Graph(graph, "here", 1), filtered, groups, 2018).decode()


def test_noise_of_pairs_is_said_to_be_given():
    drawn, given = (
        made(stages=STAGES | {"corrupt@test": Stage("corrupt@test", "", {}, {"noisy.test": law}, {})})
        for law in ({"law": "levels", "noise": "gaussian"}, {"law": "given", "sigma": 0.5})
    )
    assert drawn == made()
    assert "The noise is `gaussian` of standard deviation σ" in drawn
    assert "The noise is that of noisy images which came with the clean ones: they\ndiffer by σ (root mean" in given
    assert "independent from pixel to pixel" in drawn
    assert "independent from pixel to pixel" not in given
    assert rows(given) == rows(drawn)


def rows(text: str) -> dict[str, list[float]]:
    """The table of figures: noise level -> noisy, restored, low, high."""
    found = re.findall(r"^\| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) to ([\d.]+) \|$", text, re.MULTILINE)
    return {sigma: [float(figure) for figure in figures] for sigma, *figures in found}


def front_matter(text: str) -> dict:
    return yaml.safe_load(text.split("---\n")[1])


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_figures_are_the_means_with_their_intervals():
    found = rows(made())
    assert found["0.0"][:2] == [100.0, 40.0]
    assert found["0.5"][:2] == [5.99, 20.0]
    for sigma, (_, mean, low, high) in found.items():
        error = RESTORED[sigma].std() / np.sqrt(60)
        assert (low, high) == pytest.approx((mean - 1.96 * error, mean + 1.96 * error), abs=0.2 * error)


def test_the_best_filter_stands_beside_the_model():
    found = {"0.0": Best("wavelet", np.full(60, 45.0)), "0.5": Best("nonlocal_means", np.linspace(10.0, 20.0, 60))}
    text = made(filtered=found)
    assert (
        "| σ | noisy | best filter | restored | 95 % interval |\n|---:|---:|---:|---:|---:|\n| 0.0 | 100.00 |" in text
    )
    assert "| 0.0 | 100.00 | 45.00, wavelet | 40.00 |" in text
    assert "| 0.5 | 5.99 | 15.00, nonlocal means | 20.00 |" in text
    assert "told nothing of the noise.\n\n## Not for" in text
    assert "filter" not in made()


def test_its_intervals_are_over_files_where_images_are_tiles():
    assert "interval is that of the mean, by bootstrap over the images; how much" in " ".join(made().split())
    text = " ".join(made(groups=np.repeat(np.arange(6), 10)).split())
    assert "interval is that of the mean, by bootstrap over 6 files; how much" in text
    low, high = rows(made(groups=np.repeat(np.arange(6), 10)))["0.5"][2:]
    assert high - low > 1.5 * np.subtract(*rows(made())["0.5"][:1:-1])


def test_equal_models_have_equal_cards_and_others_have_others():
    assert made() == made()
    assert rows(made(RESTORED | {"0.5": RESTORED["0.5"] + 1.0}))["0.5"][1] == 21.0
    longer = STAGES["train@conv"]._replace(params={"models.conv": {"regime": "random", "epochs": 6}})
    assert "| `epochs` | 6 |" in made(stages=STAGES | {"train@conv": longer})


def test_it_names_settings_and_data_but_no_code():
    text = made()
    for line in (
        "| `epochs` | 5 |",
        "| `regime.low` | 0.25 |",
        "| `seed` | 2018 |",
        f"| `data/noisy/random` | `{'1' * 32}` |",
    ):
        assert line in text
    assert "code.py" not in text
    assert "CC BY-SA 3.0" in text


def test_the_front_matter_has_what_the_hub_reads():
    front = front_matter(made())
    assert (front["license"], front["pipeline_tag"], front["library_name"]) == ("mit", "image-to-image", "onnx")
    [model] = front["model-index"]
    found = {result["dataset"]["args"]["sigma"]: result["metrics"][0]["value"] for result in model["results"]}
    assert (model["name"], found) == ("conv", {0.0: 40.0, 0.5: 20.0})
    [model] = front_matter(made(stages=STAGES | {"train@no": STAGES["train@conv"]}, model="no"))["model-index"]
    assert model["name"] == "no"


@pytest.mark.mnist
def test_its_examples_run_and_agree(digits: np.ndarray):
    """With the champion in git."""
    text = made(graph=(ROOT / champion.GRAPH).read_bytes())
    shutil.copy(ROOT / champion.GRAPH, "model.onnx")
    with_package, with_runtime = blocks(text, "python")
    restored = Denoiser.load("model.onnx")(noisy := np.float32(digits[:3]) / 255)
    given = {"noisy": noisy}
    exec(with_package, given)
    np.testing.assert_array_equal(given["restored"], restored)
    given = {"noisy": noisy[:, np.newaxis]}
    exec(with_runtime, given)
    np.testing.assert_allclose(given["restored"][:, 0], restored, atol=1e-5)
    Image.fromarray(digits[0]).save("noisy.png")
    [command] = blocks(text, "sh")
    subprocess.run(command, shell=True, check=True)
    assert (np.asarray(Image.open("clean.png")) == Denoiser.load("model.onnx")(digits[0])).all()


def test_its_examples_run_for_a_model_for_colour():
    graph = graph_files.negative(channels=3)
    text = made(graph=graph)
    assert "It takes images of any size, all three channels together" in text
    assert "one channel" not in text
    Path("model.onnx").write_bytes(graph)
    with_package, with_runtime = blocks(text, "python")
    noisy = np.random.default_rng(1).random((2, 5, 7, 3), dtype=np.float32)
    given = {"noisy": noisy}
    exec(with_package, given)
    np.testing.assert_allclose(given["restored"], 1.0 - noisy, atol=1e-6)
    given = {"noisy": noisy.transpose(0, 3, 1, 2)}
    exec(with_runtime, given)
    np.testing.assert_allclose(given["restored"].transpose(0, 2, 3, 1), 1.0 - noisy, atol=1e-6)


def test_gate_images_of_unknown_noise_are_bad_input():
    unknown = STAGES["corrupt@test"]._replace(params={})
    with pytest.raises(BadInput, match="which noise the gate images have"):
        made(stages=STAGES | {"corrupt@test": unknown})


def test_it_says_that_the_model_knows_its_domain_if_it_does(digits):
    profile = domain_profiles.of(digits[:60], domain_profiles.negative)
    for given, said in ((None, False), (profile, True)):
        assert ("--strict" in made(graph=graph_files.negative(profile=given))) == said
    assert "It takes images of 7 x 5 pixels" in made(graph=graph_files.negative((5, 7)))


@pytest.mark.parametrize(
    ("changed", "datasets", "target", "ending"),
    [
        ({}, ["ylecun/mnist"], ("ylecun/mnist", "train"), f" MNIST: {MNIST.authors}, CC BY-SA 3.0.\n"),
        ({"dataset": None}, None, ("mnist", None), f" MNIST: {MNIST.authors}, CC BY-SA 3.0.\n"),
        ({"authors": None}, ["ylecun/mnist"], ("ylecun/mnist", "train"), " MNIST: CC BY-SA 3.0.\n"),
        ({"licence": None}, ["ylecun/mnist"], ("ylecun/mnist", "train"), f" MNIST: {MNIST.authors}.\n"),
        ({"dataset": None, "authors": None, "licence": None}, None, ("mnist", None), "\n"),
    ],
)
def test_what_is_not_known_of_a_domain_is_left_out(
    changed: dict[str, None], datasets: list[str] | None, target: tuple[str, str | None], ending: str
) -> None:
    text = made(domain=MNIST.model_copy(update=changed))
    front = front_matter(text)
    assert front.get("datasets") == datasets
    [model] = front["model-index"]
    assert {(found["dataset"]["type"], found["dataset"].get("split")) for found in model["results"]} == {target}
    assert text.endswith(f"\nThe code of Domain Denoiser: MIT.{ending}")
    assert text.count("None") == 1  # of the example


def test_it_is_about_the_domain_that_it_is_given() -> None:
    cells = MNIST.model_copy(update={"name": "cells", "title": "Cells: day 2", "images": "cells", "look": "round"})
    text = made(domain=cells.model_copy(update={"dataset": None, "authors": None, "licence": None}))
    assert not re.search("mnist|digit|stroke", text, re.IGNORECASE)
    assert "# conv: a denoiser for cells\n" in text and "60 images of Cells: day 2 that were not trained on" in text
    front = front_matter(text)
    assert front["tags"][-1] == "cells"
    assert front["model-index"][0]["results"][0]["dataset"]["name"] == "Cells: day 2, 60 gate images, sigma 0.0"

"""The gate, in a project of a few digits, whose models are fitted in closed form."""

import copy
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import allowed_losses
import domain_profiles
import graph_files
import numpy as np
import onnx
import pandas
import pytest
import torch
import typer
from dvc.repo import Repo
from ruamel.yaml import YAML

from domain_denoiser import cli, layout, params
from domain_denoiser.base import atomic
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import images, metrics, noisy_sets
from domain_denoiser.domain.profile import written
from domain_denoiser.evaluation.wholes import Grid
from domain_denoiser.networks import exporting, mlp, stored
from domain_denoiser.networks.architectures import Settings
from domain_denoiser.networks.mlp import Settings as MlpSettings
from domain_denoiser.operations import gate
from domain_denoiser.operations.beside import within
from domain_denoiser.operations.gate import Decision
from domain_denoiser.operations.verify import promoted
from domain_denoiser.params import Constant
from domain_denoiser.runs import champion, compare
from domain_denoiser.runs.dvc_lock import Stage
from domain_denoiser.runtime.graphs import Graph

LEVELS = [0.0, 0.5]
HIDDEN = 60
DVC_YAML = """
stages:
  download:
    cmd: echo download
    outs: [data/clean]
  corrupt:
    foreach: [test]
    do:
      cmd: echo ${item}
      params: ["noisy.${item}"]
      outs:
      - data/noisy/${item}
  train:
    foreach: ${models}
    do:
      cmd: echo ${key}
      deps: [code.py]
      outs:
      - models/${key}/model.safetensors
      - models/${key}/model.json
"""
PROFILE_STAGE = """
  recognise:
    foreach: ${models}
    do:
      cmd: echo ${key}
      deps:
      - models/${key}/model.safetensors
      outs:
      - models/${key}/profile.json
"""

FILTER_STAGE = """
  filter:
    foreach: ${filters}
    do:
      cmd: echo ${key}
      deps: [data/noisy/test]
      outs:
      - reports/filters/${key}.csv
"""


class Project:
    """A repository in the working directory with gate images and trained models."""

    def __init__(self, values: dict) -> None:
        self.values, self.folder = values, Path()

    def settings(self, **rules: object) -> params.Params:
        """params.yaml, with other rules for the gate."""
        self.values["gate"] |= rules
        return params.Params.model_validate(self.values)

    def write(self) -> None:
        YAML().dump(self.values, Path("params.yaml"))
        with Repo(".") as repo:
            repo.commit(force=True)

    def train(self, **strengths: float) -> None:
        """Models by name; up to 0.8 or so, the stronger the better."""
        for name, strength in strengths.items():
            self.values["models"][name] = self.values["models"]["fixed"] | {"hidden": HIDDEN, "output": "linear"}
            settings = MlpSettings(architecture="mlp", hidden=HIDDEN, output="linear")
            stored.save(Path("models") / name, self.weights(strength), settings)
        self.values["models"] = {name: self.values["models"][name] for name in strengths}
        self.write()

    def weights(self, strength: float) -> dict[str, torch.Tensor]:
        """A random hidden layer, and the decoder that fits it best; then weaker."""
        clean = images.load(Path("data/clean/train_images.npy")) / 255.0
        seen = clean + 0.5 * np.random.default_rng(1).standard_normal(clean.shape)
        seen = seen.clip(0, 1).reshape(len(clean), -1)
        encoder = np.random.default_rng(2).standard_normal((HIDDEN, mlp.PIXELS)) / 10
        code = np.maximum(seen @ encoder.T, 0.0)
        decoder = np.linalg.lstsq(code, clean.reshape(len(clean), -1), rcond=None)[0].T * strength
        weights = {"encoder.weight": encoder, "decoder.weight": decoder}
        weights |= {"encoder.bias": np.zeros(HIDDEN), "decoder.bias": np.zeros(mlp.PIXELS)}
        return {name: torch.from_numpy(np.float32(weight)) for name, weight in weights.items()}

    def corrupt(self, seed: int, levels: list[float] = LEVELS) -> None:
        """The noisy gate images."""
        folder, clean = Path("data/noisy/test"), images.load(Path("data/clean/gate_images.npy"))
        for sigma in levels:
            parts = noisy_sets.corrupt(
                clean, Constant(law="constant", noise="gaussian", sigma=sigma), seed, "gate"
            ).parts
            images.save(folder / noisy_sets.level_file("gate", sigma), np.concatenate(list(parts)))
        atomic.write_json(folder / "law.json", {"law": "levels", "noise": "gaussian", "sigmas": levels})


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, committed: dict, sample) -> Project:
    """The project that each test has a copy of."""
    given, values = sample[0].images, copy.deepcopy(committed)
    values["noisy"]["test"]["sigmas"] = LEVELS
    values["gate"] |= {"allowed_loss_db": {"0.0": 0.3, "0.5": 0.1}, "floors_db": {"0.5": 10.0}}
    values["compute"]["threads"] = 1
    made = Project(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("gate"))
        subprocess.run(["git", "init", "-q"], check=True)
        Repo.init(".").close()
        Path("dvc.yaml").write_text(DVC_YAML)
        Path("code.py").write_text("relu")
        for name, part in (("train", given[:500]), ("gate", given[500:600]), ("val", given[600:700])):
            images.save(Path(f"data/clean/{name}_images.npy"), part)
        images.save(layout.grids("gate"), np.ones((100, 2), np.uint32))
        made.corrupt(seed=1)
        made.train(fixed=0.5, random=0.65)
        made.folder = Path.cwd()
    return made


@pytest.fixture(scope="module", autouse=True)
def exported_once() -> Iterator[None]:
    """Equal weights of equal code are exported once for all tests: it takes seconds."""
    real, kept = exporting.exported, {}

    def exported(network: torch.nn.Module, settings: Settings) -> bytes:
        weights = b"".join(weight.numpy().tobytes() for weight in network.state_dict().values())
        key = (weights, settings, type(network).forward)
        if key not in kept:
            kept[key] = real(network, settings)
        return kept[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "exported", exported)
        yield


@pytest.fixture
def project(template: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    shutil.copytree(template.folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return Project(copy.deepcopy(template.values))


def beside(project: Project, **means: float) -> None:
    """Filters by name, with their mean PSNR at 0.5 on the gate images, about which single images lie by up to 1 dB."""
    lines = DVC_YAML.replace("[test]", "[test, fixed]").replace(
        "deps: [code.py]", 'deps: [code.py]\n      params: ["models.${key}"]'
    )
    Path("dvc.yaml").write_text(lines + FILTER_STAGE)
    atomic.write_json(Path("data/noisy/fixed/law.json"), {"law": "constant", "noise": "gaussian", "sigma": 0.5})
    project.values["filters"] = {name: [1.0] for name in means}
    apart = np.linspace(-1.0, 1.0, 100)
    for name, mean in means.items():
        rows = [(0.0, image, 100.0) for image in range(100)]
        rows += [(0.5, image, mean + apart[image]) for image in range(100)]
        table = pandas.DataFrame(rows, columns=["sigma", "image", "psnr_db"])
        with atomic.file(layout.filtered(name)) as temporary:
            table.to_csv(temporary, index=False)
    project.write()


def promote(project: Project, model: str | None = None) -> Decision:
    decision = gate.decide(project.settings(), model)
    assert decision.passed, decision.candidate.reasons
    champion.write(decision.candidate, decision.files)
    return decision


def restored_by_todays_code(folder: Path, sigma: float) -> float:
    """Mean PSNR in dB over the gate images."""
    clean, corrupted = (
        images.to_float(images.load(path), "cpu")
        for path in (gate.CLEAN, gate.IMAGES / noisy_sets.level_file("gate", sigma))
    )
    restored = stored.load(folder, "cpu")(corrupted).clamp(0.0, 1.0)
    return float(metrics.psnr_db(metrics.mse(restored, clean)).mean())


def test_the_first_champion(project):
    decision = promote(project)
    assert decision.candidate.model == "random"
    assert decision.champion is None
    assert champion.read() == decision.candidate
    assert champion.wrong(decision.candidate) == []
    assert Path(champion.WEIGHTS).read_bytes() == Path("models/random/model.safetensors").read_bytes()
    for sigma in LEVELS:
        found = decision.candidate.psnr_db[str(sigma)]
        assert found == pytest.approx(restored_by_todays_code(Path("models/random"), sigma), abs=1e-3)
    assert [check.verdict for check in promoted.check()] == ["ok"]
    assert [check.verdict for check in promoted.compute(1, {decision.candidate.key})] == ["ok"]


def test_the_graph_carries_the_profile_of_its_domain(project, digits):
    """Of the weights that dvc.lock has of the model; and the champion gets it when it is exported anew."""
    first = promote(project)
    assert Graph(first.files[champion.GRAPH], "here", 1).profile is None
    lines = DVC_YAML + PROFILE_STAGE
    Path("dvc.yaml").write_text(lines)
    profile = domain_profiles.of(digits[:60])
    for name in ("fixed", "random"):
        atomic.write_json(Path("models") / name / layout.PROFILE, profile.as_json())
    project.write()
    decision = promote(project)
    assert all("exported anew: +0.0000 dB" in reason for reason in decision.candidate.reasons)
    assert written(Graph(decision.files[champion.GRAPH], "here", 1).profile) == written(profile)
    assert Graph(gate.decide(project.settings(profile=False), None).files[champion.GRAPH], "here", 1).profile is None
    lock = Path("dvc.lock").read_text()
    before, after = lock.split("  recognise@random:")
    md5 = decision.candidate.files[champion.WEIGHTS]
    Path("dvc.lock").write_text(f"{before}  recognise@random:{after.replace(md5, 32 * 'f', 1)}")
    with pytest.raises(BadInput, match="profile.json is of other weights than those of train@random: run `dvc repro`"):
        gate.decide(project.settings(profile=True), "random")


def test_a_first_champion_must_reach_the_floors(project):
    decision = gate.decide(project.settings(floors_db={"0.5": 50.0}), "fixed")
    assert not decision.passed
    assert decision.candidate.reasons[0].endswith("at least 50 dB wanted of a first champion")
    assert decision.candidate.reasons[0].startswith("FAILED: ")


def test_a_candidate_must_be_above_the_best_filter_where_it_was_trained(project):
    """At level 0 every filter is better here, and no sentence is about it."""
    reached = promote(project).candidate.psnr_db["0.5"]
    champion.remove()
    beside(project, wavelet=reached - 2.0, total_variation=reached - 1.0)
    decision = gate.decide(project.settings(floors_db={}), "random")
    assert decision.passed
    [reason] = decision.candidate.reasons
    assert reason.startswith(
        f"held: over the best filter at sigma 0.5, total_variation with {reached - 1.0:.2f} dB: +1.0"
    )
    assert "95 % interval over images from +0." in reason
    found = decision.levels["0.5"]
    assert found["best_filter"] == "total_variation"
    assert found["best_filter_psnr_db"] == pytest.approx(reached - 1.0)
    assert found["over_filter_low_db"] < found["over_filter_db"] == pytest.approx(1.0)
    assert f"| {reached - 1.0:.2f}, total variation |" in decision.files[champion.CARD].decode()
    assert decision.as_json()["levels"]["0.0"]["best_filter_psnr_db"] == 100.0


def test_filters_that_only_do_harm_let_no_candidate_pass_that_does(project):
    clean, corrupted = (
        images.to_float(images.load(path), "cpu")
        for path in (gate.CLEAN, gate.IMAGES / noisy_sets.level_file("gate", 0.5))
    )
    noisy_db = float(metrics.psnr_db(metrics.mse(corrupted, clean)).mean())
    project.train(fixed=0.5, random=20.0)
    beside(project, wavelet=1.5, total_variation=2.0)
    decision = gate.decide(project.settings(floors_db={}), "random")
    assert 3.0 < decision.candidate.psnr_db["0.5"] < noisy_db
    assert not decision.passed
    [reason] = decision.candidate.reasons
    assert reason.startswith(f"FAILED: over the best filter at sigma 0.5, no filter with {noisy_db:.2f} dB: -")


def test_one_that_is_not_surely_above_the_best_filter_is_kept(project):
    """A first champion, and one that is better than the champion."""
    reached = promote(project).candidate.psnr_db["0.5"]
    beside(project, wavelet=reached - 0.01, total_variation=reached - 5.0)
    project.train(fixed=0.5, random=0.65, better=0.66)
    above = gate.decide(project.settings(margin_db=0.0), "better")
    assert [reason for reason in above.candidate.reasons if reason.startswith("FAILED: over the best filter at")]
    assert not above.passed
    champion.remove()
    first = gate.decide(project.settings(floors_db={"0.5": 1.0}), "random")
    assert not first.passed
    assert [reason.split(":")[0] for reason in first.candidate.reasons] == ["held", "FAILED"]


def test_the_same_weights_exported_anew_are_not_compared_with_filters(project, monkeypatch):
    promote(project)
    beside(project, wavelet=90.0)
    real = exporting.exported
    monkeypatch.setattr(exporting, "exported", lambda *given: with_a_note(real(*given)))
    assert gate.decide(project.settings(), None).passed


def test_filters_of_other_gate_images_are_refused(project):
    beside(project, wavelet=10.0)
    held = Path("dvc.lock").read_text()
    project.corrupt(seed=2)
    _, after = held.split("  filter@wavelet:")
    project.write()
    Path("dvc.lock").write_text(
        Path("dvc.lock").read_text().split("  filter@wavelet:")[0] + f"  filter@wavelet:{after}"
    )
    with pytest.raises(BadInput, match="nothing of the filter wavelet on these gate images: run `dvc repro`"):
        gate.decide(project.settings(), None)


def test_a_filter_whose_table_is_lost_is_refused(project):
    beside(project, wavelet=10.0)
    layout.filtered("wavelet").unlink()
    shutil.rmtree(".dvc/cache")
    with pytest.raises(BadInput, match=r"filters/wavelet\.csv of dvc\.lock is neither here nor in the DVC cache"):
        gate.decide(project.settings(), None)


def test_tiles_of_a_few_files_are_resampled_by_file(project):
    promote(project)
    project.train(fixed=0.8, random=0.65)
    project.values["data"] = {
        "kind": "images",
        "origin": "data/images",
        "tile": [28, 28],
        "shares": {"val": 0.1, "gate": 0.1, "test": 0.1},
        "most": {"train": 10, "val": 10, "gate": 100, "test": 10},
    }
    found = {}
    for files, said in ((10, "10 files"), (2, "100 tiles of 2 files")):
        images.save(layout.clean_labels("gate"), np.arange(100) * files // 100)
        project.write()
        decision = gate.decide(project.settings(), "fixed")
        [headline] = [reason for reason in decision.candidate.reasons if "95 %" in reason]
        assert f"95 % interval over {said}, which ignores" in headline
        assert f"by bootstrap over {said}; how much" in decision.files[champion.CARD].decode()
        found[files] = decision.levels["0.5"]
    assert found[10]["gain_db"] == found[2]["gain_db"]
    assert found[10]["low_db"] != found[2]["low_db"]


@pytest.mark.parametrize(
    ("law", "wanted"),
    [
        ({"law": "constant", "noise": "gaussian", "sigma": 0.1}, ["0.1"]),
        ({"law": "constant", "noise": "gaussian", "sigma": 0.2}, []),
        ({"law": "constant", "noise": "gaussian", "sigma": 0.0}, []),
        ({"law": "uniform", "noise": "gaussian", "low": 0.0, "high": 0.25}, ["0.1", "0.25"]),
        ({"law": "given", "sigma": 0.25}, ["0.25"]),
    ],
)
def test_the_levels_within_the_training_range(law, wanted):
    training = Stage("train@conv", "", {}, {"models.conv": {"regime": "some"}}, {})
    stages = {"corrupt@some": Stage("corrupt@some", "", {}, {"noisy.some": law}, {})}
    assert within(training, stages, ["0.0", "0.1", "0.25", "0.5"]) == wanted
    with pytest.raises(BadInput, match="dvc.lock does not say which noise conv was trained on"):
        within(training, {}, [])


def test_a_model_that_cannot_be_compared_with_the_filters_is_kept():
    passed, reasons = gate.judge({"0.5": {"candidate_psnr_db": 20.0}}, RULES, False, False, [], "images")
    assert not passed
    assert reasons[-1].startswith("FAILED: no noise level above 0 lies in its training range")


def test_a_better_candidate_passes_and_a_worse_one_does_not(project):
    first = promote(project)
    assert gate.decide(project.settings(), None).candidate.reasons == ["the candidate is the champion"]
    assert not gate.decide(project.settings(), "fixed").passed
    project.train(fixed=0.8, random=0.65)
    decision = promote(project)
    assert (decision.candidate.model, decision.champion) == ("fixed", first.candidate.key)
    [headline] = [reason for reason in decision.candidate.reasons if "95 %" in reason]
    assert "95 % interval over images, which ignores that seeds differ, from +" in headline


def with_a_note(graph: bytes) -> bytes:
    """The same graph in other bytes."""
    model = onnx.load_model_from_string(graph)
    model.doc_string = "exported anew"
    return model.SerializeToString()


def test_the_same_weights_with_another_graph_pass_if_they_restore_the_same(project, monkeypatch):
    """As after a change of the export: the champion is to get what newer graphs have."""
    first = promote(project)
    real = exporting.exported
    monkeypatch.setattr(exporting, "exported", lambda *given: with_a_note(real(*given)))
    decision = promote(project)
    assert decision.candidate.files[champion.GRAPH] != first.candidate.files[champion.GRAPH]
    assert decision.candidate.files[champion.WEIGHTS] == first.candidate.files[champion.WEIGHTS]
    assert all("exported anew: +0.0000 dB" in reason for reason in decision.candidate.reasons)
    assert gate.decide(project.settings(), None).candidate.reasons == ["the candidate is the champion"]
    figures = {"0.5": {"gain_db": -0.02}, "0.0": {"gain_db": 0.0}}
    assert gate.judge_anew(figures)[0] is False


@pytest.mark.parametrize("another_graph", [False, True])
def test_the_same_weights_with_other_settings_pass_if_they_restore_the_same(project, another_graph):
    """As after the settings of an architecture got another key; its graph may be another one, too."""
    now = gate.decide(project.settings(), None)
    graph = onnx.load_model_from_string(now.files[champion.GRAPH])
    graph.doc_string = "older" if another_graph else ""
    older = now.files | {
        champion.SETTINGS: b'{"architecture": "mlp"}\n',
        champion.GRAPH: graph.SerializeToString(deterministic=True),
    }
    assert (older[champion.GRAPH] != now.files[champion.GRAPH]) == another_graph
    champion.write(now.candidate.model_copy(update={"files": champion.hashes(older)}), older)
    decision = promote(project)
    assert all("exported anew: +0.0000 dB" in reason for reason in decision.candidate.reasons)
    assert champion.read() == decision.candidate
    assert decision.candidate.files[champion.SETTINGS] == now.candidate.files[champion.SETTINGS]
    assert gate.decide(project.settings(), None).candidate.reasons == ["the candidate is the champion"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(5, 12, 9), (5, 3, 12, 9)], ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("grids", [[Grid(1, 1)] * 5, [Grid(2, 2), Grid(1, 1)]], ids=["alone", "wholes"])
def test_images_of_any_channels_and_bits_are_measured(channels, shape, dtype, grids):
    """By a champion for grey and by one for colour, whatever the project has become since."""
    white = np.iinfo(dtype).max
    clean = np.random.default_rng(1).integers(0, white, shape, dtype)
    graph = Graph(graph_files.negative(channels=channels), "here", 1)
    exact = gate._psnr_db(graph, white - clean, clean, grids)
    other = gate._psnr_db(graph, clean, clean, grids)
    squares = ((white - 2.0 * clean) / white) ** 2
    assert exact.shape == (5,)
    assert exact.min() > 90
    np.testing.assert_allclose(other, -10 * np.log10(squares.reshape(5, -1).mean(1)), atol=1e-3)


def test_a_champion_of_before_there_were_cards_gets_one_without_another_decision(project, monkeypatch, capsys):
    first = promote(project)
    bare = first.candidate.without_card
    champion.write(bare, {path: first.files[path] for path in bare.files})
    monkeypatch.setattr(cli, "_go_to_root", lambda: None)
    for has_work in (True, False):  # and then there is nothing to do
        with pytest.raises(typer.Exit) as ended:
            cli.promote(model=None, rollback=False)
        assert ended.value.exit_code == 3
        assert ("champion/README.md of the same champion written" in capsys.readouterr().out) == has_work
        assert champion.read() == first.candidate
        assert champion.wrong(first.candidate) == []
    assert [check.verdict for check in promoted.check()] == ["ok"]
    project.corrupt(seed=2)
    project.write()
    Path(champion.CARD).write_text("of other gate images than the figures in champion.json")
    assert champion.with_new_card(gate.decide(project.settings(), None).candidate) is None


def test_a_mutant_of_the_code_does_not_touch_the_champion(project, monkeypatch):
    """relu -> tanh keeps every shape: the champion's weights fit, and restore badly."""
    promote(project)
    before = gate.decide(project.settings(), "fixed").levels
    real = mlp.Mlp.forward

    def mutated(self: mlp.Mlp, given: torch.Tensor) -> torch.Tensor:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "relu", torch.tanh)
            return real(self, given)

    monkeypatch.setattr(mlp.Mlp, "forward", mutated)
    assert restored_by_todays_code(champion.FOLDER, 0.5) < before["0.5"]["champion_psnr_db"] - 1.0
    after = gate.decide(project.settings(), "fixed").levels
    for sigma in ("0.0", "0.5"):
        assert after[sigma]["champion_psnr_db"] == before[sigma]["champion_psnr_db"]
    assert after["0.5"]["candidate_psnr_db"] < before["0.5"]["candidate_psnr_db"] - 0.5  # it is the mutant's own
    key = champion.read().key
    assert [check.verdict for check in promoted.compute(1, {key})] == ["differs"]
    assert [check.verdict for check in promoted.compute(1, set())] == ["note"]


def test_figures_that_the_champion_does_not_reach_are_refused(project):
    promote(project)
    held = json.loads(champion.PATH.read_text())
    true = held["psnr_db"]["0.5"]
    for change, fine in ((0.009, True), (0.02, False), (-0.02, False)):
        held["psnr_db"]["0.5"] = true + change
        champion.PATH.write_text(json.dumps(held))
        if fine:
            gate.decide(project.settings(), "fixed")
            continue
        said = rf"the gate images at sigma 0\.5 to {true:.2f} dB, but champion\.json says {true + change:.2f} dB"
        with pytest.raises(BadInput, match=said):
            gate.decide(project.settings(), "fixed")
    del held["psnr_db"]["0.5"]
    champion.PATH.write_text(json.dumps(held))
    with pytest.raises(BadInput, match=r"at sigma 0\.5 .* but champion\.json says nothing"):
        gate.decide(project.settings(), "fixed")


def test_on_other_gate_images_both_are_measured_anew(project):
    first = promote(project)
    project.corrupt(seed=2)
    project.write()
    decision = gate.decide(project.settings(), "fixed")
    measured = decision.levels["0.5"]["champion_psnr_db"]
    assert measured != first.candidate.psnr_db["0.5"]
    assert measured == pytest.approx(restored_by_todays_code(champion.FOLDER, 0.5), abs=1e-3)
    assert decision.candidate.reasons[-1].startswith("note: the gate images are others than at the last promotion")


def test_the_best_is_chosen_on_val_images_and_judged_once(project, monkeypatch):
    """`random` is the better one; on the val images of this test it is not, and the gate images have no say in it."""
    clean = images.load(gate.VAL)
    monkeypatch.setattr(gate, "_psnr_db", recorded := Recorded(gate._psnr_db))
    assert gate.decide(project.settings(), None).candidate.model == "random"
    assert recorded.on == ["val", "val", "gate", "gate"]  # two candidates, then one at two levels
    images.save(gate.VAL, (clean * 0.6).astype(np.uint8))  # which the weaker model fits
    project.write()
    assert gate.decide(project.settings(), None).candidate.model == "fixed"


class Recorded:
    """A function, and on which images it was called; those of val are drawn at once, those of gate are mapped."""

    def __init__(self, function: Callable) -> None:
        self.function, self.on = function, []

    def __call__(self, graph: object, corrupted: np.ndarray, clean: np.ndarray, grids: list[Grid]) -> np.ndarray:
        self.on.append("gate" if isinstance(corrupted, np.memmap) else "val")
        return self.function(graph, corrupted, clean, grids)


def test_a_model_that_params_does_not_have_any_more_is_no_candidate(project):
    """DVC keeps the entry of a removed model in dvc.lock (dvc#5293)."""
    project.train(fixed=0.5, random=0.65, best=0.8)
    del project.values["models"]["best"]
    project.write()
    assert "train@best" in Path("dvc.lock").read_text()
    assert gate.decide(project.settings(), None).candidate.model == "random"
    with pytest.raises(BadInput, match=r"^'best' is in dvc\.lock, but not in params\.yaml any more, which has fixed"):
        gate.decide(project.settings(), "best")
    with pytest.raises(BadInput, match=r"^dvc\.lock has the models fixed, random, but not 'worst'"):
        gate.decide(project.settings(), "worst")
    assert "train@best" not in compare.side("workspace").stages


def test_a_renamed_model_alone_leaves_no_candidate(project):
    project.values["models"] = {"renamed": project.values["models"]["fixed"]}
    YAML().dump(project.values, Path("params.yaml"))
    with pytest.raises(BadInput, match=r"^dvc\.lock has no training of a model in params\.yaml: run `make repro`"):
        gate.decide(project.settings(), None)


@pytest.mark.parametrize(
    "rules,said",
    [
        ({"floors_db": {"0.25": 1.0}}, "gate.floors_db names the noise level 0.25, but the gate images have 0.0, 0.5"),
        ({"sigma": 0.25}, "gate.sigma names the noise level 0.25, but the gate images have 0.0, 0.5"),
        ({"allowed_loss_db": {"0.0": 0.1, "0.25": 0.1}}, "gate.allowed_loss_db does not name the noise level 0.5, but"),
    ],
)
def test_levels_that_the_gate_images_do_not_have_give_a_sentence(project, rules, said):
    """The gate images may be older than params.yaml."""
    settings = project.settings()
    rules = params.Gate.model_validate(project.values["gate"] | rules)
    with pytest.raises(BadInput) as raised:
        gate.decide(settings.model_copy(update={"gate": rules}), None)
    assert str(raised.value).startswith(f"params.yaml: {said}")


def test_a_model_of_older_code_is_refused(project):
    Path("code.py").write_text("tanh")
    with pytest.raises(BadInput, match=r"^fixed was trained by other code \(code\.py changed since\): run `dvc"):
        gate.decide(project.settings(), None)


def test_a_model_too_large_for_git_is_refused(project, monkeypatch):
    monkeypatch.setattr(champion, "LARGEST", 700_000)
    with pytest.raises(BadInput, match=r"^random takes 0\.8 MB with its graph, but a champion has at most 0\.7, as"):
        gate.decide(project.settings(), None)


def test_a_graph_that_is_not_its_network_is_refused(project, monkeypatch):
    monkeypatch.setattr(exporting, "difference", lambda *_: 1.1e-5)
    with pytest.raises(BadInput, match=r"^the graph of random differs from its network by up to 1\.1e-05$"):
        gate.decide(project.settings(), "random")


def test_weights_that_are_lost_give_a_sentence(project):
    Path("models/fixed/model.safetensors").unlink()
    for kept in Path(".dvc/cache/files/md5").glob("*/*"):
        if kept.stat().st_size > 300_000 and kept.read_bytes()[8:9] == b"{":  # weights
            kept.unlink()
    with pytest.raises(BadInput, match=r"^models/fixed/model\.safetensors of dvc\.lock is neither here nor in the"):
        gate.decide(project.settings(), "fixed")


def test_a_damaged_champion_is_taken_from_git(project, monkeypatch, capsys):
    promote(project)
    for command in (["add", "-A"], ["-c", "user.name=T", "-c", "user.email=t@e.invalid", "commit", "-q", "-m", "C"]):
        subprocess.run(["git", *command], check=True)
    right = Path(champion.GRAPH).read_bytes()
    Path(champion.GRAPH).write_bytes(right[:-1])
    [check] = [check for check in promoted.check() if not check.fine]
    assert (check.verdict, check.fix) == (
        "damaged",
        "rm -f champion/model.onnx && git checkout HEAD -- champion/model.onnx",
    )
    with pytest.raises(BadInput, match=r"^champion/model\.onnx is not what champion\.json says"):
        gate.decide(project.settings(), "fixed")
    monkeypatch.setattr(cli, "_go_to_root", lambda: None)
    assert not cli._decide("fixed").passed
    assert capsys.readouterr().out.startswith("champion/model.onnx not what champion.json says")
    assert Path(champion.GRAPH).read_bytes() == right
    (champion.FOLDER / "notes.txt").write_text("a stranger")
    [check] = [check for check in promoted.check() if not check.fine]
    assert (check.verdict, check.fix) == ("unexpected", "rm -f champion/notes.txt")


RULES = params.Gate(
    sigma=0.5,
    margin_db=0.02,
    allowed_loss_db={"0.0": 1.8, "0.1": 0.1, "0.5": 0.1},
    floors_db={"0.5": 18.0},
    profile=True,
)


@pytest.mark.parametrize(
    "gains,passed",
    [
        ({"0.0": 0.0, "0.1": 0.0}, True),
        ({"0.0": -1.8, "0.1": -0.1}, True),
        ({"0.0": -1.81, "0.1": 0.0}, False),
        ({"0.0": 0.0, "0.1": -0.11}, False),
    ],
)
def test_each_level_has_a_loss_of_its_own(gains, passed):
    figures = {sigma: {"gain_db": gain} for sigma, gain in gains.items()}
    figures["0.5"] = {"gain_db": 0.1, "low_db": 0.05}
    found, reasons = gate.judge(figures, RULES, True, False, None, "images")
    assert found == passed
    assert [reason.startswith("FAILED: ") for reason in reasons].count(True) == (not passed)


def test_the_allowed_losses_are_the_spread_between_seeds():
    rows = [("a", 0.0, 1.791), ("a", 0.2, 0.02), ("a", 0.3, 0.111), ("b", 0.0, 0.2), ("b", 0.2, 0.05), ("b", 0.3, 0.01)]
    spread = pandas.DataFrame(rows, columns=["model", "sigma", "spread_db"])
    assert allowed_losses.allowed_losses(spread, [0.0, 0.2, 0.25]) == {"0.0": 1.8, "0.2": 0.1, "0.25": 0.12}
    means = {"a": {"0.5": {"psnr_db": 18.0}}, "b": {"0.5": {"psnr_db": 17.9}}, "c": {}}
    assert allowed_losses.reaching(means, {"0.5": 18.0}) == ["a"]


@pytest.mark.parametrize("low_db,passed", [(0.021, True), (0.02, False), (-0.1, False)])
def test_the_interval_lies_above_the_margin(low_db, passed):
    figures = {"0.5": {"gain_db": 0.1, "low_db": low_db}}
    assert gate.judge(figures, RULES, True, False, None, "images")[0] == passed

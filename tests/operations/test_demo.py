"""The site of the page that restores in a browser: what is in it, and how it is served. test_demo_ui.py looks at it."""

import json
import re
import shutil
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import demo as benchmark
import numpy as np
import pytest
import torch
from PIL import Image

from domain_denoiser import cli
from domain_denoiser.base.errors import BadInput
from domain_denoiser.networks import architectures, stored
from domain_denoiser.operations import demo
from domain_denoiser.runtime.graphs import Graph

pytestmark = pytest.mark.mnist  # whose champion and digits the page shows
ROOT = Path(__file__).parents[2]
# Not read from params.yaml, which says something else in a project of other images.
MNIST = {
    "name": "mnist",
    "title": "MNIST",
    "images": "handwritten digits",
    "look": "light strokes on a dark ground",
    "dataset": None,
    "authors": "Yann LeCun, Corinna Cortes and Christopher J. C. Burges",
    "licence": "CC BY-SA 3.0",
}
LEAVES = {
    "name": "leaves",
    "title": "leaves",
    "images": 'images of <b>leaves</b> & "bark"',
    "look": "grey, 64 x 48 pixels",
    "dataset": None,
    "authors": None,
    "licence": None,
}
MLP = {"architecture": "mlp", "hidden": 4, "output": "sigmoid"}
COLOUR = {
    "architecture": "unet",
    "image_channels": 3,
    "residual": False,
    "fine_channels": 4,
    "coarse_channels": 8,
    "fine_blocks": 1,
    "coarse_blocks": 1,
}


def project(folder: Path) -> Path:
    """Make a project of MNIST with the page and the champion there, without ONNX Runtime; return it."""
    shutil.copytree(ROOT / "demo", folder / "demo", ignore=shutil.ignore_patterns("node_modules", "site"))
    shutil.copytree(ROOT / "champion", folder / "champion")
    (folder / "params.yaml").write_text(json.dumps({"domain": MNIST}))
    (folder / ".dvc").mkdir()
    (folder / "dvc.yaml").touch()
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with what stands for ONNX Runtime."""
    runtime = project(tmp_path) / "demo/node_modules/onnxruntime-web/dist"
    runtime.mkdir(parents=True)
    for name in (*demo.RUNTIME, "ort.all.js"):
        (runtime / name).write_text(name)
    return tmp_path


def make_over(root: Path, **changed: str) -> None:
    """Make a project that of other images."""
    (root / "params.yaml").write_text(json.dumps({"domain": LEAVES | changed}))


def train(root: Path, name: str, network: Mapping[str, object] = MLP) -> None:
    """A model with the weights that training would begin with; `MLP` takes one size only."""
    torch.manual_seed(2018)
    settings = architectures.settings(network, "here")
    stored.save(root / "models" / name, architectures.build(settings).state_dict(), settings)


def test_a_site_has_the_page_the_champion_and_one_build_of_onnx_runtime(root: Path, tree) -> None:
    assert demo.write(root) == ["champion"]
    page = {path.name for path in (ROOT / "demo").iterdir() if path.suffix in (".html", *demo.SHOWN)}
    assert {"index.html", "page.js", "worker.js", "digits.png"} <= page
    runtime = {f"ort/{name}" for name in demo.RUNTIME}
    assert tree(root / "demo/site") == page | runtime | {"ort", "models", "champion.onnx", "models.json"}
    assert (root / "demo/site/champion.onnx").read_bytes() == (ROOT / "champion/model.onnx").read_bytes()


def test_the_page_of_other_images_has_and_says_nothing_of_digits(root: Path, tree) -> None:
    demo.write(root)
    with_digits = tree(root / "demo/site")
    make_over(root)
    demo.write(root)
    assert with_digits - tree(root / "demo/site") == {"digits.js", "digits.png", "pad.js"}
    text = (root / "demo/site/index.html").read_text()
    assert not re.search("digit|draw|stroke|mnist|licence|CC BY|{[{%]", text, re.IGNORECASE)
    assert "None" not in text
    assert "trained on images of &lt;b&gt;leaves&lt;/b&gt; &amp; &#34;bark&#34;" in text
    make_over(root, authors="Ada", licence="CC0")
    demo.write(root)
    assert "grey, 64 x 48 pixels. leaves: Ada, CC0.</p>" in (root / "demo/site/index.html").read_text()


def test_trained_models_are_there_with_their_size(root: Path) -> None:
    train(root, "a model")
    assert demo.write(root) == ["champion", "a model"]
    champion, model = json.loads((root / "demo/site/models.json").read_text())["models"]
    graph = Graph((root / "champion/model.onnx").read_bytes(), "the champion", 1)
    assert champion == {
        "channels": 1,
        "file": "champion.onnx",
        "name": "champion",
        "profile": graph.profile.as_json(),
        "reach": {"halo": 43, "step": 4},
        "size": None,
    }
    assert model == {
        "channels": 1,
        "file": "models/a%20model.onnx",
        "name": "a model",
        "profile": None,
        "reach": None,
        "size": [28, 28],
    }
    assert (root / "demo/site/models/a model.onnx").is_file()


def test_a_site_takes_the_place_of_the_last_one_and_equal_inputs_give_equal_bytes(root: Path, tree) -> None:
    def content() -> dict[str, bytes]:
        site = root / "demo/site"
        return {name: (site / name).read_bytes() for name in tree(site) if (site / name).is_file()}

    demo.write(root)
    first = content()
    (root / "demo/site/old.js").touch()
    demo.write(root)
    assert content() == first


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("demo/index.html", "index.html is missing"),
        ("demo/node_modules", "`npm ci --ignore-scripts --prefix demo`"),
        ("champion", "has no champion yet .*: `make repro`, `denoise gate` and `denoise promote` make one"),
        ("params.yaml", "params.yaml cannot be read"),
    ],
)
def test_what_is_missing_is_said_and_the_last_site_stays(root: Path, tree, missing: str, sentence: str) -> None:
    demo.write(root)
    before = tree(root / "demo/site")
    (root / missing).rename(root / "away")
    with pytest.raises(BadInput, match=sentence):
        demo.write(root)
    assert tree(root / "demo/site") == before
    assert not list((root / "demo").glob(".writing-*"))


def test_the_command_says_what_it_wrote(root: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(root / "champion")
    cli.demo(port=None)
    assert capsys.readouterr().out == "demo/site: champion\n"
    assert (root / "demo/site/models.json").is_file()


def test_it_is_served_to_this_machine_with_the_types_that_browsers_want(root: Path) -> None:
    demo.write(root)
    with benchmark.served(root) as address:
        assert address.startswith("http://127.0.0.1:")
        for name, kind in {
            "": "text/html",
            "page.js": "text/javascript",
            "ort/ort.wasm.bundle.min.mjs": "text/javascript",
            "ort/ort-wasm-simd-threaded.wasm": "application/wasm",
        }.items():
            with urllib.request.urlopen(address + name) as answer:
                assert answer.headers.get_content_type() == kind
                assert answer.headers["Cache-Control"] == "no-cache"


def test_a_port_that_is_taken_is_bad_input(root: Path) -> None:
    with demo.server(root, 0) as server, pytest.raises(BadInput, match=f"port {server.server_port} of this machine"):
        demo.server(root, server.server_port)


def test_the_test_digits_are_the_first_of_each_class(sample) -> None:
    with Image.open(ROOT / "demo/digits.png") as strip:
        assert np.array_equal(np.asarray(strip), benchmark.digits(sample[1].images, sample[1].labels))

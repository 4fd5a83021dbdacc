"""The house as the design draws it: imports point one way, and dvc.yaml declares what each stage reads."""

import ast
import copy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import grimp
import mutants
import pytest
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo
from pipeline import PARAMS, of_images
from ruamel.yaml import YAML

from domain_denoiser import params
from domain_denoiser.networks import architectures

PACKAGE = "domain_denoiser"
ROOT = Path(__file__).parent.parent
STUDY = ("study/params.yaml", "study/pipeline.yaml", "study/large/pipeline.yaml")
GRAPH = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True, cache_dir=None)
# What cannot change a stage's bytes. params is a schema without defaults: its values are tracked instead.
EXEMPT = {
    module
    for module in GRAPH.modules
    if module in (f"{PACKAGE}.params", f"{PACKAGE}.layout", f"{PACKAGE}.cli", f"{PACKAGE}.study.params")
    or module.startswith((f"{PACKAGE}.base", f"{PACKAGE}.runs", f"{PACKAGE}.operations"))
}


class Stage(NamedTuple):
    """A stage as DVC itself resolves dvc.yaml."""

    name: str
    words: list[str]  # of its command
    deps: set[str]
    params: set[str]
    outs: set[str]
    architectures: set[str]  # modules: those of the models that its command names

    @property
    def script(self) -> str:
        return next(word for word in self.words if word.startswith("stages/"))


def of(dep: ParamsDependency) -> str:
    """What marks a key of study/params.yaml, beside those of params.yaml."""
    return "study:" if dep.def_path == "study/params.yaml" else ""


def resolved(given: Path, *more: str) -> list[Stage]:
    """The stages of dvc.yaml with these params, and of more files, in a copy where each has the name that DVC knows."""
    with tempfile.TemporaryDirectory() as folder:
        copied(Path(folder), given, *more)
        return stages_in(folder)


def copied(folder: Path, given: Path, *more: str) -> None:
    """Copy there what DVC reads of the pipeline and of more files."""
    for name in ("dvc.yaml", *more):
        target = folder / name.replace("pipeline.yaml", "dvc.yaml")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    shutil.copy(given, folder / "params.yaml")
    Repo.init(str(folder), no_scm=True).close()


def stages_in(folder: str) -> list[Stage]:
    models = YAML(typ="safe").load(Path(folder, "params.yaml").read_bytes())["models"]
    with Repo(folder) as repo:
        return [
            Stage(
                stage.name,
                stage.cmd.split(),
                {dep.def_path for dep in stage.deps if not hasattr(dep, "params")},
                {f"{of(dep)}{param}" for dep in stage.deps for param in getattr(dep, "params", ())},
                {out.def_path for out in stage.outs},
                {f"{PACKAGE}.networks.{models[word]['architecture']}" for word in stage.cmd.split() if word in models},
            )
            for stage in repo.index.stages
        ]


STAGES = resolved(PARAMS, *STUDY)  # of MNIST


def with_filters() -> list[Stage]:
    """The stages that MNIST, whose filters are in the study, does not have."""
    values = YAML(typ="safe").load(PARAMS.read_bytes()) | {"filters": {name: [1.0] for name in params.FILTERS}}
    with tempfile.TemporaryDirectory() as folder:
        YAML().dump(values, path := Path(folder, "params.yaml"))
        return [stage for stage in resolved(path) if stage.name.startswith("filter@")]


FILTERS = with_filters()
# Of this project, if that is of other images; the study is of MNIST alone.
OWN = resolved(ROOT / "params.yaml") if PARAMS.read_bytes() != (ROOT / "params.yaml").read_bytes() else []
# networks.architectures imports an architecture only when it is asked for.
ARCHITECTURES = {f"{PACKAGE}.networks.{name}" for name in architectures.names()}


def kept() -> dict[str, bool]:
    """Every output of every stage -> whether DVC keeps it in its cache; git keeps the others."""
    with tempfile.TemporaryDirectory() as folder:
        copied(Path(folder), PARAMS, *STUDY)
        with Repo(folder) as repo:
            return {out.def_path: out.use_cache for stage in repo.index.stages for out in stage.outs}


every_stage = pytest.mark.parametrize(
    "stage",
    STAGES + FILTERS + OWN,
    ids=[*(stage.name for stage in STAGES + FILTERS), *(f"own {stage.name}" for stage in OWN)],
)


def parse(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_bytes(), path)


def imported_by_script(script: str) -> set[str]:
    """The package's modules that a script imports anywhere in it."""
    found = set()
    for node in ast.walk(parse(script)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found & GRAPH.modules - {PACKAGE}


def closure(modules: set[str], architectures: set[str]) -> set[str]:
    """Every module that runs when these are imported, without the exempt ones and what only they lead to."""
    left_out = EXEMPT | (ARCHITECTURES - architectures)
    found, waiting = set(), set(modules)
    while waiting:
        module = waiting.pop()
        if module in found | left_out | {PACKAGE}:
            continue
        found.add(module)
        waiting |= GRAPH.find_modules_directly_imported_by(module) | {module.rpartition(".")[0]}
    return found


ROOMS = (
    "core",
    "data",
    "domain",
    "formats",
    "training",
    "evaluation",
)  # dependencies as a whole; of the others a stage names files


def declared_as(module: str) -> str | None:
    """What stands in dvc.yaml for a module: its room, or its file; None for the docstring of a room."""
    _, room, *rest = module.split(".")
    if room in ROOMS:
        return f"src/{PACKAGE}/{room}"
    return f"src/{PACKAGE}/{room}/{'/'.join(rest)}.py" if rest else None


def code_read(stage: Stage) -> set[str]:
    """The source files that decide what a stage writes."""
    architectures = stage.architectures
    if stage.script.startswith("stages/study/"):  # looks at models of every architecture
        architectures = ARCHITECTURES
    modules = closure(imported_by_script(stage.script), architectures)
    if f"{PACKAGE}.networks.architectures" in modules:
        modules = closure(modules | architectures, architectures)
    needed = {stage.script} | {declared_as(module) for module in modules} - {None}
    if architectures <= modules and architectures == ARCHITECTURES:  # whatever there is, and will be
        networks = f"src/{PACKAGE}/networks"
        needed = {path for path in needed if not path.startswith(f"{networks}/")} | {networks}
    return needed


def test_imports_point_one_way():
    program = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_package_itself_is_empty_and_modules_are_found():
    program = f"import sys, {PACKAGE}; print(*(name for name in sys.modules if name.startswith('{PACKAGE}')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [PACKAGE]
    assert f"{PACKAGE}.networks.mlp" in ARCHITECTURES
    assert EXEMPT.issubset(GRAPH.modules)


@every_stage
def test_stage_declares_all_the_code_it_reads_and_no_other(stage):
    declared = {path for path in stage.deps if path.startswith(("src/", "stages/"))}
    needed = code_read(stage)
    assert not needed - declared, f"dvc.yaml: {stage.name} misses {', '.join(sorted(needed - declared))}"
    assert not declared - needed, f"dvc.yaml: {stage.name} does not need {', '.join(sorted(declared - needed))}"


def test_comparison_sees_a_dep_too_few_and_one_too_many():
    training = next(stage for stage in STAGES if stage.name.startswith("train@"))
    needed = code_read(training)
    assert {"src/domain_denoiser/networks/mlp.py", "src/domain_denoiser/networks/stored.py"} <= needed
    assert {"src/domain_denoiser/core", "src/domain_denoiser/training"} <= needed
    assert "src/domain_denoiser/evaluation" not in needed


@every_stage
def test_stage_declares_the_params_it_reads_and_no_others(stage):
    read = set()
    tree = parse(stage.script)
    within = {id(node.value): node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in ("read", "study") and isinstance(node.ctx, ast.Load):
            assert id(node) in within, f"{stage.script} passes on all params: what it reads cannot be seen"
            read.add(("study:" if node.id == "study" else "") + within[id(node)])
    if stage.script == "stages/study/network.py":  # reads one of two: the large network stands alone
        read -= {"study:large"} if "large" not in stage.words else {"study:networks"}
    declared = {param.partition(".")[0] for param in stage.params}
    assert read == declared, f"dvc.yaml: {stage.name} declares params {sorted(declared)}, but reads {sorted(read)}"


@every_stage
def test_stage_that_works_on_one_entry_declares_that_entry_alone(stage):
    # Else a change to one model would retrain all of them.
    kind, _, key = stage.name.partition("@")
    section = {"corrupt": "noisy", "train": "models", "filter": "filters"}.get(kind)
    if section:
        assert {param for param in stage.params if param.startswith(section)} == {f"{section}.{key}"}


def test_every_model_is_trained_and_evaluated(committed):
    names = {stage.name for stage in STAGES}
    for model in committed["models"]:
        assert {f"{stage}@{model}" for stage in ("train", "recognise", "evaluate", "figures")} <= names
    for dataset in committed["noisy"]:
        assert f"corrupt@{dataset}" in names


def test_images_of_ones_own_change_one_dependency(committed, write_params):
    """A folder of images stands where MNIST's sources stood, and nothing else of the pipeline is another."""
    images = copy.deepcopy(committed)
    of_images(images)
    path = write_params(committed | {"data": images["data"]})
    assert params.read(path).data.kind == "images"
    own = {stage.name: stage for stage in resolved(path)}
    of_mnist = {stage.name: stage for stage in resolved(PARAMS)}
    assert of_mnist["download"].deps - own["download"].deps == {"data/mnist.yaml"}
    assert own["download"].deps - of_mnist["download"].deps == {"data/images"}
    del own["download"], of_mnist["download"]
    assert own == of_mnist


def test_stage_imports_the_package_of_its_own_checkout():
    for stage in STAGES:
        assert stage.words[:2] == ["PYTHONPATH=src", "python"], stage.name


def test_stages_do_not_import_each_other():
    names = {path.stem for path in (ROOT / "stages").rglob("*.py")}
    for path in (ROOT / "stages").rglob("*.py"):
        for node in ast.walk(parse(str(path.relative_to(ROOT)))):
            if isinstance(node, ast.Import):
                assert not {alias.name for alias in node.names} & (names | {"stages"}), path.name
            elif isinstance(node, ast.ImportFrom):
                assert node.module.split(".")[0] not in names | {"stages"}, path.name


LIGHT = (
    "base.atomic base.errors base.progress cli core.images core.metrics core.seeds data.sources "
    "evaluation.summary evaluation.tables networks.architectures runtime.graphs params runs.cache runs.dvc_lock "
    "runs.live runs.mlflow_store runs.records runs.revisions runs.sync"
)


def test_every_room_says_what_it_is_for_and_exports_nothing():
    for path in (ROOT / "src" / PACKAGE).glob("*/**/__init__.py"):
        tree = ast.parse(path.read_text())
        assert len(tree.body) == 1 and ast.get_docstring(tree), path


def test_what_is_no_dependency_computes_nothing():
    """`base` and `params` move bytes and refuse values; they import nothing that computes."""
    graph = grimp.build_graph(
        PACKAGE, include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )
    for module in graph.modules:
        if module.startswith((f"{PACKAGE}.base", f"{PACKAGE}.params")):
            assert not graph.find_modules_directly_imported_by(module) & {"numpy", "torch", "pandas", "PIL", "random"}


def test_a_path_of_an_artifact_stands_once():
    """In layout.py, and as a dependency or output in the pipeline files."""
    for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "stages").rglob("*.py")]:
        if path.name == "layout.py":
            continue
        tree = ast.parse(path.read_text())
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                spelled = node.value.startswith(("data/", "models/", "reports/")) and len(node.value.split("/")[1]) > 0
                assert not spelled, f"{path.relative_to(ROOT)}: {node.value}"


def test_light_modules_import_nothing_heavy():
    program = (
        f"import sys, {', '.join(f'{PACKAGE}.{name}' for name in LIGHT.split())}\n"
        "print(*sorted({'torch', 'torchvision', 'mlflow', 'dvc', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_importing_the_package_prints_and_writes_nothing(tmp_path):
    modules = sorted(module for module in GRAPH.modules if not module.endswith("__main__"))
    program = f"import importlib; [importlib.import_module(name) for name in {modules}]"
    done = subprocess.run(
        [sys.executable, "-B", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout + done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_git_ignores_what_dvc_keeps_and_nothing_else_that_a_stage_writes():
    """By the root's .gitignore alone: DVC takes back what it writes into others when a stage is interrupted."""
    outs = kept()
    assert sum(outs.values()) > 50
    asked = subprocess.run(
        ["git", "check-ignore", "--no-index", "--verbose", "-z", "--stdin"],
        input="\0".join(outs).encode(),
        cwd=ROOT,
        capture_output=True,
    )
    fields = asked.stdout.decode().split("\0")
    ignored = dict(zip(fields[3::4], fields[0::4]))  # path -> the file that says so
    assert set(ignored) == {path for path, cached in outs.items() if cached}
    assert set(ignored.values()) == {".gitignore"}
    for path in (
        "models/a_new_one/model.safetensors",
        "reports/evaluation/a_new_one.csv",
        "reports/filters/wavelet.csv",
        "data/noisy/a_new_one",
    ):
        assert subprocess.run(["git", "check-ignore", "-q", "--no-index", path], cwd=ROOT).returncode == 0
    for path in (
        "champion/model.safetensors",
        "models/a_new_one/history.csv",
        "reports/filters/wavelet.json",
        "data/README.md",
    ):
        assert subprocess.run(["git", "check-ignore", "-q", "--no-index", path], cwd=ROOT).returncode == 1


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_fits_the_code(mutant):
    """Or `python benchmarks/mutants.py` would say nothing of the tests."""
    assert (ROOT / mutant.file).read_text().count(mutant.old) == 1

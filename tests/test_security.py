"""What strangers hand us cannot run code, what we serve stays on this machine, and secrets stay where they are.

docs/threat-model.md says what this is about.
"""

import ast
import http.server
import json
import re
import shlex
import shutil
import subprocess
import threading
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
import pytest
import servers
from hostile_files import HARM, YAML_TAGS, Payload, npy
from packaging.requirements import Requirement
from pipeline import Pipeline
from ruamel.yaml import YAML

from domain_denoiser.base import parsing, secrets
from domain_denoiser.base.errors import BadInput
from domain_denoiser.base.secrets import LONGEST, masked
from domain_denoiser.core import images
from domain_denoiser.runs import dvc_lock

ROOT = Path(__file__).parent.parent
SECRET = "-".join(("hunter2", "and", "more"))  # not as one word: files are searched for it

# Nothing is unpickled, evaluated or extracted

SOURCES = [path for folder in ("src", "stages", "benchmarks", ".ci") for path in sorted((ROOT / folder).rglob("*.py"))]
# `denoise verify` runs the commands of the pipeline once more, as `dvc repro` does; docs/threat-model.md says so.
# Modules that unpickle, and PyYAML, whose loaders are not all safe.
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "jsonpickle", "marshal", "shelve", "yaml"}
# A stage's command is a shell's; plain_yaml takes a text apart by PyYAML's parser, and has none of its loaders.
ALLOWED = {"cleanroom.py": ["shell=True"], "plain_yaml.py": ["yaml"]}
NAMES = {"eval", "exec", "compile", "__import__"}
METHODS = {
    *("read_pickle", "extractall", "extract", "unpack_archive", "mktemp", "import_module", "popen", "getoutput"),
    "getstatusoutput",
}


def dangers(source: str) -> list[str]:
    """What of a Python source may run the code of a stranger."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            module = getattr(node, "module", None)
            names = [module or ""] + [alias.name for alias in node.names] if module else [a.name for a in node.names]
            found += [name for name in names if name.partition(".")[0] in MODULES]
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        words = {word.arg: getattr(word.value, "value", ...) for word in node.keywords}
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        # A network's `eval` and a pattern's `compile` are no danger.
        if called in (METHODS if owner else NAMES) or (owner, called) == ("os", "system"):
            found.append(called)
        if called == "load" and owner == "torch" and words.get("weights_only") is not True:
            found.append("torch.load without weights_only=True")
        if called == "YAML" and words.get("typ", "rt") not in ("safe", "rt"):
            found.append("YAML of an unsafe type")
        found += [f"{name}={words[name]}" for name in ("allow_pickle", "shell") if words.get(name, False) is not False]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_may_run_what_it_reads(path: Path) -> None:
    assert dangers(path.read_text()) == ALLOWED.get(path.name, [])


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import load",
        "import dill as d",
        "import joblib",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "import yaml",
        "YAML(typ='unsafe').load(text)",
        "eval(text)",
        "exec(text)",
        "subprocess.run(command, shell=True)",
        "os.system(command)",
        "tarfile.open(path).extractall()",
        "shutil.unpack_archive(path)",
        "pandas.read_pickle(path)",
        "__import__(name)",
    ],
)
def test_the_check_knows_what_is_dangerous(source: str) -> None:
    assert dangers(source)


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path, weights_only=True)",
        "np.load(path)",
        "np.save(path, array, allow_pickle=False)",
        "YAML(typ='safe').load(text)",
        "re.compile(pattern)",
        "network.eval()",
        "subprocess.run(command)",
    ],
)
def test_the_check_lets_pass_what_is_not(source: str) -> None:
    assert not dangers(source)


@pytest.mark.parametrize("tag", [tag for tag in YAML_TAGS if "python" in tag])
def test_yaml_runs_nothing(tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="not valid YAML"):
        parsing.parse(f"seed: {tag}\n".encode(), "params.yaml")
    assert not (tmp_path / HARM).exists()


def test_arrays_of_a_stage_run_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("images.npy").write_bytes(npy(np.array([Payload(HARM)]), pickled=True))
    for read in (images.load, images.mapped, images.load_array):
        with pytest.raises(BadInput):
            read(Path("images.npy"))
    assert not Path(HARM).exists()
    np.load("images.npy", allow_pickle=True)  # what would have happened
    assert Path(HARM).exists()


# A repository of a stranger


@pytest.mark.parametrize("path", ["../../x", "/etc/passwd", "models/../../x", "", "a\nb", "models/\x1b[2J"])
@pytest.mark.parametrize("kind", ["deps", "outs"])
def test_a_lock_that_names_files_outside_the_project_is_refused(path: str, kind: str) -> None:
    entry = {"cmd": "x", kind: [{"path": path, "md5": "0" * 32}]}
    with pytest.raises(BadInput, match="must be a path within the project") as raised:
        dvc_lock.locked(json.dumps({"stages": {"train@x": entry}}).encode(), "dvc.lock")
    assert str(raised.value).isprintable()


def test_reading_another_revision_runs_nothing_of_it(pipeline: Pipeline, tmp_path: Path) -> None:
    """A branch whose commands, hooks in dvc.yaml, code and settings all leave a folder behind."""
    copied = pipeline.copy(tmp_path / "a copy")
    harm = tmp_path / HARM
    copied.run("git", "switch", "-q", "-c", "stranger")
    pipe = YAML().load(copied.root / "dvc.yaml")
    pipe["stages"]["summarise"]["cmd"] = f"mkdir {shlex.quote(str(harm))}"
    YAML().dump(pipe, copied.root / "dvc.yaml")
    for source in [*(copied.root / "src").rglob("*.py"), *(copied.root / "stages").glob("*.py")]:
        source.write_text(f"__import__('os').makedirs({str(harm)!r}, exist_ok=True)\n{source.read_text()}")
    (copied.root / "params.yaml").write_text(f"seed: !!python/object/apply:os.mkdir [{json.dumps(str(harm))}]\n")
    lock = (copied.root / "dvc.lock").read_text()
    (copied.root / "dvc.lock").write_text(lock.replace("cmd: ", f"cmd: mkdir {shlex.quote(str(harm))}; ", 3))
    copied.run("git", "commit", "-q", "-a", "-m", "A gift")
    copied.run("git", "switch", "-q", "-")
    for command in (
        ("sync", "--rev", "stranger"),
        ("compare", "HEAD", "stranger"),
        ("report", "--against", "stranger"),
    ):
        done = copied.run("denoise", *command, check=False)
        assert "Traceback" not in done.stderr
        assert not harm.exists(), command
    copied.run("git", "switch", "-q", "stranger")
    copied.run("git", "checkout", "-q", "HEAD~", "--", "params.yaml", "dvc.lock")
    copied.run("dvc", "repro", "--force", "--single-item", "summarise", check=False)
    assert harm.exists()  # whoever runs a stranger's pipeline runs their commands


# What we serve


@pytest.mark.services
def test_the_pages_are_served_to_this_machine_alone(tmp_path: Path) -> None:
    """`make ui` as it is written, but for the port and the folder."""
    dry = subprocess.run(
        ["make", "--no-print-directory", "-n", "-o", ".venv/.ready", "ui"], cwd=ROOT, capture_output=True, text=True
    )
    line = next(line for line in dry.stdout.replace("\\\n", " ").splitlines() if "mlflow server" in line)
    words = shlex.split(line)
    assert words[words.index("--host") + 1] == "127.0.0.1"
    port = servers.free_port()
    words[words.index("--port") + 1] = str(port)
    environment = {name: value for name, _, value in (word.partition("=") for word in words[: words.index("mlflow")])}
    command = [servers.PROGRAMS / "mlflow", *words[words.index("mlflow") + 1 :]]
    url = f"http://127.0.0.1:{port}/health"
    with servers.running(command, tmp_path, lambda: servers._answers(url), env=servers.environment(**environment)):
        listening = listeners(tmp_path)
    assert {address for address, _ in listening} == {"127.0.0.1"}
    assert (("127.0.0.1", port)) in listening


def listeners(folder: Path) -> set[tuple[str, int]]:
    """Where the processes that work in a folder listen."""
    found = set()
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == folder:
                found |= {place.laddr for place in process.net_connections("inet") if place.status == "LISTEN"}
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return {(place.ip, place.port) for place in found}


def test_containers_publish_to_this_machine_alone() -> None:
    services = YAML(typ="safe").load(ROOT / "compose.yaml")["services"]
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert published
    assert all(str(port).startswith("127.0.0.1:") for port in published)
    assert not [name for name, service in services.items() if service.get("network_mode") == "host"]


def test_the_servers_of_tests_listen_on_this_machine_alone() -> None:
    for path in (ROOT / "tests").glob("*.py"):
        assert "0.0.0.0" not in path.read_text().replace('"0.0.0.0" not in', ""), path
        for call in re.findall(r"HTTPServer\(\(?\"?([^\",]*)", path.read_text()):
            assert call == "127.0.0.1", path


# Versions


def test_installed_packages_have_none_of_the_known_holes() -> None:
    """The floors are stated, and what is installed lies above them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    brought = [line.partition("#")[0] for line in (ROOT / "requirements/floors.txt").read_text().splitlines()]
    stated = [*project["dependencies"], *project["optional-dependencies"]["pipeline"], *filter(str.strip, brought)]
    floors = {(wanted := Requirement(line)).name: wanted for line in stated}
    assert {"torch", "mlflow", "pillow", "filelock", "gitpython", "dulwich", "urllib3"} <= floors.keys()
    for name, wanted in floors.items():
        assert wanted.specifier, f"{name} has no floor"
        assert wanted.specifier.contains(version(name)), f"{name} {version(name)} is below its floor {wanted}"


# Secrets


@pytest.mark.parametrize(
    "text",
    [
        f"cannot reach http://somebody:{SECRET}@127.0.0.1:5000/api",
        f"cannot reach http://somebody:{SECRET}@127.0.0.1:5000",
        f"postgresql+psycopg://mlflow:{SECRET}/with/a/slash@host/db refused",
        f"https://{SECRET}@github.com/owner/name.git",
        f"https://x:{SECRET}@at@github.com/owner/name.git",
        f"'http://a:{SECRET}@b/' and \"http://c:{SECRET}@d\"",
        f"postgresql://host/db?user=a&password={SECRET}&x=1",
        f"https://bucket/key?X-Amz-Signature={SECRET}&X-Amz-Credential={SECRET}",
        f"connection failed: host=a password={SECRET} port=1",
        f"{{'Authorization': 'Bearer {SECRET}'}}",
    ],
)
def test_text_is_shown_without_its_secrets(text: str) -> None:
    shown = masked(text)
    assert SECRET not in shown
    assert "slash" not in shown
    assert secrets.MASK in shown


@pytest.mark.parametrize(
    "text",
    [
        "reports/metrics.json: No space left on device",
        "http://127.0.0.1:5000/#/experiments?workflowType=machine_learning",
        "git@github.com:owner/name.git",
        "12 tokens, no password",
        "s3://bucket/dvc",
        "someone@example.invalid",
        "npm pack @types/node https://registry.example/@types/node",
    ],
)
def test_text_without_secrets_stays_as_it_is(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize("part", ["a-", "//:", "//a", "token", "basic "])
def test_a_text_made_to_be_looked_through_for_ever_is_not(part: str) -> None:
    shown = masked(part * 2**20)
    assert shown == f"{(part * 2**20)[:LONGEST]} ..."


# Without ids of their own, pytest would put the values into the environment.
@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("GITHUB_TOKEN", SECRET, SECRET),
        ("AWS_SECRET_ACCESS_KEY", SECRET, SECRET),
        ("MLFLOW_TRACKING_PASSWORD", SECRET, SECRET),
        ("PGPASSWORD", "a b/ü" + SECRET, "a%20b%2F%C3%BC" + SECRET),
        ("MLFLOW_TRACKING_URI", f"http://somebody:{SECRET}@host:5000", SECRET),
        ("MLFLOW_TRACKING_URI", f"http://somebody:a%2F{SECRET}@host:5000", f"a/{SECRET}"),
        ("SSH_PRIVATE_KEY", f"-----BEGIN-----\n  {SECRET}\r\n-----END-----\n", SECRET),
        ("GIT_CONFIG_KEY_0", f"url.https://x-access-token:{SECRET}@github.com/.insteadOf", SECRET),
    ],
    ids=range(8),
)
def test_the_secrets_of_the_environment_are_not_shown(
    name: str, value: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shown in masked(f"a library says {shown} in its own words")
    monkeypatch.setenv(name, value)
    assert SECRET not in masked(f"a library says {shown} in its own words")


@pytest.fixture
def team(pipeline: Pipeline, tmp_path: Path) -> Pipeline:
    """A pipeline whose remotes want a password, and do not answer."""
    copied = pipeline.copy(tmp_path / "a copy")
    address = f"http://somebody:{SECRET}@127.0.0.1:{servers.free_port()}"
    copied.run("dvc", "remote", "add", "--local", "--default", "team", f"{address}/dvc")
    copied.run("git", "remote", "add", "origin", f"{address}/project.git")
    return copied


# What `denoise retrain` does, without the training; and DVC, when it is asked for what it should not say.
SHARING = (
    "import sys; from domain_denoiser import cli; from domain_denoiser.operations.retraining import remote\n"
    "do = getattr(remote, sys.argv[1]); "
    "cli.app = lambda *words, **how: (do(), None)[1]; cli.main()"
)
TALKING = "from domain_denoiser.base import processes; processes.must('dvc', 'remote', 'list')"
LOUD = "from domain_denoiser.base import processes; processes.run('sh', '-c', 'dvc remote list >&2')"
COMMANDS = {
    "sync": (["denoise", "sync"], 2),
    "show": (["denoise", "show", "0" * 32], 2),
    "stage": (["python", "stages/train.py", "fixed"], 0),
    "remote": (["python", "-c", TALKING], 0),
    "remote-error": (["python", "-c", LOUD], 0),
    "push": (["python", "-c", SHARING, "push"], 1),
    "pull": (["python", "-c", SHARING, "pull"], 0),
    "propose": (["denoise", "propose"], 1),
}
SAYS_NO_ADDRESS = ("push", "pull", "propose")


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_prints_a_password(team: Pipeline, name: str) -> None:
    command, status = COMMANDS[name]
    if name == "pull":  # there must be something to bring
        shutil.rmtree(team.root / ".dvc/cache")
        (team.root / "models/fixed/model.safetensors").unlink()
    if name == "propose":
        (team.root / "params.yaml").write_text((team.root / "params.yaml").read_text() + "# another\n")
    uri = f"http://somebody:{SECRET}@127.0.0.1:{servers.free_port()}"
    done = team.run(*command, check=False, MLFLOW_TRACKING_URI=uri, DVC_STAGE="train@fixed")
    printed = done.stdout + done.stderr
    assert done.returncode == status, printed
    assert SECRET not in printed
    assert (secrets.MASK in printed) == (name not in SAYS_NO_ADDRESS), printed
    assert "Traceback" not in printed


@pytest.fixture
def echoing() -> Iterator[str]:
    """A server that refuses everything, and repeats what it was told."""

    class Echo(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(403)
            self.end_headers()
            self.wfile.write(f"who is {self.headers['Authorization']} or {SECRET}?".encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_token_does_not_come_back_from_a_server(team: Pipeline, echoing: str) -> None:
    team.run("git", "switch", "-q", "-c", "retrain/x")
    team.run("denoise", "report", "--against", "HEAD")
    addresses = {"GITHUB_API_URL": echoing, "GITHUB_SERVER_URL": echoing, "GITHUB_REPOSITORY": "owner/name"}
    done = team.run("denoise", "announce", "--base", "main", check=False, GITHUB_TOKEN=SECRET, **addresses)
    assert done.returncode == 1
    assert "with 403: who is Bearer *** or ***?" in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_secrets_of_the_environment_reach_no_file(pipeline: Pipeline, tmp_path: Path) -> None:
    """Neither MLflow's store nor what lies beside it, nor DVC's files, nor the report."""
    copied = pipeline.copy(tmp_path / "a copy")
    copied.run("dvc", "remote", "add", "--local", "--default", "team", f"http://a:{SECRET}@127.0.0.1:1/dvc")
    copied.run("git", "remote", "add", "origin", f"http://a:{SECRET}@127.0.0.1:1/project.git")
    copied.params(lambda values: values["models"]["plain"].update(epochs=1))
    secrets = dict.fromkeys(("GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD"), SECRET)
    copied.run("dvc", "repro", "train@plain", **secrets)
    copied.run("denoise", "sync", **secrets)
    copied.run("denoise", "report", "--against", "HEAD", **secrets)
    told = {copied.root / ".dvc/config.local", copied.root / ".git/config"}  # where it was written above
    files = [path for path in copied.root.rglob("*") if path.is_file() and path not in told]
    assert copied.root / "mlflow.db" in files
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]

"""A team: a bare git repository, an S3 remote, an MLflow server; retrainings as people and workflows start them."""

import contextlib
import json
import re
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
import servers
import warm
from mlflow.tracking import MlflowClient
from pipeline import CHECKOUT, Pipeline, clean_environment
from ruamel.yaml import YAML

from domain_denoiser.operations.retraining import pull_requests, stagelog
from domain_denoiser.runs import changes, dvc_lock

# What these tests run as `make ...`, and so may stand in a workflow.
EXECUTED = {"fresh", "sync", "retrain", "propose", "announce", "pull", "push"}
PERSON = "What a person writes"
BETTER = 8  # epochs of `fixed`; the sample pipeline has 2
AFFECTED = {"train@fixed", "recognise@fixed", "evaluate@fixed", "summarise", "figures@fixed"}


class Team(NamedTuple):
    """What the members share."""

    origin: Path
    storage: str  # URL of the S3 server
    mlflow: str  # URL of the MLflow server
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**servers.S3_KEYS, "MLFLOW_TRACKING_URI": self.mlflow}

    def clone(self, name: str, branch: str = "main") -> Pipeline:
        """A machine of its own: no data, no models."""
        member = Pipeline(self.folder / name, "")
        subprocess.run(["git", "clone", "-q", "--branch", branch, self.origin, member.root], check=True)
        member.run("git", "config", "user.name", name)
        member.run("git", "config", "user.email", "member@example.invalid")
        return member

    def run(self, member: Pipeline, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command as a member does who has the secrets."""
        return member.run(*command, check=check, **self.environment)

    def make(self, member: Pipeline, target: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a make target with what is installed here."""
        assert target in EXECUTED
        environment_here = self.folder / "environment"
        environment_here.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (environment_here / "bin").symlink_to(warm.programs())
        installed = ("-o", f"{environment_here}/.ready", f"VENV={environment_here}")
        # A make within a make, as under `make test`, prints the folders that it enters and leaves.
        return member.run("make", "--no-print-directory", *installed, target, **self.environment | environment)

    def branches(self) -> dict[str, str]:
        """Branch -> commit."""
        listed = subprocess.run(
            ["git", "for-each-ref", "--format=%(refname:short) %(objectname)"],
            cwd=self.origin,
            check=True,
            capture_output=True,
            text=True,
        )
        return dict(line.split() for line in listed.stdout.splitlines())

    def stored(self) -> set[str]:
        """The objects that the S3 server has."""
        found, start = set(), ""
        while True:
            with urllib.request.urlopen(f"{self.storage}/{servers.BUCKET}?list-type=2&start-after={start}") as answer:
                page = answer.read().decode()
            keys = re.findall(r"<Key>([^<]+)</Key>", page)
            found |= set(keys)
            if "<IsTruncated>true" not in page:
                return found
            start = keys[-1]

    def shared(self) -> tuple[dict[str, str], set[str]]:
        """All that a push would change."""
        return self.branches(), self.stored()

    def runs(self) -> dict[str, str]:
        """Key -> status of every run on the server."""
        client = MlflowClient(self.mlflow)
        found = client.search_runs([client.get_experiment_by_name("mnist-denoising").experiment_id])
        return {run.data.tags["key"]: run.info.status for run in found}


def commit(member: Pipeline, message: str) -> None:
    member.run("git", "add", "-A")
    member.run("git", "commit", "-q", "-m", message)


def key_of(member: Pipeline, model: str) -> str:
    return dvc_lock.locked((member.root / "dvc.lock").read_bytes(), "dvc.lock")[f"train@{model}"].key


@pytest.fixture(scope="module")
def team(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """The finished pipeline is on main, with `fixed` as champion, its artifacts in S3, its runs on the server."""
    folder = tmp_path_factory.mktemp("team")
    with contextlib.ExitStack() as stack:
        storage = stack.enter_context(servers.s3(folder))
        store = f"sqlite:///{folder}/server.db"
        mlflow = stack.enter_context(servers.mlflow(folder, store, str(folder / "artifacts")))
        shared = Team(folder / "origin.git", storage, mlflow, folder)
        first = Pipeline(folder / "first", "")
        shutil.copytree(pipeline.root, first.root, symlinks=True)
        first.params(lambda values: values["gate"].update(floors_db={"0.5": 1.0}))
        first.run("denoise", "promote", "--model", "fixed")
        first.run("dvc", "remote", "add", "--default", "team", f"s3://{servers.BUCKET}/dvc")
        first.run("dvc", "remote", "modify", "team", "endpointurl", storage)
        commit(first, "The first champion, and the team's remote")
        subprocess.run(["git", "init", "-q", "--bare", "--initial-branch=main", shared.origin], check=True)
        first.run("git", "remote", "add", "origin", str(shared.origin))
        first.run("git", "push", "-q", "origin", "HEAD:main")
        shared.make(first, "push")
        shared.make(first, "sync")
        yield shared


@pytest.fixture(scope="module")
def retrained(team: Team) -> Pipeline:
    """The clone that retrained a commit with more epochs, and proposed the result."""
    member = team.clone("retrained")
    member.run("git", "switch", "-q", "-c", "more-epochs")
    member.params(lambda values: values["models"]["fixed"].update(epochs=BETTER))
    commit(member, "More epochs")
    member.run("git", "push", "-q", "origin", "more-epochs")
    main = team.branches()["main"]
    printed = team.make(member, "retrain").stdout
    assert {line.split("'")[1] for line in printed.splitlines() if line.startswith("Running stage")} == AFFECTED
    team.make(member, "propose")
    assert team.branches()["main"] == main
    return member


def test_the_result_is_a_branch_with_everything_in_it(team: Team, retrained: Pipeline) -> None:
    [branch] = [name for name in team.branches() if name.startswith("retrain/")]
    changed = retrained.run("git", "diff", "--name-only", "origin/more-epochs", f"origin/{branch}").stdout.split()
    assert {"dvc.lock", "champion.json", "reports/metrics.json", "reports/gate.json"} <= set(changed)
    assert {"champion/model.safetensors", "champion/model.onnx"} <= set(changed)
    assert {"reports/retraining/report.md", "reports/retraining/fixed.png"} <= set(changed)
    assert not [path for path in changed if path.startswith(("src/", "stages/", "params.yaml"))]
    assert retrained.run("git", "status", "--porcelain").stdout == ""
    champion = json.loads((retrained.root / "champion.json").read_text())
    assert champion["key"] == key_of(retrained, "fixed")
    assert champion["gain_db"] > 0
    assert team.runs()[champion["key"]] == "FINISHED"


def test_the_report_says_what_happened(team: Team, retrained: Pipeline) -> None:
    report = (retrained.root / "reports/retraining/report.md").read_text()
    assert "## Retraining: `fixed` is proposed as champion" in report
    assert f"| `models.fixed.epochs` | `2` | `{BETTER}` |" in report
    [ran] = [line for line in report.splitlines() if line.startswith("- Ran: ")]
    assert set(ran.removeprefix("- Ran: ").split(", ")) == {f"`{stage}`" for stage in AFFECTED}
    assert "`train@random`" in report.partition("- Unchanged:")[2].partition("\n")[0]
    assert re.search(r"\| fixed \| 0\.5 \| [\d.]+ \| [\d.]+ \| \+[\d.]+ \| \+[\d.]+ \.\.\. \+[\d.]+ \|", report)
    assert "| random |" not in report
    assert "**passed**" in report
    assert "- held: gain at sigma 0.5" in report
    base = retrained.run("git", "rev-parse", "--short=12", "more-epochs").stdout.strip()
    assert f"    git checkout {base} && make pull repro" in report


def test_a_second_machine_pulls_and_runs_no_stage(team: Team, retrained: Pipeline) -> None:
    branch = retrained.run("git", "branch", "--show-current").stdout.strip()
    second = team.clone("second", branch)
    team.make(second, "pull")
    assert second.stages_run() == set()
    before = team.runs()
    synced = json.loads(team.run(second, "denoise", "sync", "--json").stdout)
    assert [outcome["contradictions"] for outcome in synced["outcomes"]] == [[]] * len(synced["outcomes"])
    assert {said for outcome in synced["outcomes"] for said in outcome["did"]} <= {"tags"}  # the commit is known now
    assert synced["missing"] == []
    assert team.runs() == before
    assert not (second.root / "mlflow.db").exists()


def test_a_retraining_of_its_result_and_of_the_merge_does_nothing(team: Team, retrained: Pipeline) -> None:
    branch = retrained.run("git", "branch", "--show-current").stdout.strip()
    before = team.shared()
    again = team.clone("again", branch)
    merged = team.clone("merged")
    merged.run("git", "merge", "-q", "--no-ff", "-m", "Merge the retraining", f"origin/{branch}")
    for member in (retrained, again, merged):
        team.make(member, "fresh")
        done = team.run(member, "denoise", "retrain")
        assert done.stdout == "dvc.lock is what code and params say, and committed: nothing to do\n"
        assert team.make(member, "propose").stdout.endswith("nothing to propose\n")
        assert member.run("git", "status", "--porcelain").stdout == ""
    assert team.shared() == before


def test_the_same_results_are_proposed_once(team: Team, retrained: Pipeline) -> None:
    branch = retrained.run("git", "branch", "--show-current").stdout.strip()
    before = team.shared()
    twin = team.clone("twin", branch)
    team.make(twin, "pull")
    twin.run("git", "switch", "-q", "--detach")
    twin.run("git", "reset", "-q", "--soft", "HEAD~1")  # as after a retraining of its own
    twin.run("git", "commit", "-q", "--allow-empty", "--only", "-m", "Another base")
    assert team.make(twin, "propose").stdout.splitlines()[-1].endswith("was proposed before")
    assert team.shared() == before


def test_a_worse_value_is_kept_from_promotion(team: Team, retrained: Pipeline) -> None:
    branch = retrained.run("git", "branch", "--show-current").stdout.strip()
    member = team.clone("worse", branch)
    champion = (member.root / "champion.json").read_bytes()
    done = team.run(member, "denoise", "retrain", "-S", "models.fixed.epochs=1", check=False)
    assert done.returncode == 3, done.stdout + done.stderr
    assert (member.root / "champion.json").read_bytes() == champion
    report = (member.root / "reports/retraining/report.md").read_text()
    assert "is kept from promotion" in report
    assert "denoise retrain -S models.fixed.epochs=1\n" in report
    assert team.runs()[key_of(member, "fixed")] == "FINISHED"
    again = team.run(member, "denoise", "retrain", check=False)  # nothing is proposed yet, so it is decided again
    assert again.returncode == 3
    assert "Running stage" not in again.stdout


def test_what_is_broken_fails_clearly_and_pushes_nothing(team: Team) -> None:
    member, before = team.clone("broken"), team.shared()
    champion = (member.root / "champion.json").read_bytes()
    given = team.run(member, "denoise", "retrain", "-S", "models.fixed.epochs=0", check=False)
    assert (given.returncode, given.stdout) == (2, "")
    assert given.stderr.startswith("error: params.yaml with these settings: models.fixed.epochs is 0, but")
    member.params(lambda values: values["models"]["plain"].update(epochs=0))
    commit(member, "No epoch at all")
    committed = team.run(member, "denoise", "retrain", check=False)
    assert (committed.returncode, committed.stdout) == (2, "")
    assert committed.stderr == "error: params.yaml: models.plain.epochs is 0, but input should be greater than or " + (
        "equal to 1\n"
    )
    member.run("git", "reset", "-q", "--hard", "HEAD~1")
    stage = member.root / "stages/summarise.py"
    stage.write_text("raise SystemExit(1)\n" + stage.read_text())
    commit(member, "A stage that fails")
    failed = team.run(member, "denoise", "retrain", check=False)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1] == "error: `dvc repro` ended with status 255"
    assert "failed to run: PYTHONPATH=src python stages/summarise.py" in failed.stderr
    refused = team.run(member, "denoise", "propose", check=False)
    assert refused.returncode == 2
    assert refused.stderr == "error: dvc.lock is stale (summarise): `denoise retrain` first\n"
    assert (member.root / "champion.json").read_bytes() == champion
    assert team.shared() == before


def test_two_at_once_lose_nothing(team: Team) -> None:
    """On one branch: the first goes behind what was pushed meanwhile, the second says that it does not fit."""
    team.clone("opener").run("git", "push", "-q", "origin", "HEAD:feature")
    members = {epochs: team.clone(f"at once {epochs}", "feature") for epochs in (3, 4)}
    started = [
        subprocess.Popen(
            ["denoise", "retrain", "-S", f"models.fixed.epochs={epochs}"],
            cwd=member.root,
            env=clean_environment(member.root) | team.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for epochs, member in members.items()
    ]
    printed = [retraining.communicate()[0] for retraining in started]
    assert all(retraining.returncode in (0, 3) for retraining in started), printed
    meanwhile = team.clone("meanwhile", "feature")
    (meanwhile.root / "NOTES.md").write_text("Something else\n")
    commit(meanwhile, "Notes")
    meanwhile.run("git", "push", "-q", "origin", "feature")

    won = team.run(members[3], "denoise", "propose", "--branch", "feature")
    assert won.stdout.splitlines()[-1].endswith("rebased and pushed")
    assert (members[3].root / "NOTES.md").exists()
    lost = team.run(members[4], "denoise", "propose", "--branch", "feature", check=False)
    assert lost.returncode == 1
    assert lost.stderr.startswith("error: feature of origin has diverged, to ")
    assert team.branches()["feature"] == members[3].run("git", "rev-parse", "HEAD").stdout.strip()
    assert members[4].run("git", "status", "--porcelain").stdout == ""

    for epochs, member in members.items():
        assert team.runs()[key_of(member, "fixed")] == "FINISHED"
        elsewhere = Pipeline(team.folder / f"elsewhere {epochs}", "")
        subprocess.run(["git", "clone", "-q", member.root, elsewhere.root], check=True)
        team.make(elsewhere, "pull")
        assert elsewhere.stages_run() == set()


def test_results_are_never_pushed_to_main(team: Team) -> None:
    member = team.clone("hasty")
    (member.root / "reports/retraining").mkdir()
    (member.root / "reports/retraining/report.md").write_text("A result\n")
    done = team.run(member, "denoise", "propose", "--branch", "main", check=False)
    assert done.returncode == 2
    assert done.stderr == "error: results come to 'main' by merging, never by a push\n"


def test_the_pull_request_has_one_comment(team: Team, retrained: Pipeline, tmp_path: Path) -> None:
    with github() as (url, pulls, comments):
        env = {
            "GITHUB_API_URL": url,
            "GITHUB_SERVER_URL": "https://git.example",
            "GITHUB_REPOSITORY": "team/denoiser",
            "GITHUB_TOKEN": "secret",
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
            "RETRAIN_BASE": "main",
        }
        for _ in range(2):
            assert team.make(retrained, "announce", **env).stdout.endswith("https://git.example/pull/1\n")
        head = retrained.run("git", "rev-parse", "HEAD").stdout.strip()
        [pull] = pulls
        [comment] = [comment for comment in comments if comment["body"] != PERSON]
        assert pull["head"].startswith("retrain/")
        assert pull["base"] == "main"
        assert comment["edits"] == 1
        picture = f"](https://git.example/team/denoiser/raw/{head}/reports/retraining/fixed.png)"
        assert picture in comment["body"]
        assert (tmp_path / "summary.md").read_text().count("## Retraining") == 2
        merged = team.clone("not retrained")
        assert team.make(merged, "announce", **env).stdout.endswith("nothing to announce\n")
        refused = retrained.run("denoise", "announce", check=False, **env | {"GITHUB_TOKEN": "wrong"})
        assert refused.returncode == 1
        assert refused.stderr.startswith("error: GitHub answers GET pulls")
        assert len(comments) == 151


@contextlib.contextmanager
def github() -> Iterator[tuple[str, list[dict], list[dict]]]:
    """As much of GitHub's REST API as a pull request with comments needs; yields its URL, the pulls, the comments."""
    pulls, comments = [], [{"id": number, "body": PERSON, "edits": 0} for number in range(150)]

    class Handler(BaseHTTPRequestHandler):
        def do(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            address = urlsplit(self.path)
            path, query = address.path.removeprefix("/repos/team/denoiser/"), parse_qs(address.query)
            if self.headers["Authorization"] != "Bearer secret":
                return self.answer(401, {"message": "Bad credentials"})
            match self.command, path.split("/"):
                case "GET", ["pulls"]:
                    return self.answer(200, [pull for pull in pulls if [f"team:{pull['head']}"] == query["head"]])
                case "POST", ["pulls"]:
                    pulls.append(content | {"number": 1, "html_url": "https://git.example/pull/1"})
                    return self.answer(201, pulls[-1])
                case "GET", ["issues", "1", "comments"]:
                    size, page = int(query["per_page"][0]), int(query["page"][0])
                    return self.answer(200, comments[size * (page - 1) : size * page])
                case "POST", ["issues", "1", "comments"]:
                    comments.append(content | {"id": len(comments), "edits": 0})
                    return self.answer(201, comments[-1])
                case "PATCH", ["issues", "comments", number]:
                    comments[int(number)] |= content | {"edits": comments[int(number)]["edits"] + 1}
                    return self.answer(200, comments[int(number)])
            return self.answer(404, {"message": "Not Found"})

        do_GET = do_POST = do_PATCH = do

        def answer(self, status: int, content: object) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", pulls, comments
        finally:
            server.shutdown()


def test_every_step_of_a_workflow_is_a_command_that_is_tested() -> None:
    by_ci = {line.strip().removeprefix("make ") for line in (CHECKOUT / ".ci/run").read_text().splitlines()}
    by_ci |= {"setup"}  # what everything in the Makefile depends on
    targets = set(re.findall(r"^([\w-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    steps = [
        (path.name, step)
        for path in (CHECKOUT / ".github/workflows").glob("*.yml")
        for job in YAML(typ="safe").load(path)["jobs"].values()
        for step in job["steps"]
    ]
    commands = [step["run"] for _, step in steps if "run" in step]
    assert {"make retrain", "make propose", "make announce", "make fresh"} <= set(commands)
    for command in commands:
        word, target = command.split()
        assert word == "make"
        assert target in targets & (EXECUTED | by_ci), command
    for name, step in steps:
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z/-]+@[0-9a-f]{40}", step["uses"]), f"{name}: {step['uses']}"


def test_lines_of_dvc_are_understood() -> None:
    assert stagelog.seen("Running stage 'train@fixed':\n") == {"train@fixed": "ran"}
    assert stagelog.seen("Stage 'figures@fixed' is cached - skipping run, checking out outputs\n") == {
        "figures@fixed": "restored"
    }
    assert stagelog.seen("Stage 'figures@fixed' didn't change, skipping\n") == {}


def test_changes_between_two_locks() -> None:
    def stage(name: str, epochs: int, code: str) -> dvc_lock.Stage:
        return dvc_lock.Stage(
            name, "train", {"src/a.py": code, "data/x": "1" * 32}, {"models.m": {"epochs": epochs}}, {"data/y": code}
        )

    before, after = {"a": stage("a", 1, "0" * 32)}, {"a": stage("a", 2, "f" * 32), "b": stage("b", 2, "f" * 32)}
    assert changes.between(before, before) == changes.Changes({}, (), (), ())
    found = changes.between(before, after)
    assert found.params == {"models.m.epochs": (1, 2)}
    assert (found.data, found.code, found.again) == (("data/y",), ("src/a.py",), ("a", "b"))


def test_pictures_get_addresses_once() -> None:
    text = "![Digits: before, and now](fixed.png) [a page](docs.md)"
    once = pull_requests.with_addresses(text, "https://git.example/raw")
    assert once == "![Digits: before, and now](https://git.example/raw/fixed.png) [a page](docs.md)"
    assert pull_requests.with_addresses(once, "https://git.example/raw") == once

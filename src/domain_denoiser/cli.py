"""The command line: `denoise ...`."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain_denoiser.base import project
from domain_denoiser.base.errors import BadInput, end, one_line, one_sentence, printable
from domain_denoiser.base.processes import Failed
from domain_denoiser.base.secrets import masked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from domain_denoiser.operations.checks import Check
    from domain_denoiser.operations.gate import Decision

app = typer.Typer(
    help="Clean noisy images with trained denoisers, and keep MLflow's view of them true.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its boxes cost as much time as all the rest of `denoise --help`
)


def main() -> None:
    with one_sentence():
        try:
            # Typer's own end of the program would put the usage before the sentence.
            sys.exit(app(sys.argv[1:] or ["--help"], standalone_mode=False))
        except typer.TyperException as error:  # an option that there is not, an argument too few
            context = getattr(error, "ctx", None)
            command = "denoise" if context is None else context.command_path
            end(f"{error.format_message()} (`{command} --help` says what there is)", 2)
        except Failed as error:
            end(str(error), 1)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"denoise {version('domain-denoiser')}")
        raise typer.Exit


@app.callback()
def _every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """What may stand before the command."""


def _trained() -> list[str]:
    """The names for `--model` that the shell completes."""
    from domain_denoiser.operations import choosing

    return choosing.names_here()


# Of the commands that look at images as `denoise restore` does.
ModelOption = Annotated[
    str | None,
    typer.Option(
        autocompletion=_trained,
        metavar="NAME|FOLDER|FILE",
        help="A model under models/, a folder with a model, or a .onnx file; else the champion.",
    ),
]
ProjectOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        envvar="DENOISE_PROJECT",
        help="The project that has the model; else the one around the working directory.",
    ),
]
RangeOption = Annotated[
    str,
    typer.Option("--range", metavar="LOW,HIGH", help="The values of float images that stand for black and white."),
]


@app.command()
def restore(
    sources: Annotated[list[Path], typer.Argument(metavar="INPUT", help="An image file or a folder; several of them.")],
    target: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="A file for one file, a new or empty folder for all else.")
    ],
    model: ModelOption = None,
    project: ProjectOption = None,
    invert: Annotated[
        bool, typer.Option("--invert", help="Dark strokes on a light ground: restore the negative.")
    ] = False,
    value_range: RangeOption = "0,1",
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Go on with a folder: leave what is there.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Refuse images unlike those that the model was trained for, and one in a hundred others."
        ),
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="As many as there are cores if not given; the bytes are the same."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="local|auto|HOST:PORT",
            help="Restore by Ray: on the cores of this machine, on the cluster that it is a part of, or on another.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Processes of --ray; as many as there are cores if not given."),
    ] = None,
) -> None:
    """Clean noisy images, with the champion if no model is named.

    PNG, JPEG, TIFF (each page), BMP, WebP and .npy, of 1, 8 or 16 bits or float, grey or in colour, of any size. What
    comes out has the format, type, size and name of what went in; a JPEG comes out as PNG, unless OUTPUT says .jpg. In
    folders, other files are skipped. Images unlike those that the model was trained for are named in a warning.
    With --ray, INPUT and OUTPUT may be s3://BUCKET/FOLDER, and OUTPUT.manifest.jsonl says what became of each file.


    Exit status 0: all restored, 1: some files could not be, and are named, 2: bad input, or the only file could not be.
    """
    from domain_denoiser.operations.restoring import command

    scale = command.scale(value_range, invert)
    options = command.Options(model, project, scale, threads, skip_existing, dry_run, strict, ray, workers)
    done = command.run(sources, target, options)
    for line in done.lines:
        typer.echo(printable(masked(line)))
    for sentence in done.broken:
        typer.echo(f"not restored: {one_line(masked(sentence))}", err=True)
    raise typer.Exit(1 if done.broken else 0)


@app.command()
def inspect(
    sources: Annotated[list[Path], typer.Argument(metavar="PATH", help="An image file or a folder; several of them.")],
    model: ModelOption = None,
    project: ProjectOption = None,
    value_range: RangeOption = "0,1",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what images are, and how noisy, before restoring.

    Kinds, sizes, types and broken files; the noise, and whether it is independent from pixel to pixel; the time and
    the memory that restoring all of it by the model would take. Changes nothing. docs/inspect.md says how far to
    trust it.


    Exit status 0: all could be read, 1: some files could not, and are named, 2: bad input.
    """
    from domain_denoiser.operations.inspecting import command
    from domain_denoiser.operations.restoring.command import scale

    found = command.run(sources, model, project, scale(value_range, invert=False))
    for line in [json.dumps(found.as_json(), indent=2)] if as_json else found.as_lines():
        _say(line)
    for sentence in found.surveyed.broken:
        typer.echo(f"broken: {one_line(sentence)}", err=True)
    raise typer.Exit(1 if found.surveyed.broken else 0)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder with clean images, of 8 or 16 bits.")],
    name: Annotated[
        str | None, typer.Option(help="Of the domain, in MLflow and on pages; else after the folder.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(metavar="photos|documents|microscopy|small", help="Sizes and noise; else by the images."),
    ] = None,
    minutes: Annotated[float, typer.Option(help="About how long `conv` is to train on this machine.")] = 5.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    noisy: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="With a noisy image of each clean one, under the same name; else drawn."),
    ] = None,
) -> None:
    """Make this clone the project of a folder of images.

    Reads every image, says what there is and what would be trained; then copies the images into data/images, under DVC,
    writes params.yaml from a preset, removes the results of the old domain, and stages all of it. Commits nothing.
    """
    from domain_denoiser.operations.init import command

    for line in command.run(folder, command.Options(name, preset, minutes, dry_run, noisy)):
        _say(line)


@app.command()
def sync(
    rev: Annotated[
        list[str], typer.Option(help="Also of this commit, branch, tag or experiment; may be repeated.")
    ] = [],
    all_commits: Annotated[
        bool, typer.Option("--all-commits", help="Also of every commit, branch and experiment.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Make MLflow agree with dvc.lock: bring in what it lacks.

    Changes nothing when run again, and never deletes a run.


    Shows what dvc.lock has of the models in params.yaml, and the champion; history with the options.


    Exit status 1 if the same work gave different bytes on the same kind of machine (nondeterminism); the table says
    where. Bytes of another kind of machine are shown too, and are no error.
    """
    from domain_denoiser.runs import dvc_lock, mlflow_store, revisions
    from domain_denoiser.runs import sync as syncing

    root = _go_to_root()
    commits = [revisions.resolve(name) for name in rev] + (syncing.all_commits() if all_commits else [])
    store = mlflow_store.connect(root, retries=2, timeout_s=30)
    history = syncing.read_history()
    if history.gap is not None:
        typer.echo(f"note: {history.gap}; what earlier syncs said of it stays", err=True)
    with mlflow_store.one_sentence_if_it_fails(store):
        parts = [
            syncing.publish_workspace(store, dvc_lock.current(), history),
            # The newest test results of a run come first, and stay.
            syncing.publish_commits(store, reversed(commits), history),
            syncing.publish_champions(store, history),
            syncing.retag(store, history),
        ]
    synced = syncing.merged(parts)
    _say(json.dumps(synced.as_json(), indent=2) if as_json else synced.as_table())
    raise typer.Exit(1 if synced.contradictions else 0)


@app.command()
def compare(
    revs: Annotated[list[str] | None, typer.Argument(metavar="REV", help="Commits, tags or experiments.")] = None,
    markdown: Annotated[bool, typer.Option("--md", help="Print a Markdown table.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare models at every noise level, with 95 % intervals.

    The intervals are those of the difference, paired over the test images, or over the files that these are tiles of.
    Without REV: the working directory
    against HEAD. With one: the working directory against it. With more: each of the others against the first.
    """
    from domain_denoiser.runs import compare

    _go_to_root()
    first, *others = revs or ["HEAD"]
    before = compare.side(first)
    printed = {}
    for name in others or [compare.WORKSPACE]:
        after = compare.side(name)
        rows = compare.compare(before, after)
        if as_json:
            printed[name] = [row._asdict() for row in rows]
        else:
            written = compare.as_markdown if markdown else compare.as_text
            _say(written(rows, first, name, compare.resampled(before, after)))
    if as_json:
        _say(json.dumps({"before": first, "after": printed}, indent=2))


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="A model's name, or the beginning of a run's key, or an MLflow run id.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what gives a run: commit, command, params, hashes.

    The hashes are those of the files that it read and wrote.
    """
    from domain_denoiser.runs import show

    found = show.find(run, _go_to_root())
    _say(json.dumps(found.as_json(), indent=2) if as_json else found.as_text())


@app.command()
def gate(
    model: Annotated[str | None, typer.Option(help="The candidate; else the best model on the val images.")] = None,
) -> None:
    """Decide whether a model is better than the champion.

    By the rules in params.yaml, on the gate images. The decision and its figures go to reports/gate.json. Exit
    status 0: passed, 3: kept from promotion.
    """
    raise typer.Exit(0 if _decide(model).passed else 3)


@app.command()
def promote(
    model: Annotated[str | None, typer.Option(help="The candidate; else the best model on the val images.")] = None,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Take back the champion before the present one.")
    ] = False,
) -> None:
    """Make a model the champion if the gate lets it pass.

    Writes champion.json and champion/: weights, settings, ONNX graph and model card. Committing and merging them makes
    the promotion count. Of a candidate that is the champion already, only the card is written, if it is another one.
    --rollback takes the champion before the present one from git, other than one that was rolled back itself.


    Exit status 0: promoted, 3: kept.
    """
    from domain_denoiser.runs import champion

    if rollback:
        if model is not None:
            raise BadInput("--rollback takes back the champion before the present one; it goes without --model")
        _go_to_root()
        chosen, files = champion.previous()
    else:
        decision = _decide(model)
        if not decision.passed:
            if (same := champion.with_new_card(decision.candidate)) is not None:
                champion.write(same, decision.files)
                _say(f"{champion.CARD} of the same champion written; `git add champion champion.json`, and commit")
            raise typer.Exit(3)
        chosen, files = decision.candidate, decision.files
    champion.write(chosen, files)
    _say(f"champion: {chosen.model} {chosen.key[:12]}; `git add champion champion.json`, commit, then `denoise sync`")


@app.command()
def retrain(
    settings: Annotated[
        list[str],
        typer.Option(
            "-S", "--set", metavar="KEY=VALUE", envvar="RETRAIN_SETTINGS", help="Another value in params.yaml."
        ),
    ] = [],
    against: Annotated[
        str, typer.Option(envvar="RETRAIN_AGAINST", help="The commit that the report compares with.")
    ] = "HEAD",
) -> None:
    """Pull, reproduce, sync, gate, report and push.

    That is all that a change of params, code or data asks for. Goes on where an interrupted one stopped. What passes
    the gate stands in champion.json and champion/ afterwards; nothing is committed.


    Exit status 0: nothing to do, or finished and better, 3: finished, but kept from promotion, 2: bad input, 1: failed.
    """
    from domain_denoiser.operations.retraining import retrain

    _go_to_root()
    raise typer.Exit(retrain.retrain(settings, against))


@app.command()
def sweep(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The spaces of the settings, sweep.yaml.")],
    address: Annotated[
        str,
        typer.Option(
            metavar="local|auto|HOST:PORT",
            help="Train by Ray: on the cores of this machine, on the cluster that it is a part of, or on another.",
        ),
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Trials at a time; as many as the cores are enough for if not given."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which trials there are.")] = False,
) -> None:
    """Train one model with many settings, several at a time.

    Draws trials from the spaces in FILE and trains each as `dvc exp run` would: an experiment of DVC, a run in MLflow.
    What is finished is never trained again, and an interrupted sweep goes on when it is started again. docs/scale.md
    says what FILE holds.


    Exit status 0: all finished or stopped early, 1: some failed, and the table says why, 2: bad input.
    """
    from domain_denoiser.operations.sweeping import command

    given = path.resolve()
    root = _go_to_root()
    done = command.run(given.relative_to(root) if given.is_relative_to(root) else given, address, workers, dry_run)
    for line in done.lines:
        _say(line)
    raise typer.Exit(1 if done.failed else 0)


@app.command()
def recover() -> None:
    """Repair what a killed DVC or promotion left half written.

    Then `dvc repro` can go on; `make repro` runs this first.
    """
    from domain_denoiser.operations import recover
    from domain_denoiser.runs import champion

    _go_to_root()
    for sentence in [*recover.fix(), *champion.recover()]:
        _say(sentence)


@app.command()
def report(
    against: Annotated[str, typer.Option(help="A commit, branch, tag or experiment to compare with.")],
) -> None:
    """Say in Markdown what changed and what the gate decided.

    Its figures go to reports/retraining/.
    """
    from domain_denoiser.operations.retraining import report as reporting

    _go_to_root()
    _say(reporting.write(against).removesuffix("\n"))


@app.command()
def propose(
    branch: Annotated[
        str | None,
        typer.Option(envvar="RETRAIN_BRANCH", help="The branch that is checked out; else a new one, retrain/..."),
    ] = None,
) -> None:
    """Commit the results of a retraining on a branch and push it.

    Never main; and the same results are proposed once.
    """
    from domain_denoiser.operations.retraining import proposing

    _go_to_root()
    made = proposing.propose(branch)
    _say("nothing to propose" if made is None else f"{made.branch} {made.commit[:12]}: {made.did}")


@app.command()
def announce(
    base: Annotated[str, typer.Option(envvar="RETRAIN_BASE", help="The branch to merge into.")],
    summary: Annotated[
        Path | None, typer.Option(envvar="GITHUB_STEP_SUMMARY", help="A file to append the report to.")
    ] = None,
) -> None:
    """Write the report on that branch's pull request on GitHub.

    It is one comment, which is updated; the pull request is opened if there is none.
    """
    from domain_denoiser.operations.retraining import proposing, pull_requests

    _go_to_root()
    branch = proposing.current_branch()
    address = (
        None
        if branch in ("", base)
        else pull_requests.announce(pull_requests.from_environment(), branch, base, summary)
    )
    _say("nothing to announce" if address is None else address)


@app.command()
def page() -> None:
    """Write reports/report.html: all results on one page.

    It is self-contained, and made of what the pipelines have written.
    """
    from domain_denoiser.operations import page as paging

    _go_to_root()
    size = paging.write(paging.PAGE)
    typer.echo(f"{paging.PAGE}: {size / 2**20:.1f} MiB")


@app.command()
def demo(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Then serve it at this port, for this machine alone.")
    ] = None,
) -> None:
    """Write demo/site: a page that restores images in the browser.

    It runs the champion and the trained models in the browser, and is static: any server of files can serve it.
    `make demo` installs what it needs first. docs/demo.md says more.
    """
    from domain_denoiser import layout
    from domain_denoiser.operations import demo as demonstrating

    root = _go_to_root()
    # The port first: making graphs of trained models takes seconds.
    server = None if port is None else demonstrating.server(root, port)
    typer.echo(f"{layout.SITE}: {', '.join(demonstrating.write(root))}")
    if server is not None:
        typer.echo(f"open http://{demonstrating.HERE}:{port}/")
        server.serve_forever()


@app.command()
def verify(
    again: Annotated[
        list[str],
        typer.Option("--retrain", metavar="STAGE", help="Also train this again, like train@fixed; may be repeated."),
    ] = [],
    quick: Annotated[bool, typer.Option("--quick", help="Compare hashes only; compute nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that the files here are what dvc.lock says.

    Rehashes, follows the chain from stage to stage and evaluates once more. Reads every byte, here and in the DVC
    cache, and changes nothing. A line a check; what is wrong comes with the command that fixes it. docs/verify.md
    says what is compared, and how closely.


    Exit status 0: all is right, 1: something is wrong or missing, 2: bad input.
    """
    from domain_denoiser.operations.verify import check as verifying

    root = _go_to_root()
    _report(verifying.checks(again, quick), root, as_json)


@app.command()
def fresh(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether dvc.lock is what code and params say; needs no data.


    Exit status 0: it is, 1: it is not.
    """
    from domain_denoiser.operations import freshness

    root = _go_to_root()
    _report([freshness.check()], root, as_json)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check Python, packages, disk, memory, git, DVC and MLflow.

    A line a check; what is wrong comes with its fix. Changes nothing, and waits for nobody for long.


    Exit status 0: nothing stands in the way, 1: something does.
    """
    from domain_denoiser.operations.doctor import examine

    root = project.root()
    os.chdir(root)  # wherever the code comes from: that is looked at too
    _report(examine.checks(root), root, as_json)


def _report(checks: "Iterable[Check]", root: Path, as_json: bool) -> None:
    """Print checks as they come, or all as JSON, and end with 0 if nothing is wrong, else 1."""
    done = []
    for check in checks:
        done.append(check)
        if not as_json:
            _say(check.line())
    wrong = sum(not check.fine for check in done)
    if as_json:
        _say(json.dumps({"fine": not wrong, "checks": [check.as_json() for check in done]}, indent=2))
    elif wrong:
        _say(f"{wrong} wrong; fix from top to bottom, in {root}")
    raise typer.Exit(1 if wrong else 0)


def _decide(model: str | None) -> "Decision":
    from domain_denoiser import params
    from domain_denoiser.base import atomic
    from domain_denoiser.operations import gate as gating
    from domain_denoiser.runs import champion

    _go_to_root()
    for sentence in champion.recover():
        _say(sentence)
    decision = gating.decide(params.read(Path("params.yaml")), model)
    atomic.write_json(champion.GATE_REPORT, decision.as_json())
    became = "passed" if decision.passed else "kept from promotion"
    _say(f"{decision.candidate.model} {decision.candidate.key[:12]}: {became}")
    for reason in decision.candidate.reasons:
        _say(f"  {reason}")
    return decision


def _say(text: str) -> None:
    """Print lines in which nothing is left that a terminal would obey, nor a secret: names in them may be anybody's."""
    typer.echo("\n".join(printable(line) for line in masked(text).split("\n")))


def _go_to_root() -> Path:
    """Work from the project's root, wherever the command was typed."""
    from domain_denoiser.operations import place

    root = project.root()
    place.check(root)
    os.chdir(root)
    return root

"""The command line: `denoise ...`."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from domain_denoiser.errors import BadInput, one_sentence

app = typer.Typer(
    help="Clean noisy images with trained denoisers, and keep MLflow's view of them true.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    with one_sentence():
        app()


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A .npy file, a PNG, or a folder of PNGs.")],
    target: Annotated[Path, typer.Argument(metavar="OUTPUT", help="Of the same kind; written whole or not at all.")],
    model: Annotated[str, typer.Option(help="The name of a trained model: a folder under models/.")],
) -> None:
    """Clean noisy images: the output has the kind, size and type of the input.

    A .npy file holds uint8 images, or float ones in [0, 1], of the shape [N, 28, 28]; a PNG is 8-bit
    greyscale, 28 x 28.
    """
    from domain_denoiser import revisions

    folder = revisions.project_root(Path.cwd()) / "models"
    names = sorted(path.parent.name for path in folder.glob("*/model.json"))
    if model not in names:
        there = f"the trained ones are {', '.join(names)}" if names else "none is trained yet: run `make repro`"
        raise BadInput(f"there is no model {model!r}; {there}")
    from domain_denoiser import models, restoring
    from domain_denoiser.models import stored

    size = models.image_size(stored.load_settings(folder / model))
    done = restoring.restore_path(restoring.restorer(stored.load(folder / model, "cpu"), "cpu"), size, source, target)
    typer.echo(f"{done} image{'' if done == 1 else 's'} restored by {model}: {target}")


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


    Exit status 1 if the same work gave different bytes (nondeterminism); the table says where.
    """
    from domain_denoiser import lineage, revisions, tracking
    from domain_denoiser import sync as syncing

    root = revisions.project_root(Path.cwd())
    os.chdir(root)
    commits = [revisions.resolve(name) for name in rev]
    if all_commits:
        commits += [
            *revisions.commits_of("dvc.lock", "--branches", "--tags", "HEAD"),
            *revisions.experiment_refs().values(),
        ]
    store = tracking.connect(root, retries=2, timeout_s=30)
    parts = [syncing.publish_workspace(store, lineage.workspace()), syncing.publish_commits(store, commits)]
    synced = syncing.merged(parts)
    typer.echo(json.dumps(synced.as_json(), indent=2) if as_json else synced.as_table())
    raise typer.Exit(1 if synced.contradictions else 0)

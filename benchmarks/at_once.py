"""Four `dvc repro` at once in one clone: each ends well or says why not, and one more gives the right bytes.

`make crash` runs it ten times on the small sample of the tests.
"""

import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from crash import files, prepare
from pipeline import Pipeline, clean_environment

from domain_denoiser.base import progress

AT_ONCE = 4
CLEAR = ("is busy, it is being blocked by", "Unable to acquire lock")  # DVC's own sentences


def race(pipeline: Pipeline, wanted: dict[str, str], real: bool) -> tuple[list[str], list[str]]:
    """How each of the four ended, and what is wrong after one more. real: by programs that start anew each time."""
    for part in ("data/noisy", "models", "reports/evaluation"):
        for path in (pipeline.root / part).iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != ".gitignore":
                path.unlink()
    pipeline.run("git", "checkout", "--", ".")
    command = ["dvc", "repro", "--no-run-cache", "--force", "evaluate@fixed", "evaluate@random"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    environment = clean_environment(pipeline.root, real)
    running = [subprocess.Popen(command, cwd=pipeline.root, env=environment, **pipes) for _ in range(AT_ONCE)]
    ended, wrong = [], []
    for process in running:
        said = process.communicate()[0]
        clear = [sentence for sentence in CLEAR if sentence in said]
        if process.returncode == 0:
            ended.append("ended well")
        elif clear and "Traceback" not in said:
            ended.append(f"said: {clear[0]}")
        else:
            wrong.append(f"exit status {process.returncode}: {said[-1000:]}")
    last = pipeline.run("dvc", "repro", check=False)
    if last.returncode:
        return ended, [*wrong, f"one more: {last.stdout[-500:]}{last.stderr[-500:]}"]
    found = files(pipeline.root)
    return ended, wrong + [path for path in sorted(wanted | found) if wanted.get(path) != found.get(path)]


def main(rounds: Annotated[int, typer.Option(min=1)]) -> None:
    failed, hit = 0, Counter()
    with tempfile.TemporaryDirectory() as folder:
        pipeline = prepare(Path(folder) / "a clone")
        wanted = files(pipeline.root)
        for number in progress.track(range(rounds), rounds, "four at once", "rounds"):
            ended, wrong = race(pipeline, wanted, real=True)
            hit.update(ended)
            failed += bool(wrong)
            for sentence in wrong:
                progress.line(f"round {number}: {sentence}")
    for told, count in sorted(hit.items()):
        print(f"{count:5} {told}")
    print(f"{rounds - failed} of {rounds} rounds ended with the right outputs")
    sys.exit(bool(failed))


if __name__ == "__main__":
    typer.run(main)

"""What comes of generated bad inputs, counted: `python benchmarks/bad_inputs.py 10000`.

The same generators as tests/test_bad_inputs.py, seeded; each kind in a process of its own, so that even one that hangs
outside Python is counted. Some inputs go through the real command line as well.
"""

import faulthandler
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import measure
import typer

if TYPE_CHECKING:
    from hostile import Files, Outcome
    from hypothesis.strategies import SearchStrategy

sys.path.append(str(Path(__file__).parent.parent / "tests"))

SEED = 2018
AT_THE_COMMAND_LINE = (".npy to restore", "PNG", "folder of PNGs", "model")
AT_ONCE = 2  # processes


def main(
    count: Annotated[int, typer.Argument(help="How many inputs, in all.")] = 10_000,
    commands: Annotated[int, typer.Option(help="How many more go through the command line.")] = 40,
    kind: Annotated[str | None, typer.Option(help="One kind alone, in this process; prints counts as JSON.")] = None,
) -> None:
    import hostile

    if kind is not None:
        counted = Counter()
        for found in attempts(hostile.kinds()[kind].given, count, partial(hostile.outcome, kind)):
            counted[found.verdict] += 1
            print(json.dumps(counted), flush=True)
        return
    kinds = list(hostile.kinds())
    shares = [count // len(kinds) + (place < count % len(kinds)) for place in range(len(kinds))]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(kinds, pool.map(in_a_process, kinds, shares)))
    for name in AT_THE_COMMAND_LINE if commands else ():
        outcomes = attempts(hostile.kinds()[name].given, commands // len(AT_THE_COMMAND_LINE), partial(restored, name))
        found[f"{name}, by `denoise restore`"] = Counter(outcome.verdict for outcome in outcomes)
    found["all"] = total = sum(found.values(), Counter())
    rows = [[name, *(str(counted[verdict]) for verdict in hostile.VERDICTS)] for name, counted in found.items()]
    print(measure.table(" | ".join(["kind", *hostile.VERDICTS]), rows))
    raise typer.Exit(1 if total.total() > total[hostile.VALID] + total[hostile.SENTENCE] else 0)


def in_a_process(kind: str, count: int) -> Counter[str]:
    """Verdicts on `count` inputs of a kind; a process that ends before its time counts as a hang."""
    import hostile

    command = [sys.executable, __file__, str(count), "--kind", kind]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    lines = done.stdout.splitlines()
    counted = Counter(json.loads(lines[-1]) if lines else {})
    if done.returncode != 0:
        print(f"{kind}: ended with {done.returncode} after {counted.total()} inputs", file=sys.stderr)
        counted[hostile.HANG] += 1
    return counted


def attempts(given: "SearchStrategy[Files]", count: int, attempt: "Callable[[Files], Outcome]") -> "list[Outcome]":
    """What came of `count` drawn inputs; each that came to no good end is said on standard error."""
    import hostile
    import hypothesis

    found: list[Outcome] = []

    @hypothesis.settings(
        max_examples=count,
        phases=[hypothesis.Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(drawn=given)
    def draw(drawn: "Files") -> None:
        if len(found) == count:
            return
        faulthandler.dump_traceback_later(2 * hostile.PATIENCE_S, exit=True)
        found.append(attempt(drawn))
        if found[-1].verdict not in (hostile.VALID, hostile.SENTENCE):
            shown = {path: content[:200] if isinstance(content, bytes) else content for path, content in drawn.items()}
            print(f"{found[-1].verdict}: {found[-1].said[-600:]}: {shown}", file=sys.stderr)

    for again in range(100):  # hypothesis ends a round when it finds nothing new
        if len(found) < count:
            hypothesis.seed(SEED + again)(draw)()
    faulthandler.cancel_dump_traceback_later()
    return found


def restored(kind: str, drawn: "Files") -> "Outcome":
    """What `denoise restore` does with an input in a project of its own."""
    import hostile
    import hostile_files

    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        (root / ".dvc").mkdir()
        (root / "dvc.yaml").write_text("stages: {}\n")
        digit: Files = {"digit.png": hostile_files.png(28, 28)}
        pictures, model = (digit, drawn) if kind == "model" else (drawn, hostile.stored_model("mlp"))
        hostile_files.write(root, pictures)
        hostile_files.write(root / "models/given", model)
        before, source = set(root.rglob("*")), hostile.source_of(pictures)
        command = ["denoise", "restore", "--model", "given", "--", str(source), f"{hostile.OUTPUT}{source.suffix}"]
        try:
            done = subprocess.run(
                command, cwd=root, capture_output=True, timeout=hostile.PATIENCE_S, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            return hostile.Outcome(hostile.HANG, str(command))
        left, said = set(root.rglob("*")) - before, done.stderr.decode(errors="replace")
    if "Traceback" in said or done.returncode not in (0, 2) or said.count("\n") != (done.returncode == 2):
        return hostile.Outcome(hostile.TRACEBACK, f"{command} ended with {done.returncode}: {said}")
    if done.returncode == 2:
        return hostile.Outcome(hostile.PARTIAL if left else hostile.SENTENCE, said)
    return hostile.Outcome(hostile.VALID, said)


if __name__ == "__main__":
    typer.run(main)

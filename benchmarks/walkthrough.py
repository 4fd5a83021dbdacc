"""Type every command of the README in a fresh clone, in its order, and write down how each ended.

    python benchmarks/walkthrough.py                       # in a clone of this commit; writes docs/walkthrough.md
    python benchmarks/walkthrough.py --skip 'make test'    # without a command; may be given several times
    python benchmarks/walkthrough.py --from-here           # in this working directory, which has been reproduced
    python benchmarks/walkthrough.py --environment .venv   # with an environment that is there, in place of a new one

The commands are those of the README's indented blocks, so that neither can drift from the other. Exit status 0 if each
command ended as it must.
"""

import argparse
import gzip
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

CHECKOUT = Path(__file__).parent.parent
PAGE = Path("docs/walkthrough.md")
PATIENCE_S = 3 * 3600  # a command that takes longer hangs
SERVER_PATIENCE_S = 300
LINES = 6  # of the end of an output that are shown
LONGEST = 150  # characters of such a line


class Command(NamedTuple):
    """A line of an indented block of the README."""

    section: str
    text: str


class Rule(NamedTuple):
    """What is expected of a command, if not that it ends with status 0."""

    status: int = 0
    because: str = ""
    left_out: bool = False
    serves: bool = False  # it ends when it is told to; its page must answer before


# By the beginning of the command.
RULES = {
    "make ui": Rule(serves=True, because="started, and stopped when its page answered"),
    "denoise gate": Rule(3, "the best model is the champion already"),
    "denoise promote": Rule(3, "the best model is the champion already"),
    "ssh ": Rule(left_out=True, because="wants a team's server"),
    "dvc remote add": Rule(left_out=True, because="wants a team's bucket"),
    "dvc push": Rule(left_out=True, because="wants a team's bucket"),
    "make setup pull repro": Rule(left_out=True, because="wants a team's bucket"),
}


class Ended(NamedTuple):
    """How a command ended. status: None if it was left out."""

    command: Command
    rule: Rule
    status: int | None
    lines: list[str]

    @property
    def right(self) -> bool:
        """Whether it ended as it must."""
        return self.status is None or self.status == self.rule.status


def commands(readme: str) -> list[Command]:
    """The lines of the indented blocks, without the comments behind them."""
    found, section = [], ""
    for line in readme.splitlines():
        if line.startswith("#"):
            section = line.lstrip("# ")
        elif line.startswith("    ") and line.strip():
            found.append(Command(section, re.split(r"\s+#\s", line.strip())[0]))
    return found


def rule(command: Command) -> Rule:
    """What is expected of a command."""
    return next((rule for start, rule in RULES.items() if command.text.startswith(start)), Rule())


def walk(root: Path, given: Iterable[Command], skip: Iterable[str], variables: Mapping[str, str]) -> Iterator[Ended]:
    """Type each command in `root`, with its environment's programs. variables: set for all of them."""
    skip = set(skip)
    environment = clean(root) | variables
    for command in given:
        expected = Rule(left_out=True, because="left out by --skip") if command.text in skip else rule(command)
        if expected.left_out:
            yield Ended(command, expected, None, [])
            continue
        run = serve if expected.serves else typed
        status, output = run(command.text, root, environment)
        yield Ended(command, expected, status, last_lines(output, root))


def clean(root: Path) -> dict[str, str]:
    """The environment of somebody who has set nothing, and activated that of the clone."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("DVC_", "MLFLOW_", "GIT_", "DENOISE_", "PYTHON")) and key != "VIRTUAL_ENV"
    }
    name = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in IDENTITY.items()}
    return kept | name | {"PATH": f"{root / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"}


IDENTITY = {"NAME": "Walker", "EMAIL": "walker@example.invalid"}


def typed(command: str, root: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """The exit status of a command (124 if it hung), and what it printed."""
    with tempfile.TemporaryFile() as output:
        process = start(command, root, environment, output)
        try:
            status = process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            status = 124
        finally:
            stop(process)
        return status, content(output)


def serve(command: str, root: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """0 if a server answers at the address that it prints, else how it ended (124 if it says nothing)."""
    with tempfile.TemporaryFile() as output:
        process = start(command, root, environment, output)
        try:
            status = 124
            deadline = time.monotonic() + SERVER_PATIENCE_S
            while time.monotonic() < deadline and process.poll() is None:
                if any(answers(address) for address in re.findall(r"http://127\.0\.0\.1:\d+", content(output))):
                    status = 0
                    break
                time.sleep(1)
            if process.poll() is not None:
                status = process.returncode
        finally:
            stop(process)
        printed = [line for line in content(output).splitlines() if "http://127.0.0.1" in line]
        return status, "\n".join(printed[:1]) if status == 0 else content(output)


def answers(address: str) -> bool:
    """Whether a page is there."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(address, timeout=10) as page:
            return page.status == 200
    except OSError:
        return False


def start(command: str, root: Path, environment: Mapping[str, str], output: object) -> subprocess.Popen:
    """A shell in a process group of its own, which can be stopped as a whole."""
    return subprocess.Popen(
        ["bash", "-c", command],
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def stop(process: subprocess.Popen) -> None:
    """End whatever a command has left running."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
            if number == signal.SIGTERM:
                break


def content(output: object) -> str:
    """What was written so far."""
    size = os.fstat(output.fileno()).st_size
    return os.pread(output.fileno(), size, 0).decode(errors="replace")


# What differs from one run or machine to the next, and what stands for it.
DIFFERS = [
    (re.compile(r"\x1b\[[0-9;?]*[A-Za-z]"), ""),
    (re.compile(r"\b\d+([.,]\d+)? ?(s|ms|seconds|minutes|min)\b"), "… s"),
    (re.compile(r"\(?\b\d+:\d\d(:\d\d)?\b\)?"), "…"),
    (re.compile(r"[\d,.]+ GB\b"), "… GB"),
    (re.compile(r"[\d,]+ images/s"), "… images/s"),
    (re.compile(r"(experiment\(s\)|[Ee]xperiments?|Ran experiment): .*"), r"\1: …"),
]


def last_lines(output: str, root: Path) -> list[str]:
    """The last lines of an output, without what names this machine or lasts another time on the next."""
    lines = [line.rpartition("\r")[2].rstrip() for line in output.replace("\r\n", "\n").split("\n")]
    shown = [anonymous(line, root)[:LONGEST].rstrip() for line in lines if line.strip()]
    return shown[-LINES:]


def anonymous(line: str, root: Path) -> str:
    """A line without paths, host, times and random names."""
    paths = {str(root): ".", str(root.resolve()): ".", tempfile.gettempdir(): "/tmp", str(Path.home()): "~"}
    for path, stands in sorted(paths.items(), key=lambda item: -len(item[0])):
        line = line.replace(path, stands)
    line = re.sub(rf"\b{re.escape(socket.gethostname())}\b", "this-machine", line)
    for pattern, stands in DIFFERS:
        line = pattern.sub(stands, line)
    return line


INPUTS = ("noisy.png", "noisy.npy", "noisy")
OUTPUTS = ("clean.png", "clean.npy", "clean", "all-clean")


def put_inputs(root: Path) -> None:
    """Noisy digits under the names that the README's `denoise restore` reads: those of the tests, sigma 0.5."""
    packed = gzip.decompress((root / "tests/data/mnist/t10k-images-idx3-ubyte.gz").read_bytes())
    count, height, width = struct.unpack(">III", packed[4:16])
    digits = np.frombuffer(packed[16:], np.uint8).reshape(count, height, width)[:10] / 255.0
    noise = np.random.default_rng(2018).normal(0.0, 0.5, digits.shape)
    noisy = (np.clip(digits + noise, 0.0, 1.0) * 255.0).round().astype(np.uint8)
    np.save(root / "noisy.npy", noisy)
    Image.fromarray(noisy[0]).save(root / "noisy.png")
    (root / "noisy").mkdir()
    for number, image in enumerate(noisy):
        Image.fromarray(image).save(root / "noisy" / f"{number}.png")


def take_away(root: Path, names: Iterable[str]) -> None:
    """What the walk put there, so that this working directory is left as it was."""
    for path in (root / name for name in names):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def in_the_way(root: Path) -> list[str]:
    """Files of somebody that the walk would replace."""
    return [name for name in (*INPUTS, *OUTPUTS) if (root / name).exists()]


def clone(target: Path) -> None:
    """A fresh clone of what is committed here."""
    subprocess.run(["git", "clone", "-q", str(CHECKOUT), str(target)], check=True)


def link_environment(root: Path, environment: Path) -> None:
    """Have `make setup` find an environment that is there already, as if it had made it here."""
    here = root / ".venv"
    here.mkdir()
    for name in ("bin", "include", "lib", "lib64", "pyvenv.cfg"):
        if (environment / name).exists():
            (here / name).symlink_to((environment / name).resolve())
    (here / ".ready").write_text(f"{root.resolve()}\n")


def as_markdown(ended: Iterable[Ended], where: str) -> str:
    """The page: each command with its exit status and the end of its output."""
    parts = [
        "# Walkthrough",
        f"Every command of the [README](../README.md), in its order, as typed {where}, with its exit status and the "
        f"last lines of its output (at most {LINES}). `make walkthrough` writes this page; `…` stands for what differs "
        "from run to run.",
    ]
    section = None
    for one in ended:
        if one.command.section != section:
            section = one.command.section
            parts.append(f"## {section}")
        told = [f"$ {one.command.text}", *one.lines]
        status = "not run" if one.status is None else f"exit status {one.status}"
        if not one.right:
            status += f", but {one.rule.status} is right"
        told.append(f"({status}{': ' if one.rule.because else ''}{one.rule.because})")
        parts.append("\n".join(f"    {line}" for line in told))
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skip", action="append", default=[], metavar="COMMAND", help="leave this command out")
    parser.add_argument("--from-here", action="store_true", help="use this working directory in place of a clone")
    parser.add_argument("--environment", type=Path, metavar="FOLDER", help="use this environment; install nothing")
    parser.add_argument("--output", type=Path, default=CHECKOUT / PAGE, help="the page to write")
    asked = parser.parse_args()
    given = commands((CHECKOUT / "README.md").read_text())
    if unknown := set(asked.skip) - {command.text for command in given}:
        parser.error(f"the README has no command {unknown.pop()!r}")
    with tempfile.TemporaryDirectory(prefix="walkthrough-") as folder:
        root = CHECKOUT if asked.from_here else Path(folder) / "domain-denoiser"
        if not asked.from_here:
            clone(root)
            if asked.environment is not None:
                link_environment(root, asked.environment.resolve())
        elif names := in_the_way(root):
            parser.error(f"{', '.join(names)} would be replaced; move them away first")
        variables = {} if asked.environment is None else {"PYTHONPATH": str(root / "src")}
        put_inputs(root)
        ended = []
        try:
            for one in walk(root, given, asked.skip, variables):
                ended.append(one)
                print(f"{'right' if one.right else 'WRONG'}  {one.status}  {shlex.quote(one.command.text)}", flush=True)
        finally:
            take_away(root, (*INPUTS, *OUTPUTS) if asked.from_here else ())
    where = "in a finished clone" if asked.from_here else "in a fresh clone"
    asked.output.write_text(as_markdown(ended, where))
    return 0 if all(one.right for one in ended) else 1


if __name__ == "__main__":
    sys.exit(main())

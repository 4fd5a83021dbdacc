"""The README's commands, typed in its order, end as they must; docs/walkthrough.md shows what they printed."""

import re
import sys
from pathlib import Path

import pytest
import walkthrough
import warm
from pipeline import Pipeline
from walkthrough import Command, Ended, Rule

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
LONG = ("make test",)  # the tests do not run the tests


def test_commands_are_the_lines_of_indented_blocks() -> None:
    text = "# A title\n\n    make repro    # do it\n    a '#b' && c\n\nsome `make test` here\n## Next\n\n    dvc push\n"
    assert walkthrough.commands(text) == [
        Command("A title", "make repro"),
        Command("A title", "a '#b' && c"),
        Command("Next", "dvc push"),
    ]


@pytest.mark.mnist
def test_every_rule_is_about_a_command_of_the_readme() -> None:
    given = [command.text for command in walkthrough.commands(README)]
    assert [start for start in walkthrough.RULES if not any(text.startswith(start) for text in given)] == []


@pytest.mark.mnist
def test_the_page_has_every_command_of_the_readme_in_its_order() -> None:
    shown = re.findall(r"^    \$ (.*)$", (ROOT / walkthrough.PAGE).read_text(), re.MULTILINE)
    assert shown == [command.text for command in walkthrough.commands(README)], "`make walkthrough` is wanted"


@pytest.mark.mnist
def test_the_page_says_that_all_ended_as_they_must() -> None:
    assert "but" not in re.findall(r"exit status \d+, (\w+)", (ROOT / walkthrough.PAGE).read_text())


def test_what_differs_from_run_to_run_is_left_out(tmp_path: Path) -> None:
    output = f"1\n2\n3\n4\n\x1b[31m10%\r100% of {tmp_path}/a in 12.5 s\x1b[0m\n"
    output += "\nRan experiment(s): busy-mole\n5 passed in 3.21s\n"
    assert walkthrough.last_lines(output, tmp_path) == [
        *("1", "2", "3", "4")[-(walkthrough.LINES - 3) :],
        "100% of ./a in … s",
        "Ran experiment(s): …",
        "5 passed in … s",
    ]


def test_a_wrong_exit_status_is_seen_and_written_down(tmp_path: Path) -> None:
    given = [Command("One", text) for text in ("echo hello", "exit 4", "denoise gate", "skipped", "ssh there")]
    (tmp_path / ".venv/bin").mkdir(parents=True)
    program = tmp_path / ".venv/bin/denoise"
    program.write_text("#!/bin/sh\necho kept; exit 3\n")
    program.chmod(0o755)
    ended = list(walkthrough.walk(tmp_path, given, ["skipped"], {}))
    assert [(one.status, one.right) for one in ended] == [(0, True), (4, False), (3, True), (None, True), (None, True)]
    page = walkthrough.as_markdown(ended, "here")
    assert "    $ exit 4\n    (exit status 4, but 0 is right)\n" in page
    assert "    $ denoise gate\n    kept\n    (exit status 3: the best model is the champion already)\n" in page
    assert "    $ ssh there\n    (not run: wants a team's server)\n" in page


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("import http.server as h; print('http://127.0.0.1:%d'); h.test(h.SimpleHTTPRequestHandler, port=%d)", 0),
        ("", 1),
    ],
)
def test_a_server_is_stopped_when_it_has_answered(tmp_path: Path, program: str, status: int, unused_port: int) -> None:
    text = program.replace("%d", str(unused_port)) or "raise SystemExit(1)"
    (tmp_path / "serve.py").write_text(text)
    ended = walkthrough.serve(f"exec {sys.executable} -u serve.py", tmp_path, walkthrough.clean(tmp_path))
    assert ended[0] == status
    assert not walkthrough.answers(f"http://127.0.0.1:{unused_port}")


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


def test_page_of_one_that_was_left_out() -> None:
    one = Ended(Command("S", "make test"), Rule(left_out=True, because="left out by --skip"), None, [])
    assert one.right
    assert "(not run: left out by --skip)" in walkthrough.as_markdown([one], "here")


def put_stand_ins(environment: Path) -> None:
    """Have the programs of an environment run in the warm process."""
    real = (environment / "bin").resolve()
    (environment / "bin").unlink()
    (environment / "bin").mkdir()
    for path in real.iterdir():
        (environment / "bin" / path.name).symlink_to(path)
    for name in warm.STANDING_IN:
        program = environment / "bin" / name
        program.unlink()
        program.write_text(f'#!/bin/sh\nexec {warm.programs()}/{name} "$@"\n')
        program.chmod(0o755)


@pytest.mark.services
@pytest.mark.mnist
def test_every_command_of_the_readme_ends_as_it_must(pipeline: Pipeline, tmp_path: Path) -> None:
    """On the small sample, reproduced already; the whole of it, from a fresh clone, is `make walkthrough`."""
    changed = pipeline.copy(tmp_path / "a clone")
    changed.params(lambda values: values["gate"].update(floors_db={"0.5": 1.0}))
    changed.run("denoise", "promote")
    changed.run("git", "add", "-A")
    changed.run("git", "commit", "-q", "-m", "A champion")
    walkthrough.link_environment(changed.root, Path(sys.executable).parent.parent)
    put_stand_ins(changed.root / ".venv")
    walkthrough.put_inputs(changed.root)
    before = changed.run("git", "status", "--porcelain").stdout
    variables = {"PYTHONPATH": str(changed.root / "src")}
    ended = list(walkthrough.walk(changed.root, walkthrough.commands(README), LONG, variables))
    assert [one for one in ended if not one.right] == []
    # Undone is undone, and nothing else was touched.
    after = changed.run("git", "status", "--porcelain", "--", "params.yaml", "dvc.lock", "models", "reports").stdout
    assert [line for line in after.splitlines() if "gate.json" not in line] == []
    assert "noisy.png" in before
    assert changed.run("dvc", "exp", "list").stdout.count("[exp") == 0
    page = walkthrough.as_markdown(ended, "on the small sample of the tests")
    assert str(changed.root) not in page
    assert str(tmp_path) not in page

"""Two processes that would write the same."""

import signal
import subprocess
import sys

import pytest

AT_ITS_END = subprocess.DEVNULL
PROGRAM = """
import sys, time
from domain_denoiser.base import one_writer
from domain_denoiser.base.errors import one_sentence
with one_sentence(), one_writer.alone():
    print("begun", flush=True)
    sys.stdin.read()
    print("ended", flush=True)
"""


@pytest.fixture
def start(tmp_path):
    program = tmp_path / "stage.py"
    program.write_text(PROGRAM)
    started = []

    def run(*words: str, stdin: int = subprocess.PIPE) -> subprocess.Popen:
        """stdin: AT_ITS_END for one that is to wait: if it does not, it ends, and is not waited for in vain."""
        command = [sys.executable, program, *words]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, cwd=tmp_path, stdin=stdin, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_the_second_waits_and_says_so(start):
    first = start("fixed")
    assert first.stdout.readline() == "begun\n"
    second = start("fixed", stdin=AT_ITS_END)
    assert "waiting until it ends" in second.stderr.readline()
    assert first.communicate("")[0] == "ended\n"
    assert second.communicate()[0] == "begun\nended\n"


def test_others_do_not_wait(start):
    first, other = start("fixed"), start("random")
    assert first.stdout.readline() == other.stdout.readline() == "begun\n"


def test_the_lock_of_a_killed_process_is_free(start):
    first = start("fixed")
    assert first.stdout.readline() == "begun\n"
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = start("fixed")
    assert second.communicate("") == ("begun\nended\n", "")


def test_of_two_that_wait_the_newer_one_goes_on(start):
    first = start("fixed")
    assert first.stdout.readline() == "begun\n"
    second = start("fixed", stdin=AT_ITS_END)
    assert "waiting until it ends" in second.stderr.readline()
    third = start("fixed", stdin=AT_ITS_END)
    assert "waiting until it ends" in third.stderr.readline()
    assert first.communicate("")[0] == "ended\n"
    assert third.communicate()[0] == "begun\nended\n"
    out, error = second.communicate()
    assert (out, second.returncode) == ("", 2)
    assert "another process has come since" in error

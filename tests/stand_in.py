"""What lies in place of `python`, `denoise`, `dvc` and `mlflow` on a test's PATH: it asks the process of warm.py to be
that program, passes signals on, and ends as it ended. What it does not understand, the real program does.

It runs without site-packages, in 20 ms.
"""

import json
import os
import signal
import sys

# `socket` itself takes as long to import as all the rest.
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket
from struct import pack, unpack

HEEDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
KNOWN = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
REAL = os.path.dirname(sys.executable)  # noqa: PTH120
HERE, NAME = os.path.split(sys.argv[0])


def understood(words: list[str]) -> bool:
    if any(name.startswith("PYTHON") and name not in KNOWN for name in os.environ):
        return False
    if len(os.listdir("/proc/self/fd")) > 4:  # noqa: PTH208  # something is handed down beside the three usual ones
        return False
    if NAME.startswith("python"):
        return len(words) > 1 and words[0] in ("-c", "-m") or bool(words) and not words[0].startswith("-")
    return True


def main(words: list[str]) -> None:
    if not understood(words):
        os.execv(f"{REAL}/{NAME}", [f"{REAL}/{NAME}", *words])
    asked = {
        "words": words if NAME.startswith("python") else [f"{REAL}/{NAME}", *words],
        "executable": f"{HERE}/python",
        "folder": os.getcwd(),  # noqa: PTH109
        "environment": dict(os.environ),
        "umask": os.umask(0),
        "ignored": [number for number in HEEDED if signal.getsignal(number) == signal.SIG_IGN],
        "parent": os.getppid(),
    }
    content = json.dumps(asked).encode()
    asking = socket(AF_UNIX, SOCK_STREAM)
    asking.connect(f"{HERE}/socket")
    for number in HEEDED:
        if number not in asked["ignored"]:
            signal.signal(number, lambda number, _: asking.send(bytes([number])))
    asking.sendmsg([pack("I", len(content))], [(SOL_SOCKET, SCM_RIGHTS, pack("3i", 0, 1, 2))])
    asking.sendall(content)
    answer = asking.recv(4)
    if not answer:
        sys.exit("the warm process is gone")
    [status] = unpack("i", answer)
    if status < 0:
        if -status not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


main(sys.argv[1:])

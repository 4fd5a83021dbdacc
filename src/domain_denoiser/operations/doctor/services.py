"""Do the DVC remote and the tracking store answer? Asked in processes of their own, which are ended when they hang."""

import os
import shlex
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from domain_denoiser.base.secrets import masked
from domain_denoiser.operations.checks import NOTE, OK, WRONG, Check
from domain_denoiser.operations.doctor import probe, stores

PATIENCE_S = 20  # half of it may be imports on a busy machine
SQLITE = "sqlite:///"
VERDICTS = {probe.ANSWERS: OK, probe.DOUBTFUL: NOTE}


def remote(root: Path) -> Check:
    """DVC's default remote, if one is configured."""
    status, said = _ask(root, "remote")
    if status in VERDICTS:
        return Check(VERDICTS[status], f"DVC remote: {said}")
    return Check(WRONG, f"DVC remote: {said}", "dvc remote list, dvc remote modify; docs/retraining.md, Remotes")


def tracking(root: Path) -> Check:
    """Where MLflow's runs go: the server that MLFLOW_TRACKING_URI names, else SQLite beside the project."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{root / 'mlflow.db'}"
    if uri.startswith(SQLITE):
        path = Path(uri.removeprefix(SQLITE))
        check = _sqlite(path)
        return check if not check.fine or not path.exists() else stores.check(path, root)
    status, said = _ask(root, "tracking")
    if status in VERDICTS:
        return Check(VERDICTS[status], f"tracking store: {said}")
    return Check(
        WRONG, f"tracking store: {said}", "start it, or correct MLFLOW_TRACKING_URI, or unset it to use mlflow.db"
    )


def _sqlite(path: Path) -> Check:
    if not path.exists():
        try:
            tempfile.TemporaryFile(dir=path.parent).close()
        except OSError as error:
            return Check(
                WRONG,
                f"tracking store: {path} cannot be made: {error.strerror}",
                f"mkdir -p {shlex.quote(str(path.parent))}",
            )
        return Check(OK, f"tracking store: {path}, made at the first use")
    store = sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=1)
    try:
        store.execute("BEGIN IMMEDIATE")  # as a writer would; nothing is written
        store.rollback()
    except sqlite3.OperationalError as error:  # locked, or read-only
        quoted = shlex.quote(str(path))
        fix = f"end what writes to it (fuser {quoted}), or chmod u+w {quoted}"
        return Check(WRONG, f"tracking store: {path} cannot be written: {error}", fix)
    except sqlite3.DatabaseError as error:
        aside = f"mv {shlex.quote(str(path))} {shlex.quote(f'{path}.damaged')}"
        return Check(WRONG, f"tracking store: {path}: {error}", f"{aside} && denoise sync --all-commits")
    finally:
        store.close()
    return Check(OK, f"tracking store: {path}")


def _ask(root: Path, what: str) -> tuple[int, str]:
    """How the process ended, and what it said."""
    command = [sys.executable, "-m", "domain_denoiser.operations.doctor.probe", what]
    try:
        asked = subprocess.run(
            command, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        return probe.SILENT, f"no answer within {PATIENCE_S} s"
    said = (asked.stdout or asked.stderr).strip().rpartition("\n")[2]
    return asked.returncode, masked(said)[:300]

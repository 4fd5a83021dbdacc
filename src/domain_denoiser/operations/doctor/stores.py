"""What an MLflow store in SQLite says of itself: which version of MLflow made it, and for which folder."""

import importlib.util
import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from domain_denoiser import params
from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations.checks import OK, WRONG, Check

MIGRATIONS = "store/db_migrations/versions"


def check(path: Path, root: Path) -> Check:
    """A store that can be written: is it of the MLflow that is installed, and of the project in `root`?"""
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=1)) as store:
        version = _value(store, "SELECT version_num FROM alembic_version")
        artifacts = _value(store, "SELECT artifact_location FROM experiments WHERE name = ?", _experiment(root))
    quoted = shlex.quote(str(path))
    anew = f"mv {quoted} {shlex.quote(f'{path}.old')} && denoise sync --all-commits"  # nothing is known to it alone
    newest, known = migrations()
    if version is not None and version not in known:
        said = f"tracking store: {path} was made by a newer MLflow than is installed (its schema {version} is unknown)"
        return Check(WRONG, said, anew)
    if version is not None and version != newest:
        said = f"tracking store: {path} was made by an older MLflow than is installed (schema {version}, not {newest})"
        return Check(WRONG, said, f"cp {quoted} {quoted}.old && mlflow db upgrade {shlex.quote(f'sqlite:///{path}')}")
    if artifacts is not None and path == root / "mlflow.db" and artifacts != (root / "mlartifacts").as_uri():
        said = f"tracking store: {path} keeps its models and figures in {artifacts}: this folder was moved or copied"
        return Check(WRONG, said, anew)
    return Check(OK, f"tracking store: {path}")


def _experiment(root: Path) -> str | None:
    """Its name; None if params.yaml does not give it, which `machine.settings` says."""
    try:
        return params.read_domain(root / "params.yaml").experiment
    except BadInput:
        return None


def _value(store: sqlite3.Connection, query: str, *given: str | None) -> str | None:
    try:
        found = store.execute(query, given).fetchone()
    except sqlite3.OperationalError:  # no such table: MLflow has not been there yet
        return None
    return None if found is None else found[0]


def migrations() -> tuple[str | None, set[str]]:
    """The newest version of the schema that the installed MLflow knows, and all of them; without importing it."""
    package = importlib.util.find_spec("mlflow")
    files = [] if package is None else Path(package.origin).parent.joinpath(MIGRATIONS).glob("*.py")
    said = [path.read_text() for path in files]
    known = {found[1] for text in said if (found := re.search(r'^revision = ["\'](\w+)["\']', text, re.M))}
    before = {found[1] for text in said if (found := re.search(r'^down_revision = ["\'](\w+)["\']', text, re.M))}
    return next(iter(known - before), None), known

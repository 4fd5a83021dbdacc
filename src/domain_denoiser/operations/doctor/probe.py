"""The process that asks a remote or a server for `denoise doctor`: it says one line, and may be ended when it hangs."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from domain_denoiser.base.secrets import masked
from domain_denoiser.runs import dvc_project

ANSWERS, SILENT, DOUBTFUL = 0, 1, 3  # exit statuses
TIMEOUT_S = 5  # for each step of a connection


def remote() -> tuple[int, str]:
    """Look for the nearest folder that the default remote has on the way to its objects."""
    with dvc_project.opened() as repo:
        if repo.config["core"].get("remote") is None:
            return ANSWERS, "none is configured"
        configured = repo.cloud.get_remote()
        store, path = configured.odb, configured.odb.path
        if store.fs.protocol == "local":
            folder = Path(path).parent.parent  # files/md5 inside it is DVC's
            if not folder.is_dir():
                return DOUBTFUL, f"{configured.name}: {folder} is not there: not mounted, or nothing was pushed yet"
            return ANSWERS, f"{configured.name} in {folder}"
        if path.startswith(("http://", "https://")):  # such a store lists nothing
            import requests

            answer = requests.head(path, timeout=TIMEOUT_S)
            said = f"{configured.name} answers with {answer.status_code} {answer.reason}"
            return (SILENT if answer.status_code >= 500 else ANSWERS), said
        while True:
            try:
                store.fs.ls(path)
                return ANSWERS, f"{configured.name} answers"
            except FileNotFoundError:
                parent = store.fs.parent(path)
                if parent in ("", path):
                    raise
                path = parent


def tracking() -> tuple[int, str]:
    """Ask MLflow's server for its experiments, or its database for a connection."""
    uri = os.environ["MLFLOW_TRACKING_URI"]
    place = urlsplit(uri)
    shown = f"{place.scheme}://{place.hostname or ''}{place.port and f':{place.port}' or ''}"
    if place.scheme in ("http", "https"):
        import requests  # as MLflow does, so that proxies, certificates and passwords are found alike

        name, token = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_TOKEN")
        answer = requests.get(
            f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search",
            params={"max_results": "1"},
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
            auth=None if name is None else (name, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")),
            timeout=TIMEOUT_S,
        )
        if not answer.ok:
            return SILENT, f"{shown} answers with {answer.status_code} {answer.reason}"
        return ANSWERS, f"{shown} answers"
    if place.scheme.partition("+")[0] == "postgresql":
        import psycopg

        psycopg.connect(uri.replace(place.scheme, "postgresql", 1), connect_timeout=TIMEOUT_S).close()
        return ANSWERS, f"{shown} answers"
    return DOUBTFUL, f"{shown} was not asked: only http, PostgreSQL and SQLite are known here"


def main(look: Callable[[], tuple[int, str]]) -> int:
    """Say what came out, without names and passwords."""
    try:
        status, said = look()
    except Exception as error:
        status, said = SILENT, f"{type(error).__name__}: {' '.join(str(error).split())}"
    print(masked(said))
    return status


if __name__ == "__main__":
    sys.exit(main({"remote": remote, "tracking": tracking}[sys.argv[1]]))

"""Where MLFLOW_TRACKING_URI points: what can be said of an address before anybody is asked."""

import re
from urllib.parse import urlsplit

from domain_denoiser.base.errors import BadInput
from domain_denoiser.base.secrets import masked

WANTED = "http://HOST:PORT, postgresql+psycopg://USER@HOST/DATABASE or sqlite:////FOLDER/mlflow.db"
_DATABASE = re.compile(r"(postgres|postgresql|mysql|mssql)(\+\w+)?://")


def check(uri: str) -> None:
    """Raise BadInput for an address of no tracking store: MLflow takes what it does not know for a folder."""
    scheme, colon, _ = uri.partition(":")
    is_folder = not colon or scheme == "file" or len(scheme) == 1  # a letter: a drive of Windows
    if is_folder and not uri.startswith(("databricks", "uc")):
        raise BadInput(
            f"MLFLOW_TRACKING_URI is {masked(uri)!r}, a folder, but {WANTED} is wanted; "
            "`unset MLFLOW_TRACKING_URI` to use mlflow.db in the project"
        )


def is_database(uri: str) -> bool:
    """Whether MLflow reaches the store through a database server."""
    return _DATABASE.match(uri) is not None


def by_proxy(uri: str) -> str:
    """What to add to the message of a server that fails: that a variable of the environment sends us to a proxy."""
    if not uri.startswith(("http://", "https://")):
        return ""
    import requests

    scheme, host = urlsplit(uri).scheme, urlsplit(uri).hostname or ""
    proxy = requests.utils.get_environ_proxies(uri).get(scheme) or requests.utils.get_environ_proxies(uri).get("all")
    if not proxy:
        return ""
    return (
        f" (asked through the proxy {masked(proxy)}, as the environment says; `export no_proxy={host}` asks directly)"
    )

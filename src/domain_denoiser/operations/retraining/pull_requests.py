"""`denoise announce`: the report as one comment on the branch's pull request on GitHub, and as the job's summary."""

import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import NamedTuple

from domain_denoiser.base import processes
from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations.retraining import report, results
from domain_denoiser.runs import revisions

TIMEOUT_S = 30
PAGE = 100


class GitHub(NamedTuple):
    """A repository on GitHub, as the environment of a job names it."""

    api: str
    server: str
    repository: str  # owner/name
    token: str

    def call(self, method: str, path: str, content: object = None) -> object:
        """Ask the REST API about the repository. Raises commands.Failed if it refuses or does not answer."""
        request = urllib.request.Request(
            f"{self.api}/repos/{self.repository}/{path}",
            None if content is None else json.dumps(content).encode(),
            {"Authorization": f"Bearer {self.token}", "Accept": "application/vnd.github+json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:300]
            raise processes.Failed(f"GitHub answers {method} {path} with {error.code}: {said}") from error
        except (OSError, ValueError) as error:
            raise processes.Failed(f"GitHub does not answer {method} {path}: {error}") from error


def from_environment() -> GitHub:
    """The repository that the job belongs to. Raises BadInput if the environment does not say."""
    names = ("GITHUB_API_URL", "GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_TOKEN")
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise BadInput(f"{', '.join(missing)} must say which repository on GitHub to speak to")
    return GitHub(*(os.environ[name] for name in names))


def announce(github: GitHub, branch: str, base: str, summary: Path | None) -> str | None:
    """Open a pull request of the branch unless one is open, and write the report there; return its address.

    None if there is no report on the present dvc.lock. base: where the branch is to be merged;
    summary: the file of the job's summary.
    """
    text = report.FILE.read_text() if report.FILE.exists() else ""
    if not text.startswith(report.first_line()):
        return None
    text = with_addresses(text, f"{github.server}/{github.repository}/raw/{revisions.head()}/{results.REPORT}")
    if summary is not None:
        with summary.open("a") as opened:
            opened.write(text)
    pull = _open_pull(github, branch) or github.call(
        "POST", "pulls", {"title": _title(text), "head": branch, "base": base, "body": _BODY}
    )
    comment = _comment(github, pull["number"])
    if comment is None:
        github.call("POST", f"issues/{pull['number']}/comments", {"body": text})
    else:
        github.call("PATCH", f"issues/comments/{comment}", {"body": text})
    return pull["html_url"]


_BODY = "The results of a retraining; the comment below says what changed. Merging promotes the champion that it names."


def with_addresses(text: str, folder: str) -> str:
    """A report whose pictures are found from anywhere."""
    return re.sub(r"(!\[[^\]]*\]\()([^):/]+\))", rf"\g<1>{folder}/\g<2>", text)


def _title(text: str) -> str:
    return next(line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")).replace("`", "")


def _open_pull(github: GitHub, branch: str) -> dict | None:
    head = urllib.parse.quote(f"{github.repository.partition('/')[0]}:{branch}")
    return next(iter(github.call("GET", f"pulls?state=open&head={head}")), None)


def _comment(github: GitHub, number: int) -> int | None:
    """The id of the comment that has a report already."""
    page = 1
    while True:
        comments = github.call("GET", f"issues/{number}/comments?per_page={PAGE}&page={page}")
        for comment in comments:
            if comment["body"].startswith(report.MARK):
                return comment["id"]
        if len(comments) < PAGE:
            return None
        page += 1

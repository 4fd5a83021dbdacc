"""`denoise propose`: the results of a retraining become a commit on a branch that is pushed, never on main."""

import os
from typing import NamedTuple

from domain_denoiser.base import processes
from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations import freshness
from domain_denoiser.operations.retraining import remote, report, results
from domain_denoiser.runs import champion, revisions

ORIGIN = "origin"
PREFIX = "retrain/"
ATTEMPTS = 5  # of a push, while others push to the same branch


class Proposal(NamedTuple):
    """Where the results are."""

    branch: str
    commit: str
    did: str


def propose(branch: str | None) -> Proposal | None:
    """Push artifacts to DVC's remote, commit the results and push the branch; None if there is nothing new.

    branch: the one that is checked out, to be continued; None for a new one, named after the results.
    The same results are proposed once, however often and from wherever this is called.
    Raises BadInput for a state that nobody else could use, and commands.Failed when the branch has diverged.
    """
    here, uncommitted = current_branch(), results.uncommitted()
    if not uncommitted and (_is_pushed(here) or (branch is None and not here.startswith(PREFIX))):
        return None
    if branch is None:
        branch = f"{PREFIX}{report.lock_digest()}" if uncommitted else here
    elif branch != here:
        raise BadInput(f"the results would be committed to {here or 'no branch'}: check out {branch!r} first")
    _check(branch)
    processes.must("dvc", "push", remote.PIPELINE, *remote.images())
    if uncommitted:
        if branch != here:
            _begin(branch)
        processes.output("git", "add", "--", *uncommitted)
        processes.output("git", "commit", "--quiet", "--message", _message())
    did = _push(branch)
    return Proposal(branch, revisions.resolve("HEAD"), did)


def current_branch() -> str:
    """The branch that is checked out; empty if none is."""
    found = revisions.git("symbolic-ref", "--quiet", "--short", "HEAD", nothing=(1,))
    return "" if found is None else found.decode().strip()


def _begin(branch: str) -> None:
    """Check out a branch that begins here, with what is not committed yet.

    Raises BadInput if one of that name has commits that nothing else here has.
    """
    ours = revisions.git("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^{{commit}}", nothing=(1,))
    if ours is not None:
        only_there = revisions.git("rev-list", "--count", f"refs/heads/{branch}", "--not", "HEAD", "--remotes")
        if int(only_there) > 0:
            raise BadInput(
                f"there is a branch {branch} here already, with {int(only_there)} commits that no other branch has: "
                f"`git switch {branch}` to propose those, or `git branch -m {branch} NAME` to keep them elsewhere"
            )
    processes.output("git", "switch", "--quiet", "--force-create", branch)


def _is_pushed(branch: str) -> bool:
    """Whether the remote had the commit that is checked out when it was last spoken to."""
    name = f"refs/remotes/{ORIGIN}/{branch}^{{commit}}"
    known = revisions.git("rev-parse", "--verify", "--quiet", name, nothing=(1,))
    return known is not None and known.decode().strip() == revisions.head()


def _check(branch: str) -> None:
    listed = processes.output("git", "ls-remote", "--symref", ORIGIN, "HEAD").split()
    default = listed[1].removeprefix("refs/heads/") if listed[:1] == ["ref:"] else "main"
    if branch in {default, "main", "master"}:
        raise BadInput(f"results come to {branch!r} by merging, never by a push")
    others = results.uncommitted_others()
    if others:
        raise BadInput(f"the commit would not give these results: {', '.join(others[:5])} must be committed first")
    stale = freshness.stale_stages()
    if stale:
        raise BadInput(f"dvc.lock is stale ({', '.join(stale)}): `denoise retrain` first")
    if remote.remote() is None:
        raise BadInput(f"{remote.NO_REMOTE}: nobody else could pull these results; `dvc remote add --default ...`")


def _message() -> str:
    decided = champion.decided()
    if decided is None:
        return "Results of a retraining"
    candidate, passed = decided
    title = f"Retrained: {candidate.model} is {'proposed as champion' if passed else 'kept from promotion'}"
    return "\n\n".join([title, "\n".join(candidate.reasons)])


def _push(branch: str) -> str:
    """Push HEAD to the branch; if others were first, behind theirs."""
    ours = revisions.resolve("HEAD")
    for _ in range(ATTEMPTS):
        try:
            processes.output("git", "push", "--quiet", ORIGIN, f"HEAD:refs/heads/{branch}")
            return "pushed" if revisions.resolve("HEAD") == ours else "rebased and pushed"
        except processes.Failed:
            if revisions.git("fetch", "--quiet", ORIGIN, f"refs/heads/{branch}", nothing=(1, 128)) is None:
                raise  # the remote has no such branch: the push failed for another reason
        theirs = revisions.resolve("FETCH_HEAD")
        if _same_results(theirs):
            processes.output("git", "reset", "--quiet", "--keep", theirs)
            return "was proposed before"
        if revisions.git("rebase", "--quiet", theirs, nothing=(1, 128)) is None:
            revisions.git("rebase", "--abort", nothing=(128,))  # there may be none to abort
            raise processes.Failed(_moved(branch, theirs))
        if freshness.stale_stages():
            processes.output("git", "reset", "--quiet", "--keep", ours)
            raise processes.Failed(_moved(branch, theirs))
    raise processes.Failed(f"{branch} changes faster than it can be pushed to")


def _same_results(commit: str) -> bool:
    """Whether a commit has the results of HEAD, and HEAD has nothing else that it lacks."""
    files = (results.LOCK, results.PARAMS, str(champion.PATH))
    if revisions.git("diff", "--quiet", commit, "HEAD", "--", *files, nothing=(1,)) is None:
        return False
    since = revisions.git("diff", "--name-only", "--no-renames", "-z", f"{commit}...HEAD", "--", ".")
    return results.all_are_results(os.fsdecode(path) for path in since.split(b"\0") if path)


def _moved(branch: str, theirs: str) -> str:
    return (
        f"{branch} of {ORIGIN} has diverged, to {theirs[:12]}; the results are stale there; "
        "nothing was lost: they are in the commit that is checked out and in DVC's remote; retrain what is there now"
    )

"""champion.json: which model is the champion and why. Decided by people, in git; shown by MLflow as an alias."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import Field

from domain_denoiser import atomic, reading, revisions
from domain_denoiser.errors import BadInput
from domain_denoiser.params import Name, Strict, check

PATH = Path("champion.json")
GATE_REPORT = Path("reports/gate.json")  # the gate's last decision, with its candidate

MD5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Figure = Annotated[float, Field(allow_inf_nan=False)]


class Champion(Strict):
    """A promoted model: its run's key, the files that are it, and the figures that decided."""

    model: Name
    key: MD5  # of the run, as the tag `key` in MLflow shows it
    files: dict[Annotated[str, Field(pattern=r"^models/[a-z0-9_]+/model\.(safetensors|json)$")], MD5]  # path -> MD5
    gate_images: Annotated[str, Field(pattern=r"^[0-9a-f]{32}\.dir$")]  # the noisy dataset that decided, DVC's hash
    psnr_db: dict[str, Figure]  # noise level -> mean over the gate images
    gain_db: Figure | None  # over the champion before, at the headline noise level; null for the first
    reasons: list[str]

    @property
    def weights(self) -> str:
        """The path of the weights."""
        return f"models/{self.model}/model.safetensors"


def parse(content: bytes, where: str) -> Champion:
    """The champion that a champion.json names. Raises BadInput if it names none."""
    return _checked(reading.from_json(content, where), where)


def decided() -> tuple[Champion, bool] | None:
    """The candidate of the gate's last decision, and whether it passed; None before the first.

    Raises BadInput if the gate's report is not valid.
    """
    if not GATE_REPORT.exists():
        return None
    report = reading.from_json(reading.content(GATE_REPORT, reading.LARGEST_TEXT), str(GATE_REPORT))
    report = report if isinstance(report, dict) else {}
    return _checked(report.get("candidate"), f"{GATE_REPORT}: candidate"), report.get("passed") is True


def challenger() -> Champion | None:
    """The candidate of the gate's last decision, unless it is the champion; None if there is none.

    Raises BadInput if the gate's report is not valid.
    """
    last, present = decided(), read()
    return None if last is None or (present is not None and last[0].key == present.key) else last[0]


def _checked(recorded: object, where: str) -> Champion:
    champion = check(Champion, recorded, where)
    wanted = {f"models/{champion.model}/model.{kind}" for kind in ("safetensors", "json")}
    if set(champion.files) != wanted:
        raise BadInput(
            f"{where}: files must name {' and '.join(sorted(wanted))}, but names {', '.join(champion.files)}"
        )
    return champion


def read() -> Champion | None:
    """The present champion; None before the first promotion. Raises BadInput if champion.json is not valid."""
    return parse(reading.content(PATH, reading.LARGEST_TEXT), str(PATH)) if PATH.exists() else None


def write(champion: Champion) -> None:
    """Make it the champion, whole or not at all."""
    atomic.write_json(PATH, champion.model_dump())


def promoted() -> Iterator[Champion]:
    """Every champion there was, oldest first: those that git has, then the present one. One that is no longer valid is
    left out."""
    contents = [revisions.show(commit, str(PATH)) for commit in revisions.commits_of(str(PATH), "HEAD")]
    for content in contents:
        try:
            if content is not None:
                yield parse(content, str(PATH))
        except BadInput:
            continue
    with suppress(BadInput):
        if (present := read()) is not None:
            yield present


def previous() -> Champion:
    """The champion before the present one. Raises BadInput if there was none."""
    present = read()
    keys = {}  # in the order of their first promotion
    for champion in promoted():
        keys.setdefault(champion.key, champion)
    order = list(keys.values())
    place = len(order) if present is None else list(keys).index(present.key)
    if place == 0:
        raise BadInput("git has no champion before the present one")
    return order[place - 1]

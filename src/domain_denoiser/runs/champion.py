"""champion.json and champion/: which model is the champion, why, and the model itself.

Decided by people, kept in git, so that every clone has it; shown by MLflow as an alias.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import Field

from domain_denoiser import layout
from domain_denoiser.base import atomic, checksum, merging, reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.params import Name, Strict, check
from domain_denoiser.runs import revisions

PATH = Path("champion.json")
GATE_REPORT = layout.GATE_REPORT
FOLDER = layout.CHAMPION
WEIGHTS, SETTINGS, GRAPH, CARD = (
    str(FOLDER / name) for name in (layout.WEIGHTS, layout.SETTINGS, layout.GRAPH, layout.CARD)
)
MODEL = (SETTINGS, GRAPH, WEIGHTS)
FILES = (CARD, *MODEL)  # a champion of before there were cards has none
LARGEST = 4_000_000  # bytes of all files of a champion, as every clone carries every champion there was

MD5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Figure = Annotated[float, Field(allow_inf_nan=False)]


class OldForm(BadInput):
    """A champion.json that names weights of dvc.lock, which no clone has."""


class Champion(Strict):
    """A promoted model: its run's key, the files that are it, and the figures that decided."""

    model: Name
    key: MD5  # of the run, as the tag `key` in MLflow shows it
    files: dict[  # path -> MD5
        Annotated[str, Field(pattern=r"^champion/(README\.md|model\.(json|onnx|safetensors))$")], MD5
    ]
    gate_images: Annotated[str, Field(pattern=r"^[0-9a-f]{32}\.dir$")]  # the noisy dataset that decided, DVC's hash
    psnr_db: dict[str, Figure]  # noise level -> mean over the gate images
    gain_db: Figure | None  # over the champion before, at the headline noise level; null for the first
    reasons: list[str]

    @property
    def trained(self) -> dict[str, str]:
        """What of it its training wrote: path -> MD5, as dvc.lock has them."""
        return {str(layout.MODELS / self.model / Path(path).name): self.files[path] for path in (SETTINGS, WEIGHTS)}

    @property
    def without_card(self) -> "Champion":
        """What was decided on: the card describes it, and may be made anew without another decision."""
        return self.model_copy(update={"files": {path: md5 for path, md5 in self.files.items() if path != CARD}})


def hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    """path -> MD5: DVC's hash, so that a champion's weights are recognised in dvc.lock."""
    return {path: checksum.md5(content) for path, content in sorted(files.items())}


def parse(content: bytes, where: str) -> Champion:
    """The champion that a champion.json names. Raises BadInput if it names none, OldForm if it is of the old form."""
    merging.check(content, where)
    return _checked(reading.from_json(content, where), where)


def decided() -> tuple[Champion, bool] | None:
    """The candidate of the gate's last decision, and whether it passed; None before the first.

    A decision of the old form counts as none. Raises BadInput if the gate's report is not valid.
    """
    if not GATE_REPORT.exists():
        return None
    report = reading.from_json(reading.content(GATE_REPORT, reading.LARGEST_TEXT), str(GATE_REPORT))
    report = report if isinstance(report, dict) else {}
    try:
        return _checked(report.get("candidate"), f"{GATE_REPORT}: candidate"), report.get("passed") is True
    except OldForm:
        return None


def challenger() -> Champion | None:
    """The candidate of the gate's last decision, unless it is the champion; None if there is none.

    Raises BadInput if the gate's report is not valid.
    """
    last, present = decided(), read()
    return None if last is None or (present is not None and last[0].key == present.key) else last[0]


def _checked(recorded: object, where: str) -> Champion:
    named = recorded.get("files") if isinstance(recorded, dict) else None
    if isinstance(named, dict) and named and all(str(path).startswith(f"{layout.MODELS}/") for path in named):
        raise OldForm(
            f"{where} is of an old form, which names weights that no clone has: remove {PATH}, then `denoise promote`"
        )
    champion = check(Champion, recorded, where)
    if not set(MODEL) <= set(champion.files):
        raise BadInput(f"{where}: files must name {', '.join(MODEL)}, but names {', '.join(champion.files)}")
    return champion


def read() -> Champion | None:
    """The present champion; None before the first promotion. Raises BadInput if champion.json is not valid."""
    return parse(reading.content(PATH, reading.LARGEST_TEXT), str(PATH)) if PATH.exists() else None


def graph(champion: Champion) -> bytes:
    """The ONNX graph of the present champion. Raises BadInput if champion/ does not have it."""
    if GRAPH in wrong(champion):
        raise BadInput(
            f"{GRAPH} is not what {PATH} says of {champion.model} {champion.key[:12]}; `denoise recover` takes it from "
            "git, if a commit has it"
        )
    return Path(GRAPH).read_bytes()


def wrong(champion: Champion) -> list[str]:
    """Those of its files that are missing in champion/ or differ from champion.json."""
    return [path for path, md5 in champion.files.items() if _here(path, md5) is None]


def with_new_card(candidate: Champion) -> Champion | None:
    """The present champion with the candidate's card, if that is the same model on the same gate images, with another
    card or with none; else None. Raises BadInput if champion.json is not valid.
    """
    present = read()
    if present is None or present.files.get(CARD) == candidate.files[CARD]:
        return None
    same = (present.without_card.files, present.gate_images) == (candidate.without_card.files, candidate.gate_images)
    return present.model_copy(update={"files": candidate.files}) if same else None


def write(champion: Champion, files: Mapping[str, bytes]) -> None:
    """Make it the champion: champion/ and champion.json, which changes last, so that what was killed is seen.

    files: path -> content, of the hashes that it names.
    """
    if hashes(files) != dict(sorted(champion.files.items())):
        raise ValueError(f"these files are not those of {champion.model} {champion.key}")
    with atomic.together() as new:
        for path, content in sorted(files.items()):
            new(Path(path)).write_bytes(content)
        new(PATH).write_text(atomic.as_json(champion.model_dump()))
    if CARD not in files:  # it was of another champion
        Path(CARD).unlink(missing_ok=True)


def remove() -> None:
    """Have no champion, as before the first promotion."""
    for path in map(Path, (str(PATH), *FILES)):
        path.unlink(missing_ok=True)


def recover() -> list[str]:
    """Put champion/ right where it is not what champion.json says, as after a promotion that was killed.

    A sentence on what was done, or what somebody must do; nothing if nothing is wrong.
    """
    try:
        present = read()
    except BadInput:  # whoever needs it will say so
        return []
    if present is None or not (paths := wrong(present)):
        return []
    said, files = f"{', '.join(paths)} not what {PATH} says, as after a promotion that was killed", find(present)
    if files is None:
        return [
            f"{said}; no commit has it: `git checkout HEAD -- {PATH} {FOLDER}` takes the commit's champion; or remove "
            f"both, and `denoise promote`{_cut_off()}"
        ]
    write(present, files)
    return [f"{said}; taken from git"]


def find(champion: Champion) -> dict[str, bytes] | None:
    """The files of a champion, from here or from any commit that has them: path -> content. None if one is lost."""
    commits = list(reversed(list(revisions.commits_of(str(FOLDER), "--all"))))
    found = {path: _anywhere(path, md5, commits) for path, md5 in champion.files.items()}
    return None if None in found.values() else found


def _anywhere(path: str, md5: str, commits: Iterable[str]) -> bytes | None:
    if (content := _here(path, md5)) is not None:
        return content
    contents = (revisions.show(commit, path) for commit in commits)
    return next((content for content in contents if content is not None and _is(content, md5)), None)


def _here(path: str, md5: str) -> bytes | None:
    place = Path(path)
    content = place.read_bytes() if place.is_file() and place.stat().st_size <= LARGEST else None
    return content if content is not None and _is(content, md5) else None


def _is(content: bytes, md5: str) -> bool:
    return checksum.md5(content) == md5


def promoted() -> Iterator[Champion]:
    """Every champion there was, oldest first: those that git has, then the present one. One that is no longer valid, or
    of the old form, is left out."""
    yield from (champion for champion in _history() if champion is not None)
    with suppress(BadInput):
        if (present := read()) is not None:
            yield present


def committed() -> Champion | None:
    """The champion of HEAD; None if it has none, or one of the old form. Raises BadInput if it is not valid."""
    content = revisions.committed(str(PATH))
    try:
        return None if content is None else parse(content, f"{PATH} of HEAD")
    except OldForm:
        return None


def take_back() -> None:
    """Have the champion of HEAD again. Raises BadInput if its files are lost."""
    champion = committed()
    if champion is None:
        remove()
    else:
        write(champion, _found(champion))


def previous() -> tuple[Champion, dict[str, bytes]]:
    """The champion before the present one, and its files.

    Raises BadInput if there was none, or one whose files are in no commit, or if the history that would tell is not
    here: what is left of it may begin with one that was rolled back.
    """
    if cut := _cut_off():
        raise BadInput(f"which champion was before the present one is not known here{cut}")
    present = read()
    # The first parents: what was the champion of this branch, in time, whenever it had been proposed elsewhere.
    history = list(_history("--first-parent"))
    known = [champion for champion in history if champion is not None]
    before = standing(known if present is None else [*known, present])[: None if present is None else -1]
    if not before:
        others = "; those before it are of an old form, whose weights no clone has" if None in history else ""
        raise BadInput(f"git has no champion before the present one{others}")
    return before[-1], _found(before[-1])


def standing(champions: Iterable[Champion]) -> list[Champion]:
    """Of champions in the order in which they were put in place, those that were not rolled back, oldest first.

    A champion that comes back just as it was, figures and all, takes back whatever came after it: A, B, A, C leaves A
    and C. One that got a new card is the same champion. A model that is promoted anew has other figures and reasons,
    and is another champion.
    """
    stack: list[Champion] = []
    for champion in champions:
        decided = [one.without_card for one in stack]
        if champion.without_card in decided:
            del stack[decided.index(champion.without_card) :]
        stack.append(champion)
    return stack


def _found(champion: Champion) -> dict[str, bytes]:
    files = find(champion)
    if files is None:
        raise BadInput(
            f"{champion.model} {champion.key[:12]} cannot come back: no commit has the files of {FOLDER}/ that its "
            f"{PATH} names{_cut_off()}"
        )
    return files


def _cut_off() -> str:
    """How a sentence on what no commit has goes on where not all commits are here; else empty."""
    gap = revisions.gap()
    return "" if gap is None else f"; {gap}"


def _history(*how: str) -> Iterator[Champion | None]:
    """The champion of each commit that changed it, oldest first; None for one that is not valid or of the old form."""
    for commit in revisions.commits_of(str(PATH), *how, "HEAD"):
        content = revisions.show(commit, str(PATH))
        if content is None:  # it was removed
            continue
        try:
            yield parse(content, str(PATH))
        except BadInput:
            yield None

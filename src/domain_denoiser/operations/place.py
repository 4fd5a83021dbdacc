"""Does what runs here belong to this project? In a folder that was moved or copied it may be another one's.

Programs in an environment begin with the path that it was made at, and import the code of the project there.
"""

from pathlib import Path

from domain_denoiser.base.errors import BadInput

READY = Path(".venv/.ready")  # `make setup` writes there in which folder it ran
SETUP = "rm -rf .venv && make setup && . .venv/bin/activate"


def made_elsewhere(root: Path) -> str | None:
    """The folder that the environment in a project was made in, if that is another one, as far as is known."""
    try:
        made_in = (root / READY).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
    return made_in if made_in and Path(made_in) != root.resolve() else None


def code() -> Path:
    """The folder that the code of this process lies in: .../src/domain_denoiser."""
    return Path(__file__).resolve().parents[1]


def is_its_own(root: Path) -> bool:
    """Whether the code that runs is that of the project."""
    return code().is_relative_to(root.resolve() / "src")


def check(root: Path) -> None:
    """Raises BadInput in a moved or copied project, if its environment runs the code of another folder."""
    made_in = made_elsewhere(root)
    if made_in is not None and not is_its_own(root):
        raise BadInput(f"{root}: .venv was made in {made_in}, and runs the code in {code()}: `{SETUP}`")

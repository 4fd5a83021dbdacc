"""What a command that examines something says: one line a check, with the way to fix what is wrong."""

from typing import NamedTuple

from domain_denoiser.base.errors import printable

OK = "ok"
WRONG = "wrong"
NOTE = "note"  # worth knowing; nothing is wrong


class Check(NamedTuple):
    """One thing that was looked at."""

    verdict: str  # OK, NOTE, or in one word how it is wrong
    said: str
    fix: str | None = None  # a shell command for the project's root, or what to do

    @property
    def fine(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.verdict in (OK, NOTE)

    def line(self) -> str:
        """For a terminal. Names of files may hold line ends and control characters; they stay on the line."""
        text = self.said if self.fix is None else f"{self.said}; fix: {self.fix}"
        return f"{self.verdict:<9}{printable(text)}"

    def as_json(self) -> dict[str, str | None]:
        """The same for programs."""
        return self._asdict()

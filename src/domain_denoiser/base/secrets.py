"""Passwords and tokens stay out of what is shown: messages, logs, MLflow, reports."""

import os
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

MASK = "***"
# Whose values are secrets, of the variables of the environment.
NAMES = re.compile(
    r"TOKEN|SECRET|PASSW(OR)?D|PASSPHRASE|CREDENTIAL|PRIVATE_?KEY|ACCESS_?KEY|API_?KEY|AUTHORIZATION", re.IGNORECASE
)
SHORTEST = 6  # characters: what is shorter would be found in many a word that is no secret
SHORTEST_LINE = 16  # characters, of a secret of several lines, as these may hold brackets and common words too
LONGEST = 2**16  # characters; what is longer is cut, as it may be a stranger's, made to be looked through for ever

# A password may hold a slash, as databases allow, or an at sign: the last one before the host counts.
_WITH_PASSWORD = re.compile(r"//[^\s:/@\"']{0,256}:[^\s\"']{0,1024}@")
_WITH_NAME = re.compile(r"//[^\s/\"']{0,1024}@")
_ASSIGNED = re.compile(
    r"\b([\w-]{0,64}(?:token|secret|passw(?:or)?d|pwd|signature|credential|api[_-]?key|access[_-]?key)[\w-]{0,64}=)"
    r"[^\s&;,\"']+",
    re.IGNORECASE,
)
_AUTHORIZED = re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)


def masked(text: str) -> str:
    """The text with *** for names and passwords in addresses, `password=...`, bearer tokens, and whatever the variables
    of the environment hold that are named like a secret or are an address with a password; at most `LONGEST` of it."""
    for secret in sorted(set(_secrets()), key=len, reverse=True):
        text = text.replace(secret, MASK)
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
    text = _WITH_NAME.sub(f"//{MASK}@", _WITH_PASSWORD.sub(f"//{MASK}@", text))
    return _AUTHORIZED.sub(rf"\1 {MASK}", _ASSIGNED.sub(rf"\1{MASK}", text))


def _secrets() -> Iterator[str]:
    """The secrets of the environment that are long enough to be looked for, in every way that they are written."""
    for name, value in os.environ.items():
        found = [value] if NAMES.search(name) else []
        found += [address[2:-1].partition(":")[2] for address in _WITH_PASSWORD.findall(value)]
        # A key of several lines is shown a line at a time by whoever prints lines.
        lines = [line.strip() for whole in found for line in whole.splitlines()]
        for secret in found + [line for line in lines if len(line) >= SHORTEST_LINE]:
            yield from (way for way in (secret, unquote(secret), quote(secret, safe="")) if len(way) >= SHORTEST)

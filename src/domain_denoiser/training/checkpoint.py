"""Where a training stands, on disk: what a training that was killed goes on from.

A checkpoint is used by the same training alone: same images, settings, seed, code and kind of machine. It carries its
SHA-256, and the one before it is kept: a damaged one costs an epoch, never a wrong result.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.torch import load, save
from torch import Tensor

from domain_denoiser.base import atomic
from domain_denoiser.training.loop import State

SUFFIX = ".checkpoint"
KEPT = 2
DIGEST = hashlib.sha256().digest_size  # bytes at the beginning of a file; a line of JSON and safetensors follow


class Checkpoint(NamedTuple):
    """All that a training hands on to its next epoch."""

    history: list[dict[str, float]]  # a row an epoch
    best: Mapping[str, Tensor]  # the weights of the epoch with the highest val PSNR
    state: State


class Damaged(Exception):
    """The file is not what was written there."""


def identity(images: Iterable[Tensor], described: Mapping[str, object]) -> str:
    """What a training is, 64 hexadecimal digits: its images, its other inputs, and the code in use.

    The code is the package's and the program's own, which decides what the package gets: stages/train.py, for example.
    """
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for given in images:
        digest.update(f"{given.dtype} {list(given.shape)}".encode())
        digest.update(np.ascontiguousarray(given.cpu().numpy()))
    package = __name__.partition(".")[0]
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)  # a program that was typed in has none
        if file is not None and (name == "__main__" or name.partition(".")[0] == package):
            digest.update(Path(file).read_bytes())
    return digest.hexdigest()


class Checkpoints:
    """The checkpoints of one training, in a folder of their own: <epoch>.checkpoint."""

    def __init__(self, folder: Path, of: str) -> None:
        """of: the identity of the training."""
        self._folder, self._of = folder, of

    def save(self, checkpoint: Checkpoint) -> None:
        """Write one, whole or not at all, and drop those that are older than the one before it."""
        tensors = {f"state.{name}": tensor for name, tensor in checkpoint.state.tensors.items()}
        tensors |= {f"best.{name}": tensor for name, tensor in checkpoint.best.items()}
        header = json.dumps({"of": self._of, "history": checkpoint.history}).encode() + b"\n"
        body = save({name: tensor.contiguous().cpu() for name, tensor in tensors.items()})
        digest = hashlib.sha256(header)
        digest.update(body)
        path = self._folder / f"{checkpoint.state.epoch:06}{SUFFIX}"
        # Not flushed to the disk, which would cost more than the rest: a machine that loses power finds the damage.
        with atomic.passing_file(path) as temporary, temporary.open("wb") as opened:
            for part in (digest.digest(), header, body):
                opened.write(part)
        # Another training's may be of later epochs; it is left until this one ends.
        for older in [kept for kept in self._newest_first() if kept.name <= path.name][KEPT:]:
            older.unlink()

    def last(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest sound checkpoint of this training, if there is one, and a sentence on each that cannot be used."""
        refused = []
        for path in self._newest_first():
            try:
                checkpoint = self._load(path)
            except Damaged as error:
                refused.append(f"{path} is damaged ({error}) and not used")
            else:
                if checkpoint is not None:
                    return checkpoint, refused
                refused.append(f"{path} is of another training (other images, params, code or machine) and not used")
        return None, refused

    def remove(self) -> None:
        """The training has ended."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _newest_first(self) -> list[Path]:
        return sorted(self._folder.glob(f"*{SUFFIX}"), reverse=True)

    def _load(self, path: Path) -> Checkpoint | None:
        """None if it is another training's. The file is hashed before any of it is believed; nothing is unpickled."""
        written = path.read_bytes()
        digest, content = written[:DIGEST], written[DIGEST:]
        if hashlib.sha256(content).digest() != digest:
            raise Damaged(f"checksum mismatch in {len(written):,} bytes")
        header, _, tensors = content.partition(b"\n")
        found = json.loads(header)
        if found["of"] != self._of:
            return None
        parts = {"state": {}, "best": {}}
        for name, tensor in load(tensors).items():
            kind, _, rest = name.partition(".")
            parts[kind][rest] = tensor
        return Checkpoint(found["history"], parts["best"], State(len(found["history"]), parts["state"]))

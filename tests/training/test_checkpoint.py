"""What is kept of a training that may be killed."""

import sys
from pathlib import Path

import pytest
import torch

from domain_denoiser.training.checkpoint import Checkpoint, Checkpoints, identity
from domain_denoiser.training.loop import State


def checkpoint(epoch: int) -> Checkpoint:
    history = [{"epoch": number, "val_psnr_db": 10.1 + number / 3} for number in range(1, epoch + 1)]
    tensors = {"weights": torch.full((5,), epoch / 7), "steps": torch.tensor(float("inf"))}
    return Checkpoint(history, {"encoder.weight": torch.rand(2, 3)}, State(epoch, tensors))


def equal(one: Checkpoint, other: Checkpoint) -> bool:
    return (
        one.history == other.history
        and one.state.epoch == other.state.epoch
        and one.best.keys() == other.best.keys()
        and one.state.tensors.keys() == other.state.tensors.keys()
        and all(one.best[name].equal(other.best[name]) for name in one.best)
        and all(one.state.tensors[name].equal(other.state.tensors[name]) for name in one.state.tensors)
    )


@pytest.fixture
def three(tmp_path):
    """The checkpoints of a training of which three were written, and what was written."""
    checkpoints, written = Checkpoints(tmp_path / "fixed", "of"), [checkpoint(epoch) for epoch in (1, 2, 3)]
    for one in written:
        checkpoints.save(one)
    return checkpoints, written


def test_the_last_is_found_bit_for_bit_and_the_one_before_is_kept(three, tmp_path, tree):
    checkpoints, written = three
    found, refused = checkpoints.last()
    assert equal(found, written[-1])
    assert refused == []
    assert tree(tmp_path / "fixed") == {"000002.checkpoint", "000003.checkpoint"}


def test_there_is_none_at_first_and_none_at_the_end(three, tmp_path, tree):
    assert Checkpoints(tmp_path / "random", "of").last() == (None, [])
    three[0].remove()
    assert three[0].last() == (None, [])
    assert tree(tmp_path) == set()


def test_those_of_another_training_cost_none_of_this_one(three, tmp_path):
    other, written = Checkpoints(tmp_path / "fixed", "other"), checkpoint(1)
    other.save(written)  # where the first training had come to epoch 3
    found, refused = other.last()
    assert equal(found, written)
    assert len(refused) == 2


@pytest.mark.parametrize("position", [0, 40, 100, -1], ids=["digest", "header", "middle", "end"])
def test_a_flipped_bit_is_noticed_and_the_one_before_is_used(three, tmp_path, position):
    path = tmp_path / "fixed" / "000003.checkpoint"
    damaged = bytearray(path.read_bytes())
    damaged[position] ^= 1
    path.write_bytes(damaged)
    found, (refused,) = three[0].last()
    assert equal(found, three[1][1])
    assert str(path) in refused
    assert "is damaged" in refused


@pytest.mark.parametrize("length", [0, 10, 32, 100])
def test_a_file_that_ends_early_is_noticed(three, tmp_path, length):
    for path in (tmp_path / "fixed").iterdir():
        path.write_bytes(path.read_bytes()[:length])
    found, refused = three[0].last()
    assert found is None
    assert len(refused) == 2


def test_that_of_another_training_is_not_used(three, tmp_path):
    found, refused = Checkpoints(tmp_path / "fixed", "of another").last()
    assert found is None
    assert len(refused) == 2
    assert "of another training" in refused[0]


def test_identity_follows_from_images_and_description():
    images = torch.zeros(2, 28, 28, dtype=torch.uint8)
    one = identity([images], {"seed": 1})
    assert one == identity([images.clone()], {"seed": 1})
    changed = images.clone()
    changed[1, 27, 27] = 1
    others = {
        identity([changed], {"seed": 1}),
        identity([images], {"seed": 2}),
        identity([images, images], {"seed": 1}),
    }
    assert one not in others
    assert len(others) == 3


def test_identity_follows_from_the_code(monkeypatch, tmp_path):
    from domain_denoiser.training import loop

    before = identity([], {})
    changed = tmp_path / "training.py"
    changed.write_bytes(Path(loop.__file__).read_bytes() + b"\n")
    monkeypatch.setattr(loop, "__file__", str(changed))
    assert identity([], {}) != before


def test_identity_follows_from_the_program(monkeypatch, tmp_path):
    script = tmp_path / "train.py"
    script.write_text("fit()\n")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(script), raising=False)
    before = identity([], {})
    assert identity([], {}) == before
    script.write_text("fit(clean)\n")
    assert identity([], {}) != before
    monkeypatch.delattr(sys.modules["__main__"], "__file__")
    assert identity([], {}) != before

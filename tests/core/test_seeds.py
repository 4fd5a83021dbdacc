import subprocess
import sys

import torch
from hypothesis import given
from hypothesis import strategies as st

from domain_denoiser.core.seeds import derive, generator

NAME = st.lists(st.text("abc/", max_size=3) | st.integers(0, 3), max_size=3)


@given(st.integers(0, 2**63 - 1), NAME)
def test_seed_fits_what_torch_takes(seed, name):
    assert 0 <= derive(seed, *name) < 2**63


def test_other_seed_or_name_gives_other_seed():
    names = [(), ("noise",), ("noise", 1), ("noise", 2), ("noise", 12), ("order", 1), ("noise", "fixed", "train")]
    found = {derive(seed, *name) for seed in range(50) for name in names}
    assert len(found) == 50 * len(names)


def test_seed_is_the_same_in_another_process():
    # Python's own hash() would differ: it is salted in every process.
    program = "from domain_denoiser.core.seeds import derive; print(derive(2018, 'noise', 'fixed', 17))"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert int(printed) == derive(2018, "noise", "fixed", 17)


def test_generators_of_equal_name_draw_the_same_and_leave_torch_alone():
    before = torch.get_rng_state()
    first, again, other = (torch.rand(8, generator=generator("cpu", 1, "noise", epoch)) for epoch in (1, 1, 2))
    assert first.equal(again)
    assert not first.equal(other)
    assert torch.get_rng_state().equal(before)

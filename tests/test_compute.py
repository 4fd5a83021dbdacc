import platform
import subprocess
import sys

import pytest

# Rounds that take and free what a batch of conv does; printed: the page faults of the last ten.
ROUNDS = """
import resource
import torch
from domain_denoiser import compute, params

if {prepared}:
    compute.prepare(params.Compute(device="cpu", threads=1))
for done in range(20):
    if done == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    taken = [torch.zeros(1 << 20) for _ in range(8)]
    del taken
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(*, prepared: bool) -> int:
    done = subprocess.run(
        [sys.executable, "-c", ROUNDS.format(prepared=prepared)], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators stay as they are")
def test_memory_of_one_step_is_there_for_the_next():
    assert page_faults(prepared=True) < 100 < page_faults(prepared=False) / 10

import platform
import subprocess
import sys

import pytest

BYTES = 24 << 20

# Takes and frees a tensor of so many bytes; printed: how many bytes the process holds more than before.
TAKE_AND_FREE = """
import psutil
import torch
from domain_denoiser import params
from domain_denoiser.core import compute

if {prepared}:
    compute.prepare(params.Compute(device="cpu", threads=1))
torch.set_num_threads(1)  # a second thread would come with memory of its own
before = psutil.Process().memory_info().vms
torch.zeros({size}, dtype=torch.uint8)
print(psutil.Process().memory_info().vms - before)
"""


def kept(*, prepared: bool) -> int:
    program = TAKE_AND_FREE.format(prepared=prepared, size=BYTES)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators stay as they are")
def test_memory_of_one_step_is_there_for_the_next():
    """Seen with one large tensor: how much of many small ones glibc gives back depends on where they lie."""
    assert kept(prepared=False) < BYTES / 4
    assert kept(prepared=True) > BYTES * 3 / 4

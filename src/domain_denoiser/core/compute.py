"""The device that a stage computes on, and what its results may depend on."""

import ctypes
import os
import platform
from typing import TYPE_CHECKING

from domain_denoiser.base.errors import BadInput
from domain_denoiser.params import Compute

if TYPE_CHECKING:
    import torch

# Those for matmuls in bfloat16, as torch.cpu.get_capabilities names them on x86 and on ARM.
BFLOAT16 = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")
# Of glibc's <malloc.h>: how much freed memory stays with the process, and up to which size it is taken from there.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3


def prepare(compute: Compute) -> "torch.device":
    """Set up torch so that equal params give equal bytes on one kind of machine, and return the device.

    Raises BadInput if the device is not there: there is no fallback.
    """
    # cuBLAS is deterministic only with a fixed workspace, which it reads when it starts.
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    import torch

    if compute.device == "cuda" and not torch.cuda.is_available():
        raise BadInput("params.yaml: compute.device is 'cuda', but this machine has no CUDA device; 'cpu' would work")
    torch.set_num_threads(compute.threads)
    # The same as use_deterministic_algorithms(True), which imports torch.compile as well: three seconds a stage.
    torch.set_deterministic_debug_mode("error")
    # It also makes every empty tensor full of NaN, to find what is read before it is written: a tenth of a training.
    torch.utils.deterministic.fill_uninitialized_memory = False
    # Gradients of pixels that are always black drive RMSprop's averages into denormals, which are slow.
    torch.set_flush_denormal(True)
    _keep_freed_memory()
    return torch.device(compute.device)


def require(precision: str, on: "torch.device", key: str) -> None:
    """Raise BadInput, which names the key, if this machine does not compute in that precision itself.

    torch would: ten times as slowly as in float32.
    """
    import torch

    if precision != "bfloat16":
        return
    if on.type == "cpu" and not bfloat16_instructions():
        lack = "this processor has no instructions for bfloat16"
    elif on.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        lack = f"{torch.cuda.get_device_name()} does not compute in bfloat16"
    else:
        return
    raise BadInput(f"{key} is 'bfloat16', but {lack}; 'float32' would work")


def describe(compute: Compute) -> dict[str, str | int]:
    """What the last bits of a result depend on beside its inputs. No host name, no time."""
    import numpy
    import torch

    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "bfloat16_instructions": ", ".join(bfloat16_instructions()) or "none",
        "device": torch.cuda.get_device_name() if compute.device == "cuda" else "cpu",
        "threads": compute.threads,
    }


def bfloat16_instructions() -> list[str]:
    """The processor's instructions for matmuls in bfloat16; none if torch was built without what uses them."""
    import torch

    there = torch.cpu.get_capabilities() if torch.backends.mkldnn.is_available() else {}
    return [name for name in BFLOAT16 if there.get(name, False)]


def _keep_freed_memory() -> None:
    """Each step frees what the next one takes again. By itself glibc gives it to the system in between, and takes as
    many page faults to have it back: a tenth of a training. Other allocators stay as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        allocator = ctypes.CDLL(None)
        allocator.mallopt(TRIM_THRESHOLD, 1 << 30)
        allocator.mallopt(MMAP_THRESHOLD, 32 << 20)  # bytes; the most that glibc accepts

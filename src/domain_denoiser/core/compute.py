"""The device that a stage computes on, and the parts of the machine that its results may depend on."""

import ctypes
import os
import platform
from typing import TYPE_CHECKING

from domain_denoiser.base.errors import BadInput
from domain_denoiser.params import Compute

if TYPE_CHECKING:
    import torch

# Instructions for matmuls in bfloat16, by the names of torch.cpu.get_capabilities on x86 and on ARM.
BFLOAT16 = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")
# From glibc's <malloc.h>: how much freed memory the process keeps, and the largest block that is reused from it.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3


def prepare(compute: Compute) -> "torch.device":
    """Set up torch so that equal params give equal bytes on one kind of machine, and return the device.

    Raises BadInput if the device is not available: there is no fallback.
    """
    # cuBLAS is deterministic only with a fixed workspace. It reads this variable when it starts.
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    # On Intel's processors MKL splits the sums of a matmul by the number of threads, unless it is told not to. It reads
    # this variable before its first matmul. The cost was too small to measure.
    os.environ["MKL_CBWR"] = "AUTO,STRICT"
    import torch

    if compute.device == "cuda" and not torch.cuda.is_available():
        raise BadInput("params.yaml: compute.device is 'cuda', but this machine has no CUDA device; 'cpu' would work")
    torch.set_num_threads(compute.threads)
    # As use_deterministic_algorithms(True), but that also imports torch.compile, which costs three seconds per stage.
    torch.set_deterministic_debug_mode("error")
    # The mode also fills every empty tensor with NaN, to expose reads before writes: a tenth of the time of a training.
    torch.utils.deterministic.fill_uninitialized_memory = False
    # Gradients of pixels that are always black drive RMSprop's running means into denormals, which are slow.
    torch.set_flush_denormal(True)
    _keep_freed_memory()
    return torch.device(compute.device)


def require(precision: str, on: "torch.device", key: str) -> None:
    """Raise BadInput, which names the key, if this machine has no native support for the precision.

    torch emulates it: ten times as slow as float32.
    """
    import torch

    if precision != "bfloat16":
        return
    if on.type == "cpu" and not bfloat16_instructions():
        reason = "this processor has no instructions for bfloat16"
    elif on.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        reason = f"{torch.cuda.get_device_name()} does not compute in bfloat16"
    else:
        return
    raise BadInput(f"{key} is 'bfloat16', but {reason}; 'float32' would work")


def describe(compute: Compute) -> dict[str, str | int]:
    """All that the last bits of a result depend on beside its inputs. No host name, no time."""
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
    """The processor's instructions for matmuls in bfloat16; none if torch was built without oneDNN, which uses them."""
    import torch

    capabilities = torch.cpu.get_capabilities() if torch.backends.mkldnn.is_available() else {}
    return [name for name in BFLOAT16 if capabilities.get(name, False)]


def _keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next step; other allocators are left alone.

    Each step frees the memory that the next step allocates again. By default glibc returns it to the system in between;
    the page faults to get it back cost a tenth of the time of a training.
    """
    if platform.libc_ver()[0] == "glibc":
        allocator = ctypes.CDLL(None)
        allocator.mallopt(TRIM_THRESHOLD, 1 << 30)
        allocator.mallopt(MMAP_THRESHOLD, 32 << 20)  # bytes; the maximum that glibc accepts

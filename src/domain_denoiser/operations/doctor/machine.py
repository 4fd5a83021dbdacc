"""Has the machine room, memory, processors and the device for a reproduction?"""

import math
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from domain_denoiser import layout, params
from domain_denoiser.base import processes
from domain_denoiser.base.errors import BadInput
from domain_denoiser.networks import architectures
from domain_denoiser.operations.checks import NOTE, OK, WRONG, Check
from domain_denoiser.runs import dvc_project

# Measured: data, models and reports are 0.28 GB, the same once more in DVC's cache, MLflow's copies 0.1 GB.
DISK_GB = 1.0
# Measured: the largest stage has 0.7 GB of its own, the process that tracks it 0.4 GB, DVC 0.2 GB.
MEMORY_GB = 1.5
PARAMS = Path("params.yaml")
CGROUP = Path("/sys/fs/cgroup")  # what a container may have


def disk(root: Path) -> Check:
    """Room for a reproduction from nothing."""
    free = shutil.disk_usage(root).free / 1e9
    if free >= DISK_GB:
        return Check(OK, f"disk: {free:,.1f} GB free")
    said = f"disk: {_rounded_down(free)} GB free in {root}, but a reproduction wants {DISK_GB:g} GB"
    return Check(WRONG, said, "make room there")


def memory(root: Path) -> Check:
    """Memory for the largest stage."""
    free = _memory() / 1e9
    if free >= MEMORY_GB:
        return Check(OK, f"memory: {free:,.1f} GB free")
    said = f"memory: {_rounded_down(free)} GB free, but the largest stage wants {MEMORY_GB:g} GB"
    return Check(WRONG, said, "end other programs, or give this container more")


def _rounded_down(amount: float) -> str:
    """Too little never looks like enough: 0.999 is 0.99."""
    return f"{math.floor(amount * 100) / 100:,.2f}"


def _memory() -> int:
    """Bytes that may still be taken, of the machine's and of the container's."""
    import psutil

    free = psutil.virtual_memory().available
    try:
        limit, used = ((CGROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        counted = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    except OSError:
        return free
    # Files that were read count as used, but make room when it is wanted.
    return free if limit == "max" else min(free, int(limit) - int(used) + int(counted["inactive_file"]))


def writable(root: Path) -> Check:
    """Every folder that commands write into."""
    names = ("", ".dvc", ".dvc/tmp", ".dvc/cache", "data", str(layout.MODELS), "reports")
    wrong = []
    for folder in [*(root / name for name in names if (root / name).exists()), None]:
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            wrong.append(f"{folder or 'TMPDIR'} ({error.strerror})")
    if not wrong:
        return Check(OK, f"folders: {root} can be written to")
    return Check(
        WRONG, f"folders: cannot be written to: {', '.join(wrong)}", f"sudo chown -R $(id -un) {shlex.quote(str(root))}"
    )


def notes(root: Path) -> Check:
    """Where DVC notes down what it has hashed, for all users and projects: somebody else may have made the folder."""
    try:
        with dvc_project.opened() as repo:
            tempfile.TemporaryFile(dir=repo.site_cache_dir).close()
    except OSError as error:
        said = f"DVC's notes: {error.filename} cannot be written to: {error.strerror}"
        return Check(WRONG, said, "dvc config --local core.site_cache_dir ~/.cache/dvc")
    return Check(OK, "DVC's notes can be written")


def settings(root: Path) -> Check:
    """params.yaml."""
    try:
        architectures.check_all(params.read(PARAMS).models, str(PARAMS))
    except BadInput as error:
        return Check(WRONG, f"params: {error}", f"edit {PARAMS}, or git checkout HEAD -- {PARAMS}")
    return Check(OK, f"params: {PARAMS} is valid")


def _compute() -> params.TrainingCompute | None:
    """What params.yaml says of it; None if it cannot be read, which `settings` says."""
    try:
        return params.read(PARAMS).compute
    except BadInput:
        return None


def threads(root: Path) -> Check:
    """As many processors as compute.threads and compute.workers ask for; fewer are slow and nothing worse."""
    compute = _compute()
    if compute is None:
        return Check(NOTE, f"threads: not looked at, as {PARAMS} is not valid")
    wanted = compute.threads * compute.workers
    there = processes.processors()
    if wanted <= there:
        return Check(OK, f"threads: {wanted} on {there} processors")
    said = f"threads: params.yaml asks for {wanted}, but there are {there} processors, so it is slow"
    key, fitting = ("threads", there // compute.workers) if compute.workers <= there else ("workers", there)
    return Check(NOTE, said, f"dvc exp run -S compute.{key}={fitting}, which gives other last bits")


def device(root: Path) -> Check:
    """The device that params.yaml names."""
    compute = _compute()
    if compute is None:
        return Check(NOTE, f"device: not looked at, as {PARAMS} is not valid")
    if compute.device == "cpu":
        return Check(OK, "device: cpu")
    program = "import torch; print(torch.cuda.get_device_name())"
    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    if asked.returncode == 0:
        return Check(OK, f"device: cuda, {asked.stdout.strip()}")
    last = asked.stderr.strip().rpartition("\n")[2]
    return Check(
        WRONG, f"device: params.yaml asks for cuda: {last}", "install the driver, or set compute.device to cpu"
    )

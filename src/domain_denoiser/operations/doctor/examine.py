"""`denoise doctor`: what of the environment is not as the project needs it?"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from domain_denoiser.base.errors import BadInput
from domain_denoiser.base.secrets import masked
from domain_denoiser.operations.checks import WRONG, Check

Look = Callable[[Path], Check]


def checks(root: Path) -> Iterator[Check]:
    """Look at everything at once, and say it in a fixed order. Changes nothing; what does not answer is not waited for.

    root: the project's folder, which is the working directory.
    """
    from domain_denoiser.operations.doctor import machine, packages, repository, services

    looks: tuple[Look, ...] = (
        packages.python,
        packages.belongs,
        packages.installed,
        machine.disk,
        machine.memory,
        machine.writable,
        machine.notes,
        machine.settings,
        machine.threads,
        machine.device,
        repository.git,
        repository.identity,
        repository.lock,
        services.remote,
        services.tracking,
    )
    with ThreadPoolExecutor(len(looks)) as threads:
        yield from threads.map(lambda look: examined(look, root), looks)


def examined(look: Look, root: Path) -> Check:
    """Whatever fails while something is looked at is what is wrong with it: never a traceback."""
    try:
        return look(root)
    except BadInput as error:
        return Check(WRONG, f"{look.__name__}: {error}")
    except Exception as error:
        said = masked(" ".join(str(error).split()))[:300]
        return Check(WRONG, f"{look.__name__}: could not be looked at: {type(error).__name__}: {said}")

"""Files in a folder for temporary files, for what takes paths and no bytes."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def laid_out(files: Mapping[str, bytes]) -> Iterator[Path]:
    """A folder with these files (name -> content), as long as the block runs.

    Raises OSError, which names the file and TMPDIR, if there is no space for one.
    """
    with tempfile.TemporaryDirectory(prefix="denoise-") as name:
        for inside, content in files.items():
            path = Path(name, inside)
            try:
                path.write_bytes(content)
            except OSError as error:  # that of a full disk names no file
                said = f"{error.strerror} (TMPDIR chooses another folder for temporary files)"
                raise OSError(error.errno, said, str(path)) from error
        yield Path(name)

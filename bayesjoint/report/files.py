"""Writing files whole or not at all, and names that netCDF can hold."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SLASH = "%2F"


def write_whole(path: Path, write: Callable[[str], Any]) -> None:
    """Let `write` fill a file of a temporary name beside `path`, then rename it.

    When it fails or is interrupted, nothing is left behind and an old file at `path` stays as it was.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    try:
        write(temporary)
        os.chmod(temporary, 0o666 & ~_umask())  # a temporary file is born readable by its owner alone
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def without_slashes(idata: Any) -> Any:
    """A copy whose variables and axes are named without slashes (which NumPyro's scopes make)."""
    return _renamed(idata, "/", _SLASH)


def with_slashes(idata: Any) -> Any:
    """The inverse of `without_slashes`."""
    return _renamed(idata, _SLASH, "/")


def _renamed(idata: Any, old: str, new: str) -> Any:
    groups = {}
    for group in idata.groups():
        dataset = idata[group]
        names = [*dataset.variables, *(d for d in dataset.dims if d not in dataset.variables)]
        groups[group] = dataset.rename({n: str(n).replace(old, new) for n in names if old in str(n)})
    copy = type(idata)(**groups)
    copy.attrs = dict(idata.attrs)
    return copy

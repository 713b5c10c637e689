"""What a run has come to so far, in memory and in a file from which it can go on after it was killed.

A checkpoint is a flat dict of named arrays: the fit, and for each likelihood sampled (a "road" of `sampler.py`) its
coordinates, its compressed form and its chains. As a file it is NumPy's .npz, without pickles, so that reading it runs no
code. It is written under a temporary name and renamed: whenever the process dies, there is a whole file, of this moment or
of the one before.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
import time
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpyro

from bayesjoint.infer.space import Layout

Arrays = dict[str, np.ndarray]

FORMAT = 1
EVERY = 3.0  # seconds from one writing to the next, at least
SHARE = 0.02  # of the time, at most, is spent on writing
_SAME_DENSITY = 1e-6


class Checkpoint:
    """Named arrays that a run goes on from.

    Parameters
    ----------
    path : path, optional
        The file; without it, all is kept in memory alone.
    fingerprint : dict of str
        What the run is of; a file with another one is refused.
    known : dict of array
        What is known to begin with.

    Attributes
    ----------
    known : dict of array

    Raises
    ------
    ValueError
        For a file that is no checkpoint, or that of another run; says what to do.
    FileNotFoundError
        Where the folder does not exist.
    """

    def __init__(
        self,
        path: str | os.PathLike | None = None,
        fingerprint: Mapping[str, str] | None = None,
        known: Mapping[str, np.ndarray] | None = None,
    ):
        self.path = None if path is None else Path(path)
        self.fingerprint = dict(fingerprint or {})
        self.known: Arrays = dict(known or {})
        self._writing = threading.Lock()
        self._next = time.monotonic() + EVERY
        if self.path is None:
            return
        if not self.path.parent.is_dir():
            raise FileNotFoundError(
                f"the folder {str(self.path.parent)!r} of the checkpoint does not exist: make it, or choose another path"
            )
        if self.path.exists():
            self.known = _read(self.path)
            _check_same(self.path, self.known, self.fingerprint)

    def recall(self, part: str) -> Arrays:
        """The arrays of a part, without its name; empty where nothing is known of it."""
        start = f"{part}/"
        return {name.removeprefix(start): a for name, a in self.known.items() if name.startswith(start)}

    def note(self, part: str, arrays: Mapping[str, Any]) -> None:
        """Remember arrays of a part, and write them."""
        with self._writing:
            self._remember(part, arrays)

    def offer(self, part: str, make: Callable[[], Mapping[str, Any]]) -> None:
        """As `note`, where the last writing is long enough ago and no other thread is at it."""
        if self.path is None or time.monotonic() < self._next or not self._writing.acquire(blocking=False):
            return
        try:
            self._remember(part, make())
        finally:
            self._writing.release()

    def _remember(self, part: str, arrays: Mapping[str, Any]) -> None:
        self.known |= {f"{part}/{name}": np.asarray(array) for name, array in arrays.items()}
        if self.path is None:
            return
        began = time.monotonic()
        try:
            _write(self.path, pack({**self.known, "fingerprint": _as_text(self.fingerprint)}))
        except OSError as error:
            warnings.warn(
                f"the checkpoint {str(self.path)!r} could not be written ({error}); sampling goes on without it",
                stacklevel=2,
            )
        now = time.monotonic()
        self._next = now + max(EVERY, (now - began) / SHARE)

    def remove(self) -> None:
        """Remove the file of a run that is done."""
        if self.path is not None:
            remove_file(self.path)

    def check_density(self, log_posterior: float) -> None:
        """The program must have, at the fit, the log posterior that it had when the run began.

        Raises
        ------
        ValueError
            Where it has another.
        """
        before = self.recall("program")
        if not before:
            self.note("program", {"log_posterior": log_posterior})
            return
        value = float(before["log_posterior"])
        if abs(log_posterior - value) > _SAME_DENSITY * (1 + abs(value)):
            where = "the posterior" if self.path is None else f"the checkpoint {str(self.path)!r}"
            mend = "" if self.path is None else ", delete the file to start anew, or give another path"
            raise ValueError(
                f"{where} was made by another program: at the fit its log posterior was {value:.6f}, this program's is "
                f"{log_posterior:.6f}; give the same program (its priors too){mend}"
            )


def fingerprint(layout: Layout, args: tuple, settings: Mapping[str, Any]) -> dict[str, str]:
    """What makes a run the same run, as short texts: latents, images, further arguments, settings, versions."""
    from bayesjoint import __version__  # known once the package is imported

    images, *more = args
    pixels = [array for stack in images.stacks for array in (stack.data, stack.invvar, stack.whitening)]
    shapes = zip(layout.names, layout.shapes, strict=True)
    return {
        "latents": ", ".join(name + (f" {shape}" if shape else "") for name, shape in shapes),
        "images": ", ".join(f"{i.name} ({i.band}, {i.shape[1]}x{i.shape[0]})" for i in images),
        "the images' pixels": _hashed(pixels),
        "the images' PSFs and places": _hashed(images),
        "the program's further arguments": _hashed(more),
        **{name: str(value) for name, value in settings.items()},
        "versions": f"bayesjoint {__version__}, jax {jax.__version__}, numpyro {numpyro.__version__}, "
        f"numpy {np.__version__}",
        "device": jax.default_backend(),
    }


def _hashed(tree: Any) -> str:
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(jax.device_get(tree)):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def _check_same(path: Path, known: Arrays, wanted: dict[str, str]) -> None:
    found = json.loads(str(known.pop("fingerprint")))
    names = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
    hashes = ("the images' ", "the program's ")
    told = [
        f"{name} differ"
        if name.startswith(hashes)
        else f"{name} was {found.get(name)} and is {wanted.get(name)}"
        for name in names
    ]
    if names:
        raise ValueError(
            f"the checkpoint {str(path)!r} is of another run: {'; '.join(told)}. Give what it was begun with, delete the "
            "file to start anew, or give another path"
        )


def pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays as the bytes of an .npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, **{"format": np.array(FORMAT), **arrays})  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack(content: bytes) -> Arrays:
    """The arrays of `pack`.

    Raises
    ------
    ValueError
        For bytes that it did not make, or not all of them.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"no whole .npz file ({error})") from None
    written = arrays.pop("format", None)
    if written is None or int(written) != FORMAT:
        raise ValueError(f"format {written}, not {FORMAT}")
    return arrays


def _read(path: Path) -> Arrays:
    try:
        arrays = unpack(path.read_bytes())
        if "fingerprint" in arrays:
            return arrays
        reason = "it lacks a fingerprint"
    except ValueError as error:
        reason = str(error)
    raise ValueError(
        f"{str(path)!r} is not a checkpoint that bayesjoint can read: {reason}. Delete it, or give another path"
    )


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, kept by the disk before it takes its name."""
    temporary = _temporary(path)
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def remove_file(path: Path) -> None:
    """Remove a checkpoint, and what a killed writing may have left of it."""
    path.unlink(missing_ok=True)
    _temporary(path).unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _as_text(values: Mapping[str, Any]) -> np.ndarray:
    return np.array(json.dumps(dict(values)))

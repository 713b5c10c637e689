"""JAX's compilation cache on disk: what one process compiled, the next one loads."""

from __future__ import annotations

import os
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

LEAST_SECONDS = 0.1


def enable_compilation_cache(directory: str | os.PathLike | None = None) -> Path:
    """Keep compiled programs on disk, for later processes with images of the same sizes.

    Call it before the first fit: programs compiled earlier are not kept.

    Parameters
    ----------
    directory : path, optional
        Where to keep them; default $JAX_COMPILATION_CACHE_DIR where that is set, else `bayesjoint/jax` in
        $XDG_CACHE_HOME or ~/.cache. It is made when missing, and may be deleted at any time.

    Returns
    -------
    Path

    Raises
    ------
    OSError
        When the folder cannot be made or written.

    Examples
    --------
    >>> import tempfile
    >>> before = jax.config.jax_compilation_cache_dir
    >>> folder = enable_compilation_cache(tempfile.mkdtemp())
    >>> folder.is_dir()
    True
    >>> jax.config.update("jax_compilation_cache_dir", before)
    """
    folder = Path(directory).expanduser() if directory is not None else _default_folder()
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"the folder {str(folder)!r} cannot be written: give another one as directory=")
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    compilation_cache.reset_cache()  # JAX settles at the first compilation whether there is a cache
    return folder


def _default_folder() -> Path:
    if given := os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return Path(given).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(caches).expanduser() / "bayesjoint" / "jax"

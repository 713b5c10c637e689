"""How programs are compiled: quickly, and kept on disk, so that what one process compiled the next one loads."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any

import jax
from jax.core import Tracer
from jax.errors import JaxRuntimeError
from jax.experimental.compilation_cache import compilation_cache

LEAST_SECONDS = 0.1
# values of TF_CPP_MIN_LOG_LEVEL: what JAX sets where it is not set, and what this package does
_NOBODYS_CHOICE = "1", "3"


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
    _hush_false_alarms()
    return folder


def _hush_false_alarms() -> None:
    """Hide what XLA reports, wrongly, of each program that it loads on some processors (openxla/xla#44565).

    The package asks for that when it is imported, which is too late where JAX was imported before.
    """
    config: Any = jax.config
    is_free = os.environ.get("TF_CPP_MIN_LOG_LEVEL") in _NOBODYS_CHOICE
    if is_free and config.jax_logging_level in (None, "NOTSET"):
        for level in ("CRITICAL", "NOTSET"):  # XLA keeps the first, JAX's own loggers the second
            jax.config.update("jax_logging_level", level)


def _default_folder() -> Path:
    if given := os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return Path(given).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(caches).expanduser() / "bayesjoint" / "jax"


@cache
def compiler_options() -> dict[str, Any]:
    """Options for `jax.jit` under which programs of this package compile in half the time, and run as fast.

    On CPUs XLA makes every fused loop by way of a tower of intermediate languages; its older way is twice as quick for
    programs of many small steps. Elsewhere, and where XLA no longer knows it, there are no options.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> square = jax.jit(lambda x: x**2, compiler_options=compiler_options())
    >>> print(square(jnp.array(3.0)))
    9.0
    """
    options = {"xla_cpu_use_fusion_emitters": False}
    if jax.default_backend() != "cpu":
        return {}
    try:
        jax.jit(lambda x: x, compiler_options=options).lower(0.0).compile()
    except JaxRuntimeError:
        return {}
    return options


def quick_jit(function: Callable[..., Any], *, static_argnames: Any = ()) -> Callable[..., Any]:
    """`jax.jit` with `compiler_options`; part of a larger program where it is called from one."""
    nested = jax.jit(function, static_argnames=static_argnames)

    @cache
    def alone():
        return jax.jit(function, static_argnames=static_argnames, compiler_options=compiler_options())

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        is_traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((args, kwargs)))
        return (nested if is_traced else alone())(*args, **kwargs)

    return call

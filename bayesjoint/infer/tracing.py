"""What a program does that cannot be compiled, in one sentence."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax

from bayesjoint.model.observe import PIXEL_SITE

_UNTRACEABLE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)


@contextmanager
def plain_words(program: Callable[..., Any]) -> Iterator[None]:
    """Raise ValueError, in one sentence, for what JAX and NumPyro say of a program that cannot be compiled."""
    label = getattr(program, "__name__", repr(program))
    try:
        yield
    except _UNTRACEABLE as error:
        raise ValueError(
            f"the program {label!r} cannot be compiled, because a shape or a branch depends on values"
            f"{_where(program, error)}: use jnp.where in place of `if`, weights in place of a selection, and prepare what "
            "follows from the data alone outside of it, as a further argument"
        ) from error
    except AssertionError as error:
        if "unique names" not in str(error):
            raise
        name = str(error).split("`")[1] if "`" in str(error) else "?"
        advice = "give each site a name of its own"
        if name.startswith(PIXEL_SITE):
            advice = "images are observed once, by one bj.observe with all the components of light"
        raise ValueError(f"the program {label!r} has two sites {name!r}: {advice}") from error


def _where(program: Callable[..., Any], error: Exception) -> str:
    """The last line of the program's own file on the way to an error."""
    code = getattr(program, "__code__", None)
    lines = [
        f
        for f in traceback.extract_tb(error.__traceback__)
        if code is not None and f.filename == code.co_filename
    ]
    return f" (line {lines[-1].lineno}: {lines[-1].line})" if lines else ""

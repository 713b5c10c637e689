"""Numbers given to a component of light: what is no plain number is refused in words."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.core import Tracer


def check_plain(owner: str, name: str, value: Any, unit: str) -> None:
    """Raise TypeError for strings, and for quantities with a unit: these would lose it without a word."""
    if isinstance(value, str | bytes):
        raise TypeError(f"{owner}: {name} must be a number{unit and f' ({unit})'}, got {value!r}")
    if hasattr(value, "unit") and hasattr(value, "to_value"):
        raise TypeError(
            f"{owner}: {name} must be a plain number in {unit}, got {value!r} with a unit: "
            f"give {name}.to_value({unit!r})"
        )
    if isinstance(value, tuple | list):
        for part in value:
            check_plain(owner, name, part, unit)


def check_range(owner: str, name: str, value: Any, low: float, high: float, open_below: bool = False) -> None:
    """Raise ValueError when a concrete number lies outside [low, high], or (low, high] if `open_below`."""
    if not isinstance(value, int | float | np.ndarray | np.number | jax.Array) or isinstance(value, Tracer):
        return
    below = np.asarray(value) <= low if open_below else np.asarray(value) < low
    if np.any(below | (np.asarray(value) > high) | ~np.isfinite(value)):
        bracket = "(" if open_below else "["
        raise ValueError(f"{owner}: {name} must lie in {bracket}{low:g}, {high:g}], got {value}")

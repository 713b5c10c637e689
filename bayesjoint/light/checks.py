"""Numbers given to a component of light: what is no plain, finite number in its range is refused in words."""

from __future__ import annotations

import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

PAIRS = ("centre", "offset", "gradient")


def check_plain(owner: str, name: str, value: Any, unit: str) -> None:
    """Raise TypeError for what is no number, and for quantities with a unit: these would lose it without a word."""
    if hasattr(value, "unit") and hasattr(value, "to_value"):
        raise TypeError(
            f"{owner}: {name} must be a plain number in {unit}, got {value!r} with a unit: "
            f"give {name}.to_value({unit!r})"
        )
    if hasattr(value, "separation") and hasattr(value, "frame"):
        raise TypeError(
            f"{owner}: {name} must be plain numbers in {unit}, got a {type(value).__name__}: "
            "give image.frame.offsets(coord.ra.deg, coord.dec.deg)"
        )
    if isinstance(value, tuple | list):
        for part in value:
            check_plain(owner, name, part, unit)
        return
    kind = getattr(getattr(value, "dtype", None), "kind", "f")
    is_number = isinstance(value, numbers.Real) or hasattr(value, "dtype")
    if isinstance(value, bool) or not is_number or kind not in "fiuV":
        raise TypeError(f"{owner}: {name} must be a number{unit and f' ({unit})'}, got {value!r}")


def check_range(owner: str, name: str, value: Any, low: float, high: float, open_below: bool = False) -> None:
    """Raise ValueError when a concrete number is not finite or outside [low, high], or (low, high] if `open_below`."""
    if not isinstance(value, numbers.Real | np.ndarray | jax.Array) or isinstance(value, Tracer):
        return
    given = np.asarray(value, float)
    below = given <= low if open_below else given < low
    if not np.any(below | (given > high) | ~np.isfinite(given)):
        return
    if np.isinf(low) and np.isinf(high):
        raise ValueError(f"{owner}: {name} must be finite, got {value}")
    brackets = "(" if open_below else "[", ")" if np.isinf(high) else "]"
    raise ValueError(f"{owner}: {name} must lie in {brackets[0]}{low:g}, {high:g}{brackets[1]}, got {value}")


def take_numbers(component: Any, **units: str) -> None:
    """Check the parameters of a component, `units` says which, and make arrays of those given as tuples or lists."""
    owner = type(component).__name__
    for name, unit in units.items():
        value = getattr(component, name)
        check_plain(owner, name, value, unit)
        axes = component.events.get(name, 0)
        if isinstance(value, tuple | list):
            value = as_array(owner, name, value, columns=axes == 1)
            object.__setattr__(component, name, value)
        if np.ndim(value) < axes or (name in PAIRS and np.shape(value)[-1] != 2):
            wanted = "a vector" if axes == 1 else f"an array of {axes} axes"
            wanted = "a pair (east, north) in its last axis" if name in PAIRS else wanted
            raise ValueError(f"{owner}: {name} must be {wanted}, got shape {np.shape(value)}")
        check_range(owner, name, value, *_range_of(component, name))


def _range_of(component: Any, name: str) -> tuple[float, float, bool]:
    """Ends of the range of a parameter, and whether the lower one is not in it."""
    if name in getattr(component, "limits", {}):
        return *component.limits[name], False
    is_positive = name in ("q", getattr(component, "radius", ""), *getattr(component, "positive", ()))
    return (0.0, 1.0 if name == "q" else np.inf, True) if is_positive else (-np.inf, np.inf, False)


def as_array(owner: str, name: str, values: Any, columns: bool) -> jax.Array:
    """An array of a tuple or list: of numbers, of rows (tuples or lists), or of columns (arrays).

    Where `columns`, arrays are one for each entry of a vector: that entry's value for each band, say. Arrays of two
    numbers may be pairs, rows of (east, north), as well: three or more are, and two are refused.
    """
    has_rows = any(isinstance(part, tuple | list) for part in values)
    parts = [jnp.asarray(part, float) for part in values]
    shapes = [part.shape for part in parts]
    if not parts or len(set(shapes)) > 1:
        raise ValueError(
            f"{owner}: {name} must be numbers, or rows or arrays of one length, got {len(parts)} entries of shapes "
            f"{', '.join(map(str, shapes))}"
        )
    are_pairs = name in PAIRS and shapes[0] == (2,)
    if are_pairs and len(parts) == 2 and not has_rows:
        raise ValueError(
            f"{owner}: {name} is two arrays of two numbers each, which may be two pairs or two columns: give an array, "
            "jnp.stack(pairs) or jnp.stack([east, north], axis=-1)"
        )
    is_columns = columns and not has_rows and not are_pairs and shapes[0] != ()
    return jnp.stack(parts, axis=-1 if is_columns else 0)

"""What a program reports of many sources, row by row under names of their own.

Hundreds of sites are slow to trace and to compile. Where a program is recorded only (`RecordLight`) rows stay together, and
get their names in the end, on the host; in NumPyro's own eyes each is a deterministic site.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax import lax
from numpyro.primitives import apply_stack


@partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["names", "event_ndim"])
@dataclass(frozen=True, eq=False)
class Rows:
    """Values (..., rows, *event) of `event_ndim` axes after that of the rows, each of which has a name."""

    values: Any
    names: tuple[str, ...]
    event_ndim: int


def deterministic_rows(names: Sequence[str], values: Any) -> None:
    """`numpyro.deterministic` of each row of values (rows, *event), under its own name."""
    if not names:
        return
    values = jnp.asarray(values)
    rows = Rows(values, tuple(names), values.ndim - 1)
    apply_stack({"type": "rows", "fn": _one_by_one, "args": (rows,), "kwargs": {}, "value": None})


def _one_by_one(rows: Rows) -> Rows:
    for i, name in enumerate(rows.names):
        numpyro.deterministic(name, lax.index_in_dim(rows.values, i, keepdims=False))
    return rows


def by_name(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by site, those of rows each under its own name.

    Examples
    --------
    >>> by_name({"a": 1.0, "rows": Rows(np.array([[2.0, 3.0], [4.0, 5.0]]), ("b", "c"), 0)})
    {'a': 1.0, 'b': array([2., 4.]), 'c': array([3., 5.])}
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Rows):
            rows = np.moveaxis(np.asarray(value.values), -1 - value.event_ndim, 0)
            found |= dict(zip(value.names, rows, strict=True))
        else:
            found[name] = value
    return found

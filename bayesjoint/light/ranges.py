"""Values that programs give to parameters: which lie in their range, and what is drawn in place of those that do not.

No one can refuse them, for they are known only when the compiled program runs. `observe` gives such a program a log
density of minus infinity; that its slopes are finite takes light that is finite, whatever the values.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from bayesjoint.light.pytree import owner_of

LEAST, MOST = 1e-8, 1e12  # beyond them squares and products of a few parameters leave single precision
FARTHEST = 1e6  # arcsec: the tangent plane is no map of the sky there


def range_of(owner: Any, name: str) -> tuple[float, float]:
    """The range of a parameter of `owner`, ends included."""
    if name in getattr(owner, "limits", {}):
        low, high = owner.limits[name]
        return max(low, -MOST), min(high, MOST)
    if name == "q":
        return LEAST, 1.0
    if name == getattr(owner, "radius", "") or name in getattr(owner, "positive", ()):
        return LEAST, MOST
    return (-FARTHEST, FARTHEST) if name in ("centre", "offset") else (-MOST, MOST)


def all_inside(component: Any) -> jax.Array:
    """Whether all parameters of a component, and of what it holds, are finite and lie in their ranges."""
    inside = []
    for path, leaf in jax.tree_util.tree_flatten_with_path(component)[0]:
        low, high = range_of(owner_of(component, path), path[-1].name)
        inside.append(jnp.all((jnp.asarray(leaf) >= low) & (jnp.asarray(leaf) <= high)))
    return jnp.all(jnp.stack(inside))


def hold(leaves: list[jax.Array], ranges: list[tuple[Any, Any]]) -> tuple[list[jax.Array], jax.Array]:
    """Values in their ranges as they are, others at the nearest end (1 or 0 where that is far away); and whether all are.

    Parameters
    ----------
    leaves : list of array
        Of one dtype.
    ranges : list of (low, high)
        Scalars, or arrays that broadcast against the leaf.
    """
    vector = jnp.concatenate([jnp.ravel(leaf) for leaf in leaves])
    low, high = (
        np.concatenate(
            [np.broadcast_to(end, leaf.shape).ravel() for leaf, end in zip(leaves, ends, strict=True)]
        )
        for ends in zip(*ranges, strict=True)
    )
    usual = np.where(low > 0, 1.0, 0.0)
    below = np.where((low == -MOST) | (low == LEAST) | (low == -FARTHEST), usual, low)
    above = np.where((high == MOST) | (high == FARTHEST), usual, high)
    low, high, below, above = (jnp.asarray(ends, vector.dtype) for ends in (low, high, below, above))
    inside = jnp.all((vector >= low) & (vector <= high))
    vector = jnp.where(vector > high, above, jnp.where(vector >= low, vector, below))
    pieces = jnp.split(vector, np.cumsum([leaf.size for leaf in leaves])[:-1])
    return [piece.reshape(leaf.shape) for piece, leaf in zip(pieces, leaves, strict=True)], inside


def hold_traced(names: list[str], leaves: list[jax.Array], ranges: list[tuple[Any, Any]]) -> tuple[list, Any]:
    """As `hold`, of values known only when a compiled program runs; others out of range raise ValueError, by name."""
    for name, leaf, (low, high) in zip(names, leaves, ranges, strict=True):
        if isinstance(leaf, Tracer):
            continue
        value, slack = np.asarray(leaf), 4 * np.finfo(leaf.dtype).eps
        if not np.all((value >= low - slack * abs(low)) & (value <= high + slack * abs(high))):
            raise ValueError(
                f"{name} must lie in [{np.max(low):g}, {np.min(high):g}] to be drawn, got {value}"
            )
    traced = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tracer)]
    if not traced:
        return leaves, np.asarray(True)
    held, inside = hold([leaves[i] for i in traced], [ranges[i] for i in traced])
    leaves = leaves.copy()
    for i, leaf in zip(traced, held, strict=True):
        leaves[i] = leaf
    return leaves, inside

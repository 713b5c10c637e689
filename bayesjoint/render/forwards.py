"""Derivatives of functions of few parameters, found forwards whichever way they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree


def forwards(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A function of (moving, still), of which only the first counts as far as derivatives go, by its whole Jacobian.

    Where many small steps lead from a few numbers to some hundreds, their transposes would be as many small programs again,
    and keep what they need of every step. All columns of the Jacobian at once are neither; the transpose is one product.
    Differentiable to any order.
    """

    @jax.custom_jvp
    def given(moving, still):
        return function(moving, still)

    @given.defjvp
    def along(primals, tangents):
        (moving, still), (move, _) = primals, tangents
        flat, unravel = ravel_pytree(moving)

        def column(direction):
            return jax.jvp(lambda flat: function(unravel(flat), still), (flat,), (direction,))

        value, columns = jax.vmap(column, out_axes=(None, 0))(jnp.eye(flat.size, dtype=flat.dtype))
        step, _ = ravel_pytree(move)
        return value, jax.tree.map(lambda c: jnp.tensordot(step, c, 1, precision="highest"), columns)

    return given

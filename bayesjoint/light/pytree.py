"""Profiles as pytrees: their parameters are leaves, by name; what JAX puts in their place is not checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax


def parameters_are(*names: str, static: tuple[str, ...] = ()) -> Callable[[type], type]:
    """Class decorator: a frozen dataclass becomes a pytree with leaves `names`; `name` and `static` are constants.

    Unlike `jax.tree_util.register_dataclass` it does not call the constructor when JAX rebuilds an object, so that
    one of gradients, or of shapes, may hold what the constructor would refuse.
    """

    constants = ("name", *static)

    def register(cls: type) -> type:
        def flatten(profile) -> tuple[tuple, Any]:
            values, fixed = (tuple(getattr(profile, n) for n in group) for group in (names, constants))
            return values, fixed

        def flatten_with_keys(profile) -> tuple[tuple, Any]:
            values, fixed = flatten(profile)
            return tuple(zip(map(jax.tree_util.GetAttrKey, names), values, strict=True)), fixed

        def unflatten(fixed, values):
            new = object.__new__(cls)
            for name, value in zip((*names, *constants), (*values, *fixed), strict=True):
                object.__setattr__(new, name, value)
            return new

        jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
        return cls

    return register

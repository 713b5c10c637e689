"""Profiles as pytrees: their parameters are leaves, by name; what JAX puts in their place is not checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax


def parameters_are(*names: str) -> Callable[[type], type]:
    """Class decorator: a frozen dataclass becomes a pytree with leaves `names`, its `name` static.

    Unlike `jax.tree_util.register_dataclass` it does not call the constructor when JAX rebuilds an object, so that
    one of gradients, or of shapes, may hold what the constructor would refuse.
    """

    def register(cls: type) -> type:
        def flatten(profile) -> tuple[tuple, Any]:
            return tuple(getattr(profile, name) for name in names), profile.name

        def flatten_with_keys(profile) -> tuple[tuple, Any]:
            values, static = flatten(profile)
            return tuple(zip(map(jax.tree_util.GetAttrKey, names), values, strict=True)), static

        def unflatten(static, values):
            new = object.__new__(cls)
            for name, value in (*zip(names, values, strict=True), ("name", static)):
                object.__setattr__(new, name, value)
            return new

        jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
        return cls

    return register

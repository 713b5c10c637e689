"""Profiles as pytrees: their parameters are leaves, by name; JAX may put in their place what a constructor would refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def parameters_are(*names: str, static: tuple[str, ...] = ("name",)) -> Callable[[type], type]:
    """Class decorator: a frozen dataclass becomes a pytree with leaves `names`, other fields static (hashable).

    Unlike `jax.tree_util.register_dataclass` it does not call the constructor when JAX rebuilds an object, so that
    one of gradients, or of shapes, may hold what the constructor would refuse.
    """

    def register(cls: type) -> type:
        def flatten(profile) -> tuple[tuple, Any]:
            return tuple(getattr(profile, n) for n in names), tuple(getattr(profile, n) for n in static)

        def flatten_with_keys(profile) -> tuple[tuple, Any]:
            values, constants = flatten(profile)
            return tuple(zip(map(jax.tree_util.GetAttrKey, names), values, strict=True)), constants

        def unflatten(constants, values):
            new = object.__new__(cls)
            for name, value in zip((*names, *static), (*values, *constants), strict=True):
                object.__setattr__(new, name, value)
            return new

        cls.parameters = names  # type: ignore[attr-defined]
        jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
        return cls

    return register


def owner_of(components: Any, path) -> Any:
    """The object, among components and what they hold, that has the parameter at the end of a path."""
    for key in path[:-1]:
        components = components[key.idx] if hasattr(key, "idx") else getattr(components, key.name)
    return components


def event_axes(components: Any, path) -> int:
    """How many axes a parameter has of its own, that over the sources of a `Windowed` among them."""
    owners = [owner_of(components, path[:i]) for i in range(1, len(path) + 1)]
    plates = sum(getattr(owner, "is_plate", False) for owner in owners)
    return plates + getattr(owners[-1], "events", {}).get(path[-1].name, 0)


def for_each(function: Callable[..., jax.Array], component: Any, *along: jax.Array) -> jax.Array:
    """A function of a component with parameters of one image, of one whose parameters may have a leading axis.

    With arrays `along`, whose first axis is that one, also of these.
    """
    paths, treedef = jax.tree_util.tree_flatten_with_path(component)
    leaves = [jnp.asarray(leaf, jnp.result_type(float)) for _, leaf in paths]
    axes = [
        0 if leaf.ndim > event_axes(component, path) else None
        for (path, _), leaf in zip(paths, leaves, strict=True)
    ]

    def one(leaves, along):
        return function(jax.tree.unflatten(treedef, leaves), *along)

    return (
        jax.vmap(one, in_axes=(axes, 0))(leaves, along) if any(a == 0 for a in axes) else one(leaves, along)
    )

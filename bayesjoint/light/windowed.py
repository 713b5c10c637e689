"""Many small sources in one image: each is drawn in a window of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from bayesjoint.light.point import PointSource
from bayesjoint.light.profile import Profile
from bayesjoint.light.pytree import event_axes, parameters_are
from bayesjoint.light.ranges import all_inside


@parameters_are("sources", "places", static=("window",))
@dataclass(frozen=True, eq=False)
class Windowed:
    """Sources of one kind, all small, drawn in windows about them: the cost of each is that of its window.

    Their light ends where the window does. Images must have windows: `images.with_windows(12.0)`, arcsec.

    Parameters
    ----------
    sources : profile or PointSource
        Its parameters have an axis over the sources, before their own and after that of bands or images. What lacks it is
        the same for all, but for the centre, which must have it: (sources, 2).
    window : int
        Which of the images' windows, by number; a constant of the program.
    places : array (sources, 2), optional
        What the windows are about, arcsec; no parameter of the light. Where it is not given each window follows its source
        from pixel to pixel, and what the window cuts off jumps as it does.

    Examples
    --------
    >>> from bayesjoint.light.sersic import Sersic
    >>> centres = jnp.array([[0.0, 3.0], [2.0, -4.0]])
    >>> pair = Windowed(Sersic(centres, q=jnp.array([0.5, 0.8]), pa=30.0, n=1.0, Re=0.5, Ie=10.0))
    >>> print(pair.flux.shape, pair.sources.Re)
    (2,) [0.5 0.5]
    """

    sources: Any
    window: int = 0
    places: Any = None

    amplitude: ClassVar[str] = ""
    events: ClassVar[Mapping[str, int]] = {"places": 1}
    is_plate: ClassVar[bool] = True

    def __post_init__(self):
        if not isinstance(self.sources, Profile | PointSource):
            raise TypeError(
                f"Windowed wants a profile or PointSource with an axis over sources, got {type(self.sources).__name__}"
            )
        paths, treedef = jax.tree_util.tree_flatten_with_path(self.sources)
        centre = next(jnp.asarray(leaf) for path, leaf in paths if path[-1].name == "centre")
        if centre.ndim < 2:
            raise ValueError(f"Windowed: centre must be (sources, 2), got shape {centre.shape}")
        if isinstance(self.window, bool) or not isinstance(self.window, int) or self.window < 0:
            raise ValueError(f"Windowed: window must be a whole number from 0 on, got {self.window!r}")
        count, leaves = centre.shape[-2], []
        for path, leaf in paths:
            leaf, own = jnp.asarray(leaf, jnp.result_type(float)), event_axes(self.sources, path)
            if leaf.ndim > own and leaf.shape[leaf.ndim - own - 1] != count:
                raise ValueError(
                    f"Windowed: {path[-1].name} must have one value for each of the {count} centres, got shape {leaf.shape}"
                )
            leaves.append(jnp.broadcast_to(leaf, (count, *leaf.shape)) if leaf.ndim == own else leaf)
        object.__setattr__(self, "sources", treedef.unflatten(leaves))
        if self.places is not None:
            places = jax.lax.stop_gradient(jnp.asarray(self.places, jnp.result_type(float)))
            if places.shape != (count, 2):
                raise ValueError(f"Windowed: places must be ({count}, 2), got shape {places.shape}")
            object.__setattr__(self, "places", places)

    @property
    def name(self) -> str:
        """That of the sources, or their class in small letters."""
        return self.sources.name or type(self.sources).__name__.lower()

    @property
    def kind(self) -> Any:
        """That of the sources."""
        return WindowedKind(getattr(self.sources, "kind", None), self.window)

    @property
    def flux(self) -> jax.Array:
        """Total flux of each source, nJy."""
        paths, treedef = jax.tree_util.tree_flatten_with_path(self.sources)
        own = [event_axes(self.sources, path) for path, _ in paths]
        leaves = [jnp.asarray(leaf) for _, leaf in paths]
        most = max(leaf.ndim - axes for leaf, axes in zip(leaves, own, strict=True))
        # what has no axis of bands gets one of length 1
        leaves = [
            leaf.reshape((1,) * (most + axes - leaf.ndim) + leaf.shape)
            for leaf, axes in zip(leaves, own, strict=True)
        ]
        return jnp.asarray(treedef.unflatten(leaves).flux)

    @property
    def in_range(self) -> jax.Array:
        """Whether all parameters lie in their ranges."""
        return all_inside(self) & (self.sources.in_range if isinstance(self.sources, Profile) else True)

    @property
    def shape_parts(self) -> tuple:
        """The parameters on which the sources' forms depend."""
        return self.sources.shape_parts if isinstance(self.sources, Profile) else ()


@dataclass(frozen=True)
class WindowedKind:
    """The `Kind` of each source, None for points, and the number of the windows."""

    inner: Any
    window: int

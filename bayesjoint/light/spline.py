"""A free radial profile: brightness at chosen radii, and a smooth curve through them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.light.panels import Panels
from bayesjoint.light.pytree import parameters_are
from bayesjoint.light.radial import NumericalKind, NumericalProfile

_INNERMOST = 2.0**-14  # of the last radius: inside it no wave number of the tables turns J0 far
_TAIL = 1 + 2.0 ** np.arange(
    -8, 6
)  # edges of the panels beyond the last knot, for falls by e^1 to e^500 a last radius


@parameters_are("centre", "q", "pa", "intensity", static=("name", "radii"))
@dataclass(frozen=True, eq=False)
class Spline(NumericalProfile):
    """Elliptical light of a free, positive radial profile.

    ln I is the natural cubic spline in ln(r + radii[0]) through ln(intensity) at `radii`; beyond the last it is linear in r
    with the slope that the spline has there, or -1/radii[-1] where that is shallower. It has no parameter in which alone
    the light is linear.

    Any parameter but `radii` may carry a leading axis over the bands, or over the images, of the set it is rendered on.

    Parameters
    ----------
    centre, q, pa
        As those of `Sersic`.
    radii : sequence of float
        Semi-major radii of the K knots, arcsec: 3 or more, increasing; plain numbers, constants of compiled programs.
    intensity : array (K,)
        Surface brightness there, nJy/arcsec^2, positive.
    name : str, optional
        Names the source's derived sites.

    Raises
    ------
    ValueError
        For radii that do not increase, or intensities that are not as many, or not positive.
        Inside a compiled program `observe` gives minus infinity for values out of range.

    References
    ----------
    Natural cubic splines: de Boor 1978, A Practical Guide to Splines, ch. 4.

    Examples
    --------
    >>> galaxy = Spline((0.0, 0.0), q=1.0, pa=0.0, radii=[1.0, 3.0, 7.0], intensity=[16.0, 4.0, 1.0])
    >>> print(f"{galaxy.radial_brightness(7.0):.3f} {galaxy.brightness(jnp.zeros(1), jnp.zeros(1))[0]:.3f}")
    1.000 64.000
    """

    centre: Any
    q: Any
    pa: Any
    radii: Any
    intensity: Any
    name: str | None = None

    amplitude: ClassVar[str] = ""
    radius: ClassVar[str] = ""
    shape: ClassVar[tuple[str, ...]] = ("intensity",)
    positive: ClassVar[tuple[str, ...]] = ("intensity",)
    events: ClassVar[Mapping[str, int]] = {"centre": 1, "intensity": 1}

    def __post_init__(self):
        super().__post_init__()
        radii = tuple(np.asarray(self.radii, float).ravel().tolist())
        object.__setattr__(self, "radii", radii)
        if len(radii) < 3 or radii[0] <= 0 or not all(a < b < np.inf for a, b in pairwise(radii)):
            raise ValueError(f"Spline: radii must be 3 or more, positive and increasing, got {radii}")
        if jnp.shape(self.intensity)[-1:] != (len(radii),):
            shape = jnp.shape(self.intensity)
            raise ValueError(
                f"Spline: intensity must have one value at each of {len(radii)} radii, got shape {shape}"
            )

    @property
    def unit(self) -> float:
        """Unit of radius: the last of `radii`, arcsec."""
        return self.radii[-1]

    @property
    def kind(self) -> NumericalKind:
        """The `Kind` of all splines through knots at these radii, in units of the last."""
        knots = tuple(radius / self.radii[-1] for radius in self.radii)
        return NumericalKind(SplineForm(knots), _panels_between(knots))

    @property
    def brightness_scale(self) -> float:
        """The form is the brightness itself."""
        return 1.0


@dataclass(frozen=True)
class SplineForm:
    """Brightness at radius x from that at `knots`, increasing to 1."""

    knots: tuple[float, ...]

    def __call__(self, x, *intensity: Any) -> jax.Array:
        ends, to_cubics = _cubics(self.knots)
        log_i = jnp.log(jnp.stack(intensity))
        cubics = jnp.matmul(jnp.asarray(to_cubics, log_i.dtype), log_i, precision="highest").astype(x.dtype)
        within = jnp.minimum(x, 1.0)
        u = jnp.log(within + self.knots[0])
        starts = jnp.asarray(ends[:-1], x.dtype)
        cell = sum((u >= start).astype(jnp.int32) for start in starts[1:])
        along = u - starts[cell]
        c0, c1, c2, c3 = jnp.moveaxis(cubics[cell], -1, 0)
        width = float(ends[-1] - ends[-2])
        _, b1, b2, b3 = cubics[-1]
        fall = jnp.minimum((b1 + width * (2 * b2 + width * 3 * b3)) / (1 + self.knots[0]), -1.0)
        return jnp.exp(c0 + along * (c1 + along * (c2 + along * c3)) + fall * (x - within))


@cache
def _cubics(knots: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Ends (K + 1,) in u = ln(x + first knot) of all cubics, and the matrix (K, 4, K) that makes them of values at knots.

    In powers of the distance from a cell's start. The first cell, from x = 0 to the first knot, is linear.
    """
    u = np.log(np.array(knots) + knots[0])
    count, h = len(u), np.diff(u)
    slope = (np.eye(count)[1:] - np.eye(count)[:-1]) / h[:, None]
    # second derivatives: continuous first ones inside, 0 at the ends
    system = np.diag((h[:-1] + h[1:]) / 3) + np.diag(h[1:-1] / 6, 1) + np.diag(h[1:-1] / 6, -1)
    bent = np.zeros((count, count))
    bent[1:-1] = np.linalg.solve(system, slope[1:] - slope[:-1])
    first = slope - h[:, None] * (2 * bent[:-1] + bent[1:]) / 6
    cells = np.stack(
        [np.eye(count)[:-1], first, bent[:-1] / 2, np.diff(bent, axis=0) / (6 * h[:, None])], axis=1
    )
    inner = np.stack([np.eye(count)[0] - np.log(2.0) * first[0], first[0], *np.zeros((2, count))])
    return np.append(u[0] - np.log(2.0), u), np.concatenate([inner[None], cells])


@cache
def _panels_between(knots: tuple[float, ...]) -> Panels:
    """Panels with edges at all knots, where the third derivative jumps, each at most twice as far as it begins."""
    edges = [0.0, min(_INNERMOST, knots[0])]
    for knot in knots:
        count = int(np.ceil(np.log2(knot / edges[-1]) - 1e-9))
        edges += np.geomspace(edges[-1], knot, count + 1)[1:].tolist() if count > 0 else []
    return Panels((*edges[:-1], 1.0, *_TAIL.tolist()))

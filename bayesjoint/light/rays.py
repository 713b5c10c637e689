"""Forms along rays, at radii in units of that at which the innermost form of a modified one has its own radius 1.

There some profiles end, as sharply as a square root: no circles even in ln r could hold it. On panels that are crowded
towards it, on each ray, the form is a polynomial, whose harmonics in ln r are known (as in ``panels.py``). The curve of
growth is that of the rays, one by one, too.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from bayesjoint.light.log_hankel import Grid
from bayesjoint.light.panels import Panels, fraction_within, nodes

GRID = Grid(-24, 12, 4096)  # for forms that end at 1: finer than for others, and over fewer octaves
_CENTRE = -20  # octave inside which light is put on the centre
_CROWDED = 16  # panels below 1, each half as wide as the one before
_FINE = 3  # panels an octave where the light may end softly
_ORDER = 12
_STEPS = 6  # of Newton's method, towards the end on each ray
_BISECTIONS = 45


@cache
def ending() -> Panels:
    """Panels for forms that end at 1."""
    inner, fine = 2.0 ** np.arange(-26, -6, 2), 2.0 ** (np.arange(-6 * _FINE, -_FINE) / _FINE)
    return Panels((*inner, *fine, *(1 - 2.0 ** -np.arange(1, _CROWDED + 1)), 1.0), len(inner))


@cache
def endless() -> Panels:
    """Panels for all others."""
    inner, fine = 2.0 ** np.arange(-28, -8, 4), 2.0 ** (np.arange(-8 * _FINE, 8 * _FINE) / _FINE)
    return Panels((*inner, *fine, *2.0 ** np.arange(8, 25)), len(inner))


@cache
def to_waves() -> np.ndarray:
    """From a form's values at the nodes of `ending` to the harmonics of r times it: complex (harmonics, nodes).

    The innermost light is tapered off, lest the ends of the period differ; the highest harmonics, lest they end abruptly.
    """
    omega, edges = GRID.omega, np.array(ending().edges)
    start = GRID.lowest * np.log(2)
    columns = []
    for i, (first, last) in enumerate(pairwise(edges)):
        t, w = special.roots_legendre(16 + int(0.6 * omega[-1] * np.log(last / first)))
        if i < ending().inner:
            x = first * (last / first) ** ((t + 1) / 2)
            speed = 0.5 * np.log(last / first) * x
        else:
            x, speed = first + (t + 1) * (last - first) / 2, np.full(len(t), (last - first) / 2)
        wave = np.exp(-1j * omega[:, None] * (np.log(x) - start))
        columns.append((wave * (w * speed * _kept(x))) @ _basis(t))
    highest = 0.5 * special.erfc((omega / omega[-1] - 0.8) / 0.06)
    return highest[:, None] * np.concatenate(columns, axis=1) / (GRID.radii * GRID.step)


def _kept(x: np.ndarray) -> np.ndarray:
    """How much of the light at radius x is not put on the centre."""
    return 0.5 * (1 + special.erf(np.log2(x) - _CENTRE))


def _basis(t: np.ndarray) -> np.ndarray:
    """Values at t of the polynomials that are 1 at one node of a panel and 0 at the others."""
    own, _ = np.polynomial.legendre.leggauss(_ORDER)
    return np.polynomial.legendre.legvander(t, _ORDER - 1) @ np.linalg.inv(
        np.polynomial.legendre.legvander(own, _ORDER - 1)
    )


def log_ends(place, along, straight: bool = False) -> jax.Array:
    """ln of the radius, on rays `along` (2, rays), at which |place(x)| is 1: by Newton's method, differentiable.

    One step does where places move straight along their rays, at all radii by the same factor.
    """

    def log_radius(u):
        return 0.5 * jnp.log(jnp.sum(place(along * jnp.exp(u)[None]) ** 2, axis=0))

    def step(u, _):
        found, slope = jax.jvp(log_radius, (u,), (jnp.ones_like(u),))
        # a form that winds tightly may have several such radii on one ray: no step is a long one
        return u - jnp.clip(found / jnp.maximum(slope, 0.3), -2.0, 2.0), None

    return jax.lax.scan(step, jnp.zeros(along.shape[1:], along.dtype), length=1 if straight else _STEPS)[0]


def waves_on(values, ends) -> jax.Array:
    """Harmonics in ln r on each ray (rays, harmonics) of r times a form that ends at 1, from values at the nodes."""
    matrix = to_waves()
    own = jax.lax.complex(
        *(jnp.matmul(values, part.T, precision="highest") for part in (np.real(matrix), np.imag(matrix)))
    )
    return shifted(own, GRID.omega, ends)


def shifted(waves, omega: np.ndarray, ends) -> jax.Array:
    """Harmonics (rays or 1, harmonics) where the unit of radius is another on each ray (rays,)."""
    angle = jnp.log(ends)[:, None] * omega[None]
    return waves * jax.lax.complex(ends[:, None] * jnp.cos(angle), -ends[:, None] * jnp.sin(angle))


def light_on(panels: Panels, values, ends) -> jax.Array:
    """Integral of r I(r) dr along each ray, from values (rays, nodes) and the unit of radius there (rays,)."""
    return ends**2 * jnp.matmul(values, jnp.asarray(nodes(panels).weights), precision="highest")


def light_at_centre(values, ends) -> jax.Array:
    """Of forms that end at 1, what `to_waves` tapers off, mean over the rays."""
    x, weights = nodes(ending())
    lost = jnp.asarray(weights * (1 - _kept(x)))
    return jnp.mean(ends**2 * jnp.matmul(values, lost, precision="highest"))


def light_within(panels: Panels, values, ends, radius) -> jax.Array:
    """Integral of r I(r) dr up to a radius, mean over the rays; nothing inside the first panel."""
    fractions = jax.vmap(lambda value, x: fraction_within(panels, value, x))(values, radius / ends)
    return jnp.mean(fractions * light_on(panels, values, ends))


def light_of_power(first, second, radius: float) -> tuple[jax.Array, jax.Array]:
    """Integral of r I(r) dr inside a radius of the power of it that has these values there and at 4 times it; 2 + power."""
    sound = first * second > 0
    ratio = jnp.where(sound, second, 1.0) / jnp.where(sound, first, 1.0)
    power = jnp.maximum(2 + jnp.log(ratio) / (2 * np.log(2)), 0.1)
    return first * radius**2 / power, power


def half_light(light, density, whole) -> jax.Array:
    """Radius within which half of the light lies: bisection, then two steps of Newton's method, with the derivatives.

    Parameters
    ----------
    light : function (radius)
        Integral of r I(r) dr.
    density : function (radius)
        Mean of I(r).
    whole : float
    """

    def bisect(_, ends):
        middle = 0.5 * (ends[0] + ends[1])
        beyond = light(jnp.exp(middle)) > 0.5 * whole
        return jnp.where(beyond, ends[0], middle), jnp.where(beyond, middle, ends[1])

    ends = jnp.log(2.0) * jnp.array([-28.0, 24.0])
    u = jax.lax.stop_gradient(sum(jax.lax.fori_loop(0, _BISECTIONS, bisect, tuple(ends))) / 2)
    for _ in range(2):
        r = jnp.exp(u)
        u = u - (light(r) - 0.5 * whole) / (density(r) * r**2)
    return jnp.exp(u)

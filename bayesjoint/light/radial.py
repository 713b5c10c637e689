"""Profiles known by their radial form alone: flux, half-light radius and Fourier transform by quadrature.

The radius, in the profile's own unit, is cut into panels: dyadic from the smallest scales to the largest, and crowded below
1, where some profiles end. Within each the form is the polynomial through its values at Gauss-Legendre nodes. The transform
of such a polynomial is known for every wave number, however fast J0 oscillates over the panel (Filon's idea, by Levin's
collocation: Levin 1982, Math. Comp. 38, 531), so the transform is one matrix product with the form's values at the nodes,
and so are its derivatives by wave number and by every parameter. The matrices are made once.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from bayesjoint.light.cells import Cells, evaluate, hermite_cubics, look_up
from bayesjoint.light.elliptical import Elliptical

CELLS = Cells(first_octave=-16, last_octave=26, bits=4)
INNERMOST, INNER, OUTER = -64, -14, 24  # octaves of the radius
_INNER_STEP = 5  # octaves a panel
_CROWDED = 16  # panels below 1, each half as wide as the one before
_ORDER = 12
_LEVIN = 24
_FAST = 6.0  # half the phase over a panel from which Levin's method takes over


class Nodes(NamedTuple):
    """Radii (nodes,), and weights (nodes,) of the integral of x g(x) dx from 0 to infinity."""

    x: np.ndarray
    weights: np.ndarray


class NumericalProfile(Elliptical):
    """Base of profiles that give `form`: their brightness at radius x, in units of `radius`, for unit amplitude.

    `form(x, *shape)` is elementwise in x and differentiable in the `shape` parameters.
    """

    @staticmethod
    def form(x, *shape: Any) -> jax.Array:
        """Brightness for unit amplitude at radius x in units of the profile's own."""
        raise NotImplementedError

    @classmethod
    def radial_form(cls, r2, shape) -> jax.Array:
        """Brightness for unit amplitude at squared radii in units of the profile's own."""
        return cls.form(jnp.sqrt(jnp.maximum(r2, 4.0**INNERMOST)), *shape)

    @property
    def flux(self) -> jax.Array:
        """Total flux, nJy."""
        shape = [jnp.asarray(getattr(self, name), jnp.result_type(float)) for name in self.shape]
        unit = jnp.vectorize(
            lambda *shape: jnp.dot(nodes().weights, self._values(jnp.stack(shape) if shape else ()))
        )
        area = 2 * jnp.pi * self.q * getattr(self, self.radius) ** 2
        return getattr(self, self.amplitude) * area * (unit(*shape) if shape else unit())

    @property
    def half_light_radius(self) -> jax.Array:
        """Semi-major half-light radius, arcsec, of a profile on one image."""
        return getattr(self, self.radius) * half_light(self._values(self.shape_values))

    @classmethod
    def _values(cls, shape) -> jax.Array:
        return cls.form(jnp.asarray(nodes().x), *shape)

    @classmethod
    def _at_cells(cls, shape) -> jax.Array:
        """The transform at the ends of all cells, then its slopes by kappa^2."""
        values = cls._values(shape)
        return jnp.matmul(matrices(), values, precision="highest") / jnp.dot(nodes().weights, values)

    @classmethod
    def radial_transform(cls, k2, shape, table=None) -> jax.Array:
        """Fourier transform of the round profile of unit flux at squared wave numbers."""
        if table is not None:
            return look_up(CELLS, k2, shape, table)
        # without a table of slopes by the parameters, which derivatives of derivatives would not see move
        both = cls._at_cells(shape).reshape(2, -1)
        return evaluate(CELLS, k2, hermite_cubics(both[0], both[1], CELLS.nodes()).astype(k2.dtype))

    @classmethod
    def transform_table(cls, shape, dtype) -> jax.Array:
        """Cubics of the transform and of its derivatives by each parameter, (1 + parameters, cells, 4)."""
        shape = jax.lax.stop_gradient(shape)

        found = [cls._at_cells(shape)]
        if shape.size:
            found += list(jnp.moveaxis(jax.jacfwd(cls._at_cells)(shape), -1, 0))
        both = jnp.stack(found).reshape(len(found), 2, -1)
        return hermite_cubics(both[:, 0], both[:, 1], CELLS.nodes()).astype(dtype)


@cache
def _panels() -> np.ndarray:
    """First and last radius of each panel, (panels, 2)."""
    inner = 2.0 ** np.arange(INNERMOST, INNER + 1, _INNER_STEP)
    crowded = 1 - 2.0 ** -np.arange(1, _CROWDED + 1)
    edges = np.concatenate(
        [inner, 2.0 ** np.arange(INNER + 1, 0), crowded[1:], 2.0 ** np.arange(0, OUTER + 1)]
    )
    return np.stack([edges[:-1], edges[1:]], axis=1)


@cache
def nodes() -> Nodes:
    """All nodes; those of the innermost panels are even in the logarithm of the radius."""
    t, w = np.polynomial.legendre.leggauss(_ORDER)
    first, last = _panels()[:, :1], _panels()[:, 1:]
    even = first + (t + 1) * (last - first) / 2
    log = first * (last / first) ** ((t + 1) / 2)
    is_inner = last <= 2.0**INNER
    x = np.where(is_inner, log, even)
    weights = np.where(is_inner, 0.5 * np.log(last / first) * log, (last - first) / 2) * w * x
    return Nodes(x.ravel(), weights.ravel())


def half_light(values) -> jax.Array:
    """Radius inside which half of the flux lies, from the form's values at the nodes; differentiable."""
    x, weights = nodes()
    first, last = _panels().T
    light = (jnp.asarray(weights) * values).reshape(len(first), -1)
    within = jnp.concatenate([jnp.zeros(1), jnp.cumsum(jnp.sum(light, axis=1))])
    panel = jnp.clip(jnp.sum(within <= within[-1] / 2) - 1, 0, len(first) - 1)
    # in the panel, the light within is the integral of a polynomial: find its root by Newton's method
    t, _ = np.polynomial.legendre.leggauss(_ORDER)
    to_series = np.linalg.inv(np.polynomial.legendre.legvander(t, _ORDER - 1))
    width = jnp.asarray(last - first)[panel]
    density = (
        jnp.asarray(x * 1.0).reshape(len(first), -1)[panel]
        * values.reshape(len(first), -1)[panel]
        * width
        / 2
    )
    series = jnp.matmul(to_series, density, precision="highest")
    wanted = within[-1] / 2 - within[panel]
    integral = np.stack([np.polynomial.legendre.legint(c, lbnd=-1) for c in np.eye(_ORDER)])
    u = jnp.zeros(())
    for _ in range(8):
        basis, whole = _legendre(u, _ORDER), _legendre(u, _ORDER + 1)
        u = u - (jnp.dot(jnp.matmul(series, integral), whole) - wanted) / jnp.dot(series, basis)
        u = jnp.clip(u, -1.0, 1.0)
    return jnp.asarray(first)[panel] + (u + 1) * width / 2


def _legendre(u, count: int) -> jax.Array:
    """Legendre polynomials P_0 ... at u, (count,)."""
    found = [jnp.ones_like(u), u]
    for k in range(1, count - 1):
        found.append(((2 * k + 1) * u * found[k] - k * found[k - 1]) / (k + 1))
    return jnp.stack(found)


@cache
def matrices() -> np.ndarray:
    """From the form's values at the nodes to its transform, and the slope of that by kappa^2, at the cells' nodes.

    (2 cells' nodes, nodes); not divided by the flux.
    """
    kappa = np.sqrt(CELLS.nodes())[:, None]
    x, weights = nodes()
    phase = kappa * x
    value = weights * special.j0(phase)
    slope = -0.5 * weights * x**2 * _j1_over(phase)
    for i, (first, last) in enumerate(_panels()):
        fast = np.flatnonzero(kappa[:, 0] * (last - first) / 2 > _FAST)
        if last > 2.0**INNER and fast.size:
            columns = slice(i * _ORDER, (i + 1) * _ORDER)
            value[fast, columns], slope[fast, columns] = _levin(kappa[fast, 0], first, last)
    return np.concatenate([value, slope])


def _j1_over(z: np.ndarray) -> np.ndarray:
    """J1(z) / z."""
    safe = np.where(z > 1e-8, z, 1.0)
    return np.where(z > 1e-8, special.j1(safe) / safe, 0.5)


def _levin(kappa: np.ndarray, first: float, last: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights (kappa, nodes) of the integrals of x J0(kappa x) g and -x^2 J1(kappa x) g / (2 kappa) over one panel.

    J = Re(h exp(i kappa x)) with h smooth; p' + i w p = h g t solves for the antiderivative p exp(i w t).
    """
    t, differentiate = _chebyshev_lobatto(_LEVIN)
    half, middle = (last - first) / 2, (last + first) / 2
    x, w = middle + half * t, kappa * half
    nodes, _ = np.polynomial.legendre.leggauss(_ORDER)
    to_nodes = _lagrange(nodes, t)
    phase = kappa[:, None] * x
    smooth = [special.hankel1e(0, phase) * x, -special.hankel1e(1, phase) * x**2 / (2 * kappa[:, None])]
    # of all polynomials g at once: the adjoint of "value at +1 times its phase less that at -1"
    ends = np.zeros((len(kappa), len(t)), complex)
    ends[:, 0], ends[:, -1] = np.exp(1j * w), -np.exp(-1j * w)
    system = differentiate.T[None] + 1j * w[:, None, None] * np.eye(len(t))
    adjoint = np.linalg.solve(system, ends[..., None])[..., 0] * half * np.exp(1j * kappa * middle)[:, None]
    # hankel1e has its own phase exp(i kappa x) taken out: put back about the middle alone
    return tuple(np.real((adjoint * h) @ to_nodes) for h in smooth)  # type: ignore[return-value]


def _chebyshev_lobatto(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev points from 1 to -1 and the matrix that differentiates there (Trefethen 2000, Spectral Methods)."""
    angle = np.pi * np.arange(count) / (count - 1)
    t = np.cos(angle)
    scale = (-1.0) ** np.arange(count) * np.where((np.arange(count) % (count - 1)) == 0, 2.0, 1.0)
    distance = t[:, None] - t[None]
    matrix = np.outer(scale, 1 / scale) / (distance + np.eye(count))
    return t, matrix - np.diag(matrix.sum(axis=1))


def _lagrange(nodes: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Values (at, nodes) of the polynomials that are 1 at one node and 0 at the others."""
    return np.polynomial.legendre.legvander(at, len(nodes) - 1) @ np.linalg.inv(
        np.polynomial.legendre.legvander(nodes, len(nodes) - 1)
    )

"""Integrals over a radius: flux, its curve of growth and the Fourier transform of a form known at the nodes of panels.

The radius, in its own unit, is cut into panels: as a rule dyadic from the smallest scales to the largest, and crowded below
1, where some profiles end. Within each the form is the polynomial through its values at Gauss-Legendre nodes. The transform
of such a polynomial is known for every wave number, however fast J0 oscillates over the panel (Filon's idea, by Levin's
collocation: Levin 1982, Math. Comp. 38, 531), so the transform is one matrix product with the form's values at the nodes,
and so are its derivatives by wave number and by every parameter. The matrices are made once for each set of panels.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from bayesjoint.light.cells import Cells

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


class Panels(NamedTuple):
    """Ends of the panels of a radius, in its unit; within the first `inner` the nodes are even in its logarithm."""

    edges: tuple[float, ...]
    inner: int = 0


@cache
def standard() -> Panels:
    """Panels for forms of one scale, 1, with cusps at the centre, or an end or a break at 1."""
    inner = 2.0 ** np.arange(INNERMOST, INNER + 1, _INNER_STEP)
    crowded = 1 - 2.0 ** -np.arange(1, _CROWDED + 1)
    outer = 2.0 ** np.arange(INNER + 1, 0), crowded[1:], 2.0 ** np.arange(0, OUTER + 1)
    return Panels(tuple(np.concatenate([inner, *outer]).tolist()), len(inner) - 1)


@cache
def nodes(panels: Panels) -> Nodes:
    """All nodes."""
    t, w = np.polynomial.legendre.leggauss(_ORDER)
    first, last = _ends(panels)
    x = _radius(t, first[:, None], last[:, None], _is_inner(panels)[:, None], np)
    weights = _speed(x, first[:, None], last[:, None], _is_inner(panels)[:, None]) * w * x
    return Nodes(x.ravel(), weights.ravel())


def _ends(panels: Panels) -> np.ndarray:
    """First and last radius of each panel, (2, panels)."""
    edges = np.array(panels.edges)
    return np.stack([edges[:-1], edges[1:]])


def _is_inner(panels: Panels) -> np.ndarray:
    return np.arange(len(panels.edges) - 1) < panels.inner


def _at(panels: Panels, panel, dtype) -> tuple[jax.Array, jax.Array, jax.Array]:
    """First and last radius of one panel, and whether it is an inner one."""
    first, last = (jnp.asarray(end, dtype)[panel] for end in _ends(panels))
    return first, last, panel < panels.inner


def _radius(t, first, last, is_inner, xp: Any = jnp) -> Any:
    """Radius at the place t, -1 to 1, of a panel."""
    safe = xp.where(is_inner, first, 1.0)
    ratio = xp.where(is_inner, last, 1.0) / safe
    return xp.where(is_inner, safe * ratio ** ((t + 1) / 2), first + (t + 1) * (last - first) / 2)


def _place(x, first, last, is_inner) -> jax.Array:
    """The place t of a radius in a panel, held to its ends."""
    safe = jnp.where(is_inner, first, 1.0)
    log = jnp.log(jnp.maximum(x, safe) / safe) / jnp.log(jnp.where(is_inner, last, 2.0) / safe)
    t = 2 * jnp.where(is_inner, log, (x - first) / (last - first)) - 1
    # unlike that of clip, the derivative is whole at the ends themselves
    return jnp.where(t < -1, -1.0, jnp.where(t > 1, 1.0, t))


def _speed(x: np.ndarray, first: np.ndarray, last: np.ndarray, is_inner: np.ndarray) -> np.ndarray:
    """dx/dt."""
    ratio = np.where(is_inner, last, 1.0) / np.where(is_inner, first, 1.0)
    return np.where(is_inner, 0.5 * np.log(ratio) * x, (last - first) / 2)


def fraction_within(panels: Panels, values, x) -> jax.Array:
    """Fraction of the flux inside the radius x, from the form's values at the nodes; differentiable."""
    within, density = _growth(panels, values)
    panel = jnp.sum(x >= jnp.asarray(panels.edges[1:-1], values.dtype))
    first, last, is_inner = _at(panels, panel, values.dtype)
    basis = _legendre(_place(x, first, last, is_inner), _ORDER + 1)
    part = jnp.dot(jnp.matmul(density[panel], _integral().astype(values.dtype), precision="highest"), basis)
    return (within[panel] + part) / within[-1]


def half_light(panels: Panels, values) -> jax.Array:
    """Radius inside which half of the flux lies, from the form's values at the nodes; differentiable."""
    within, density = _growth(panels, values)
    panel = jnp.clip(jnp.sum(within <= within[-1] / 2) - 1, 0, len(within) - 2)
    first, last, is_inner = _at(panels, panel, values.dtype)
    growth = jnp.matmul(density[panel], _integral().astype(values.dtype), precision="highest")
    wanted = within[-1] / 2 - within[panel]
    # in the panel, the light within is a polynomial: find where it is half by Newton's method
    t = jnp.zeros((), values.dtype)
    for _ in range(8):
        basis = _legendre(t, _ORDER + 1)
        t = t - (jnp.dot(growth, basis) - wanted) / jnp.dot(density[panel], basis[:_ORDER])
        t = jnp.clip(t, -1.0, 1.0)
    return _radius(t, first, last, is_inner)


def _growth(panels: Panels, values) -> tuple[jax.Array, jax.Array]:
    """Light inside each edge (panels + 1,), and by the place t in each panel, a Legendre series (panels, order)."""
    t, w = np.polynomial.legendre.leggauss(_ORDER)
    light = (jnp.asarray(nodes(panels).weights, values.dtype) * values).reshape(-1, _ORDER)
    within = jnp.concatenate([jnp.zeros(1, values.dtype), jnp.cumsum(jnp.sum(light, axis=1))])
    to_series = np.linalg.inv(np.polynomial.legendre.legvander(t, _ORDER - 1)) / w
    return within, jnp.matmul(light, to_series.T.astype(values.dtype), precision="highest")


@cache
def _integral() -> np.ndarray:
    """From a Legendre series to that of its integral from -1, (order, order + 1)."""
    return np.stack([np.polynomial.legendre.legint(c, lbnd=-1) for c in np.eye(_ORDER)])


def _legendre(t, count: int) -> jax.Array:
    """Legendre polynomials P_0 ... at t, (count,)."""
    found = [jnp.ones_like(t), t]
    for k in range(1, count - 1):
        found.append(((2 * k + 1) * t * found[k] - k * found[k - 1]) / (k + 1))
    return jnp.stack(found)


@cache
def matrices(panels: Panels) -> np.ndarray:
    """From the form's values at the nodes to its transform, and the slope of that by kappa^2, at the cells' nodes.

    (2 cells' nodes, nodes); not divided by the flux.
    """
    kappa = np.sqrt(CELLS.nodes())[:, None]
    x, weights = nodes(panels)
    phase = kappa * x
    value = weights * special.j0(phase)
    slope = -0.5 * weights * x**2 * _j1_over(phase)
    for i, (first, last) in enumerate(_ends(panels).T):
        fast = np.flatnonzero(kappa[:, 0] * (last - first) / 2 > _FAST)
        if i >= panels.inner and fast.size:
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

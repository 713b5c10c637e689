"""The modified Bessel function of the second kind, of real order, in JAX: u^nu K_nu(u)."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

_STEPS = 48  # of t, from the first of the nodes to the last: fewer lose digits below u = 1e-4
_REACH = 44.0  # the integrand is cut where it is e^-44 of what it is at 0, up to its powers
_ABOVE, _BELOW = (
    4.0,
    25.0,
)  # below the last node by _ABOVE + _BELOW / |order| it is e^-25 of its greatest, too


def scaled_bessel(nu, u2) -> jax.Array:
    """u^nu K_nu(u), differentiable in the order and in u^2, to any order.

    Parameters
    ----------
    nu : scalar
        Order, -2 to 6.
    u2 : array
        u^2, 1e-14 or more.

    Returns
    -------
    array, shape and dtype of `u2`, to 1e-9 relative in float64 from u = 1e-6, to 2e-12 from 1e-4, to 2e-14 from 0.01.

    Notes
    -----
    K_nu(u) = Int_0^inf exp(-u cosh t) cosh(nu t) dt (DLMF 10.32.9) by the trapezoid rule, which converges exponentially; the
    last of the nodes follows u, so that few do. Derivatives are sums at the same nodes.

    Examples
    --------
    >>> print(f"{scaled_bessel(0.5, jnp.array(4.0)):.6f} {jnp.sqrt(jnp.pi / 2) * jnp.exp(-2.0):.6f}")
    0.169618 0.169618
    """
    return scaled_bessels(nu, u2, 1)[0]


def scaled_bessels(nu, u2, count) -> list[jax.Array]:
    """u^m K_m(u) of the `count` orders m = nu, nu - 1, ... at once, for little more than one costs.

    Each but for its sign and a power of 2 is the derivative by u^2 of the one before:
    d/du^2 [u^m K_m(u)] = -u^(m - 1) K_(m - 1)(u) / 2 (DLMF 10.29.4). Three err by 1e-8 from u = 1e-6, by 3e-11 from 1e-4 and
    by 2e-14 from 0.01 at most.
    """
    nu = jnp.asarray(nu, jnp.result_type(u2))
    moments = _moments(tuple((k, 0) for k in range(count)), nu, u2)
    # u^m K_m(u) = 2^(m - 1) Int exp(m s - e^s - (u^2/4) e^-s) ds: u^2 enters without a root
    return [jnp.exp((nu - 1 - k) * np.log(2.0)) * moment for k, moment in enumerate(moments)]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _moments(which, nu, u2) -> tuple[jax.Array, ...]:
    """Int s^i exp((nu - k) s - e^s - (u^2/4) e^-s) ds over all s = ln(u/2) + t, for each (k, i) of `which`."""
    nodes = _nodes_of(nu, u2, max(k for k, _ in which))
    start = _Place(jnp.exp(nodes.top), jnp.exp(nu * nodes.top), jnp.exp(nu * nodes.bottom))
    rise, power = jnp.exp(nodes.step), jnp.exp(nu * nodes.step)

    def add(j, carried):
        place, sums = carried
        terms = _terms(which, nodes, place, 0.25 * u2, j.astype(u2.dtype))
        # by products, since exponentials are what the sums cost
        place = _Place(place.rise * rise, place.above * power, place.below / power)
        return place, tuple(total + term for total, term in zip(sums, terms, strict=True))

    _, sums = jax.lax.fori_loop(0, _STEPS + 1, add, (start, tuple(jnp.zeros_like(u2) for _ in which)))
    return tuple(nodes.step * total for total in sums)


def _slopes_of_moments(which, primals, tangents) -> tuple[tuple, tuple]:
    """By nu one more power of s, by u^2 an order less: all from one sum, of which tangents take multiples."""
    (nu, u2), (nu_step, u2_step) = primals, tangents
    by_nu = not isinstance(nu_step, SymbolicZero)
    by_u2 = not isinstance(u2_step, SymbolicZero)
    needed = [(k, i + 1) for k, i in which if by_nu] + [(k + 1, i) for k, i in which if by_u2]
    needed = tuple(dict.fromkeys((*which, *needed)))
    found = dict(zip(needed, _moments(needed, nu, u2), strict=True))
    steps = [jnp.zeros_like(u2) for _ in which]
    if by_nu:
        steps = [step + nu_step * found[k, i + 1] for step, (k, i) in zip(steps, which, strict=True)]
    if by_u2:
        steps = [step - 0.25 * u2_step * found[k + 1, i] for step, (k, i) in zip(steps, which, strict=True)]
    return tuple(found[moment] for moment in which), tuple(steps)


_moments.defjvp(_slopes_of_moments, symbolic_zeros=True)


class _Nodes(NamedTuple):
    """Nodes ln(u/2) + t and ln(u/2) - t, of which the innermost are `top` and `bottom`, `step` apart."""

    top: jax.Array
    bottom: jax.Array
    step: jax.Array
    weight: jax.Array  # of the innermost: half where both are one


class _Place(NamedTuple):
    """Where a sum has come to: e^s above the middle, and e^(nu s) above and below it."""

    rise: jax.Array
    above: jax.Array
    below: jax.Array


def _nodes_of(nu, u2, orders) -> _Nodes:
    """Where the integrands of the orders from nu down to nu - `orders` count."""
    middle = 0.5 * jnp.log(u2) - np.log(2.0)
    last = jnp.arccosh(1 + _REACH * jax.lax.rsqrt(u2))
    flattest = jnp.min(jnp.abs(nu - jnp.arange(orders + 1, dtype=nu.dtype)))
    span = jnp.minimum(last, _ABOVE + _BELOW / jnp.maximum(flattest, 0.1))
    first = last - span
    return _Nodes(
        middle + first, middle - first, span / _STEPS, jnp.where(first > 0, 1.0, 0.5).astype(u2.dtype)
    )


def _terms(which, nodes, place, quarter, j) -> list[jax.Array]:
    """What node j above the middle and its mirror image below it add to the moments, but for the step."""
    fall = quarter / place.rise
    common = jnp.exp(-place.rise - fall) * jnp.where(j > 0, 1.0, nodes.weight)
    above, below = [common * place.above], [common * place.below]
    for _ in range(max(k for k, _ in which)):
        above.append(above[-1] / place.rise)
        below.append(below[-1] / fall)
    upper, lower = nodes.top + j * nodes.step, nodes.bottom - j * nodes.step
    return [above[k] * upper**i + below[k] * lower**i for k, i in which]

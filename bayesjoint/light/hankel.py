"""The Fourier (Hankel) transform of the Sersic profile by quadrature, to about 1e-13.

This is the reference that the run-time table (``sersic_table.py``) is built from and tested against. It is
plain numpy and scipy, takes its time, and is not imported when images are rendered.

With x = r / Re, kappa = k Re, b = b_n (exact: half the light inside Re) and N = n Gamma(2n) b^(-2n)::

    f(kappa; n) = (1/N) Int_0^inf x exp(-b x^(1/n)) J0(kappa x) dx,      f(0) = 1.

Three methods share the plane of (kappa, n); each is tested against its neighbour where both hold.

* n >= 1, but for small kappa: the contour turned onto the imaginary axis, where K0 replaces J0 and nothing
  oscillates fast, by the trapezoid rule in the logarithm.
* n < 1, and small kappa: Gauss-Legendre panels along the real axis.
* n < 1 at large kappa: the asymptotic series from the cusp at the centre, cut at its smallest term.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Array = NDArray[np.float64]

LONGEST_PHASE = 2000.0  # radians of J0 over the profile, beyond which n >= 1 takes the turned contour
HIGH_KAPPA = 40.0  # above it, for n < 1, the asymptotic series is exact to rounding
TRAPEZOID_STEP = 1.0 / 32.0
PANEL_ORDER = 32
PANEL_PHASE = 16.0  # radians of J0 a panel of 32 nodes integrates to rounding


def sersic_hankel(kappa: ArrayLike, n: float) -> Array:
    """Fourier transform of the Sersic profile of unit flux, in units of its effective radius.

    Parameters
    ----------
    kappa : array_like, any shape
        Angular wave number times effective radius, k Re (dimensionless), 0 to 2^13.
    n : float
        Sersic index, 0.3 to 10.

    Returns
    -------
    ndarray, shape of `kappa`
        f(kappa; n), with f(0) = 1, to about 1e-13 absolute.
    """
    return _by_region(kappa, n, slope=False)


def sersic_hankel_slope(kappa: ArrayLike, n: float) -> Array:
    """Derivative of `sersic_hankel` with respect to kappa^2, by quadrature of its own.

    Parameters
    ----------
    kappa, n
        As in `sersic_hankel`.

    Returns
    -------
    ndarray, shape of `kappa`
        df / d(kappa^2), finite at 0, where it is -Gamma(4n) / (4 Gamma(2n) b^(2n)).
    """
    return _by_region(kappa, n, slope=True)


def sersic_b_exact(n: ArrayLike) -> Array:
    """b_n for which half of the flux lies inside the effective radius: P(2n, b) = 1/2 (any shape)."""
    return special.gammaincinv(2.0 * np.asarray(n, float), 0.5)


def sersic_log_norm_exact(n: ArrayLike) -> Array:
    """ln(n b^(-2n) e^b Gamma(2n)): total flux = 2 pi q Re^2 Ie times its exponential (any shape).

    Graham & Driver (2005), PASA 22, 118, equation 4.
    """
    n = np.asarray(n, float)
    b = sersic_b_exact(n)
    return np.log(n) - 2.0 * n * np.log(b) + b + special.gammaln(2.0 * n)


def _by_region(kappa: ArrayLike, n: float, slope: bool) -> Array:
    kappa = np.asarray(kappa, float)
    flat, out = kappa.ravel(), np.full(kappa.size, _slope_at_zero(n) if slope else 1.0)
    straight_below = HIGH_KAPPA if n < 1.0 else LONGEST_PHASE / _outer_radius(n)
    far_method = cusp_series if n < 1.0 else turned_contour
    # bins of a factor two in kappa share one grid of nodes
    bins = np.floor(np.log2(np.maximum(flat, 1e-9)))
    straight = flat < straight_below
    for chosen, method in ((straight & (flat > 0), straight_line), (~straight, far_method)):
        for octave in np.unique(bins[chosen]):
            members = chosen & (bins == octave)
            out[members] = method(flat[members], n, slope)
    return out.reshape(kappa.shape)


def _outer_radius(n: float) -> float:
    """Radius, in Re, beyond which x^3 exp(-b x^(1/n)) adds less than 1e-17 of its integral."""
    return float(((4.0 * n + 45.0 + 6.0 * np.sqrt(n)) / sersic_b_exact(n)) ** n)


def _log_total(n: float, b: float) -> float:
    """ln N, N = n Gamma(2n) b^(-2n): the integral of x exp(-b x^(1/n))."""
    return float(np.log(n) + special.gammaln(2.0 * n) - 2.0 * n * np.log(b))


def _slope_at_zero(n: float) -> float:
    b = float(sersic_b_exact(n))
    return -0.25 * float(np.exp(special.gammaln(4.0 * n) - special.gammaln(2.0 * n) - 2.0 * n * np.log(b)))


def turned_contour(kappa: Array, n: float, slope: bool = False) -> Array:
    """f (or df/dkappa^2) by the contour turned onto the imaginary axis; n >= 1, kappa > 0, 1-d.

    f = (2/pi)(1/N) Int y K0(kappa y) exp(-b y^(1/n) cos(pi/2n)) sin(b y^(1/n) sin(pi/2n)) dy,
    by the trapezoid rule in ln(z), z = kappa y, so that K0 is evaluated once for all kappa.
    """
    b = float(sersic_b_exact(n))
    # y^2 must fall 17 decades below N at the lower end, in units of y as well as of z
    lowest = min(-22.0, np.log(kappa.min()) + 0.5 * min(_log_total(n, b), 0.0) - 22.0)
    log_z = lowest + TRAPEZOID_STEP * np.arange((np.log(60.0) - lowest) / TRAPEZOID_STEP)
    z = np.exp(log_z)
    weights = -0.5 * z**3 * special.k1(z) if slope else z**2 * special.k0(z)
    power = b * np.exp((log_z[None, :] - np.log(kappa)[:, None]) / n)
    angle = 0.5 * np.pi / n
    integrand = np.exp(-power * np.cos(angle)) * np.sin(power * np.sin(angle))
    scale = 2.0 / np.pi * TRAPEZOID_STEP * np.exp(-_log_total(n, b))
    return scale * (integrand @ weights) / kappa ** (4 if slope else 2)


def straight_line(kappa: Array, n: float, slope: bool = False) -> Array:
    """f (or df/dkappa^2) by Gauss-Legendre panels in x = X t^4 along the real axis; kappa 1-d."""
    b = float(sersic_b_exact(n))
    end = _outer_radius(n)
    panels = 12 + int(np.ceil(4.0 * kappa.max() * end / PANEL_PHASE))
    nodes, node_weights = special.roots_legendre(PANEL_ORDER)
    t = ((np.arange(panels)[:, None] + 0.5 * (nodes + 1.0)) / panels).ravel()
    x = end * t**4
    weights = np.tile(0.5 * node_weights / panels, panels) * 4.0 * end * t**3
    weights *= x * np.exp(-b * x ** (1.0 / n) - _log_total(n, b))
    # nodes in the far wing that add nothing are left out
    keep = weights * np.maximum(x, 1.0) ** 2 > 1e-22
    x, weights = x[keep], weights[keep]
    if slope:
        return np.array([-0.5 * (special.j1(k * x) @ (weights * x)) / k for k in kappa])
    return np.array([special.j0(k * x) @ weights for k in kappa])


def cusp_series(kappa: Array, n: float, slope: bool = False) -> Array:
    """f (or df/dkappa^2) at large kappa from the powers of r^(1/n) at the centre; n < 1, kappa 1-d.

    f ~ (1/N) Sum_j (-b)^j / j!  2^(1+j/n) Gamma(1+j/2n) / Gamma(-j/2n) kappa^(-2-j/n), an asymptotic
    series, cut at its smallest term. What it leaves out falls exponentially in kappa.
    """
    b = float(sersic_b_exact(n))
    j = np.arange(1.0, 80.0)
    half = 0.5 * j / n
    # 1/Gamma(-h) = -sin(pi h) Gamma(1+h) / pi, so that no pole is met
    log_size = j * np.log(b) - special.gammaln(j + 1.0) + 2.0 * special.gammaln(1.0 + half)
    log_size = log_size + (1.0 + 2.0 * half) * np.log(2.0) - _log_total(n, b)
    log_size = log_size[None, :] - (2.0 + 2.0 * half) * np.log(kappa)[:, None]
    sign = -((-1.0) ** j) * np.sin(np.pi * half) / np.pi
    smallest = np.argmin(log_size, axis=1)
    kept = np.arange(j.size)[None, :] <= smallest[:, None]
    terms = np.where(kept, sign * np.exp(np.where(kept, log_size, 0.0)), 0.0)
    if slope:
        terms = -terms * (1.0 + half) / kappa[:, None] ** 2
    return terms.sum(axis=1)

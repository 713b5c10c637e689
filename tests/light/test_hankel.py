"""The reference Hankel transform of the Sersic profile: closed forms, method against method, GalSim."""

import numpy as np
import pytest
from scipy import special

from bayesjoint.light import hankel

KAPPA = np.concatenate([[0.0], np.geomspace(1e-4, 8192.0, 400)])


def closed_form(n: float) -> tuple[np.ndarray, np.ndarray]:
    """f and df/dkappa^2 for the Gaussian (n = 1/2) and the exponential (n = 1)."""
    b, k2 = float(hankel.sersic_b_exact(n)), KAPPA**2
    if n == 0.5:
        f = np.exp(-k2 / (4 * b))
        return f, -f / (4 * b)
    return (1 + k2 / b**2) ** -1.5, -1.5 / b**2 * (1 + k2 / b**2) ** -2.5


@pytest.mark.parametrize("n", [0.5, 1.0])
def test_closed_forms(n):
    f, slope = closed_form(n)
    np.testing.assert_allclose(hankel.sersic_hankel(KAPPA, n), f, rtol=0, atol=1e-14)
    np.testing.assert_allclose(hankel.sersic_hankel_slope(KAPPA, n), slope, rtol=0, atol=1e-13)


@pytest.mark.parametrize("method", [hankel.sersic_hankel, hankel.sersic_hankel_slope])
@pytest.mark.parametrize("n", [0.3, 0.45, 0.7, 0.99])
def test_cusp_series_meets_straight_line(n, method):
    slope = method is hankel.sersic_hankel_slope
    kappa = np.geomspace(35.0, 60.0, 7)
    series, line = hankel.cusp_series(kappa, n, slope), hankel.straight_line(kappa, n, slope)
    np.testing.assert_allclose(series, line, rtol=0, atol=1e-14)


@pytest.mark.parametrize("n", [1.0, 1.3, 2.0, 4.0, 6.0])
def test_turned_contour_meets_straight_line(n):
    highest = 2000.0 / hankel._outer_radius(n)
    kappa = np.geomspace(0.7, 1.4, 5) * highest
    turned, line = hankel.turned_contour(kappa, n), hankel.straight_line(kappa, n)
    np.testing.assert_allclose(turned, line, rtol=0, atol=1e-13)
    turned, line = hankel.turned_contour(kappa, n, True), hankel.straight_line(kappa, n, True)
    np.testing.assert_allclose(turned, line, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("n", [0.3, 0.8, 1.5, 2.5, 5.0, 9.5])
def test_brute_force_integral(n):
    """The definition summed on a plain fine grid of u, b x^(1/n) = u^4: nothing shared but J0."""
    b = float(hankel.sersic_b_exact(n))
    u, step = np.linspace(0.0, (4 * n + 80.0) ** 0.25, 500_001, retstep=True)
    density = 4 * u ** (8 * n - 1) * np.exp(-(u**4) - special.gammaln(2 * n))
    kappa = np.geomspace(0.01, 2.0, 4)
    brute = [step * np.sum(density * special.j0(k * (u**4 / b) ** n)) for k in kappa]
    np.testing.assert_allclose(hankel.sersic_hankel(kappa, n), brute, rtol=0, atol=1e-11)


@pytest.mark.parametrize("n", [0.6, 2.3, 4.0])
def test_galsim(n):
    galsim = pytest.importorskip("galsim")
    profile = galsim.Sersic(n=n, half_light_radius=1.0, gsparams=galsim.GSParams(kvalue_accuracy=1e-8))
    kappa = np.geomspace(0.01, 10.0, 20)
    theirs = [profile.kValue(k, 0.0).real for k in kappa]
    np.testing.assert_allclose(hankel.sersic_hankel(kappa, n), theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("n", [0.35, 0.8, 1.5, 4.0, 9.0])
def test_slope_is_the_derivative(n):
    k2 = np.geomspace(1e-3, 1e4, 15)
    step = 1e-3 * k2
    f = [hankel.sersic_hankel(np.sqrt(k2 + j * step), n) for j in (-2, -1, 1, 2)]
    numeric = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * step)
    slope = hankel.sersic_hankel_slope(np.sqrt(k2), n)
    np.testing.assert_allclose(slope * k2, numeric * k2, rtol=1e-7, atol=1e-10)


def test_shapes_and_zero():
    assert hankel.sersic_hankel(0.0, 4.0) == 1.0
    assert hankel.sersic_hankel(np.ones((2, 3)), 4.0).shape == (2, 3)
    assert np.all(np.isfinite(hankel.sersic_hankel_slope(np.zeros(2), 0.3)))

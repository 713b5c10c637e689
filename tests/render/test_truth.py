"""The truths themselves: two quadratures that share nothing but the integrand agree, and do not move when refined."""

import numpy as np
import pytest
from helpers import truth
from helpers.truth_image import sersic_cells

SIZE, POSITION = 40, np.array([20.31, 19.73])
POINTS = np.array(
    [[20, 21, 20, 18, 24, 27, 28, 16, 39, 0, 39, 30, 11], [20, 20, 19, 23, 24, 25, 14, 17, 39, 0, 0, 27, 13]]
)


def axes_of(re, q, angle=37.0):
    """Semi-axis vectors, pixels."""
    turn = np.radians(angle)
    return re * np.array([[np.cos(turn), np.sin(turn)], [-q * np.sin(turn), q * np.cos(turn)]])


def image_of(axes, n, sigma, **keywords):
    """All pixels by cells."""
    x, y = (np.arange(SIZE) - at for at in POSITION)
    return sersic_cells(x, y, axes, n, [sigma], **keywords).pixels(x, y, sigma)


@pytest.mark.parametrize("sigma", [0.68, 1.83])
@pytest.mark.parametrize("q", [0.1, 1.0])
@pytest.mark.parametrize(
    "n, re", [(0.3, 0.3), (0.3, 80.0), (1.0, 5.0), (4.0, 5.0), (10.0, 0.3), (10.0, 80.0)]
)
def test_cells_agree_with_polar_quadrature(n, re, q, sigma):
    """Reached: 1e-12 of the peak."""
    axes = axes_of(re, q)
    pixels = image_of(axes, n, sigma)
    exact = truth.sersic_pixels(POINTS, POSITION, axes, n, sigma)
    np.testing.assert_allclose(pixels[POINTS[1], POINTS[0]], exact, rtol=0, atol=1e-11 * pixels.max())


@pytest.mark.parametrize("n, re, q", [(0.3, 80.0, 0.1), (0.5, 5.0, 0.1), (10.0, 0.3, 0.1), (10.0, 80.0, 1.0)])
def test_cells_do_not_move_when_refined(n, re, q):
    """Reached: 1e-12 of the peak."""
    axes = axes_of(re, q)
    pixels, finer = image_of(axes, n, 0.68), image_of(axes, n, 0.68, cell=1.4, tolerance=1e-15)
    np.testing.assert_allclose(pixels, finer, rtol=0, atol=1e-11 * finer.max())


def test_cells_serve_several_seeings():
    """One set of cells, made for the sharper PSF, is as good for the wider."""
    axes, (x, y) = axes_of(5.0, 0.6), (np.arange(SIZE) - at for at in POSITION)
    both = sersic_cells(x, y, axes, 2.0, [0.68, 1.83]).pixels(x, y, 1.83)
    np.testing.assert_allclose(both, image_of(axes, 2.0, 1.83), rtol=0, atol=1e-12 * both.max())

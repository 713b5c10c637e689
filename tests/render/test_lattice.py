"""Rendered galaxies against brute force in real space: the grid of sizes, edges, corners and beyond."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import truth
from helpers.scenes import galaxy_of, make_image, rendered, sample_points, truth_arguments

from bayesjoint.data.analytic_psf import gaussian_psf
from bayesjoint.render.images import render

SIZES, FWHM = (101, 256), (2.0, 4.3)
IMAGES = {
    (size, fwhm): make_image((size, size), 0.3, gaussian_psf(0.3 * fwhm)) for size in SIZES for fwhm in FWHM
}


def error_over_peak(image, galaxy, near=16, far=200):
    """Largest error at sampled pixels over the galaxy's own peak, wherever that lies."""
    arguments = truth_arguments(image, galaxy)
    points = sample_points(image.shape, arguments[0], near, far)
    exact = truth.sersic_pixels(points, *arguments) * float(galaxy.Ie * image.pixel_area)
    peak = truth.sersic_pixels(np.round(arguments[0])[:, None], *arguments)[0]
    pixels = np.asarray(rendered(image, galaxy))[points[1], points[0]]
    return np.abs(pixels - exact).max() / (abs(peak) * abs(float(galaxy.Ie * image.pixel_area)))


def test_truth_of_a_gaussian():
    """n = 1/2 is a Gaussian, whose convolution is closed: the truth itself is tested."""
    re, sigma = 4.0, 1.1
    b = truth.special.gammaincinv(1.0, 0.5)
    width = np.hypot(re / np.sqrt(2 * b), sigma)
    points = np.array([[0, 3, 9, 17], [1, -2, 8, 3]])
    seen = truth.sersic_pixels(points, [0.2, -0.4], re * np.eye(2), 0.5, sigma)
    x, y = points - np.array([[0.2], [-0.4]])
    exact = np.pi * re**2 * np.exp(b) / b * truth.gaussian_pixel(x, width) * truth.gaussian_pixel(y, width)
    np.testing.assert_allclose(seen, exact, rtol=0, atol=1e-11 * exact.max())


def test_truth_of_a_cusp_does_not_depend_on_the_method():
    """Cartesian and polar quadrature of one pixel, close to the cusp."""
    axes, point = np.array([[3.0, 4.0], [2.4, -1.8]]), np.array([14.0, 3.0])
    polar = truth._polar(point, axes, 4.0, 1.0, 7.5)
    grid = truth._cartesian(point[:, None], axes, 4.0, 1.0, 7.5)[0]
    assert polar == pytest.approx(grid, rel=1e-10)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fwhm", FWHM)
@pytest.mark.parametrize(
    "n, re", [(0.5, 20.0), (1.0, 1.5), (1.0, 20.0), (2.0, 5.0), (4.0, 20.0), (6.0, 5.0), (6.0, 20.0)]
)
def test_grid(size, fwhm, n, re):
    """Reached: 1.0e-6 in 101 pixels (n = 6 and Re = 20: a galaxy twice as wide as the image), 9e-8 in 256."""
    image = IMAGES[size, fwhm]
    assert error_over_peak(image, galaxy_of(image, n, re)) < (1.5e-6 if size == 101 else 1.5e-7)


@pytest.mark.parametrize("n, re", [(1.0, 5.0), (4.0, 20.0)])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("beyond, bound", [(-20.0, 2e-6), (0.0, 3e-6), (8.0, 1e-5), (15.0, 1e-4)])
def test_near_edges_and_corners(size, n, re, beyond, bound):
    """A source in, on and outside an edge or corner, in units of its own peak."""
    image = IMAGES[size, 4.3]
    reach = (size - 1) / 2 + beyond + 0.3
    for place in ((reach, 7.2), (-20.4, -reach), (-reach, reach)):
        assert error_over_peak(image, galaxy_of(image, n, re, place=place), 6, 120) < bound


@pytest.mark.parametrize("n, re", [(1.0, 5.0), (4.0, 20.0)])
@pytest.mark.parametrize("beyond, bound", [(17.5, 6e-5), (25.0, 1e-5), (60.0, 1e-6), (300.0, 1e-7)])
def test_outside(n, re, beyond, bound):
    """A source that no spectrum draws; the worst place is just beyond the padding's half, 17 pixels off the edge."""
    image = IMAGES[256, 4.3]
    assert error_over_peak(image, galaxy_of(image, n, re, place=(127.5 + beyond, 7.2)), 6, 200) < bound


def test_small_image_of_a_larger_one():
    """A piece of an image shows what the whole does there, for a source off the piece."""
    whole, piece = IMAGES[256, 4.3], make_image((101, 101), 0.3, gaussian_psf(1.29))
    for place in ((62.0, 10.0), (-90.0, -70.0)):
        seen = rendered(piece, galaxy_of(piece, 2.0, 8.0, place=place))
        # the middle of the piece is pixel 128, that of the whole 127.5
        all_of_it = rendered(whole, galaxy_of(whole, 2.0, 8.0, place=np.array(place) + 0.5))
        np.testing.assert_allclose(
            seen, all_of_it[78:179, 78:179], rtol=0, atol=1e-5 * float(all_of_it.max())
        )


def test_smooth_across_the_padding_s_half():
    """The spectrum hands over to the nodes there: pixels jump by no more than the error."""
    image = IMAGES[101, 4.3]
    half = (image.fft_shape[1] - 101) / 2
    sides = [galaxy_of(image, 2.0, 8.0, place=(50.0 + half + step, 4.0)) for step in (-1e-6, 1e-6)]
    inner, outer = (np.asarray(rendered(image, side)) for side in sides)
    peak = float(rendered(image, galaxy_of(image, 2.0, 8.0)).max())
    np.testing.assert_allclose(inner, outer, rtol=0, atol=5e-5 * peak)


def test_nodes_add_nothing_to_derivatives_but_their_error():
    """The nodes move with the source though no derivative says so: compared with differences of renderings."""
    image = IMAGES[101, 4.3]
    galaxy = galaxy_of(image, 2.0, 8.0)

    @jax.jit
    def total(east):
        moved = dataclasses.replace(galaxy, centre=jnp.stack([east, 0.0]))
        return jnp.sum(render(image, moved)[:, :6] ** 2)

    step = 1e-3
    numeric = (total(14.0 + step) - total(14.0 - step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(total)(14.0), numeric, rtol=1e-5)

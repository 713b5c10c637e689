"""Skies that are not flat, against numpy's polynomials on images of any orientation; their derivatives; their errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.scenes import galaxy_of, make_image, rendered

import bayesjoint as bj
from bayesjoint.render.images import light_on_stacks, render_light

GEOMETRIES = [
    {},
    {"angle": 143.0},
    {"angle": 90.0, "flipped": True},
    {"angle": -61.0, "flipped": True, "pc": True},
    {"angle": 28.0, "stretch": 1.4},
]
COEFFICIENTS = np.array([[3.0, 0.4, -0.2], [0.7, -0.1, 0.3], [0.05, 0.2, -0.6]])


def plane(image, level, gradient):
    """The plane by each pixel's own place on the sky, nJy per pixel."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    east, north = np.array(image.frame.offsets(*image.wcs.all_pix2world(x, y, 0)))
    away = (east - image.centre[0]) * gradient[0] + (north - image.centre[1]) * gradient[1]
    return float(image.pixel_area) * (level + away / 60)


def polynomial(image, coefficients):
    v, u = ((2 * np.arange(n) + 1) / n - 1 for n in image.shape)
    return float(image.pixel_area) * np.polynomial.polynomial.polygrid2d(v, u, coefficients)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_plane_by_sky_positions(geometry):
    image = make_image((41, 50), 0.3, **geometry)
    pixels = rendered(image, bj.PlaneSky(2.0, (30.0, -70.0)))
    np.testing.assert_allclose(pixels, plane(image, 2.0, (30.0, -70.0)), atol=1e-5)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_polynomial_of_pixels(order):
    image, coefficients = make_image((41, 50), 0.3, angle=20.0), COEFFICIENTS[: order + 1, : order + 1]
    pixels = rendered(image, bj.PolynomialSky(coefficients))
    np.testing.assert_allclose(pixels, polynomial(image, coefficients), atol=1e-12)
    assert pixels[0, -1] != pixels[-1, 0] or order == 0


def test_skies_and_sources_add_up():
    image = make_image((40, 50), 0.3, angle=20.0)
    skies = bj.FlatSky(1.0), bj.PlaneSky(2.0, (30.0, -70.0)), bj.PolynomialSky(COEFFICIENTS)
    for sources in ((), (bj.PointSource((0.1, 0.0), 9.0),), (galaxy_of(image), galaxy_of(image, 4.0))):
        whole = rendered(image, *skies[:1], *sources, *skies[1:])
        parts = sum(np.asarray(rendered(image, part)) for part in (*skies, *sources))
        np.testing.assert_allclose(whole, parts, atol=1e-12)


@pytest.fixture(scope="module")
def images():
    """Three images in two bands, two of them of different size in one stack."""
    sizes = {"g1": (40, 50), "g2": (39, 52), "r1": (30, 32)}
    make = {name: dict(name=name, band=name[0], angle=10.0 * i) for i, name in enumerate(sizes)}
    return bj.ImageSet([make_image(sizes[name], 0.3, **make[name]) for name in sizes])


def test_every_image_has_its_own(images):
    """In a stack, images smaller than it span -1 to 1 all the same."""
    assert images.members[0] == (0, 1)
    each = COEFFICIENTS * np.array([1.0, 2.0, -1.0])[:, None, None]
    gradients = np.array([[20.0, 30.0], [-50.0, 10.0]])
    light = light_on_stacks(images, bj.PolynomialSky(each), bj.PlaneSky(np.array([0.5, 0.7]), gradients))
    drawn = jax.jit(render_light)(light)
    for members, stack in zip(images.members, drawn, strict=True):
        for i, model in zip(members, stack, strict=True):
            image, band = images[i], images.band_index[i]
            wanted = polynomial(image, each[i]) + plane(image, 0.5 + 0.2 * band, gradients[band])
            np.testing.assert_allclose(model[: image.shape[0], : image.shape[1]], wanted, atol=1e-5)


def test_all_of_a_sky_is_linear(images):
    sky, star = bj.PlaneSky(1.0, jnp.zeros(2)), bj.PointSource((0.0, 0.0), 1.0)
    light = light_on_stacks(images, sky, star, bj.PolynomialSky(COEFFICIENTS), bj.FlatSky(0.0))
    assert light.are_amplitudes().tolist() == [True] * 3 + [False, False, True] + [True] * 10


def test_derivatives_are_what_they_multiply():
    image = make_image((41, 50), 0.3, angle=20.0)

    def pixels(p):
        return bj.render(image, bj.PlaneSky(p[0], p[1:3]), bj.PolynomialSky(p[3:].reshape(2, 2)))

    p = jnp.arange(7.0)
    columns, back = jax.jit(jax.jacfwd(pixels))(p), jax.jit(jax.grad(lambda p: jnp.sum(pixels(p) ** 2)))(p)
    for i, unit in enumerate(np.eye(3)):
        np.testing.assert_allclose(columns[..., i], plane(image, unit[0], unit[1:]), atol=1e-6)
    for i, unit in enumerate(np.eye(4)):
        np.testing.assert_allclose(columns[..., 3 + i], polynomial(image, unit.reshape(2, 2)), atol=1e-12)
    np.testing.assert_allclose(back, 2 * jnp.einsum("yx,yxp->p", pixels(p), columns), rtol=1e-9)


def test_float32():
    image = make_image((41, 50), 0.3, angle=20.0)
    sky = bj.PlaneSky(2.0, np.array([30.0, -70.0])), bj.PolynomialSky(COEFFICIENTS)
    small, skies = jax.tree.map(lambda a: np.asarray(a, np.float32), (image, sky))
    with jax.enable_x64(False):
        single = rendered(small, *skies)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, rendered(image, *sky), atol=3e-6)


def test_what_is_wrong_is_told(images):
    with pytest.raises(TypeError, match="PlaneSky: gradient must be a number"):
        bj.PlaneSky(1.0, ("1", 2.0))
    with pytest.raises(ValueError, match=r"gradient has shape \(3, 1, 2\); wanted \(2,\), or \(2,\)"):
        light_on_stacks(images, bj.PlaneSky(1.0, np.zeros((3, 1, 2))))
    with pytest.raises(ValueError, match=r"must be \(order \+ 1, order \+ 1\), got \(2, 3\)"):
        rendered(images[0], bj.PolynomialSky(np.zeros((2, 3))))

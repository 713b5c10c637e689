"""Parameters spread over stacks of images; jit, vmap, derivatives and precision of rendering; gradients at every edge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.scenes import galaxy_of, make_image, rendered

from bayesjoint.data.analytic_psf import gaussian_psf
from bayesjoint.data.image_set import ImageSet
from bayesjoint.data.psf import PSF
from bayesjoint.light.point import PointSource
from bayesjoint.light.sersic import Sersic
from bayesjoint.light.sky import FlatSky
from bayesjoint.render.images import light_on_stacks, render, render_light

PLACE = np.array([0.23, -0.41])
STAMP = PSF(np.pad(np.outer(*2 * (np.exp(-0.5 * (np.arange(-8, 9) / 1.5) ** 2),)), 2) / 14.13)
IMAGES = {"real": make_image((40, 50), 0.3), "complex": make_image((40, 50), 0.3, STAMP)}
#              east, north, q, PA, n, Re, Ie, star east, north, flux, sky
PARAMETERS = jnp.asarray([0.23, -0.41, 0.62, 37.0, 1.7, 1.5, 9.0, -2.1, 1.3, 40.0, 0.7])


def components(p):
    return Sersic(p[:2], p[2], p[3], p[4], p[5], p[6]), PointSource(p[7:9], p[9]), FlatSky(p[10])


@jax.jit
def pixels(p, image):
    return render(image, *components(p))


@jax.jit
def half_chi2(p, image):
    return 0.5 * jnp.sum((pixels(p, image) - 1.0) ** 2)


gradient = jax.jit(jax.grad(half_chi2))
jacobian = jax.jit(jax.jacfwd(pixels))
draw_stack = jax.jit(render_light)


@pytest.mark.parametrize("kind", IMAGES)
def test_derivatives(kind):
    """Forward mode is reverse mode, and both are differences, for every parameter."""
    image = IMAGES[kind]
    columns = jacobian(PARAMETERS, image)
    residual = pixels(PARAMETERS, image) - 1.0
    forward = jnp.einsum("yx,yxp->p", residual, columns)
    np.testing.assert_allclose(gradient(PARAMETERS, image), forward, rtol=1e-9, atol=1e-9)
    steps = 1e-4 * np.diag(np.maximum(np.abs(PARAMETERS), 0.3))
    for i, step in enumerate(steps):
        far = [pixels(PARAMETERS + j * step, image) for j in (-2, -1, 1, 2)]
        numeric = (far[0] - 8 * far[1] + 8 * far[2] - far[3]) / (12 * step[i])
        scale = np.abs(numeric).max()
        np.testing.assert_allclose(columns[..., i], numeric, rtol=0, atol=1e-5 * scale, err_msg=str(i))


def test_gradient_of_a_compiled_function():
    """`grad` of what `jit` made, and derivatives by a component itself."""
    image, parts = IMAGES["real"], components(PARAMETERS)
    inside = gradient(PARAMETERS, image)

    def loss(parts):
        return 0.5 * jnp.sum((rendered(image, *parts) - 1.0) ** 2)

    slopes = jax.grad(loss)(parts)
    assert slopes[0].Re == pytest.approx(float(inside[5]), rel=1e-9)
    assert slopes[2].level == pytest.approx(float(inside[10]), rel=1e-9)


def test_batched_is_single():
    image = IMAGES["real"]
    single = pixels(PARAMETERS, image)
    batch = PARAMETERS[None] * jnp.linspace(0.9, 1.1, 3)[:, None]
    batched = jax.jit(jax.vmap(pixels, in_axes=(0, None)))(batch, image)
    np.testing.assert_allclose(batched[1], single, atol=1e-12)
    np.testing.assert_allclose(batched[2], pixels(batch[2], image), atol=1e-12)


def test_float32():
    """Single precision: 3e-6 of the peak from double."""
    image = IMAGES["real"]
    small = jax.tree.map(lambda a: np.asarray(a, np.float32), image)
    with jax.enable_x64(False):
        single = pixels(jnp.asarray(np.asarray(PARAMETERS), jnp.float32), small)
        slopes = gradient(jnp.asarray(np.asarray(PARAMETERS), jnp.float32), small)
    double = pixels(PARAMETERS, image)
    assert single.dtype == np.float32 and slopes.dtype == np.float32
    assert np.abs(np.asarray(single) - np.asarray(double)).max() < 3e-6 * np.abs(double).max()
    exact = np.asarray(gradient(PARAMETERS, image))
    np.testing.assert_allclose(slopes, exact, rtol=1e-3, atol=1e-4 * np.abs(exact).max())


EDGES = {
    "round": {2: 1.0},
    "needle": {2: 1e-3},
    "angle 0": {3: 0.0},
    "angle 180": {3: 180.0},
    "n 0.3": {4: 0.3},
    "n 8": {4: 8.0},
    "n 10": {4: 10.0},
    "a point": {5: 0.003},
    "less than a point": {5: 1e-6},
    "huge": {5: 3e4},
    "huge n 0.3": {4: 0.3, 5: 3e4},
    "dark": {6: 0.0},
    "negative": {6: -5.0},
    "off the image": {0: -40.0},
    "far off": {0: 400.0, 1: -400.0},
    "point off": {7: 40.0},
}


@pytest.mark.parametrize("edge", [*EDGES, "on a pixel", "on a corner", "on the edge of the image"])
def test_finite_at_every_edge(edge):
    image, p = IMAGES["real"], np.array(PARAMETERS)
    on = {"on a pixel": (0.5, 0.5), "on a corner": (0.0, 0.0), "on the edge of the image": (-25.0, 20.0)}
    if edge in on:
        p[:2] = np.linalg.solve(image.jacobian, on[edge])
    for index, value in EDGES.get(edge, {}).items():
        p[index] = value
    assert np.all(np.isfinite(pixels(p, image)))
    assert np.all(np.isfinite(gradient(p, image)))


def test_tiny_galaxy_is_a_point():
    image = IMAGES["real"]
    galaxy = galaxy_of(image, 1.0, 0.01, Ie=1e4)
    star = rendered(image, PointSource(galaxy.centre, galaxy.flux))
    assert np.abs(np.asarray(rendered(image, galaxy) - star)).max() < 1e-4 * star.max()


@pytest.fixture(scope="module")
def images():
    """Four images in three bands, of two padded sizes, not in order of size."""
    make = dict(ra=150.0, dec=30.0)
    return ImageSet(
        [
            make_image((40, 50), 0.3, name="g1", band="g", **make),
            make_image((90, 88), 0.2, gaussian_psf(0.8), name="r1", band="r", angle=33.0, **make),
            make_image((40, 50), 0.3, name="g2", band="g", angle=90.0, flipped=True, **make),
            make_image((39, 50), 0.3, name="i2", band="i", **make),
        ]
    )


def on_all(images, *parts):
    """Rendered stacks, sorted back to images, each cut to its own shape."""
    found = {}
    drawn = draw_stack(light_on_stacks(images, *parts))
    for members, models in zip(images.members, drawn, strict=True):
        for i, model in zip(members, models, strict=True):
            ny, nx = images[i].shape
            found[i] = model[:ny, :nx]
    return [found[i] for i in range(len(images))]


def test_parameters_find_their_images(images):
    """Shared, per band and per image, against one image at a time."""
    assert len(images.stacks) < len(images)
    ie, sky, n = jnp.asarray([3.0, 5.0, 7.0]), jnp.arange(4.0) + 0.1, jnp.asarray([1.0, 2.0, 3.0])
    places = jnp.asarray([[0.1, 0.0], [0.2, -0.3], [0.0, 0.4], [-1.0, 0.5]])
    parts = Sersic(PLACE, 0.6, 30.0, n, 1.2, ie), PointSource(places, 4.0), FlatSky(sky)
    for i, model in enumerate(on_all(images, *parts)):
        band = images.band_index[i]
        alone = Sersic(PLACE, 0.6, 30.0, n[band], 1.2, ie[band]), PointSource(places[i], 4.0), FlatSky(sky[i])
        np.testing.assert_allclose(
            model,
            rendered(images[i].with_frame(images.frame, "r"), *alone),
            atol=1e-10,
            err_msg=images[i].name,
        )


@pytest.mark.parametrize("shape", [(2,), (5,), (3, 1), (4, 2)])
def test_wrong_shapes_say_what_is_wanted(images, shape):
    wanted = r"component 0: Ie has shape .*; wanted a scalar, or \(3,\) for one value a band or \(4,\) for one an image"
    with pytest.raises(ValueError, match=wanted):
        light_on_stacks(images, Sersic(PLACE, 0.6, 30.0, 1.0, 1.2, jnp.ones(shape)))


def test_wrong_shapes_on_one_image():
    with pytest.raises(ValueError, match=r"component 1: flux has shape \(2,\); wanted a scalar"):
        render(IMAGES["real"], FlatSky(1.0), PointSource(PLACE, jnp.ones(2)))
    with pytest.raises(ValueError, match="component 0: centre has shape"):
        render(IMAGES["real"], PointSource(jnp.ones((4, 2)), 1.0))

"""Patches of free light against a quadrature of their interpolant and GalSim; axes on the sky; edges; derivatives."""

import galsim
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import peer, truth
from helpers.scenes import galaxy_of, make_image, rendered

import bayesjoint as bj
from bayesjoint.data.analytic_psf import FWHM_PER_SIGMA
from bayesjoint.render.images import light_on_stacks, render_light

VALUES = np.random.default_rng(4).normal(size=(5, 7)) + 0.5
STAMP = bj.PSF(np.pad(np.outer(*2 * (np.exp(-0.5 * (np.arange(-8, 9) / 1.5) ** 2),)), 2) / 14.13)


def quadrature(patch, image, order=14):
    """The interpolant, by Gauss-Legendre in each of its cells, through a Gaussian PSF and the pixel in closed form."""
    position, jacobian = (np.asarray(a) for a in image.pixel_map.linearise(np.asarray(patch.centre)))
    axes = np.asarray(patch.axes) @ jacobian.T
    roots, weights = np.polynomial.legendre.leggauss(order)
    part, weight = (roots + 1) / 2, weights / 2
    padded = np.pad(np.asarray(patch.values), 1)
    rows, columns = (np.arange(n - 1) for n in padded.shape)
    cells = [(cell[:, None] + part).ravel() for cell in (rows, columns)]
    sizes = padded.shape
    tents = [np.maximum(1 - np.abs(x[:, None] - np.arange(n)), 0) for x, n in zip(cells, sizes, strict=True)]
    light = tents[0] @ padded @ tents[1].T
    w = np.outer(np.tile(weight, len(rows)), np.tile(weight, len(columns))) * abs(np.linalg.det(axes))
    plane = [x - (n - 1) / 2 for x, n in zip(cells, sizes, strict=True)]
    at = np.stack(np.meshgrid(*plane, indexing="ij")).reshape(2, -1)
    x, y = position[:, None] + axes.T @ at
    sigma = image.psf.fwhm / FWHM_PER_SIGMA / image.pixel_scale
    down, along = (
        truth.gaussian_pixel(np.arange(n)[:, None] - p, sigma)
        for n, p in ((image.shape[0], y), (image.shape[1], x))
    )
    return (down * (w * light).ravel() * float(image.pixel_area)) @ along.T


CASES = {
    "upright": ({}, {"pa": 0.0}),
    "turned": ({"angle": 143.0}, {"pa": 31.0}),
    "flipped": ({"angle": 90.0, "flipped": True}, {"pa": 200.0}),
    "off-centre": ({"angle": 10.0}, {"pa": -20.0, "centre": (1.3, -2.1)}),
    "over the edge": ({}, {"pa": 15.0, "centre": (6.9, 1.0)}),
    "outside": ({}, {"pa": 15.0, "centre": (0.0, 30.0)}),
    "finer than pixels": ({}, {"pa": 15.0, "scale": 0.11}),
    "undersampled": ({"psf": bj.gaussian_psf(0.5)}, {"pa": 15.0}),
    "flux of zero": ({}, {"pa": 15.0, "values": VALUES - VALUES.mean()}),
}


def patch_of(**changed):
    return bj.Patch(**({"centre": (0.23, -0.41), "pa": 0.0, "scale": 0.7, "values": VALUES} | changed))


@pytest.mark.parametrize("case", CASES)
def test_quadrature(case):
    geometry, changed = CASES[case]
    image, patch = make_image((41, 50), 0.3, **geometry), patch_of(**changed)
    exact = quadrature(patch, image)
    peak = np.abs(quadrature(patch_of(**{**changed, "centre": (0.0, 0.0)}), image)).max()
    assert np.abs(np.asarray(rendered(image, patch)) - exact).max() < 2e-7 * peak


@pytest.mark.parametrize("pa", [0.0, 35.0])
def test_galsim(pa):
    """Columns run West, GalSim's East; its angles run from East to North."""
    image, patch = make_image((41, 50), 0.3, angle=20.0), patch_of(pa=pa)
    pixels = galsim.Image(VALUES[:, ::-1].copy(), scale=0.7)
    theirs = galsim.InterpolatedImage(pixels, x_interpolant="linear", normalization="sb", pad_factor=16)
    drawn = peer.draw(theirs.rotate(-pa * galsim.degrees), image, patch.centre)
    assert np.abs(np.asarray(rendered(image, patch)) - drawn).max() < 1e-5 * np.abs(drawn).max()


def test_upright_it_is_an_image_of_the_sky():
    """North up and East left, as the pixels: its grid is theirs, and a delta of a PSF gives them back."""
    image = make_image((20, 24), 0.3, bj.gaussian_psf(0.6))
    values = np.zeros((20, 24))
    values[14, 5] = 1.0
    pixels = rendered(image, bj.Patch((0.0, 0.0), 0.0, 0.3, values))
    assert np.unravel_index(np.argmax(pixels), pixels.shape) == (14, 5)
    assert pixels.sum() == pytest.approx(0.09, rel=1e-6)


@pytest.mark.parametrize("psf", [bj.gaussian_psf(0.9), STAMP], ids=["real", "complex"])
def test_derivatives(psf):
    image = make_image((40, 50), 0.3, psf)
    p = jnp.concatenate([jnp.asarray([0.23, -0.41, 37.0, 0.7]), jnp.ravel(VALUES)])

    @jax.jit
    def pixels(p):
        return bj.render(image, bj.Patch(p[:2], p[2], p[3], p[4:].reshape(5, 7)))

    columns, residual = jax.jit(jax.jacfwd(pixels))(p), pixels(p) - 0.1
    back = jax.jit(jax.grad(lambda p: 0.5 * jnp.sum((pixels(p) - 0.1) ** 2)))(p)
    np.testing.assert_allclose(back, jnp.einsum("yx,yxp->p", residual, columns), rtol=1e-9, atol=1e-9)
    for i in (*range(5), 20):
        step = 1e-4 * np.eye(len(p))[i]
        far = [pixels(p + j * step) for j in (-2, -1, 1, 2)]
        numeric = (far[0] - 8 * far[1] + 8 * far[2] - far[3]) / (12 * 1e-4)
        np.testing.assert_allclose(columns[..., i], numeric, rtol=0, atol=1e-7 * np.abs(numeric).max())
    np.testing.assert_allclose(jnp.einsum("yxp,p->yx", columns[..., 4:], p[4:]), pixels(p), atol=1e-12)


def test_transform_and_brightness_agree():
    """The transform at scattered waves is that over an image's modes, and the brightness that of the values."""
    patch = patch_of(pa=25.0)
    kx, ky = np.random.default_rng(1).uniform(-4, 4, (2, 6))
    whole = patch.kind.modes_transform(patch.axes, kx[None], ky[None], VALUES.ravel())
    at = np.stack(np.meshgrid(kx, ky))
    one = patch.transform(*at)
    np.testing.assert_allclose(jax.lax.complex(*whole)[0], one, atol=1e-12)
    east, north = (
        patch.kind.nodes @ np.asarray(patch.axes)[:, 0],
        patch.kind.nodes @ np.asarray(patch.axes)[:, 1],
    )
    np.testing.assert_allclose(
        patch.brightness(jnp.asarray(east), jnp.asarray(north)), VALUES.ravel(), atol=1e-12
    )
    assert float(patch.flux) == pytest.approx(VALUES.sum() * 0.49)


def test_beside_other_light_and_in_a_set():
    make = [dict(name=name, band=name, angle=10.0 * i) for i, name in enumerate("gr")]
    images = bj.ImageSet([make_image((40, 50), 0.3, **each) for each in make])
    each = VALUES * np.array([1.0, -2.0])[:, None, None]
    parts = galaxy_of(images[0]), patch_of(values=each), bj.FlatSky(1.0)
    light = light_on_stacks(images, *parts)
    assert light.are_amplitudes().sum() == 1 + 35 + 1
    (drawn,) = jax.jit(render_light)(light)
    for i, image in enumerate(images):
        alone = sum(np.asarray(rendered(image, p)) for p in (parts[0], patch_of(values=each[i]), parts[2]))
        np.testing.assert_allclose(drawn[i], alone, atol=1e-10)


def test_float32():
    image, patch = make_image((40, 50), 0.3), patch_of(pa=25.0)
    small, part = jax.tree.map(lambda a: np.asarray(a, np.float32), (image, patch))
    with jax.enable_x64(False):
        single = np.asarray(rendered(small, part))
    double = np.asarray(rendered(image, patch))
    assert single.dtype == np.float32 and np.abs(single - double).max() < 3e-6 * np.abs(double).max()


def test_what_is_wrong_is_told():
    with pytest.raises(ValueError, match="Patch: scale must lie in"):
        patch_of(scale=0.0)
    with pytest.raises(TypeError, match="Patch: values must be a number"):
        patch_of(values=[["1", 2.0]])
    with pytest.raises(ValueError, match=r"Patch: values must be an array of 2 axes, got shape \(7,\)"):
        rendered(make_image(), patch_of(values=np.zeros(7)))

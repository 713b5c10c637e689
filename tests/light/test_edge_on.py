"""The edge-on disc: projection, flux, transform and pixels against quadrature; edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.scenes import make_image, rendered
from helpers.truth import gaussian_pixel
from scipy import integrate, special

import bayesjoint as bj
from bayesjoint.light.blur import plane_derivatives
from bayesjoint.render.images import light_on_stacks, render_light

PLACE = {"centre": (0.1, -0.05), "pa": 35.0}
DISC = bj.EdgeOnDisc(**PLACE, rs=1.5, hs=0.4, I0=3.0)
ANGLE = np.deg2rad(35.0)


def along_axes(r, h):
    """East and north of places r along the major and h along the minor axis."""
    return jnp.asarray(r * np.sin(ANGLE) + h * np.cos(ANGLE)), jnp.asarray(
        r * np.cos(ANGLE) - h * np.sin(ANGLE)
    )


def test_brightness_is_the_projected_density():
    for r, h in ((0.3, 0.1), (2.0, -0.5), (5.0, 0.9)):
        density = 3.0 / (2 * 1.5) / np.cosh(h / 0.4) ** 2
        line = 2 * integrate.quad(lambda y, r=r: np.exp(-np.hypot(r, y) / 1.5), 0, np.inf, epsrel=1e-12)[0]
        assert float(DISC.brightness(*along_axes(r, h))) == pytest.approx(density * line, rel=1e-9)


def test_flux():
    def part(form):
        return 2 * integrate.quad(form, 0, 60, epsrel=1e-12, limit=200, points=[1.0])[0]

    radial = jax.jit(lambda r: DISC.plane_form(jnp.stack([r, jnp.zeros_like(r)]), None))
    across = jax.jit(lambda h: DISC.plane_form(jnp.stack([jnp.zeros_like(h), h]), None))
    total = (
        3.0
        * 1.5
        * 0.4
        * part(lambda r: float(radial(jnp.asarray(r))))
        * part(lambda h: float(across(jnp.asarray(h))))
    )
    assert float(DISC.flux) == pytest.approx(total, rel=1e-8)
    assert float(DISC.magnitude) == pytest.approx(31.4 - 2.5 * np.log10(total))


@pytest.mark.parametrize(
    ("k1", "k2"), [(0.0, 0.0), (0.7, 0.0), (0.0, 0.1), (1.3, 0.127), (0.2, 0.128), (2.0, 3.0)]
)
def test_transform(k1, k2):
    radial = integrate.quad(
        lambda r: r * special.k1(r) * np.cos(k1 * r) if r else 1.0, 0, 60, epsabs=1e-13, limit=400
    )[0]
    across = integrate.quad(lambda h: np.cos(k2 * h) / np.cosh(h) ** 2, 0, 60, epsabs=1e-13, limit=400)[0]
    found = DISC.plane_transform(jnp.array(k1), jnp.array(k2), None)[0]
    assert float(found) == pytest.approx(radial * across * 2 / np.pi, abs=1e-11)


@pytest.mark.parametrize("hs", [0.4, 0.03])
def test_pixels_are_the_convolved_brightness(hs):
    """Against a plain sum over a fine grid in the plane of the axes, with a Gaussian PSF of 1.2 arcsec and the pixel."""
    disc, scale = bj.EdgeOnDisc(**PLACE, rs=1.5, hs=hs, I0=3.0), 0.4
    pixels = np.asarray(rendered(make_image((41, 41), scale, bj.gaussian_psf(1.2)), disc))
    r, h = ((np.arange(-n, n) + 0.5) * step for n, step in ((600, 0.01), (300, 10 * hs / 300)))
    light = 3.0 * 0.01 * (h[1] - h[0]) * np.abs(r / 1.5)[:, None] * special.k1(np.abs(r / 1.5))[:, None]
    light = light / np.cosh(h / hs) ** 2
    east, north = (np.asarray(a) for a in along_axes(r[:, None], h))
    sigma = 1.2 / np.sqrt(8 * np.log(2)) / scale
    columns, rows = 20 - (east + 0.1) / scale, 20 + (north - 0.05) / scale
    for x, y in ((20, 20), (21, 18), (19, 22), (20, 23), (16, 20)):
        psf = gaussian_pixel(columns - x, sigma) * gaussian_pixel(rows - y, sigma)
        # the sum's own error: a logarithm in the second derivative at r = 0
        assert pixels[y, x] == pytest.approx(np.sum(light * psf), abs=1e-5 * pixels.max())


def test_transform_and_brightness_have_one_orientation():
    """A plain sum over the sky times exp(-i k x)."""
    axis = jnp.arange(-16.0, 16.0, 0.08) + 0.04
    light = np.asarray(jax.jit(type(DISC).brightness)(DISC, *jnp.meshgrid(axis, axis))) * 0.08**2
    for kx, ky in ((0.7, 0.2), (-0.4, 0.9)):
        summed = np.exp(-1j * ky * np.asarray(axis)) @ light @ np.exp(-1j * kx * np.asarray(axis))
        expected = DISC.flux * DISC.transform(jnp.array(kx), jnp.array(ky))
        assert abs(summed - complex(expected)) < 1e-4 * float(DISC.flux)


def test_gradients_are_differences():
    image, weight = (
        make_image((24, 30), 0.4, bj.gaussian_psf(1.2)),
        jnp.linspace(0.0, 1.0, 720).reshape(24, 30),
    )

    def loss(values):
        return jnp.sum(weight * jnp.square(bj.render(image, bj.EdgeOnDisc(values[:2], *values[2:]))))

    values = jnp.array([0.1, -0.05, 35.0, 1.5, 0.4, 3.0])
    slope, loss = jax.jit(jax.grad(loss))(values), jax.jit(loss)
    for i in range(6):
        step = jnp.zeros(6).at[i].set(1e-5)
        assert float(slope[i]) == pytest.approx(
            float(loss(values + step) - loss(values - step)) / 2e-5, rel=2e-6
        )


def test_second_derivatives_in_the_plane():
    """Those written out, against those of the form; along the axis none where the brightness is held."""
    r, h = jnp.array([-9.0, -0.7, 0.02, 1.0, 5.0]), jnp.array([0.0, 0.3, -2.0, 8.0, -400.0])
    x = jnp.stack(jnp.meshgrid(r, h))
    found = jax.jit(lambda x: bj.EdgeOnDisc.plane_derivatives(x, None))(x)
    wanted = jax.jit(lambda x: plane_derivatives(lambda x: bj.EdgeOnDisc.plane_form(x, None), x))(x)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-13)
    value, *bends = bj.EdgeOnDisc.plane_derivatives(jnp.zeros((2, 1)), None)
    np.testing.assert_allclose(jnp.concatenate([value, *bends]), [1.0, 0.0, 0.0, -2.0], atol=1e-10)


def test_second_derivatives_of_pixels_are_differences():
    image = make_image((24, 30), 0.4, bj.gaussian_psf(1.2))

    def loss(values):
        return jnp.sum(jnp.square(bj.render(image, bj.EdgeOnDisc((0.1, -0.05), 35.0, *values))))

    values, slope = jnp.array([1.5, 0.4, 3.0]), jax.jit(jax.grad(loss))
    wanted = jnp.stack([(slope(values + s) - slope(values - s)) / 2e-5 for s in 1e-5 * jnp.eye(3)])
    np.testing.assert_allclose(jax.jit(jax.hessian(loss))(values), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("rs", "hs", "east"), [(1.5, 1.5, 0.0), (1.5, 0.005, 0.0), (0.01, 2.0, 0.0), (1.5, 0.4, 300.0)]
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_finite_gradients_at_the_edges(rs, hs, east, dtype):
    image = make_image((24, 30), 0.4, bj.gaussian_psf(1.2))
    with jax.enable_x64(dtype == np.float64):
        image = jax.tree.map(lambda a: np.asarray(a, dtype), image)
        zero, plane = jnp.zeros(1, dtype), jnp.zeros((2, 1), dtype)

        def loss(values):
            disc = bj.EdgeOnDisc((values[0], 0.1), *values[1:])
            at_zero = (
                disc.brightness(zero, zero)[0]
                + disc.blurred_brightness(plane, 0.1 * jnp.eye(2, dtype=dtype))[0]
            )
            return jnp.sum(jnp.square(bj.render(image, disc))) + at_zero

        slope = jax.jit(jax.grad(loss))(jnp.asarray([east, 35.0, rs, hs, 2.0], dtype))
    assert slope.dtype == dtype and np.all(np.isfinite(slope))


def test_float32():
    image = make_image((40, 40), 0.4, bj.gaussian_psf(1.2))
    wanted = np.asarray(rendered(image, DISC))
    with jax.enable_x64(False):
        found = np.asarray(rendered(jax.tree.map(lambda a: np.asarray(a, np.float32), image), DISC))
    assert found.dtype == np.float32
    assert np.max(np.abs(found - wanted)) < 3e-6 * wanted.max()


def test_one_height_a_band():
    images = bj.ImageSet([make_image(name=name, band=name) for name in ("g", "r")])
    discs = bj.EdgeOnDisc(**PLACE, rs=1.5, hs=np.array([0.3, 0.6]), I0=np.array([1.0, 2.0]))
    (drawn,) = jax.jit(render_light)(light_on_stacks(images, discs))
    for i, (hs, I0) in enumerate(((0.3, 1.0), (0.6, 2.0))):
        alone = rendered(images[i], bj.EdgeOnDisc(**PLACE, rs=1.5, hs=hs, I0=I0))
        np.testing.assert_allclose(drawn[i], alone, atol=1e-12)


@pytest.mark.parametrize("name", ["rs", "hs"])
def test_out_of_range(name):
    with pytest.raises(ValueError, match=rf"EdgeOnDisc: {name} must lie in \(0, inf\), got 0.0"):
        bj.EdgeOnDisc(**(PLACE | {"rs": 1.5, "hs": 0.4, "I0": 3.0} | {name: 0.0}))

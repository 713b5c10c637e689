"""The multi-Gaussian expansion against sums of single Gaussians; edges, bands and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.scenes import make_image, rendered

import bayesjoint as bj
from bayesjoint.render.images import light_on_stacks, render_light

PLACE = {"centre": (0.1, -0.05), "q": 0.6, "pa": 35.0}
SIGMA, FRACTION = np.array([0.2, 0.8, 2.5]), np.array([1.0, 2.0, 1.0])
FWHM = 2 * np.sqrt(2 * np.log(2))


def parts(sigma=SIGMA, fraction=FRACTION, flux=20.0):
    shares = flux * fraction / np.sum(fraction)
    return [bj.Gaussian(**PLACE, fwhm=FWHM * s, flux=f) for s, f in zip(sigma, shares, strict=True)]


def test_it_is_a_sum_of_gaussians():
    image = make_image((41, 50), 0.4, bj.gaussian_psf(1.0))
    whole = bj.MultiGaussian(**PLACE, sigma=SIGMA, fraction=FRACTION, flux=20.0)
    wanted = rendered(image, *parts())
    np.testing.assert_allclose(rendered(image, whole), wanted, atol=1e-12 * float(wanted.max()))
    at = jnp.array([0.0, 0.4, -1.0]), jnp.array([0.0, -0.3, 2.0])
    np.testing.assert_allclose(whole.brightness(*at), sum(p.brightness(*at) for p in parts()), rtol=1e-12)
    np.testing.assert_allclose(whole.flux_within(1.3), sum(p.flux_within(1.3) for p in parts()), rtol=1e-12)


@pytest.mark.parametrize("sigma", [[1e-3, 1.0, 1e3], [1.0, 1.0, 1.0], [0.5, 0.6, 30.0]])
@pytest.mark.parametrize("fraction", [[1.0, 2.0, 1.0], [0.0, 1.0, 0.0], [1.0, 1e-6, 1e-3]])
def test_half_light_radius(sigma, fraction):
    whole = bj.MultiGaussian(**PLACE, sigma=sigma, fraction=fraction, flux=20.0)
    assert float(whole.flux_within(whole.half_light_radius)) == pytest.approx(10.0, rel=1e-10)


def test_gradients_are_differences():
    image, weight = (
        make_image((24, 30), 0.4, bj.gaussian_psf(1.2)),
        jnp.linspace(0.0, 1.0, 720).reshape(24, 30),
    )

    def loss(v):
        whole = bj.MultiGaussian(v[:2], v[2], v[3], v[4:7], v[7:10], v[10])
        pixels = jnp.sum(weight * jnp.square(bj.render(image, whole)))
        return pixels + whole.half_light_radius + whole.flux_within(1.0)

    values = jnp.array([0.1, -0.05, 0.6, 35.0, *SIGMA, *FRACTION, 20.0])
    slope, loss = jax.jit(jax.grad(loss))(values), jax.jit(loss)
    for i in range(values.size):
        step = jnp.zeros(values.size).at[i].set(1e-5)
        numeric = float(loss(values + step) - loss(values - step)) / 2e-5
        assert float(slope[i]) == pytest.approx(numeric, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize(
    ("q", "east", "sigma"), [(1.0, 0.0, 1e-3), (0.05, 0.0, 1.0), (0.5, 300.0, 3.0), (0.05, 6.0, 0.1)]
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_finite_gradients_at_the_edges(q, east, sigma, dtype):
    image = make_image((24, 30), 0.4, bj.gaussian_psf(1.2))
    with jax.enable_x64(dtype == np.float64):
        image = jax.tree.map(lambda a: np.asarray(a, dtype), image)
        zero, fraction = jnp.zeros(1, dtype), jnp.asarray([0.0, 1.0], dtype)

        def loss(v):
            whole = bj.MultiGaussian((v[0], 0.1), v[1], v[2], v[3:5], fraction, v[5])
            return jnp.sum(jnp.square(bj.render(image, whole))) + whole.brightness(zero, zero)[0]

        slope = jax.jit(jax.grad(loss))(jnp.asarray([east, q, 35.0, sigma, 2.0, 20.0], dtype))
    assert slope.dtype == dtype and np.all(np.isfinite(slope))


def test_float32():
    image = make_image((40, 40), 0.4, bj.gaussian_psf(1.2))
    whole = bj.MultiGaussian(**PLACE, sigma=SIGMA, fraction=FRACTION, flux=20.0)
    wanted = np.asarray(rendered(image, whole))
    with jax.enable_x64(False):
        found = np.asarray(rendered(jax.tree.map(lambda a: np.asarray(a, np.float32), image), whole))
    assert found.dtype == np.float32
    assert np.max(np.abs(found - wanted)) < 3e-6 * wanted.max()


def test_fractions_of_each_band():
    images = bj.ImageSet([make_image(name=name, band=name) for name in ("g", "r")])
    fraction, flux = np.array([FRACTION, [3.0, 1.0, 0.5]]), np.array([10.0, 20.0])
    bands = bj.MultiGaussian(**PLACE, sigma=SIGMA, fraction=fraction, flux=flux)
    light = light_on_stacks(images, bands)
    (drawn,) = jax.jit(render_light)(light)
    assert light.parameters().shape == (2, 11) and light.are_amplitudes().tolist() == [False] * 10 + [True]
    for i in (0, 1):
        alone = bj.MultiGaussian(**PLACE, sigma=SIGMA, fraction=fraction[i], flux=flux[i])
        np.testing.assert_allclose(drawn[i], rendered(images[i], alone), atol=1e-12)
        assert float(bands.half_light_radius[i]) == pytest.approx(float(alone.half_light_radius), rel=1e-12)
        assert float(bands.flux_within(1.0)[i]) == pytest.approx(float(alone.flux_within(1.0)), rel=1e-12)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"sigma": [0.0, 1.0]}, r"MultiGaussian: sigma must lie in \(0, inf\), got \[0. 1.\]"),
        ({"fraction": [-0.1, 1.0]}, r"MultiGaussian: fraction must lie in \[0, inf\), got"),
        ({"fraction": [1.0, 1.0, 1.0]}, r"vectors of one length, got shapes \(2,\) and \(3,\)"),
        ({"sigma": 1.0, "fraction": 1.0}, r"sigma must be a vector, got shape \(\)"),
    ],
)
def test_out_of_range(changed, words):
    given = {"sigma": [0.5, 1.0], "fraction": [1.0, 1.0], "flux": 1.0}
    with pytest.raises(ValueError, match=words):
        bj.MultiGaussian(**PLACE, **(given | changed))

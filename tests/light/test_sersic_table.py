"""The run-time table of the Sersic transform against the reference quadrature: values, gradients, edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from bayesjoint.light import hankel
from bayesjoint.light.sersic_table import load_table, sersic_b, sersic_log_norm, sersic_transform

TRANSFORM = jax.jit(sersic_transform)
GRADIENTS = {function: jax.jit(jax.grad(function)) for function in (sersic_b, sersic_log_norm)}
INDICES = [0.3, 0.34, 0.5, 0.599, 0.8, 1.0, 1.34, 1.7, 2.5, 3.41, 4.0, 6.5, 9.9, 10.0]


@pytest.fixture(autouse=True)
def strict_x64():
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        yield


def random_k2(size: int = 600) -> np.ndarray:
    return np.append(0.0, 2.0 ** np.random.default_rng(5).uniform(-30.0, 26.0, size))


@jax.jit
def value_and_slopes(k2, n):
    """f, df/dk2 and df/dn."""
    one, zero = jnp.ones_like(k2), jnp.zeros_like(k2)
    f, by_k2 = jax.jvp(sersic_transform, (k2, n), (one, jnp.zeros_like(n)))
    return f, by_k2, jax.jvp(sersic_transform, (k2, n), (zero, jnp.ones_like(n)))[1]


@pytest.mark.parametrize("n", INDICES)
def test_values(n):
    """Reached: 1.2e-9; relative to f, 5e-8 for n > 0.55 and 3e-5 in the steep tail of n = 1/2."""
    k2 = random_k2()
    exact = hankel.sersic_hankel(np.sqrt(k2), n)
    table = np.asarray(TRANSFORM(jnp.asarray(k2), n))
    np.testing.assert_allclose(table, exact, rtol=0, atol=1.5e-9)
    bright = np.abs(exact) > 1e-8
    if n > 0.55:
        np.testing.assert_allclose(table[bright], exact[bright], rtol=1e-7)


@pytest.mark.parametrize("n", INDICES)
def test_slope_in_k2(n):
    k2 = random_k2()
    slope = np.asarray(value_and_slopes(jnp.asarray(k2), jnp.asarray(n))[1])
    exact = hankel.sersic_hankel_slope(np.sqrt(k2), n)
    np.testing.assert_allclose(slope * k2, exact * k2, rtol=0, atol=3e-7)
    np.testing.assert_allclose(slope[0], exact[0], rtol=1e-5)


@pytest.mark.parametrize("n", [0.34, 0.59, 0.8, 1.36, 2.5, 4.0, 9.9])
def test_slope_in_index(n):
    k2 = random_k2(300)
    steps = np.array([-2, -1, 1, 2]) * 1e-3 * n
    f = [hankel.sersic_hankel(np.sqrt(k2), n + step) for step in steps]
    exact = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12e-3 * n)
    by_n = value_and_slopes(jnp.asarray(k2), jnp.asarray(n))[2]
    np.testing.assert_allclose(by_n, exact, rtol=0, atol=2e-8)


def test_continuous_between_panels():
    k2 = jnp.asarray(random_k2())
    for edge in load_table().index_edges[1:-1]:
        below = value_and_slopes(k2, jnp.asarray(np.nextafter(edge, 0.0)))
        above = value_and_slopes(k2, jnp.asarray(edge))
        np.testing.assert_allclose(below[0], above[0], rtol=0, atol=1e-13)
        np.testing.assert_allclose(below[2], above[2], rtol=0, atol=2e-9)


def test_shape_and_flux_constants():
    n = np.append(np.geomspace(0.3, 10.0, 200), load_table().index_edges)
    b = jax.jit(jax.vmap(sersic_b))(jnp.asarray(n))
    np.testing.assert_allclose(b, hankel.sersic_b_exact(n), rtol=1e-13)
    np.testing.assert_allclose(special.gammainc(2 * n, b), 0.5, rtol=1e-12)
    norm = jax.jit(jax.vmap(sersic_log_norm))(jnp.asarray(n))
    np.testing.assert_allclose(norm, hankel.sersic_log_norm_exact(n), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "ours, exact", [(sersic_b, "sersic_b_exact"), (sersic_log_norm, "sersic_log_norm_exact")]
)
def test_gradients_of_constants(ours, exact):
    n = np.geomspace(0.31, 9.9, 50)
    f = [getattr(hankel, exact)(n * (1 + j * 1e-3)) for j in (-2, -1, 1, 2)]
    numeric = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12e-3 * n)
    np.testing.assert_allclose(
        jax.jit(jax.vmap(jax.grad(ours)))(jnp.asarray(n)), numeric, rtol=1e-8, atol=1e-9
    )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_finite_at_every_edge(dtype):
    k2 = jnp.asarray([-1.0, 0.0, 1e-30, 1e-8, 1.0, 2.0**26, 1e12, 1e30], dtype)
    for n in (0.01, 0.29, 0.3, 0.6, 1.0, 1.35, 3.4, 10.0, 10.01, 100.0):
        out = value_and_slopes(k2, jnp.asarray(n, dtype))
        assert all(np.all(np.isfinite(o)) and o.dtype == dtype for o in out)
        assert abs(float(out[0][1]) - 1.0) < 1e-6 and abs(float(out[0][-1])) < 3e-4
        assert all(np.isfinite(gradient(jnp.asarray(n, dtype))) for gradient in GRADIENTS.values())


@pytest.mark.parametrize("function", [sersic_b, sersic_log_norm, lambda n: sersic_transform(2.0, n)])
def test_one_sided_gradient_at_the_ends(function):
    n = jnp.asarray([0.3, 0.3 + 1e-9, 10.0 - 1e-9, 10.0])
    slopes = jax.jit(jax.vmap(jax.grad(function)))(n)
    np.testing.assert_allclose(slopes[::3], slopes[1:3], rtol=1e-6)


def test_nan_stays_nan():
    k2, n = jnp.asarray([1.0, jnp.nan]), jnp.asarray([2.0, jnp.nan])
    assert np.array_equal(np.isnan(jax.jit(jax.vmap(sersic_transform, (None, 0)))(k2, n)), [[0, 1], [1, 1]])


@pytest.mark.parametrize("x64", [True, False])
def test_float32(x64):
    k2 = random_k2().astype(np.float32)
    with jax.enable_x64(x64):
        for n in (0.3, 1.0, 4.0, 10.0):
            f, by_k2, by_n = value_and_slopes(jnp.asarray(k2), jnp.float32(n))
            assert f.dtype == by_k2.dtype == by_n.dtype == jnp.float32
            kappa = np.sqrt(k2.astype(float))
            np.testing.assert_allclose(f, hankel.sersic_hankel(kappa, n), rtol=0, atol=1e-6)
            exact = hankel.sersic_hankel_slope(kappa, n) * k2
            np.testing.assert_allclose(by_k2 * k2, exact, rtol=0, atol=2e-6)


def test_reverse_mode_matches_forward_mode():
    kx, ky = jnp.meshgrid(jnp.linspace(0, 3, 20), jnp.linspace(-3, 3, 31))

    def total(p):
        k2 = p[0] * kx**2 + p[1] * kx * ky + p[2] * ky**2
        return jnp.sum(jnp.cos(kx) * sersic_transform(k2, p[3]))

    p = jnp.asarray([20.0, 3.0, 25.0, 2.3])
    reverse = jax.jit(jax.grad(total))(p)
    np.testing.assert_allclose(reverse, jax.jit(jax.jacfwd(total))(p), rtol=1e-12)
    shifted = jax.jit(jax.vmap(total))(p[None] + 1e-5 * np.concatenate([np.eye(4), -np.eye(4)]))
    np.testing.assert_allclose(reverse, (shifted[:4] - shifted[4:]) / 2e-5, rtol=1e-6, atol=1e-7)
    assert np.all(np.isfinite(jax.jit(jax.hessian(total))(p)))


def test_vmap_over_indices_and_tangents():
    k2 = jnp.asarray(random_k2(50))
    n = jnp.asarray([0.4, 1.0, 2.0, 7.0])
    single = jnp.stack([TRANSFORM(k2, m) for m in n])
    batched = jax.jit(jax.vmap(sersic_transform, (None, 0)))(k2, n)
    np.testing.assert_allclose(batched, single, rtol=1e-12, atol=1e-15)
    paired = jax.jit(jax.vmap(sersic_transform))(jnp.stack([k2] * 4), n)
    np.testing.assert_allclose(paired, single, rtol=1e-12, atol=1e-15)

    @jax.jit
    @jax.vmap
    def column(t):
        return jax.jvp(sersic_transform, (k2, n[2]), (t * k2, 3 * t))[1]

    columns = column(jnp.arange(9.0))
    np.testing.assert_allclose(columns[4], 4 * columns[1], rtol=1e-12)


def test_plain_numbers():
    assert sersic_transform(1.0, 1).shape == ()
    np.testing.assert_allclose(sersic_transform(0, 4.0), 1.0, atol=1e-9)
    np.testing.assert_allclose(sersic_b(4), 7.669249442500804, rtol=1e-13)

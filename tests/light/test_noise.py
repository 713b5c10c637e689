"""Noise: densities against scipy.stats, slopes against differences, information against Monte Carlo, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import bayesjoint as bj
from bayesjoint.light.noise import Noise, noise_among
from bayesjoint.light.noise_density import density_terms, draw_pixels, form_information, log_density

MODEL = np.array([[3.0, 40.0, 0.5], [7.0, 12.0, 90.0]])
DATA = np.array([[3.5, 30.0, 1.0], [2.0, 99.0, 95.0]])
INVVAR = np.array([[1.0, 0.25, 4.0], [0.5, 0.0, 0.1]])
SIGMA = 1 / np.sqrt(np.where(INVVAR > 0, INVVAR, 1.0))

KINDS = {
    "scale": (bj.NoiseScale(1.3),),
    "floor": (bj.NoiseFloor(0.1),),
    "scale and floor": (bj.NoiseFloor(0.1), bj.NoiseScale(1.3)),
    "student": (bj.StudentTNoise(3.5),),
    "student of another scale": (bj.StudentTNoise(3.5), bj.NoiseScale(0.8)),
    "contaminated": (bj.ContaminatedNoise(0.05, 8.0),),
    "counts": (bj.PoissonNoise(2.0),),
    "counts and read noise": (bj.PoissonNoise(2.0, 5.0),),
    "all": (
        bj.ContaminatedNoise(0.05, 8.0),
        bj.NoiseFloor(0.05),
        bj.NoiseScale(1.1),
        bj.PoissonNoise(2.0, 5.0),
    ),
}


def by_scipy(kind):
    wide = 1.3**2 * SIGMA**2
    u = (DATA - MODEL) / SIGMA
    normal = stats.norm.logpdf
    photons = (2.0 * MODEL + 25.0) / 4.0
    most = np.sqrt(1.1**2 * photons + (0.05 * MODEL) ** 2)
    return {
        "scale": lambda: normal(DATA, MODEL, np.sqrt(wide)),
        "floor": lambda: normal(DATA, MODEL, np.sqrt(SIGMA**2 + (0.1 * MODEL) ** 2)),
        "scale and floor": lambda: normal(DATA, MODEL, np.sqrt(wide + (0.1 * MODEL) ** 2)),
        "student": lambda: stats.t.logpdf(u, 3.5) - np.log(SIGMA),
        "student of another scale": lambda: stats.t.logpdf(u / 0.8, 3.5) - np.log(0.8 * SIGMA),
        "contaminated": lambda: np.log(
            0.95 * stats.norm.pdf(DATA, MODEL, SIGMA) + 0.05 * stats.norm.pdf(DATA, MODEL, 8 * SIGMA)
        ),
        "counts": lambda: stats.poisson.logpmf(2 * DATA, 2 * MODEL) + np.log(2.0),
        "counts and read noise": lambda: normal(DATA, MODEL, np.sqrt(photons)),
        "all": lambda: np.log(
            0.95 * stats.norm.pdf(DATA, MODEL, most) + 0.05 * stats.norm.pdf(DATA, MODEL, 8 * most)
        ),
    }[kind]()


@pytest.mark.parametrize("kind", KINDS)
def test_densities_against_scipy(kind):
    """Pixels without weight count nothing."""
    with jax.numpy_rank_promotion("raise"):
        found = log_density(noise_among(KINDS[kind]), DATA, MODEL, INVVAR)
    np.testing.assert_allclose(found, np.where(INVVAR > 0, by_scipy(kind), 0.0), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_single_precision(kind):
    with jax.numpy_rank_promotion("raise"):
        noise = jax.tree.map(lambda p: jnp.asarray(p, jnp.float32), noise_among(KINDS[kind]))
        arrays = [jnp.asarray(a, jnp.float32) for a in (DATA, MODEL, INVVAR)]
        found = log_density(noise, *arrays)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, np.where(INVVAR > 0, by_scipy(kind), 0.0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_slopes_against_differences(kind):
    leaves, treedef = jax.tree.flatten(noise_among(KINDS[kind]))

    def total(model, leaves):
        return float(jnp.sum(log_density(jax.tree.unflatten(treedef, list(leaves)), DATA, model, INVVAR)))

    with jax.numpy_rank_promotion("raise"):
        found = jax.jit(density_terms)(noise_among(KINDS[kind]), DATA, MODEL, INVVAR)
    assert float(found.value) == pytest.approx(total(MODEL, leaves), rel=1e-12)
    for place in np.ndindex(MODEL.shape):
        step = np.zeros(MODEL.shape)
        step[place] = 1e-5
        expected = (total(MODEL + step, leaves) - total(MODEL - step, leaves)) / 2e-5
        assert float(found.score[place]) == pytest.approx(expected, rel=1e-6, abs=1e-8)
    for q in range(len(leaves)):
        step = 1e-5 * np.eye(len(leaves))[q] * np.array(leaves)
        expected = (total(MODEL, leaves + step) - total(MODEL, leaves - step)) / (2 * step[q])
        assert float(found.slope[q]) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_information_is_the_scatter_of_slopes(kind):
    """Over 20000 simulated pixels: the mean slope is zero, and the mean product of slopes the Fisher information."""
    noise, count = noise_among(KINDS[kind]), 20_000
    shape = (1, count)
    model, invvar = np.full(shape, 30.0), np.full(shape, 0.05)
    data = np.asarray(draw_pixels(noise, jax.random.key(3), model, invvar, shape))
    leaves, treedef = jax.tree.flatten(noise)

    def one(d, m, parameters):
        ones = [jnp.reshape(a, (1, 1)) for a in (d, m, jnp.asarray(0.05))]
        return log_density(jax.tree.unflatten(treedef, list(parameters)), *ones)[0, 0]

    slopes = jax.vmap(jax.grad(one, argnums=(1, 2)), in_axes=(0, None, None))
    by_model, by_parameters = slopes(jnp.asarray(data.ravel()), jnp.asarray(30.0), jnp.array(leaves))
    every = np.concatenate([by_model[:, None], by_parameters], axis=1)
    # at what the model says there are no outliers
    known = density_terms(noise, model, model, invvar)
    cross = np.asarray(known.cross[:, 0, 0])
    expected = np.block(
        [
            [np.full((1, 1), float(known.weight[0, 0])), cross[None]],
            [cross[:, None], np.asarray(known.square) / count],
        ]
    )
    unit = np.sqrt(np.diag(expected))
    assert np.all(np.abs(every.mean(axis=0)) < 4 * unit / np.sqrt(count))
    found = every.T @ every / count
    if kind == "counts":
        # the gain says how wide the noise is, and where; the first is what is known of it
        found, expected, unit = found[:1, :1], expected[:1, :1], unit[:1]
    np.testing.assert_allclose(found / np.outer(unit, unit), expected / np.outer(unit, unit), atol=0.07)


@pytest.mark.parametrize("df", [1.0, 4.0, 50.0])
def test_information_of_students_t(df):
    """Lange, Little & Taylor (1989)."""
    place, wide = form_information(bj.StudentTNoise(df))
    assert float(place) == pytest.approx((df + 1) / (df + 3), rel=1e-7)
    assert float(wide[0, 0]) == pytest.approx(2 * df / (df + 3), rel=1e-6)
    assert float(wide[0, 1]) == pytest.approx(-2 / ((df + 1) * (df + 3)), rel=1e-5)
    assert float(form_information(Noise())[1][0, 0]) == pytest.approx(2.0, rel=1e-9)


@pytest.mark.parametrize(("level", "largest"), [(0.0, 0.03), (20.0, 0.02), (100.0, 0.007)])
def test_counts_with_read_noise_against_the_convolution(level, largest):
    """The mean error of the slope in the model, in units of its scatter; from some 20 electrons^2 of variance on."""
    gain, read = 1.0, 5.0
    model = np.array([[max(level, 0.5)]])
    electrons = np.arange(0, 400)
    data = np.linspace(-25.0, level + 8 * np.sqrt(level + read**2), 800)[None]

    def exact(rate):
        return np.log(stats.norm.pdf(data[0][:, None], electrons, read) @ stats.poisson.pmf(electrons, rate))

    rate, step = model[0, 0], 1e-3
    slope = (exact(rate + step) - exact(rate - step)) / (2 * step)
    density = np.exp(exact(rate)) * (data[0, 1] - data[0, 0])
    noise = (bj.PoissonNoise(gain, read),)
    models = np.full(data.shape, rate)
    ours = np.asarray(density_terms(noise, data, models, np.ones(data.shape)).score)[0]
    assert density.sum() == pytest.approx(1.0, abs=1e-3)
    assert abs(density @ ours) < 1e-3
    assert density @ (ours - slope) ** 2 / (density @ slope**2) < largest


def test_edges_of_counts():
    """No density where the model is negative; finite slopes everywhere; counts need not be whole."""
    noise = (bj.PoissonNoise(3.0, 0),)
    assert noise[0].is_exact
    model, data = np.array([[-1.0, 5.0, 0.2]]), np.array([[2.0, 4.1, 0.0]])
    found = density_terms(noise, data, model, np.ones((1, 3)))
    assert float(found.value) == -np.inf
    assert all(np.all(np.isfinite(a)) for a in found[1:])
    each = log_density(noise, data, model, np.ones((1, 3)))[0]
    n = 3 * 4.1
    assert float(each[1]) == pytest.approx(
        n * np.log(15) - 15 - float(jax.scipy.special.gammaln(n + 1)) + np.log(3)
    )
    assert float(each[2]) == pytest.approx(-0.6 + np.log(3))
    below = density_terms((bj.PoissonNoise(3.0, 1.0),), data, model, np.ones((1, 3)))
    assert float(below.value) == -np.inf and all(np.all(np.isfinite(a)) for a in below[1:])


def test_what_is_refused():
    with pytest.raises(ValueError, match="once of each kind, got NoiseScale, NoiseScale"):
        noise_among([bj.NoiseScale(1.0), bj.NoiseScale(1.1)])
    with pytest.raises(ValueError, match="two forms of noise"):
        noise_among([bj.StudentTNoise(3.0), bj.ContaminatedNoise(0.1, 5.0)])
    with pytest.raises(ValueError, match="got NoiseScale beside it: give read_noise="):
        noise_among([bj.NoiseScale(1.1), bj.PoissonNoise(2.0)])
    with pytest.raises(ValueError, match=r"ContaminatedNoise: scale must lie in \(1, inf\), got 1.0"):
        bj.ContaminatedNoise(0.1, 1.0)
    with pytest.raises(ValueError, match="NoiseScale: factor must lie in"):
        bj.NoiseScale(0.0)
    with pytest.raises(TypeError, match="StudentTNoise: df must be a number"):
        bj.StudentTNoise("4")

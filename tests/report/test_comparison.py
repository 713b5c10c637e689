"""Leave-one-out predictions against refits without each block, and comparisons of models."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from helpers.scenes import make_image
from scipy import stats

import bayesjoint as bj

pytestmark = pytest.mark.loose
SHAPE, SIGMA = (26, 24), 1.5
PRIORS = {"flux": (300.0, 200.0), "sky": (0.0, 30.0)}
PLACE = jnp.zeros(2)


def linear(images):
    flux = numpyro.sample("flux", dist.Normal(*PRIORS["flux"]))
    sky = numpyro.sample("sky", dist.Normal(*PRIORS["sky"]))
    bj.observe(images, bj.PointSource(PLACE, flux), bj.FlatSky(sky))


def dark(images):
    """The same without the star."""
    bj.observe(images, bj.FlatSky(numpyro.sample("sky", dist.Normal(*PRIORS["sky"]))))


def star_image(flux=300.0, seed=1, **changes):
    blank = make_image(SHAPE, psf=bj.gaussian_psf(1.2))
    light = np.asarray(bj.render(blank, bj.PointSource((0.0, 0.0), flux), bj.FlatSky(4.0)))
    data = light + SIGMA * np.random.default_rng(seed).normal(size=SHAPE)
    invvar = np.full(SHAPE, SIGMA**-2)
    invvar[3:6, 15:21] = 0.0
    own = {"data": data, "invvar": invvar, "name": "r", "band": "r"} | changes
    return make_image(SHAPE, psf=bj.gaussian_psf(1.2), **own)


@pytest.fixture(scope="module")
def images():
    return bj.ImageSet([star_image()])


@pytest.fixture(scope="module")
def posterior(images):
    return bj.sample(linear, images, draws=1000, chains=4, progress=False)


@pytest.fixture(scope="module")
def loo(posterior):
    return posterior.loo(draws=2000)


def refits(images, labels):
    """Log predictive density of each block from the Gaussian posterior given all others; and ln p with it."""
    image = images[0]
    columns = [
        np.asarray(bj.render(image, bj.PointSource((0.0, 0.0), 1.0))),
        np.full(SHAPE, float(image.pixel_area)),
    ]
    used = labels >= 0
    design, data = np.stack([c[used] for c in columns], axis=1), image.data[used]
    means, sds = np.array(list(PRIORS.values())).T
    found = []
    for inside in (labels[used] == number for number in range(labels.max() + 1)):
        densities = []
        for kept in (~inside, np.ones_like(inside)):
            precision = design[kept].T @ design[kept] / SIGMA**2 + np.diag(sds**-2.0)
            covariance = np.linalg.inv(precision)
            mean = covariance @ (design[kept].T @ data[kept] / SIGMA**2 + means / sds**2)
            own = design[inside]
            spread = own @ covariance @ own.T + SIGMA**2 * np.eye(inside.sum())
            densities.append(stats.multivariate_normal.logpdf(data[inside], own @ mean, spread))
        found.append(densities)
    return np.array(found).T


def test_against_refits_without_each_block(images, loo):
    wanted, with_it = refits(images, loo.labels[0])
    assert loo.unreliable == 0 and loo.verdict.trusted
    np.testing.assert_allclose(loo.pointwise, wanted, atol=0.12)
    assert loo.elpd == pytest.approx(wanted.sum(), abs=0.25)
    assert loo.p_loo == pytest.approx((with_it - wanted).sum(), abs=0.25)
    assert loo.error == pytest.approx(np.sqrt(wanted.size * np.var(wanted)), rel=0.02)


def test_blocks(images, loo):
    """As wide as the PSF; masked pixels are in none; all others are."""
    assert loo.labels[0].max() + 1 == loo.pointwise.size == 42
    np.testing.assert_array_equal(loo.labels[0] < 0, np.asarray(images[0].invvar) == 0)
    assert "elpd" in repr(loo) and "42 blocks" in loo._repr_html_()


def test_a_block_that_says_it_all(posterior):
    """One block over the image cannot be left out, and the verdict says so."""
    whole = posterior.loo(block=100.0)
    assert whole.pointwise.size == 1 and whole.unreliable == 1 and not whole.verdict.trusted


@pytest.fixture(scope="module")
def comparison(images, posterior):
    other = bj.sample(dark, images, draws=500, chains=4, progress=False)
    return bj.compare({"dark": other, "star": posterior}, block=0.6)


def test_what_is_there_is_preferred(comparison):
    assert comparison.names == ("star", "dark") and comparison.is_clear
    assert "star is preferred over dark, clearly" in comparison.conclusion
    difference, error = comparison.difference("star", "dark")
    each = comparison.models["star"].pointwise - comparison.models["dark"].pointwise
    assert difference == pytest.approx(each.sum()) and error == pytest.approx(np.sqrt(each.size * each.var()))
    table = comparison.table()
    assert list(table["model"]) == ["star", "dark"] and table["behind"][1] == pytest.approx(difference)


def test_what_is_not_there_is_not(images):
    """A star of no flux gains nothing."""
    empty = bj.ImageSet([star_image(flux=0.0, seed=2)])
    models = {"star": linear, "dark": dark}
    posteriors = {n: bj.sample(p, empty, draws=500, chains=4, progress=False) for n, p in models.items()}
    found = bj.compare(posteriors)
    assert not found.is_clear and "no clear preference" in found.conclusion
    assert abs(found.difference("star", "dark")[0]) < 4
    assert any(f.severity == "note" and "not clear" in f.what for f in found.verdict.findings)


def test_map(comparison, tmp_path):
    """Each pixel has the difference of its block; masked ones none."""
    figure = comparison.plot()
    shown = figure.axes[0].images[0].get_array()
    labels = comparison.models["star"].labels[0]
    each = comparison.pointwise("star", "dark")
    np.testing.assert_allclose(shown.compressed(), each[labels[labels >= 0]])
    assert shown.mask.sum() == np.sum(labels < 0)
    turned = comparison.plot("dark", "star").axes[0].images[0].get_array()
    np.testing.assert_allclose(turned.compressed(), -shown.compressed())
    figure.savefig(tmp_path / "figure.png")
    with pytest.raises(ValueError, match="no model 'light'"):
        comparison.plot("light")


def closed_form(image, columns, means, sds):
    """elpd of single pixels left out, of a linear model with Normal priors."""
    used = np.asarray(image.invvar) > 0
    design, data = np.stack([c[used] for c in columns], axis=1) / SIGMA, image.data[used] / SIGMA
    covariance = np.linalg.inv(design.T @ design + np.diag(np.array(sds) ** -2.0))
    mean = covariance @ (design.T @ data + np.array(means) / np.array(sds) ** 2)
    leverage = np.einsum("ip,pq,iq->i", design, covariance, design)
    off = (data - design @ mean) / (1 - leverage)
    return stats.norm.logpdf(off, 0, 1 / np.sqrt(1 - leverage)) - np.log(SIGMA)


def test_noise_error():
    """As the difference scatters from one realisation of the noise to the next; not so the error between blocks."""
    found, stars = [], [star_image(flux=70.0, seed=seed) for seed in range(200)]
    columns = [
        np.asarray(bj.render(stars[0], bj.PointSource((0.0, 0.0), 1.0))),
        np.full(SHAPE, float(stars[0].pixel_area)),
    ]
    for image in stars:
        with_star = closed_form(image, columns, *zip(*PRIORS.values(), strict=True))
        without = closed_form(image, columns[1:], *zip(PRIORS["sky"], strict=True))
        found.append(with_star - without)
    scatter = np.std(np.sum(found, axis=1))
    images = bj.ImageSet([stars[0]])
    posteriors = {
        n: bj.sample(p, images, draws=500, progress=False) for n, p in (("star", linear), ("dark", dark))
    }
    comparison = bj.compare(posteriors)
    assert comparison.noise_error("star", "dark") == pytest.approx(scatter, rel=0.2)
    assert comparison.difference("star", "dark")[1] > 1.5 * scatter


def scatter_of_ratio(noise):
    """Of ln N(u) - ln p(u) over the pixels of an image, u standard normal."""
    if isinstance(noise, bj.NoiseScale):
        other = stats.norm(scale=noise.factor)
    else:
        other = stats.t(noise.df)
    u = np.linspace(-9, 9, 4001)
    weight, ratio = stats.norm.pdf(u) * (u[1] - u[0]), stats.norm.logpdf(u) - other.logpdf(u)
    return np.sqrt(np.sum(weight * ratio**2) - np.sum(weight * ratio) ** 2)


@pytest.mark.parametrize("noise", [bj.NoiseScale(1.1), bj.StudentTNoise(8.0)])
def test_noise_error_of_other_noise(images, posterior, noise):
    """Models of the same light that differ in their noise are no closer to each other than their pixels tell."""

    def other(images):
        flux = numpyro.sample("flux", dist.Normal(*PRIORS["flux"]))
        sky = numpyro.sample("sky", dist.Normal(*PRIORS["sky"]))
        bj.observe(images, bj.PointSource(PLACE, flux), bj.FlatSky(sky), noise)

    second = bj.sample(other, images, draws=100, chains=2, warmup=100, progress=False)
    found = bj.compare({"plain": posterior, "other": second}, draws=100)
    pixels = np.sum(np.asarray(images[0].invvar) > 0)
    wanted = np.sqrt(pixels) * scatter_of_ratio(noise)
    assert found.noise_error("plain", "other") == pytest.approx(wanted, rel=0.1)
    assert found.noise_error("other", "plain") == found.noise_error("plain", "other")


def test_outliers_are_preferred(images):
    """However far they scatter, a model that knows of them is clearly better than one that does not."""
    image = images[0]
    rng = np.random.default_rng(2)
    data = image.data + 30 * SIGMA * rng.normal(size=SHAPE) * (rng.random(SHAPE) < 0.05)
    hit = bj.ImageSet([star_image(data=data)])

    def outliers(images):
        flux = numpyro.sample("flux", dist.Normal(*PRIORS["flux"]))
        sky = numpyro.sample("sky", dist.Normal(*PRIORS["sky"]))
        light = bj.PointSource(PLACE, flux), bj.FlatSky(sky)
        bj.observe(images, *light, bj.ContaminatedNoise(0.05, 30.0))

    options = {"draws": 100, "chains": 2, "warmup": 100, "progress": False}
    models = {"plain": bj.sample(linear, hit, **options), "outliers": bj.sample(outliers, hit, **options)}
    found = bj.compare(models, draws=200)
    assert found.best == "outliers" and found.is_clear


def test_preference_that_hangs_on_one_block(loo):
    """A model ahead only where its importance ratios fail is not preferred."""
    ahead = np.zeros(loo.pointwise.size)
    ahead[7], k_hat = 60.0, np.where(np.arange(loo.pointwise.size) == 7, 1.3, 0.2)
    behind = replace(loo, pointwise=loo.pointwise - ahead, k_hat=k_hat)
    wide = replace(loo, pointwise=loo.pointwise - 1.0, k_hat=k_hat)
    assert not bj.compare({"a": loo, "b": behind}).is_clear
    assert bj.compare({"a": loo, "b": wide}).is_clear


def test_other_pixels_are_refused(posterior, loo, images):
    noisier = bj.sample(linear, bj.ImageSet([star_image(seed=3)]), draws=100, chains=2, progress=False)
    unmasked = bj.ImageSet([star_image(data=images[0].data, invvar=np.full(SHAPE, SIGMA**-2))])
    more = bj.sample(linear, unmasked, draws=100, chains=2, progress=False)
    for other in (noisier, more):
        with pytest.raises(ValueError, match="models of different pixels"):
            bj.compare({"a": loo, "b": other}, draws=200)
    with pytest.raises(ValueError, match="different blocks"):
        bj.compare({"a": loo, "b": posterior.loo(block=0.7)})


def test_bad_input(posterior, loo, tmp_path):
    with pytest.raises(ValueError, match="two models or more"):
        bj.compare({"a": loo})
    with pytest.raises(TypeError, match="'b' is a int"):
        bj.compare({"a": loo, "b": 3})
    with pytest.raises(ValueError, match="draws must be a whole number from 100 on, got 20"):
        posterior.loo(draws=20)
    with pytest.raises(ValueError, match="block must be a side in arcsec"):
        posterior.loo(block=0.0)
    loaded = bj.Posterior.load(posterior.save(tmp_path / "posterior.nc"))
    with pytest.raises(ValueError, match=r"'b' is a posterior from a file.*give posterior.loo\(program\)"):
        bj.compare({"a": loo, "b": loaded})
    with pytest.raises(TypeError, match="compare needs models by name, got a list"):
        bj.compare([loo, loo])


def test_too_few_draws(images):
    short = bj.sample(linear, images, draws=20, chains=2, progress=False)
    with pytest.raises(ValueError, match="has 40 draws, at least 100 are wanted: make more"):
        short.loo()


def bulge_disc(images):
    bulge, disc = bj.sample_bulge_disc("galaxy", images)
    bj.observe(images, bulge, disc, bj.FlatSky(bj.sample_sky(images)))


def galaxy_image(*light, seed=5):
    shape, psf = (48, 48), bj.gaussian_psf(1.3)
    blank = make_image(shape, 0.4, psf=psf)
    data = np.asarray(bj.render(blank, *light)) + np.random.default_rng(seed).normal(size=shape)
    return bj.ImageSet([make_image(shape, 0.4, psf=psf, data=data, name="r", band="r")])


@pytest.mark.parametrize("is_double", [True, False])
def test_bulge_and_disc(is_double):
    """Preferred over one Sersic profile where it was simulated, and not where one was."""

    def part(kind, flux, q, Re):
        return kind((0.1, -0.15), q, 40.0, Re, flux / float(kind((0.1, -0.15), q, 40.0, Re, 1.0).flux))

    light = [bj.Sersic((0.1, -0.15), 0.65, 40.0, 1.6, 2.2, 60.0)]
    if is_double:
        light = [part(bj.DeVaucouleurs, 2500.0, 0.85, 0.7), part(bj.Exponential, 3500.0, 0.5, 3.0)]
    images = galaxy_image(*light, bj.FlatSky(5.0))
    models = {"sersic": bj.joint_model(), "double": bulge_disc}
    found = bj.compare({n: bj.sample(p, images, draws=300, progress=False) for n, p in models.items()})
    if is_double:
        assert found.best == "double" and found.is_clear
    else:
        assert not (found.best == "double" and found.is_clear)

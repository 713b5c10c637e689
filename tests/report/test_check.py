"""A posterior's check: wrong models are told, sensitivity in a conjugate case, what each image tells, figures, bad input."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from helpers.scenes import make_image
from scipy import stats

import bayesjoint as bj
from bayesjoint.report.check import Check

pytestmark = pytest.mark.loose
PROGRAM = bj.joint_model()
SHAPE, SCALE, FWHM, SIGMA = (48, 48), 0.4, 1.3, 1.0
PLACE = (0.1, -0.15)


def galaxy(brightness):
    return bj.Sersic(PLACE, 0.65, 40.0, 1.6, 2.2, brightness), bj.FlatSky(5.0)


def bulge_and_disc(flux):
    """Of an image's flux 40 % in the bulge."""

    def part(kind, share, q, Re):
        return kind(PLACE, q, 40.0, Re, share * flux / float(kind(PLACE, q, 40.0, Re, 1.0).flux))

    return part(bj.DeVaucouleurs, 0.4, 0.85, 0.7), part(bj.Exponential, 0.6, 0.5, 3.0), bj.FlatSky(5.0)


def simulated(lights, told_fwhm=FWHM, told_sigma=SIGMA, seed=3):
    """Images in g and r of these lights, with what is told of their PSF and noise."""
    rng = np.random.default_rng(seed)
    images = []
    for band, light in zip("gr", lights, strict=True):
        blank = make_image(SHAPE, SCALE, psf=bj.gaussian_psf(FWHM))
        data = np.asarray(bj.render(blank, *light)) + SIGMA * rng.normal(size=SHAPE)
        invvar = np.full(SHAPE, told_sigma**-2)
        told = bj.gaussian_psf(told_fwhm)
        images.append(make_image(SHAPE, SCALE, psf=told, data=data, invvar=invvar, name=band, band=band))
    return bj.ImageSet(images)


def sampled(images, program=PROGRAM, draws=300):
    return bj.sample(program, images, draws=draws, chains=4, progress=False)


@pytest.fixture(scope="module")
def right():
    return sampled(simulated([galaxy(50.0), galaxy(100.0)]))


@pytest.fixture(scope="module")
def check(right):
    return right.check()


def warned(check, words):
    """Whether a warning or fail holds these words."""
    return any(f.severity in ("warning", "fail") and words in f.what for f in check.verdict.findings)


def test_right_model(check):
    assert check.verdict.trusted and "can be trusted" in check.verdict.headline
    table = check.table()
    p = np.array([table[name] for name in table.colnames if name.startswith("p ")])
    assert np.all((p > 0.005) & (p < 0.995)) and abs(p.mean() - 0.5) < 0.25


def test_narrow_psf():
    """10 % too narrow, of a bright galaxy: rings that the verdict on the posterior passes."""
    check = sampled(simulated([galaxy(400.0), galaxy(800.0)], told_fwhm=0.9 * FWHM)).check()
    assert warned(check, "r: chi2 of smoothed residuals on the source")
    assert warned(check, "all images: the PSFs seem 1") and warned(check, "% too narrow")
    table = check.score_table()
    row = table[(table["image"] == "all images") & (table["direction"] == "PSF width")][0]
    assert (
        abs(row["amplitude"] - 100 / 9) < 3 * row["error"]
        and row["moves most"] == "galaxy n"
        and row["by"] < -10
    )


def test_star_left_unmasked():
    star = bj.PointSource((5.0, 4.0), 60.0)
    check = sampled(simulated([galaxy(50.0), (*galaxy(100.0), star)])).check()
    assert warned(check, "r: the largest smoothed residual") and not warned(check, "g: ")
    found = next(f.what for f in check.verdict.findings if "largest smoothed" in f.what)
    image = check.images[1]
    x, y = np.asarray(image.pixel_map.linearise(jnp.array([5.0, 4.0]))[0])
    told = [int(word.split("=")[1].rstrip(",;")) for word in found.split() if word[:2] in ("x=", "y=")]
    assert np.hypot(told[0] - x, told[1] - y) < 2.5


def test_noise_understated():
    check = sampled(simulated([galaxy(50.0), galaxy(100.0)], told_sigma=0.5 * SIGMA)).check()
    assert not check.verdict.trusted
    assert all(warned(check, f"{band}: chi2 is 4.") or warned(check, f"{band}: chi2 is 3.9") for band in "gr")


def test_one_sersic_for_bulge_and_disc():
    check = sampled(simulated([bulge_and_disc(2500.0), bulge_and_disc(5000.0)])).check()
    assert warned(check, "r: chi2 of smoothed residuals on the source")
    assert "can be trusted" not in check.verdict.headline


def test_leaving_an_image_out(right, check):
    """Errors without an image are those of a fit of the other one."""
    found = check.information
    for column, band in enumerate("gr"):
        kept = [image for image in right.images if image.name != band]
        fit = bj.fit_map(PROGRAM, bj.ImageSet(kept), progress=False)
        for label, site in (
            ("n", "galaxy_n"),
            ("Re", "galaxy_Re"),
            ("q", "galaxy_q"),
            ("east", "galaxy_east"),
        ):
            row = found.labels.index(f"galaxy {label}")
            assert found.without[row, column] == pytest.approx(float(fit.errors[site]), rel=0.15), (
                label,
                band,
            )
            share = 1 - (found.errors[row] / float(fit.errors[site])) ** 2
            assert found.share[row, column] == pytest.approx(share, abs=0.12)
    row = found.labels.index("galaxy flux g")
    assert found.share[row, 0] > 0.99 and np.all(found.share[:, 2] < 0.05)
    sd = {q.label: q.draws.std() for q in right.quantities}
    np.testing.assert_allclose(found.errors, [sd[label] for label in found.labels], rtol=0.2)


def test_from_a_file(right, check, tmp_path):
    """A saved posterior with its program is checked to the same numbers."""
    loaded = bj.Posterior.load(right.save(tmp_path / "posterior.nc"))
    again = loaded.check(PROGRAM)
    for a, b in zip(check.predictions, again.predictions, strict=True):
        np.testing.assert_allclose(a.observed, b.observed, rtol=1e-9)
    with pytest.raises(ValueError, match="does not know its program"):
        loaded.check()


def test_figures(check, tmp_path):
    """A row of two maps and a graph for each image; a number in each cell that is not nothing."""
    residuals, information = check.plot_residuals(), check.plot_information()
    maps = [ax for ax in residuals.axes if ax.images]
    assert len(maps) == 4 and sum(bool(ax.lines) and not ax.images for ax in residuals.axes) >= 2
    np.testing.assert_allclose(maps[0].images[0].get_array(), check.predictions[0].residual)
    texts = [text.get_text() for text in information.axes[0].texts]
    shown = [i for i, label in enumerate(check.information.labels) if not label.startswith("sky")]
    wanted = [f"{100 * s:.0f}" if s >= 0.005 else "" for s in check.information.share[shown].ravel()]
    assert texts == wanted
    for figure in (residuals, information):
        figure.savefig(tmp_path / "figure.png")
    assert len(check.plot_information(["sky g"]).axes[0].get_yticks()) == 1
    with pytest.raises(ValueError, match="no scalar 'sky z'"):
        check.plot_information(["sky z"])


def test_words(check):
    assert repr(check).splitlines()[0].startswith("Check of 2 images by 200 draws")
    assert check.verdict.headline in repr(check) and check.verdict.headline in check._repr_html_()
    assert "Score tests, sigma" in repr(check) and set(check.score_table()["image"]) == {
        "g",
        "r",
        "all images",
    }
    names = check.information_table().colnames
    assert names == ["name", "error", "g", "r", "prior"]


@pytest.mark.parametrize("draws", [49, 60.5, "many"])
def test_too_few_draws(right, draws):
    with pytest.raises(ValueError, match="draws must be a whole number from 50 on"):
        right.check(draws=draws)


def test_another_program(right):
    with pytest.raises(ValueError, match="no 'other_"):
        right.check(bj.joint_model("other"))


def one_flux(images, mean, width):
    flux = numpyro.sample("star_brightness", dist.Normal(mean, width))
    bj.observe(images, bj.PointSource(jnp.zeros(2), flux, name="star"))


def conjugate(mean, width, sigma):
    """Posterior of a star's flux, Normal prior and data of one image: its mean and sd by the data alone too."""
    blank = make_image((16, 16), name="r", band="r", invvar=np.full((16, 16), sigma**-2))
    light = np.asarray(bj.render(blank, bj.PointSource((0.0, 0.0), 1.0)))
    data = 100.0 * light + sigma * np.random.default_rng(8).normal(size=light.shape)
    image = make_image((16, 16), name="r", band="r", data=data, invvar=np.full((16, 16), sigma**-2))
    posterior = bj.sample(one_flux, bj.ImageSet([image]), mean, width, draws=1000, progress=False)
    sd = sigma / np.sqrt(np.sum(light**2))
    return posterior, np.sum(data * light) / np.sum(light**2), sd


def distance_rate(draws, gaussian_of, delta=0.01):
    """CJS distance per doubling of a power, between Gaussians of known mean and sd, integrated over the draws' range.

    Kallioinen et al. 2024, eqs 5 to 8: the larger of that of x and that of -x.
    """
    x = np.linspace(draws.min(), draws.max(), 20001)

    def distance(power, sign):
        p, q = (stats.norm.cdf(sign * x, sign * m, s) for m, s in (gaussian_of(1.0), gaussian_of(power)))
        middle = 0.5 * (p + q)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = [np.nan_to_num(a * np.log2(a / middle)) for a in (p, q)]
        step = x[1] - x[0]
        return np.sqrt(max(np.sum(terms) * step, 0.0) / (np.sum(p + q) * step))

    both = [max(distance(power, sign) for sign in (1, -1)) for power in (1 + delta, 1 / (1 + delta))]
    return sum(both) / (2 * np.log2(1 + delta))


CASES = {
    "strong prior in conflict": (70.0, 10.0, 2.0, "prior-data conflict"),
    "data": (0.0, 2000.0, 2.0, ""),
    "prior alone": (100.0, 4.0, 60.0, "weak likelihood"),
}


@pytest.mark.parametrize("case", CASES)
def test_power_scaling_of_a_conjugate_posterior(case):
    mean, width, sigma, words = CASES[case]
    posterior, told, sd = conjugate(mean, width, sigma)
    found = posterior.check(draws=50).sensitivity
    row = found.labels.index("star_brightness")
    draws = posterior.values("star_brightness").ravel()

    def scaled(prior=1.0, likelihood=1.0):
        precision = prior / width**2 + likelihood / sd**2
        return (prior * mean / width**2 + likelihood * told / sd**2) / precision, precision**-0.5

    for mine, which in ((found.prior, "prior"), (found.likelihood, "likelihood")):
        wanted = distance_rate(draws, lambda power, which=which: scaled(**{which: power}))
        assert mine[row] == pytest.approx(wanted, rel=0.15, abs=0.006), which
    slope = np.log(2) * (scaled(prior=1.001)[0] - scaled(prior=0.999)[0]) / 0.002 / scaled()[1]
    assert found.shift[row] == pytest.approx(slope, rel=0.15, abs=0.05)
    assert found.words[row] == words


def test_conflict_is_no_success():
    posterior, *_ = conjugate(*CASES["strong prior in conflict"][:3])
    check = posterior.check(draws=50)
    assert isinstance(check, Check) and warned(check, "prior-data conflict in star")

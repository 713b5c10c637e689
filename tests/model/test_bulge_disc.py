"""Bulge and disc: their sites, what is given, and a fit that finds the truth within its errors."""

from __future__ import annotations

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
from helpers.scenes import make_image
from numpyro import handlers
from scipy import stats

import bayesjoint as bj
from bayesjoint.model.bulge_disc import logit_normal

TRUTH = {"galaxy_bulge_Re": 0.7, "galaxy_bulge_q": 0.85, "galaxy_bulge_pa": 20.0}
TRUTH |= {"galaxy_disc_Re": 3.2, "galaxy_disc_q": 0.55, "galaxy_disc_pa": 65.0}
TRUTH |= {"galaxy_total": np.array([4000.0, 9000.0]), "galaxy_bulge_fraction": np.array([0.15, 0.4])}
TRUTH |= {"galaxy_east": 0.2, "galaxy_north": -0.1}


def program(images):
    bulge, disc = bj.sample_bulge_disc("galaxy", images)
    bj.observe(images, bulge, disc, bj.FlatSky(bj.sample_sky(images)))


def trace_of(function, *args, **keywords):
    return handlers.trace(handlers.seed(function, 0)).get_trace(*args, **keywords)


def latents(trace):
    return {name.removeprefix("galaxy_") for name, site in trace.items() if site["type"] == "sample"}


def test_sites(mixed):
    trace = trace_of(bj.sample_bulge_disc, "galaxy", mixed)
    wanted = {"east", "north", "bulge_ellipticity", "disc_ellipticity", "disc_Re_circular", "size_ratio"}
    assert latents(trace) == wanted | {"total", "bulge_fraction"}
    value = {name.removeprefix("galaxy_"): np.asarray(site["value"]) for name, site in trace.items()}
    assert value["total"].shape == value["bulge_fraction"].shape == value["flux"].shape == (2,)
    circular = value["bulge_Re"] * np.sqrt(value["bulge_q"])
    assert circular == pytest.approx(value["size_ratio"] * value["disc_Re_circular"])


def test_parts_add_up(mixed):
    trace = {}

    def both(images):
        parts = bj.sample_bulge_disc("galaxy", images, n=None)
        trace["parts"] = parts
        return parts

    sites = trace_of(both, mixed)
    bulge, disc = trace["parts"]
    assert isinstance(bulge, bj.Sersic) and (bulge.name, disc.name) == ("galaxy_bulge", "galaxy_disc")
    assert np.array_equal(bulge.centre, disc.centre)
    total = sites["galaxy_total"]["value"]
    np.testing.assert_allclose(bulge.flux + disc.flux, total, rtol=1e-9)
    np.testing.assert_allclose(bulge.flux / total, sites["galaxy_bulge_fraction"]["value"], rtol=1e-9)


def test_given(mixed):
    given = {"size_ratio": 0.3, "bulge_q": 1.0, "bulge_pa": 0.0, "disc_Re": dist.Uniform(1.0, 5.0)}
    trace = trace_of(
        bj.sample_bulge_disc, "galaxy", mixed, n=2.0, centre=(0.0, 0.1), bulge_fraction=0.2, **given
    )
    assert latents(trace) == {"disc_ellipticity", "disc_Re", "total"}
    assert float(trace["galaxy_bulge_n"]["value"]) == 2.0
    with pytest.raises(ValueError, match=r"sample_bulge_disc got Re; it knows centre, size_ratio"):
        trace_of(bj.sample_bulge_disc, "galaxy", mixed, Re=2.0)


def test_priors_of_ratios():
    draws = np.asarray(logit_normal(0.25, 1.5).sample(jax.random.PRNGKey(1), (4000,)))
    assert stats.kstest(np.log(draws / (1 - draws)), stats.norm(np.log(1 / 3), 1.5).cdf).pvalue > 1e-3


@pytest.fixture(scope="module")
def fit():
    rng, images = np.random.default_rng(3), []
    shapes = [
        {key: TRUTH[f"galaxy_{part}_{key}"] for key in ("Re", "q", "pa")} | {"centre": (0.2, -0.1)}
        for part in ("bulge", "disc")
    ]
    kinds = bj.DeVaucouleurs, bj.Exponential
    for band, scale in ((0, 0.3), (1, 0.4)):
        fraction, total = TRUTH["galaxy_bulge_fraction"][band], TRUTH["galaxy_total"][band]
        parts = []
        for kind, shape, share in zip(kinds, shapes, (fraction, 1 - fraction), strict=True):
            parts.append(kind(**shape, Ie=share * total / kind(**shape, Ie=1.0).flux))
        options = {
            "shape": (80, 80),
            "scale": scale,
            "psf": bj.gaussian_psf(0.9 + 0.2 * band),
            "name": "gr"[band],
        }
        mean = np.asarray(jax.jit(bj.render)(make_image(**options), *parts))
        images.append(make_image(data=mean + rng.normal(size=mean.shape), **options))
    return bj.fit_map(program, bj.ImageSet(images))


def test_the_truth_is_found(fit):
    """Every structural parameter, total flux and fraction within four of its errors, and these small."""
    assert fit.converged and 0.9 < fit.chi2_per_dof < 1.1
    pulls = {}
    for name, truth in TRUTH.items():
        pulls[name] = np.max(np.abs(fit.values[name] - truth) / fit.errors[name])
        assert np.all(fit.errors[name] < 0.5 * np.maximum(np.abs(truth), 0.2)), name
    assert max(pulls.values()) < 4, pulls
    whole = fit.values["galaxy_bulge_flux"] + fit.values["galaxy_disc_flux"]
    np.testing.assert_allclose(fit.values["galaxy_flux"], whole)

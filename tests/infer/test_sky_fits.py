"""Programs with a sky that slopes: the gradient is found, and counts as linear."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from helpers.scenes import make_image

import bayesjoint as bj
from bayesjoint.infer import collapse
from bayesjoint.infer.roads import around_fit
from bayesjoint.render.images import light_on_stacks, render_light

GRADIENTS = np.array([[40.0, -25.0], [-30.0, 60.0]])


def sloped(images):
    structure = bj.sample_structure("galaxy", images)
    Ie = bj.sample_brightness("galaxy", images, structure)
    bj.observe(images, bj.Sersic(**structure, Ie=Ie), bj.PlaneSky(*bj.sample_sky(images, order=1)))


@pytest.fixture(scope="module")
def fits():
    """Of ten noise realisations of a galaxy in two bands, on skies of 0.5 that slope by about a pixel's noise."""
    galaxy = bj.Sersic((0.15, -0.1), 0.6, 40.0, 1.5, 2.0, np.array([60.0, 100.0]))
    options = [{"scale": 0.4, "psf": bj.gaussian_psf(1.8), "name": band, "angle": 25.0} for band in "gr"]
    blank = bj.ImageSet([make_image((32, 32), **each) for each in options])
    (models,) = jax.jit(lambda images: _drawn(images, galaxy))(blank)
    found = []
    for seed in range(10):
        data = np.asarray(models) + np.random.default_rng(seed).normal(size=models.shape)
        images = [make_image((32, 32), data=d, **each) for d, each in zip(data, options, strict=True)]
        found.append((bj.ImageSet(images), bj.fit_map(sloped, bj.ImageSet(images))))
    return found


def _drawn(images, galaxy):
    return render_light(light_on_stacks(images, galaxy, bj.PlaneSky(0.5, GRADIENTS)))


def test_gradients_are_found_within_their_errors(fits):
    assert all(fit.converged for _, fit in fits)
    pulls = [(f.values["sky_gradient"] - GRADIENTS) / f.errors["sky_gradient"] for _, f in fits]
    levels = [(f.values["sky"] - 0.5) / f.errors["sky"] for _, f in fits]
    assert np.abs(pulls).max() < 4 and np.abs(levels).max() < 4
    assert 0.6 < np.std(pulls) < 1.5
    assert all(np.all(f.errors["sky_gradient"] < 4) for _, f in fits)


def test_skies_and_brightnesses_are_linear(fits):
    images, fit = fits[0]
    region = around_fit(fit, seed=0).points
    split = collapse.split_linear(sloped, fit.layout, region, jax.device_put((images,)))
    linear = {fit.labels[i].split("[")[0] for i in split.linear}
    assert linear == {"galaxy_total", "sky", "sky_gradient"} and len(split.linear) == 8

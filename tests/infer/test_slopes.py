"""Sparse slopes of a field's parameters: those of moving each latent alone, from far fewer directions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from helpers.fields import field

import bayesjoint as bj
from bayesjoint.infer import slopes
from bayesjoint.infer.space import find_latents
from bayesjoint.infer.start import starting_point


@pytest.fixture(scope="module")
def images():
    found = field()
    return found.with_sources(bj.find_sources(found))


def hierarchy(images):
    """Sizes about a mean that is not known: one latent that all share, in a prior of many rows."""
    count = len(images.sources)
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    width = numpyro.sample("width", dist.HalfNormal(0.5))
    with numpyro.plate("galaxies", count):
        radius = numpyro.sample("radius", dist.LogNormal(mean, 0.1 + width))
    centre = jnp.asarray(images.sources.position)
    light = bj.Sersic(centre, 0.7, 30.0, 1.0, radius, jnp.full((len(images.bands), count), 50.0))
    bj.observe(images, bj.Windowed(light, window=0), bj.FlatSky(bj.sample_sky(images)))


def switching(images):
    """A source that follows another one only where a latent is positive: where it depends changes from place to place."""
    count = len(images.sources)
    with numpyro.plate("sources", count):
        flux = numpyro.sample("flux", dist.Normal(0.0, 1.0))
    flux = flux.at[0].set(jnp.where(flux[1] > 0, flux[1], flux[0]))
    light = bj.PointSource(jnp.asarray(images.sources.position), jnp.stack([flux] * len(images.bands)))
    bj.observe(images, bj.Windowed(light, window=0))


@pytest.mark.parametrize(
    "program", (bj.scene_model(), hierarchy, switching), ids=("scene", "hierarchy", "switch")
)
def test_slopes_are_those_of_each_latent_moved_alone(images, program, monkeypatch):
    args = jax.device_put((images,))
    layout = find_latents(program, args)
    rng = np.random.default_rng(4)
    places = [starting_point(program, layout, args, {}) + rng.normal(size=layout.size) for _ in range(3)]
    places += [-place for place in places]
    exact = slopes.slopes_of(program, layout, args)
    wanted = [exact(z, args) for z in places]
    monkeypatch.setattr(slopes, "AT_ONCE", 4)
    monkeypatch.setattr(slopes, "_CROWDED", 3)
    found = slopes.slopes_of(program, layout, args)
    for z, one in zip(places, wanted, strict=True):
        ours = found(z, args)
        np.testing.assert_allclose(ours.gradient, one.gradient, rtol=1e-12)
        pairs = [(ours.hessian, one.hessian), *zip(ours.lights[0], one.lights[0], strict=True)]
        for a, b in pairs:
            b = b.toarray()
            np.testing.assert_allclose(a.toarray(), b, rtol=1e-9, atol=1e-9 * np.abs(b).max())


def test_directions_do_not_grow_with_the_number_of_sources(images):
    args = jax.device_put((images,))
    layout = find_latents(bj.scene_model(), args)
    whole = slopes._Jacobian(partial(slopes._along, bj.scene_model(), layout), layout.size)
    whole._learn(whole._whole(starting_point(bj.scene_model(), layout, args, {}) + 0.1, args)[1])
    # of a source: place 2, ellipticity 2, n, Re, and a flux in each band; of all: a sky in each image; one to check by
    assert len(whole.directions) <= 6 + 2 * len(images.bands) + len(images) + 1

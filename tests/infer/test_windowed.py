"""Fields of sources in windows: the expansion is that of whole images, and the fit finds what was simulated."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from helpers.fields import GALAXIES, STAR, field

import bayesjoint as bj
from bayesjoint.infer import slopes, windowed
from bayesjoint.infer.curvature import quadratic
from bayesjoint.infer.space import find_latents
from bayesjoint.infer.start import starting_point
from bayesjoint.infer.windowed import expansion, parameter_places
from bayesjoint.model.scene import sample_sources


@pytest.fixture(scope="module")
def images():
    found = field()
    table = bj.find_sources(found)
    # windows of two sizes, some of which hang over an edge
    table["window"] = np.where(np.arange(len(table)) % 2, 3.0, 9.0)
    return found.with_sources(table)


def with_noise(images):
    """Sources under noise of a free width, images that may be shifted, and seeing that is not known."""
    light = sample_sources("source", images, images.sources)
    scale = numpyro.sample("scale", dist.LogNormal(0.0, 0.1))
    shift = numpyro.sample("shift", dist.Normal(jnp.zeros(2), 0.1).to_event(1))
    light += [bj.NoiseScale(scale), bj.Registration(offset=shift)]
    bj.observe(images, *light, bj.FlatSky(bj.sample_sky(images)))


@pytest.mark.parametrize("program", (bj.scene_model(), with_noise), ids=("plain", "with noise"))
def test_expansion_is_that_of_whole_images(images, program):
    args = jax.device_put((images,))
    layout = find_latents(program, args)
    z = starting_point(program, layout, args, {})
    z = z + 0.1 * np.random.default_rng(0).normal(size=z.size)
    z[["total" in label for label in layout.labels]] = 3000.0
    places = parameter_places(program, layout, args)
    assert [[w.shape[1] for w in windows] for _, windows in places] == [[7, 7, 3]]
    ours, whole = expansion(program, layout, args)(z), jax.device_get(quadratic(program, layout, z, args))
    np.testing.assert_allclose(ours.value, whole.value, rtol=1e-12)
    for part in ("gradient", "likelihood_curvature", "prior_curvature"):
        a, b = getattr(ours, part), getattr(whole, part)
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11 * np.abs(b).max())


def test_bending_is_what_the_curvature_lacks(images):
    """In the rows of positions, by finite differences of the gradient, far from the maximum where it counts."""
    program, args = bj.scene_model(), jax.device_put((images,))
    layout = find_latents(program, args)
    z = starting_point(program, layout, args, {}).copy()
    z[["total" in label for label in layout.labels]] = 3000.0
    expand = expansion(program, layout, args)
    here = expand(z)
    plain = here.likelihood_curvature + here.prior_curvature
    bent = plain + here.bending.toarray()
    for k in (
        k for k, label in enumerate(layout.labels) if label.startswith(("source_east", "source_north"))
    ):
        step = 1e-4 * np.eye(z.size)[k]
        wanted = (expand(z - step).gradient - expand(z + step).gradient) / 2e-4
        unit = np.sqrt(plain[k, k] * plain.diagonal())
        lacking, left = np.abs(wanted - plain[k]) / unit, np.abs(wanted - bent[k]) / unit
        assert lacking.max() > 0.1 and left.max() < 0.02 + 0.1 * lacking.max()


def test_programs_without_windows_are_left_to_the_common_road(images):
    args = jax.device_put((images,))
    program = bj.joint_model()
    assert parameter_places(program, find_latents(program, args), args) == []


def test_a_fit_with_a_sparse_curvature_is_the_same(images, monkeypatch):
    wanted = bj.fit_map(bj.scene_model(), images)
    monkeypatch.setattr(slopes, "AT_ONCE", 8)
    monkeypatch.setattr(windowed, "LARGE", 8)
    fit = bj.fit_map(bj.scene_model(), images)
    assert fit.iterations == wanted.iterations
    np.testing.assert_allclose(fit.unconstrained, wanted.unconstrained, atol=1e-9)
    np.testing.assert_allclose(fit.covariance, wanted.covariance, rtol=1e-6, atol=1e-12)


def test_fit_finds_what_was_simulated(images):
    fit = bj.fit_map(bj.scene_model(), images)
    assert fit.converged
    assert np.all(np.abs(fit.chi2 / fit.pixels - 1) < 4 * np.sqrt(2 / fit.pixels) + 0.05)
    east, north = fit.values["source_east"], fit.values["source_north"]
    for true in (*GALAXIES, STAR):
        i = int(np.argmin(np.hypot(east - true[0], north - true[1])))
        name = images.sources.names[i]
        pulls = (fit.values[f"{name}_flux"] - np.array(true[-1])) / fit.errors[f"{name}_flux"]
        assert np.all(np.abs(pulls) < 4)


def test_a_set_without_sources_is_told_of():
    with pytest.raises(ValueError, match=r"give images.with_sources\(bj.find_sources\(images\)\)"):
        bj.fit_map(bj.scene_model(), field())

"""The shortcuts' priors: centred on what the images show, replaced, fixed and tied at will."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from astropy import units as u
from numpyro import handlers
from scipy import stats

import bayesjoint as bj
from bayesjoint.model.priors import N_LIMITS, sersic_index_prior


def trace_of(function, *args, **keywords):
    return handlers.trace(handlers.seed(function, 0)).get_trace(*args, **keywords)


def values_of(function, *args, **keywords):
    with handlers.seed(rng_seed=0):
        return function(*args, **keywords)


def latents(trace):
    return {name for name, site in trace.items() if site["type"] == "sample"}


def test_structure_is_sampled_once(mixed):
    trace = trace_of(bj.sample_structure, "galaxy", mixed)
    assert latents(trace) == {
        f"galaxy_{part}" for part in ("east", "north", "ellipticity", "n", "Re_circular")
    }
    assert {trace[f"galaxy_{part}"]["type"] for part in ("q", "pa", "Re")} == {"deterministic"}
    assert all(trace[name]["value"].ndim == (name == "galaxy_ellipticity") for name in latents(trace))
    structure = values_of(bj.sample_structure, "galaxy", mixed)
    assert set(structure) == {"name", "centre", "q", "pa", "n", "Re"} and structure["name"] == "galaxy"
    assert 0 < float(structure["q"]) <= 1 and structure["centre"].shape == (2,)


def test_priors_lean_on_what_the_images_show(mixed):
    trace, start = trace_of(bj.sample_structure, "galaxy", mixed), mixed.start
    width = 0.5 * (start.effective_radius + start.seeing)
    for part, value in zip(("east", "north"), start.position, strict=True):
        assert float(trace[f"galaxy_{part}"]["fn"].mean) == pytest.approx(value)
        assert float(trace[f"galaxy_{part}"]["fn"].variance) == pytest.approx(width**2)
    size = start.effective_radius * np.exp(-0.5 * np.hypot(*start.ellipticity))
    prior = trace["galaxy_Re_circular"]["fn"]
    assert float(prior.log_prob(2.0)) == pytest.approx(stats.lognorm(1.0, scale=size).logpdf(2.0))


def test_size_is_circularised_unless_it_cannot_be_shared(mixed):
    trace = trace_of(bj.sample_structure, "galaxy", mixed)
    Re, q = (float(trace[f"galaxy_{part}"]["value"]) for part in ("Re", "q"))
    assert Re * np.sqrt(q) == pytest.approx(float(trace["galaxy_Re_circular"]["value"]))
    turned = trace_of(bj.sample_structure, "galaxy", mixed, per_band=["ellipticity"])
    assert turned["galaxy_Re"]["type"] == "sample" and "galaxy_Re_circular" not in turned


def test_index_prior_integrates_to_one_between_its_ends():
    n = np.linspace(*N_LIMITS, 20001)[1:-1]  # rounding may put the ends themselves outside
    density = np.exp(np.asarray(sersic_index_prior().log_prob(n)))
    assert np.trapezoid(density, n) == pytest.approx(1, rel=1e-3)
    free = stats.lognorm(0.8, scale=1.7)
    expected = free.pdf(n) / (free.cdf(N_LIMITS[1]) - free.cdf(N_LIMITS[0]))
    assert np.allclose(density, expected)
    draws = np.asarray(sersic_index_prior().sample(jax.random.PRNGKey(2), (2000,)))
    assert draws.min() >= N_LIMITS[0] and draws.max() <= N_LIMITS[1]
    cumulative = np.cumsum(density) * (n[1] - n[0])
    assert stats.kstest(draws, lambda x: np.interp(x, n, cumulative)).pvalue > 1e-3


def test_fixed_replaced_and_tied(mixed):
    def program():
        bulge = bj.sample_structure("bulge", mixed, n=4.0, Re=dist.Uniform(0.1, 1.0))
        disc = bj.sample_structure("disc", mixed, centre=bulge["centre"], Re=3 * bulge["Re"], q=0.5, pa=20.0)
        numpyro.deterministic("ratio", disc["Re"] / bulge["Re"])
        return bulge, disc

    trace = trace_of(program)
    assert latents(trace) == {"bulge_east", "bulge_north", "bulge_ellipticity", "bulge_Re", "disc_n"}
    assert isinstance(trace["bulge_Re"]["fn"], dist.Uniform) and float(
        trace["ratio"]["value"]
    ) == pytest.approx(3)
    bulge, disc = values_of(program)
    assert float(bulge["n"]) == 4.0 and (float(disc["q"]), float(disc["pa"])) == (0.5, 20.0)
    assert np.array_equal(disc["centre"], bulge["centre"])


def test_fixed_values_are_reported_and_take_no_units(mixed):
    trace = trace_of(bj.sample_structure, "galaxy", mixed, n=4.0, q=0.5, centre=(0.1, 0.2))
    fixed = {"n": 4.0, "q": 0.5, "east": 0.1, "north": 0.2}
    assert {part: float(trace[f"galaxy_{part}"]["value"]) for part in fixed} == pytest.approx(fixed)
    assert all(trace[f"galaxy_{part}"]["type"] == "deterministic" for part in fixed)
    seen = np.degrees(0.5 * np.arctan2(*mixed.start.ellipticity[::-1])) % 180
    assert float(trace["galaxy_pa"]["infer"]["start"]) == pytest.approx(seen)
    with pytest.raises(TypeError, match="galaxy_Re must be a plain number"):
        trace_of(bj.sample_structure, "galaxy", mixed, Re=2 * u.arcmin)


def test_values_sampled_by_hand_keep_their_names(mixed):
    def program():
        n = numpyro.sample("galaxy_n", dist.Uniform(0.5, 4.0))
        east = numpyro.sample("galaxy_east", dist.Normal(0.0, 1.0))
        return bj.sample_structure("galaxy", mixed, n=n, centre=(east, 0.0))

    assert {"galaxy_n", "galaxy_east"} < latents(trace_of(program))


def test_one_of_q_and_pa_given(mixed):
    trace = trace_of(bj.sample_structure, "galaxy", mixed, q=dist.Beta(2.0, 2.0))
    assert {"galaxy_q", "galaxy_pa"} < latents(trace) and "galaxy_ellipticity" not in trace
    assert isinstance(trace["galaxy_q"]["fn"], dist.Beta)


def test_centre_prior_given(mixed):
    trace = trace_of(bj.sample_structure, "galaxy", mixed, centre=dist.Normal(jnp.zeros(2), 0.1).to_event(1))
    assert trace["galaxy_centre"]["value"].shape == (2,)
    assert trace["galaxy_east"]["type"] == "deterministic"


@pytest.mark.parametrize(
    ("part", "site", "shape"),
    [
        ("n", "galaxy_n", (2,)),
        ("Re", "galaxy_Re_circular", (2,)),
        ("ellipticity", "galaxy_ellipticity", (2, 2)),
        ("centre", "galaxy_east", (2,)),
    ],
)
def test_per_band(mixed, part, site, shape):
    trace = trace_of(bj.sample_structure, "galaxy", mixed, per_band=(part,))
    assert trace[site]["value"].shape == shape
    assert [frame.name for frame in trace[site]["cond_indep_stack"]] == ["band"]
    structure = values_of(bj.sample_structure, "galaxy", mixed, per_band=(part,))
    expected = {"centre": (2, 2)}.get(part, (2,))
    assert structure["q" if part == "ellipticity" else part].shape == expected


def test_unknown_parameters_are_named(mixed):
    with pytest.raises(
        ValueError, match="sample_structure got radius, sersic; it knows centre, q, pa, n, Re"
    ):
        trace_of(bj.sample_structure, "galaxy", mixed, sersic=1.0, radius=2.0)
    with pytest.raises(ValueError, match=r"per_band=...\) got q; it knows n, Re, ellipticity, centre"):
        trace_of(bj.sample_structure, "galaxy", mixed, per_band=("q",))


def test_brightness_flux_and_sky(mixed):
    Ie = trace_of(bj.sample_brightness, "galaxy", mixed)["galaxy_Ie"]
    assert Ie["value"].shape == (2,) and np.all(np.asarray(Ie["fn"].mean) == 0)
    brightness = np.abs(mixed.start.flux) / (2 * np.pi * mixed.start.effective_radius**2)
    assert np.all(np.sqrt(np.asarray(Ie["fn"].variance)) > 3 * brightness)
    total = trace_of(bj.sample_flux, "star", mixed)["star_total"]
    assert np.all(np.sqrt(np.asarray(total["fn"].variance)) >= np.abs(mixed.start.flux))
    sky = trace_of(bj.sample_sky, mixed)["sky"]
    assert sky["value"].shape == (3,) and [frame.name for frame in sky["cond_indep_stack"]] == ["image"]
    assert np.allclose(sky["fn"].mean, mixed.start.sky)


def test_brightness_of_a_structure_is_that_of_its_flux(mixed):
    """The prior of the flux is the same for every structure; Ie gives back the flux."""

    def program(per_band=()):
        structure = bj.sample_structure("galaxy", mixed, per_band)
        Ie = bj.sample_brightness("galaxy", mixed, structure)
        numpyro.deterministic("flux", bj.Sersic(**structure, Ie=Ie).flux)

    small, large, each = (
        trace_of(handlers.substitute(program, {"galaxy_Re_circular": jnp.array(size)}), *per_band)
        for size, *per_band in ((0.1, ()), (9.0, ()), ((0.5, 2.0), ("Re", "n")))
    )
    for trace in (small, large, each):
        total = trace["galaxy_total"]
        assert [frame.name for frame in total["cond_indep_stack"]] == ["band"]
        assert np.allclose(trace["flux"]["value"], total["value"], rtol=1e-12)
        assert np.allclose(total["fn"].variance, small["galaxy_total"]["fn"].variance)
        assert np.all(np.sqrt(np.asarray(total["fn"].variance)) > 5 * np.abs(mixed.start.flux))
    assert not np.allclose(small["galaxy_Ie"]["value"], large["galaxy_Ie"]["value"])


def test_sky_that_slopes(mixed):
    """Its gradient is free to change the sky by a pixel's noise from middle to edge, whatever the image."""
    trace = trace_of(bj.sample_sky, mixed, order=1)
    assert latents(trace) == {"sky", "sky_gradient"} and trace["sky_gradient"]["value"].shape == (3, 2)
    width = np.asarray(trace["sky"]["fn"].variance) ** 0.5
    for i, image in enumerate(mixed):
        edge = 0.5 * np.sqrt(np.prod(image.shape)) * image.pixel_scale / 60
        sd = np.asarray(trace["sky_gradient"]["fn"].variance)[i] ** 0.5
        assert sd * edge == pytest.approx(width[i])
    level, gradient = values_of(bj.sample_sky, mixed, dist.Normal(5.0, 1e-6), order=1)
    assert np.allclose(level, 5.0, atol=1e-4) and gradient.shape == (3, 2)
    with pytest.raises(ValueError, match="order must be 0"):
        values_of(bj.sample_sky, mixed, order=2)


def test_given_priors_of_brightness_and_sky(mixed):
    def program():
        bj.sample_brightness("a", mixed, prior=dist.Uniform(0.0, 5.0))
        bj.sample_flux("b", mixed, dist.Exponential(1.0))
        bj.sample_sky(mixed, dist.Laplace(0.0, 1.0))

    trace = trace_of(program)
    assert [trace[name]["value"].shape for name in ("a_Ie", "b_total", "sky")] == [(2,), (2,), (3,)]
    assert np.all(np.asarray(trace["a_Ie"]["value"]) > 0)


def test_two_galaxies_in_one_program(mixed):
    def program():
        for name in ("first", "second"):
            bj.sample_structure(name, mixed)
            bj.sample_brightness(name, mixed)

    assert len(latents(trace_of(program))) == 12
    with pytest.raises(AssertionError, match="all sites must have unique names"):
        trace_of(lambda: [bj.sample_structure("same", mixed) for _ in range(2)])

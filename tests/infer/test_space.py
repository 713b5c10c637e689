"""Programs as functions of z: the same numbers as NumPyro's own, and refusals in words."""

from __future__ import annotations

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer.util import potential_energy
from scipy import integrate, stats

import bayesjoint as bj
from bayesjoint.infer.observed import observe_mean
from bayesjoint.infer.space import (
    constrained_values,
    find_latents,
    latent_ends,
    latent_plates,
    log_posterior,
    start_vector,
)

DATA = np.array([1.0, 3.0, 2.0])


def constrained_program(data):
    """Every kind of support, a plate, a hierarchy and a scale."""
    width = numpyro.sample("width", dist.HalfNormal(2.0))
    with numpyro.plate("group", 3):
        level = numpyro.sample("level", dist.Normal(0.0, width))
        rate = numpyro.sample("rate", dist.LogNormal(0.0, 1.0))
    share = numpyro.sample("share", dist.Dirichlet(jnp.ones(3)))
    angle = numpyro.sample("angle", dist.Uniform(-1.0, 2.0))
    numpyro.deterministic("total", level.sum() + angle)
    with numpyro.handlers.scale(scale=0.5):
        numpyro.sample("obs", dist.Normal(level * share + angle, rate).to_event(1), obs=data)


def test_log_posterior_is_numpyros():
    layout = find_latents(constrained_program, (DATA,))
    assert layout.size == 1 + 3 + 3 + 2 + 1
    many = np.random.default_rng(0).normal(size=(3, layout.size))

    def both(z):
        ours = log_posterior(constrained_program, layout, z, (DATA,))
        return ours, -potential_energy(constrained_program, (DATA,), {}, layout.unpack(z))

    ours, theirs = jax.jit(jax.vmap(both))(many)
    assert np.allclose(ours, theirs, rtol=1e-12, atol=0)


def test_layout_packs_and_labels():
    layout = find_latents(constrained_program, (DATA,))
    z = jnp.arange(float(layout.size))
    assert np.array_equal(layout.pack(layout.unpack(z)), z)
    assert layout.labels == tuple(
        [
            "width",
            "level[0]",
            "level[1]",
            "level[2]",
            "rate[0]",
            "rate[1]",
            "rate[2]",
            "share[0]",
            "share[1]",
            "angle",
        ]
    )
    many = layout.unpack(jnp.zeros((5, layout.size)))
    assert many["share"].shape == (5, 2) and many["width"].shape == (5,)


def test_constrained_values_and_plates():
    layout = find_latents(constrained_program, (DATA,))
    values = constrained_values(constrained_program, layout, jnp.zeros(layout.size), (DATA,))
    assert set(values) == {"width", "level", "rate", "share", "angle", "total"}
    assert (
        np.allclose(values["share"], 1 / 3)
        and np.allclose(values["rate"], 1)
        and float(values["angle"]) == 0.5
    )
    assert latent_plates(constrained_program, (DATA,))["level"] == ("group",)


def test_start_is_given_else_suggested_else_the_median():
    def program(data):
        numpyro.sample("given", dist.Normal(0.0, 1.0))
        numpyro.sample("suggested", dist.LogNormal(0.0, 1.0), infer={"start": 3.0})
        numpyro.sample("median", dist.LogNormal(jnp.log(5.0), 1.0))
        numpyro.sample("obs", dist.Normal(0.0, 1.0), obs=data)

    layout = find_latents(program, (1.0,))
    z = layout.unpack(start_vector(program, layout, (1.0,), {"given": 0.7}))
    assert float(z["given"]) == 0.7
    assert float(jnp.exp(z["suggested"])) == pytest.approx(3.0)
    assert float(jnp.exp(z["median"])) == pytest.approx(5.0)


def test_ends_of_bounded_latents(images):
    def program(images):
        numpyro.sample("share", dist.Uniform(0.2, 0.7))
        numpyro.sample("many", dist.Uniform(jnp.zeros(2), 1.0).to_event(1))
        bj.joint_model()(images)

    ends = latent_ends(program, (images,))
    assert ends == {"galaxy_n": pytest.approx((0.3, 8.0)), "share": pytest.approx((0.2, 0.7))}


@pytest.mark.parametrize(
    ("fn", "frozen"),
    [
        (dist.Normal(2.0, 1.7), stats.norm(2.0, 1.7)),
        (dist.StudentT(4.0, 2.0, 1.7), stats.t(4.0, 2.0, 1.7)),
        (dist.Poisson(2.0), stats.poisson(2.0)),
    ],
)
def test_score_and_fisher_weight(fn, frozen):
    """The score is the derivative of the log density; the weight its variance, by quadrature over the data."""

    def observed(value):
        return observe_mean({"fn": fn, "value": jnp.asarray(value), "scale": None})

    step, value = 1e-5, 3.0
    kind, parameters = (type(fn), {"rate": 2.0}) if isinstance(fn, dist.Poisson) else (type(fn), {"loc": 2.0})
    parameters |= {name: getattr(fn, name) for name in ("scale", "df") if hasattr(fn, name)}
    name = "rate" if "rate" in parameters else "loc"
    up, down = (
        float(kind(**(parameters | {name: 2.0 + d})).log_prob(jnp.asarray(value))) for d in (step, -step)
    )
    assert float(observed(value).score) == pytest.approx((up - down) / (2 * step), rel=1e-7)
    if isinstance(fn, dist.Poisson):
        counts = np.arange(60)
        fisher = np.sum(frozen.pmf(counts) * np.asarray(observed(counts.astype(float)).score) ** 2)
    else:
        fisher = integrate.quad(
            lambda x: frozen.pdf(x) * float(observed(x).score) ** 2, -400, 400, limit=400, points=[2]
        )[0]
    assert float(observed(value).weight) == pytest.approx(fisher, rel=1e-5)


def test_mask_and_scale_weigh_the_score():
    fn = dist.Normal(0.0, 1.0).expand([3]).mask(jnp.array([True, False, True])).to_event(1)
    observed = observe_mean({"fn": fn, "value": jnp.asarray(DATA), "scale": 2.0})
    assert np.allclose(observed.score, [2.0, 0.0, 4.0]) and np.allclose(observed.weight, [2.0, 0.0, 2.0])
    assert observe_mean({"fn": dist.Gamma(1.0, 1.0), "value": jnp.ones(()), "scale": None}) is None


def no_latent(data):
    numpyro.sample("obs", dist.Normal(0.0, 1.0), obs=data)


def no_data(data):
    numpyro.sample("x", dist.Normal(0.0, 1.0))


def discrete(data):
    numpyro.sample("k", dist.Poisson(3.0))
    no_latent(data)


def improper(data):
    numpyro.sample("free", dist.ImproperUniform(dist.constraints.real, (), ()))
    no_latent(data)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (no_latent, "'no_latent' has no latent: sample at least one"),
        (no_data, "'no_data' observes nothing: end it with bj.observe"),
        (discrete, "latent 'k' is discrete.*marginalise"),
        (improper, "latent 'free' has an improper prior: give it a distribution"),
    ],
)
def test_programs_that_cannot_be_fitted(program, words):
    with pytest.raises(ValueError, match=words):
        bj.fit_map(program, 1.0)


def test_float32_is_refused_in_words():
    code = (
        "import numpy as np, numpyro, numpyro.distributions as dist, bayesjoint as bj\n"
        "def program(x):\n"
        "    numpyro.sample('obs', dist.Normal(numpyro.sample('m', dist.Normal(0., 1.)), 1.), obs=x)\n"
        "bj.fit_map(program, 1.0)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "JAX_ENABLE_X64"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120
    )
    assert run.returncode != 0
    assert "ValueError: fit_map needs 64-bit floats and got 32: call numpyro.enable_x64()" in run.stderr

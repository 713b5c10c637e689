"""The fit from poor starts, undetected bands, failures as data, and refusals in words."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import bayesjoint as bj
from bayesjoint.infer.fit import _again
from bayesjoint.infer.lm import NotFiniteError

PROGRAM = bj.joint_model()


def start_at(truth, **changed):
    """Values to start from: the truth's structure, or parts of it changed; brightness is always solved for."""
    s = truth | changed
    eta, twice = -np.log(s["q"]), np.radians(2 * s["pa"])
    return {
        "galaxy_east": s["centre"][0],
        "galaxy_north": s["centre"][1],
        "galaxy_ellipticity": np.array([eta * np.cos(twice), eta * np.sin(twice)]),
        "galaxy_n": s["n"],
        "galaxy_Re_circular": s["Re"] * np.sqrt(s["q"]),
    }


@pytest.fixture(scope="module")
def cuspy(scene):
    """n = 4 at a signal to noise of some hundreds, the truth, and the fit started there."""
    truth = scene.truth | {"n": 4.0, "Re": 1.8}
    images = scene.simulate(seed=2, **truth)
    return images, truth, bj.fit_map(PROGRAM, images, start=start_at(truth))


def test_fit_from_the_truth(cuspy):
    _, truth, fit = cuspy
    assert fit.converged and fit.advice == ()
    for name in ("n", "Re", "q", "pa"):
        value, error = float(fit.values[f"galaxy_{name}"]), float(fit.errors[f"galaxy_{name}"])
        assert abs(value - truth[name]) < 4 * error < 4 * abs(truth[name]), name
    assert 0.9 < fit.chi2_per_dof < 1.1
    assert fit.pixels.tolist() == [1024, 1024] and len(fit.labels) == len(fit.unconstrained) == 10


POOR = {
    "own start": {},
    "Re twice": {"Re": 3.6},
    "Re half": {"Re": 0.9},
    "n = 1": {"n": 1.0},
    "turned": {"pa": 120.0},
    "aside": {"centre": (0.15 + 0.64, -0.1 - 0.64)},
    "round": {"q": 1.0},
    "all": {"Re": 3.6, "n": 1.0, "pa": 120.0, "centre": (0.15 + 0.64, -0.1 - 0.64)},
    "all and round": {"Re": 0.9, "n": 1.0, "q": 1.0, "centre": (0.15 - 0.9, -0.1)},
}


@pytest.mark.parametrize("poor", POOR)
def test_poor_starts_reach_the_same_maximum(cuspy, poor):
    images, truth, best = cuspy
    fit = bj.fit_map(PROGRAM, images, start=start_at(truth, **POOR[poor]) if POOR[poor] else None)
    assert fit.converged and fit.iterations < 40
    assert fit.log_posterior == pytest.approx(best.log_posterior, abs=1e-3)
    apart = np.abs(fit.unconstrained - best.unconstrained) / np.sqrt(np.diag(best.covariance))
    assert apart.max() < 0.05, best.labels[int(np.argmax(apart))]


def test_an_undetected_band_is_a_result(scene):
    """The flux measured in a blank band is noise about 0, as often negative as not."""
    fits = [bj.fit_map(PROGRAM, scene.simulate(seed=s, brightness={"g": 0.0, "r": 100.0})) for s in range(6)]
    assert all(fit.converged for fit in fits)
    flux = np.array([fit.values["galaxy_flux"][0] for fit in fits])
    error = np.array([fit.errors["galaxy_flux"][0] for fit in fits])
    assert np.abs(flux / error).max() < 4 and flux.min() < 0 < flux.max()


def test_several_starts_keep_the_best(cuspy):
    images, truth, best = cuspy
    fit = bj.fit_map(PROGRAM, images, start=start_at(truth, **POOR["all"]), starts=2)
    assert fit.log_posterior == pytest.approx(best.log_posterior, abs=1e-3)


def test_a_further_start_comes_nearer_until_the_posterior_is_finite():
    tried = []

    def ascend(z):
        tried.append(float(z[0]))
        if z[0] > 0.6:
            raise NotFiniteError("not finite at the start")
        return z

    assert _again(ascend, np.zeros(1), np.full(1, 2.0)) == 0.5 and tried == [2.0, 1.0, 0.5]
    assert _again(ascend, np.ones(1), np.ones(1)) is None


def test_no_convergence_is_data_with_advice(cuspy):
    images, truth, best = cuspy
    fit = bj.fit_map(PROGRAM, images, start=start_at(truth, **POOR["all"]), max_iterations=1)
    assert not fit.converged and fit.iterations == 1 and fit.log_posterior < best.log_posterior
    assert "stopped at 1 iterations" in fit.reason and "still to gain" in fit.reason
    assert "starts=4" in fit.advice[0] and "pulls hardest" in fit.advice[0]
    assert "NOT converged" in repr(fit) and "NOT converged" in fit._repr_html_()


def test_progress_is_one_line_an_iteration(cuspy, capsys):
    images, truth, _ = cuspy
    fit = bj.fit_map(PROGRAM, images, start=start_at(truth), progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == fit.iterations + 1 and "log posterior" in lines[0] and "damping" in lines[0]
    bj.fit_map(PROGRAM, images, start=start_at(truth), progress=False)
    assert capsys.readouterr().err == ""


def test_start_names_are_checked(cuspy):
    with pytest.raises(ValueError, match=r"start names n, radius; the program's latents are .*galaxy_n"):
        bj.fit_map(PROGRAM, cuspy[0], start={"n": 1.0, "radius": 2.0})


def line(data):
    """A straight line: a program without images."""
    slope = numpyro.sample("slope", dist.Normal(0.0, 10.0))
    width = numpyro.sample("width", dist.Uniform(0.5, 2.0))
    numpyro.sample("obs", dist.Normal(slope * jnp.arange(5.0), width).to_event(1), obs=data)


def test_start_outside_the_support_is_refused():
    with pytest.raises(
        ValueError, match="start is outside the support of width: give start= within the prior"
    ):
        bj.fit_map(line, np.arange(5.0), start={"width": 3.0})


def test_nan_at_the_start_is_refused():
    with pytest.raises(ValueError, match="not finite at the start: site 'obs' has -inf; give another start="):
        bj.fit_map(line, np.array([0.0, 1.0, np.nan, 3.0, 4.0]))


def test_structure_keeps_its_start_while_the_brightness_is_zero(cuspy):
    """At Ie = 0 the data say nothing of the structure, and the prior must not drag it away from its start."""
    images, truth, _ = cuspy
    given = start_at(truth, **POOR["all"])
    fit = bj.fit_map(PROGRAM, images, start=given, max_iterations=1)
    assert all(np.allclose(fit.values[name], value) for name, value in given.items())
    assert np.all(fit.values["galaxy_Ie"] > 1)


def tied(data):
    slope = numpyro.sample("slope", dist.Normal(0.0, 10.0))
    numpyro.sample("obs", dist.Normal(slope * jnp.arange(5.0), 0.5).to_event(1), obs=data)
    numpyro.deterministic("twice", 2 * slope)


def test_closed_form_maximum_and_covariance():
    data = np.array([0.1, 1.2, 1.9, 3.3, 3.9])
    fit = bj.fit_map(tied, data)
    x = np.arange(5.0)
    precision = x @ x / 0.25 + 1 / 100
    # the fit stops where less than 1e-4 in log posterior is to gain: within sqrt(2e-4) sigma
    assert float(fit.values["slope"]) == pytest.approx(
        x @ data / 0.25 / precision, abs=0.015 / np.sqrt(precision)
    )
    assert fit.covariance[0, 0] == pytest.approx(1 / precision, rel=1e-9)
    assert float(fit.errors["twice"]) == pytest.approx(2 / np.sqrt(precision), rel=1e-9)


def test_a_second_galaxy_compiles_nothing(scene, cuspy, compilations):
    truth = scene.truth | {"n": 2.0, "pa": 80.0}
    bj.fit_map(PROGRAM, cuspy[0])
    images = scene.simulate(seed=9, fwhm=2.1, **truth)
    jax.block_until_ready(jax.device_put((images,)))
    compilations.clear()
    fit = bj.fit_map(PROGRAM, images)
    assert fit.converged and compilations == []


def test_a_band_added_later_starts_where_the_fit_was(scene):
    """The same maximum, in fewer steps; the new band's own latents start as they would."""
    images = scene.simulate(seed=5, brightness={"g": 60.0, "r": 100.0, "i": 30.0}, n=3.0)
    before = bj.fit_map(PROGRAM, bj.ImageSet([images["r"], images["g"]]))
    alone, added = bj.fit_map(PROGRAM, images), bj.fit_map(PROGRAM, images, start=before)
    assert added.converged and added.iterations < alone.iterations
    errors = np.sqrt(np.diag(alone.covariance))
    assert np.max(np.abs(added.unconstrained - alone.unconstrained) / errors) < 0.02
    at_once = bj.fit_map(PROGRAM, images, start=before, max_iterations=0)
    order = [before.bands.index(band) for band in ("g", "r")]
    np.testing.assert_allclose(at_once.values["galaxy_n"], before.values["galaxy_n"], rtol=1e-6)
    np.testing.assert_allclose(
        at_once.values["galaxy_total"][:2], np.asarray(before.values["galaxy_total"])[order], rtol=1e-6
    )
    assert at_once.values["galaxy_total"][2] == 0.0


def test_a_start_from_another_programs_fit_takes_what_is_common(scene, images):
    """Latents of other shapes are left at their own starts."""
    shared = bj.fit_map(PROGRAM, images)
    free = bj.fit_map(bj.joint_model(per_band=("n",)), images, start=shared, max_iterations=0)
    np.testing.assert_allclose(free.values["galaxy_q"], shared.values["galaxy_q"], rtol=1e-6)
    assert np.ptp(free.values["galaxy_n"]) == 0 and free.values["galaxy_n"][0] != shared.values["galaxy_n"]

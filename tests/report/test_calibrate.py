"""Calibration: simulations from the prior and around a fit, ranks and coverage, and going on after a stop."""

import json
import sys
import types

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from helpers.scenes import make_image
from scipy import stats

import bayesjoint as bj
from bayesjoint.infer.simulate import simulate
from bayesjoint.report import calibrate as calibrate_module
from bayesjoint.report.calibration import Calibration

SIGMA = 2.0
PLACE = jnp.zeros(2)
pytestmark = pytest.mark.loose


def two_fluxes(images):
    """A star of known place in two bands: its posterior is a Gaussian in closed form."""
    with numpyro.plate("band", 2):
        flux = numpyro.sample("star_brightness", dist.Normal(50.0, 20.0))
    bj.observe(images, bj.PointSource(PLACE, flux, name="star"))


def too_narrow(images):
    """The same, fitted with a prior that the simulations do not have."""
    width = jnp.where(jnp.asarray(images.stacks[0].data is None), 20.0, 0.5)
    with numpyro.plate("band", 2):
        flux = numpyro.sample("star_brightness", dist.Normal(50.0, width))
    bj.observe(images, bj.PointSource(PLACE, flux, name="star"))


@pytest.fixture(scope="module")
def images():
    invvar = np.full((12, 12), SIGMA**-2)
    invvar[3, 4] = 0.0
    return bj.ImageSet([make_image((12, 12), name=name, band=name, invvar=invvar) for name in "ab"])


@pytest.fixture(scope="module")
def found(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibration")
    return bj.calibrate(two_fluxes, images, n=40, folder=folder, workers=1, draws=200), folder


def test_simulated_pixels(images):
    """Noise of the images' own weights about the light; the same seed simulates the same; the mask stays."""
    made = [simulate(two_fluxes, images, seed=(3, i)) for i in range(40)]
    again = simulate(two_fluxes, images, seed=(3, 7))
    np.testing.assert_array_equal(again.images["b"].data, made[7].images["b"].data)
    pulls, fluxes = [], []
    for one in made:
        flux = one.values["star_brightness"]
        for image, value in zip(one.images, flux, strict=True):
            light = np.asarray(bj.render(image, bj.PointSource(PLACE, float(value))))
            pulls.append(((image.data - light) * np.sqrt(image.invvar))[image.invvar > 0])
        fluxes.append(flux)
    assert stats.kstest(np.ravel(pulls), "norm").pvalue > 0.01
    assert stats.kstest((np.ravel(fluxes) - 50.0) / 20.0, "norm").pvalue > 0.01
    assert made[0].images["a"].invvar[3, 4] == 0


def test_images_around_a_fit(images):
    """Parameters scatter as the fit's covariance has them."""
    data = simulate(two_fluxes, images, seed=1).images
    fit = bj.fit_map(two_fluxes, data, progress=False)
    drawn = [
        simulate(two_fluxes, data, seed=(5, i), around=fit).values["star_brightness"] for i in range(200)
    ]
    pulls = (np.array(drawn) - fit.values["star_brightness"]) / fit.errors["star_brightness"]
    assert stats.kstest(pulls.ravel(), "norm").pvalue > 0.01


def test_ranks_are_uniform(found):
    calibration, _ = found
    assert calibration.names[-1] == "star colour a-b" and len(calibration.rank) == 40
    assert calibration.is_uniform and not calibration.failures
    assert np.all(np.abs(calibration.coverage(0.6827) - 0.6827) < 0.3)
    assert 0.7 < np.std(calibration.pull[:, 0]) < 1.3
    table = calibration.table()
    assert list(table["simulations"]) == [40] * len(calibration.names)
    assert "ranks uniform" in repr(calibration)


def test_wrong_errors_are_seen(images):
    calibration = bj.calibrate(too_narrow, images, n=20, workers=1, draws=200)
    assert not calibration.is_uniform and "not uniform" in repr(calibration)
    assert np.all(calibration.coverage(0.95) < 0.7)


def test_going_on(found, images, monkeypatch):
    """Results that are there are read, not made again; those of other simulations are refused."""
    calibration, folder = found
    (folder / "00003.json").unlink()
    made = []

    def noted(*args, **keywords):
        made.append(keywords["seed"])
        return simulate(*args, **keywords)

    monkeypatch.setattr("bayesjoint.report.calibrate.simulate", noted)
    again = bj.calibrate(two_fluxes, images, n=40, folder=folder, workers=1, draws=200)
    assert made == [(0, 0), (0, 3)]  # the first tells that the program is the same
    np.testing.assert_allclose(again.rank, calibration.rank)
    with pytest.raises(
        ValueError, match="holds the calibration of other images, another program, seed or options"
    ):
        bj.calibrate(two_fluxes, images, n=40, folder=folder, workers=1, draws=200, seed=1)


def test_failures_are_results():
    done = {"quantities": {"x": {"rank": 0.4, "pull": -0.2}}, "trusted": True, "seconds": 1.0}
    calibration = Calibration.from_results([done, {"failed": "no light", "seconds": 2.0}])
    assert calibration.failures == ("no light",) and len(calibration.rank) == 1
    assert "1 that failed" in repr(calibration) and "no light" in repr(calibration)


@pytest.mark.parametrize("around", [False, True])
def test_folder_of_another_prior(images, tmp_path, around):
    """A program that was edited keeps its name, but not what it left in a folder."""

    def program_of(width):
        def program(images):
            flux = numpyro.sample("star_brightness", dist.Normal(50.0, width))
            bj.observe(images, bj.PointSource(PLACE, flux, name="star"))

        return program

    options = {"n": 1, "folder": tmp_path, "draws": 50, "chains": 1, "progress": False}
    options |= {"around": bj.fit_map(program_of(20.0), images, progress=False)} if around else {}
    first = bj.calibrate(program_of(20.0), images, **options)
    np.testing.assert_array_equal(bj.calibrate(program_of(20.0), images, **options).rank, first.rank)
    with pytest.raises(ValueError, match="holds the calibration of other images, another program"):
        bj.calibrate(program_of(30.0), images, **options)


@pytest.mark.parametrize("n", [0, 1.5])
def test_bad_number(images, n):
    with pytest.raises(ValueError, match="n must be a whole number from 1 on"):
        bj.calibrate(two_fluxes, images, n=n)


def test_programs_that_do_not_travel(images):
    def local(images):
        two_fluxes(images)

    with pytest.raises(ValueError, match="cannot be sent to another process"):
        bj.calibrate(local, images, n=4, workers=2)


def test_programs_of_a_notebook_run_in_this_process(monkeypatch):
    """They are pickled by name alone, which no other process can look up."""
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    program = types.FunctionType(two_fluxes.__code__, globals(), "program")
    program.__module__, program.__qualname__ = "__main__", "program"
    monkeypatch.setattr(sys.modules["__main__"], "program", program, raising=False)
    task = calibrate_module._Task(program, None, (), None, 0, {})
    assert calibrate_module._workers(task, None, 4) == 1
    with pytest.raises(
        ValueError, match=r"program is defined in a notebook or at a prompt\): define it at the top"
    ):
        calibrate_module._workers(task, 2, 4)


def test_a_simulation_that_was_interrupted_is_no_result(found, images, monkeypatch, tmp_path):
    """Those finished before are."""
    real = calibrate_module.sample
    calls = []

    def interrupted(*args, **options):
        calls.append(1)
        posterior = real(*args, **options)
        posterior.idata.attrs["interrupted"] = int(len(calls) == 3)
        return posterior

    monkeypatch.setattr(calibrate_module, "sample", interrupted)
    calibration = bj.calibrate(two_fluxes, images, n=10, folder=tmp_path, workers=1, draws=50)
    assert len(calls) == 3 and len(calibration.rank) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"calibration.json", "00000.json", "00001.json"}


def test_figure(found):
    figure = found[0].plot()
    assert len(figure.axes) == len(found[0].names) + 1
    with pytest.raises(ValueError, match="no scalar 'x' was calibrated"):
        found[0].plot(names=["x"])


def test_results_are_plain(found):
    record = json.loads((found[1] / "00000.json").read_text())
    assert set(record) == {"quantities", "trusted", "headline", "likelihood", "seconds"}

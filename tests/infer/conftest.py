"""A small scene that the tests of inference share, so that its programs compile once."""

from __future__ import annotations

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from helpers.scenes import make_image

import bayesjoint as bj

BANDS = {"g": 60.0, "r": 100.0}
TRUTH = {"centre": (0.15, -0.1), "q": 0.6, "pa": 40.0, "n": 1.5, "Re": 2.0}


def simulate(seed=0, brightness=None, fwhm=1.8, noise=1.0, **changed):
    """A galaxy and a sky of 0.5 in g and r, 32x32 px of 0.4"; keywords replace parts of TRUTH."""
    rng = np.random.default_rng(seed)
    images = []
    for band, Ie in (brightness or BANDS).items():
        options = {"scale": 0.4, "psf": bj.gaussian_psf(fwhm), "name": band}
        blank = make_image((32, 32), **options)
        galaxy = bj.Sersic(**(TRUTH | changed), Ie=Ie)
        pixels = np.asarray(jax.jit(bj.render)(blank, galaxy, bj.FlatSky(0.5)))
        data = pixels + rng.normal(size=(32, 32)) * noise
        images.append(make_image((32, 32), data=data, invvar=np.full((32, 32), noise**-2.0), **options))
    return bj.ImageSet(images)


def linear_program(images):
    """Fluxes of two overlapping sources of known shape, and a sky: the posterior is Gaussian."""
    flux = numpyro.sample("flux", dist.Normal(np.zeros(2), 3000.0).to_event(1))
    sky = numpyro.sample("sky", dist.Normal(0.0, 1.0))
    galaxy = bj.Sersic((0.0, 0.3), 0.7, 20.0, 1.0, 1.2, 1.0, name="galaxy")
    Ie = flux[0] / galaxy.flux
    galaxy = bj.Sersic((0.0, 0.3), 0.7, 20.0, 1.0, 1.2, Ie, name="galaxy")
    for image in images:
        bj.observe(image, galaxy, bj.PointSource((0.6, 0.0), flux[1], name="star"), bj.FlatSky(sky))


def linear_scene(seed=0, fwhm=1.9):
    """One image for `linear_program`, 24x24 px, with the fluxes 500 and 300 and the sky 0.3."""
    rng = np.random.default_rng(seed)
    options = {"shape": (24, 24), "scale": 0.4, "psf": bj.gaussian_psf(fwhm), "name": "r"}
    weight = rng.uniform(0.5, 2.0, (24, 24)) * (rng.random((24, 24)) > 0.05)
    blank = make_image(**options)
    mean = linear_columns(blank) @ np.array([500.0, 300.0, 0.3])
    noise = np.where(weight > 0, rng.normal(size=(24, 24)) / np.sqrt(np.maximum(weight, 1e-9)), 0.0)
    return bj.ImageSet([make_image(data=mean + noise, invvar=weight, **options)])


@jax.jit
def _unit_pixels(image):
    shape = bj.Sersic((0.0, 0.3), 0.7, 20.0, 1.0, 1.2, 1.0)
    galaxy = bj.Sersic((0.0, 0.3), 0.7, 20.0, 1.0, 1.2, 1 / shape.flux)
    parts = (galaxy, bj.PointSource((0.6, 0.0), 1.0), bj.FlatSky(1.0))
    return [bj.render(image, part) for part in parts]


def linear_columns(image):
    """Design matrix (ny, nx, 3) of `linear_program`."""
    return np.stack([np.asarray(pixels) for pixels in _unit_pixels(image)], axis=-1)


class Scene:
    """The builders above, as one fixture."""

    truth = TRUTH
    simulate = staticmethod(simulate)
    linear = staticmethod(linear_scene)
    linear_program = staticmethod(linear_program)
    linear_columns = staticmethod(linear_columns)


@pytest.fixture(autouse=True)
def strict_promotion():
    """JAX's own promotion here: NumPyro mixes ranks, and a context of its own would compile everything twice."""


@pytest.fixture(scope="session")
def scene():
    return Scene


@pytest.fixture(scope="session")
def images():
    """A galaxy of TRUTH in two bands."""
    return simulate()


@pytest.fixture(scope="session")
def compilations():
    """Names of the programs compiled, from now on: clear it, run, look."""
    names: list[str] = []

    def note(event, duration, **about):
        if event.endswith("backend_compile_duration"):
            names.append(str(about.get("fun_name", event)))

    jax.monitoring.register_event_duration_secs_listener(note)
    return names

"""The program of a field: one plate of sources, structure shared by all images, one flux per source and band."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from bayesjoint.data.image_set import ImageSet
from bayesjoint.data.source_start import SourceStart
from bayesjoint.light.geometry import axis_ratio_and_angle
from bayesjoint.light.point import PointSource
from bayesjoint.light.sersic import Sersic
from bayesjoint.light.sky import FlatSky
from bayesjoint.light.windowed import Windowed
from bayesjoint.model.observe import observe
from bayesjoint.model.priors import sample_sky, sersic_index_prior


@dataclass(frozen=True)
class _Scene:
    """A program that compares, and travels to other processes, by what it is."""

    name: str
    sky: bool

    def __call__(self, images: ImageSet) -> None:
        sources = images.sources
        if sources is None:
            raise ValueError(
                "scene_model wants images that know of sources: give images.with_sources(bj.find_sources(images))"
            )
        light = sample_sources(self.name, images, sources)
        if self.sky:
            light.append(FlatSky(sample_sky(images)))
        observe(images, *light)


def scene_model(name: str = "source", *, sky: bool = True) -> Callable[[ImageSet], None]:
    """The sources of a field in all images: structure drawn once a source and shared, one flux in each band.

    The images must know of the sources, which `images.with_sources(table)` tells them. Sites, in the plate "source" over
    all of them: `<name>_east`, `<name>_north` (Normal about where each was found, a quarter of size and seeing wide); in
    the plate "galaxy" over those that are no stars: `<name>_ellipticity`, `<name>_n`, `<name>_Re_circular` (priors as
    those of `sample_structure`, about what was measured); in the plates "band" and "source": `<name>_total`, nJy (Normal
    about 0, ten times as wide as the flux found and as noise could hide). Of each source of the table east, north, q, pa, n,
    Re and, in each band, flux are deterministic, as `<its name>_Re`, and reported under its name.

    Parameters
    ----------
    name : str
        Prefix of the sites.
    sky : bool
        Sample a flat sky in each image; otherwise the sky is 0.

    Returns
    -------
    program : function of an ImageSet
        Equal for equal arguments, so that what was compiled for one field serves the next of as many sources.
    """
    return _Scene(name, sky)


def sample_sources(name: str, images: ImageSet, sources: SourceStart) -> list[Any]:
    """Sample all sources of a field; the components to observe them by, of each kind and width of windows one."""
    position, galaxies = sources.position, np.array(sources.of_kind("galaxy"), int)
    with numpyro.plate("source", len(sources)):
        start = [{"start": jnp.asarray(position)[:, i]} for i in range(2)]
        east, north = (
            numpyro.sample(f"{name}_{part}", dist.Normal(where["start"], sources.position_error), infer=where)
            for part, where in zip(("east", "north"), start, strict=True)
        )
    scale = 10 * (jnp.abs(sources.flux) + 5 * sources.flux_error)
    with numpyro.plate("band", len(images.bands), dim=-2), numpyro.plate("source", len(sources), dim=-1):
        total = numpyro.sample(f"{name}_total", dist.Normal(0.0, scale))
    centre = jnp.stack([east, north], axis=-1)
    structure = _sample_shapes(name, sources, galaxies) if galaxies.size else {}
    everyone = {"east": east, "north": north, "flux": jnp.moveaxis(jnp.asarray(total), 1, 0)}
    _report([sources.names[i] for i in galaxies], structure)
    _report(sources.names, everyone)
    return _components(sources, centre, total, structure, galaxies)


def _sample_shapes(name: str, sources: SourceStart, galaxies: np.ndarray) -> dict[str, Any]:
    """Structure of all galaxies."""
    ellipticity = jnp.asarray(sources.ellipticity)[galaxies]
    half_eta = 0.5 * jnp.sqrt(jnp.sum(ellipticity**2, axis=-1))
    log_size = jnp.log(jnp.asarray(sources.effective_radius)[galaxies]) - half_eta
    with numpyro.plate("galaxy", galaxies.size):
        prior = dist.Normal(jnp.zeros(2), 0.6).to_event(1)
        shape = numpyro.sample(f"{name}_ellipticity", prior, infer={"start": ellipticity})
        index = numpyro.sample(f"{name}_n", sersic_index_prior())
        circular = numpyro.sample(f"{name}_Re_circular", dist.LogNormal(log_size, 1.0))
    q, pa = axis_ratio_and_angle(shape)
    return {"q": q, "pa": pa, "n": index, "Re": circular / jnp.sqrt(q)}


def _report(names: Sequence[str], parameters: dict[str, Any]) -> None:
    """Each source's parameters under its own name, so that a posterior tells of it as of any other source."""
    for parameter, values in parameters.items():
        for own, value in zip(names, jnp.asarray(values), strict=True):
            numpyro.deterministic(f"{own}_{parameter}", value)


def _components(sources: SourceStart, centre, total, structure: dict, galaxies: np.ndarray) -> list[Any]:
    """Each kind's sources in each width of windows."""
    light: list[Any] = []
    window, kinds = np.array(sources.window), np.array(sources.kinds)
    for width in range(len(sources.widths)):
        of_width = np.flatnonzero((window == width) & (kinds == "galaxy"))
        if of_width.size:
            rows = np.searchsorted(galaxies, of_width)
            own = {key: value[rows] for key, value in structure.items()}
            Ie = total[:, of_width] / Sersic(centre[of_width], **own, Ie=1.0).flux
            light.append(Windowed(Sersic(centre[of_width], **own, Ie=Ie, name="_galaxies"), window=width))
        stars = np.flatnonzero((window == width) & (kinds == "star"))
        if stars.size:
            points = PointSource(centre[stars], total[:, stars], name="_stars")
            light.append(Windowed(points, window=width))
    return light

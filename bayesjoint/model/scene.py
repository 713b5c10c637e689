"""The program of a field: one plate of sources, structure shared by all images, one flux per source and band."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from bayesjoint.data.image_set import ImageSet
from bayesjoint.data.source_start import SourceStart
from bayesjoint.light.geometry import axis_ratio_and_angle, ellipticity_vector
from bayesjoint.light.point import PointSource
from bayesjoint.light.sersic import Sersic
from bayesjoint.light.sky import FlatSky
from bayesjoint.light.windowed import Windowed
from bayesjoint.model.observe import observe
from bayesjoint.model.priors import sample_sky, sersic_index_prior
from bayesjoint.model.rows import deterministic_rows


@dataclass(frozen=True)
class Scene:
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

    The images must know of the sources, which `images.with_sources(table)` tells them. What is free is sampled, each
    parameter in a plate over the sources that have it free: `<name>_east`, `<name>_north` (Normal about where each was
    found, a quarter of size and seeing wide); of those that are no stars `<name>_ellipticity`, `<name>_n`,
    `<name>_Re_circular` (priors as those of `sample_structure`, about what was measured), and `<name>_q` or `<name>_pa`
    where the other is held or tied; in the plates "band" and "source": `<name>_total`, nJy (Normal about 0, ten times as
    wide as the flux found and as noise could hide). What the table's `fixed` holds stays where it is, what `tied` ties has
    the other's value. A "bulge+disc" is two components about one centre, of n = 4 and n = 1 unless said otherwise, each with
    its own shape and fluxes. Of each source of the table east, north, q, pa, n, Re and, in each band, flux are
    deterministic, as `<its name>_Re`, and reported under its name; of parts as `<its name>_bulge_Re`.

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
    return Scene(name, sky)


def sample_sources(name: str, images: ImageSet, sources: SourceStart) -> list[Any]:
    """Sample all sources of a field; the components to observe them by, of each kind and width of windows one."""
    field = _Field(name, sources)
    centre = _sample_centres(field)
    scale = flux_prior_width(sources.flux, sources.flux_error)
    with numpyro.plate("band", len(images.bands), dim=-2), numpyro.plate("source", len(sources), dim=-1):
        total = numpyro.sample(f"{name}_total", dist.Normal(0.0, scale))
    structure = _sample_shapes(field) if sources.of_kind("galaxy") else {}
    _report(sources, structure, centre, total)
    return _components(sources, centre, total, structure)


def flux_prior_width(flux: Any, error: Any) -> Any:
    """Standard deviation of the prior of fluxes that were found with an error."""
    return 10 * (abs(flux) + 5 * error)


class _Field(NamedTuple):
    """The sources, and the prefix of their sites."""

    name: str
    sources: SourceStart

    def sample(self, site: str, parameter: str, prior: Callable[[Any], Any], start: Any) -> Any:
        """Values (N, ...) of a parameter: sampled where it is free, by `prior` of the starts there; else where it starts."""
        start, rows = jnp.asarray(start), self.sources.sampled(parameter)
        if not rows.size:
            return start
        with numpyro.plate(f"free_{parameter}", rows.size):
            drawn = numpyro.sample(f"{self.name}_{site}", prior(rows), infer={"start": start[rows]})
        return start.at[rows].set(drawn)

    def tied(self, parameter: str, values: Any) -> Any:
        """Values (N, ...), of what is tied those of its owner."""
        return values[np.array(getattr(self.sources.owner, parameter))]


def _sample_centres(field: _Field) -> Any:
    """Centres (N, 2) of all components."""
    place, error = jnp.asarray(field.sources.position), jnp.asarray(field.sources.position_error)
    parts = [
        field.sample(part, "centre", lambda rows, i=i: dist.Normal(place[rows, i], error[rows]), place[:, i])
        for i, part in enumerate(("east", "north"))
    ]
    return field.tied("centre", jnp.stack(parts, axis=-1))


def _sample_shapes(field: _Field) -> dict[str, Any]:
    """Structure (N,) of all components; of stars it says nothing."""
    q, pa = _sample_ellipses(field)
    sources = field.sources
    index = field.sample("n", "n", lambda rows: sersic_index_prior(), sources.index)
    size = jnp.asarray(sources.effective_radius)
    log_circular = jnp.log(size * jnp.sqrt(sources.axis_ratio))
    circular = field.sample(
        "Re_circular", "Re", lambda rows: dist.LogNormal(log_circular[rows], 1.0), jnp.exp(log_circular)
    )
    radius = jnp.where(_among(sources, "Re"), circular / jnp.sqrt(q), size)
    return {"q": q, "pa": pa, "n": field.tied("n", index), "Re": field.tied("Re", radius)}


def _sample_ellipses(field: _Field) -> tuple[Any, Any]:
    """Axis ratios and position angles (N,): by an ellipticity vector where both are free, else each alone."""
    sources = field.sources
    ratio, angle = jnp.asarray(sources.axis_ratio), jnp.asarray(sources.position_angle)
    start = jnp.moveaxis(ellipticity_vector(ratio, angle), 0, -1)
    vector = field.sample(
        "ellipticity", "ellipticity", lambda rows: dist.Normal(jnp.zeros(2), 0.6).to_event(1), start
    )
    inside = jnp.where(_among(sources, "q"), jnp.clip(ratio, 0.06, 0.99), ratio)
    q = field.sample("q", "q", lambda rows: dist.Uniform(0.05, 1.0), inside)
    pa = field.sample("pa", "pa", lambda rows: dist.Normal(90.0, 90.0), angle)
    both = _among(sources, "ellipticity")
    q, pa = (jnp.where(both, e, x) for e, x in zip(axis_ratio_and_angle(vector), (q, pa), strict=True))
    return field.tied("q", q), field.tied("pa", pa)


def _among(sources: SourceStart, parameter: str) -> np.ndarray:
    """Whether each component samples a parameter (N,)."""
    return np.isin(np.arange(len(sources)), sources.sampled(parameter))


def _report(sources: SourceStart, structure: dict[str, Any], centre, total) -> None:
    """Each source's parameters under its own name, so that a posterior tells of it as of any other source."""
    galaxies = sources.of_kind("galaxy")
    for parameter, values in structure.items():
        deterministic_rows([f"{sources.names[i]}_{parameter}" for i in galaxies], values[np.array(galaxies)])
    wholes = list(dict.fromkeys(sources.parents))
    belongs = np.array([[parent == whole for parent in sources.parents] for whole in wholes])
    first = belongs.argmax(axis=1)
    for i, part in enumerate(("east", "north")):
        deterministic_rows([f"{whole}_{part}" for whole in wholes], centre[first, i])
    flux = jnp.moveaxis(jnp.asarray(total), 1, 0)
    whole_flux = flux[first] if belongs.shape[0] == belongs.shape[1] else belongs.astype(float) @ flux
    deterministic_rows([f"{whole}_flux" for whole in wholes], whole_flux)
    parts = np.flatnonzero(belongs.sum(axis=1)[belongs.argmax(axis=0)] > 1)
    deterministic_rows([f"{sources.names[i]}_flux" for i in parts], flux[parts])


def _components(sources: SourceStart, centre, total, structure: dict[str, Any]) -> list[Any]:
    """Each kind's sources in each width of windows."""
    light: list[Any] = []
    window, kinds, places = np.array(sources.window), np.array(sources.kinds), jnp.asarray(sources.places)
    for width in range(len(sources.widths)):
        galaxies = np.flatnonzero((window == width) & (kinds == "galaxy"))
        if galaxies.size:
            own = {key: value[galaxies] for key, value in structure.items()}
            Ie = total[:, galaxies] / Sersic(centre[galaxies], **own, Ie=1.0).flux
            profiles = Sersic(centre[galaxies], **own, Ie=Ie, name="_galaxies")
            light.append(Windowed(profiles, window=width, places=places[galaxies]))
        stars = np.flatnonzero((window == width) & (kinds == "star"))
        if stars.size:
            points = PointSource(centre[stars], total[:, stars], name="_stars")
            light.append(Windowed(points, window=width, places=places[stars]))
    return light

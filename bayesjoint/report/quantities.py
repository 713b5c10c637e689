"""The scalars of a posterior: each site taken apart into named, dimensioned quantities.

A site such as `galaxy_Ie`, with an axis over bands, becomes one `Quantity` per band of the source "galaxy".
Tables and figures are made of quantities and know nothing of sites, axes or samplers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bayesjoint.data.source_start import FIELD_PLATES
from bayesjoint.report.photometry import is_detected, magnitude, unwrap_axial

STRUCTURE = ("east", "north", "q", "pa", "n", "Re")
PARAMETERS = (*STRUCTURE, "Ie", "flux", "mag")
UNITS = {
    "east": "arcsec",
    "north": "arcsec",
    "pa": "deg",
    "Re": "arcsec",
    "Ie": "nJy / arcsec2",
    "flux": "nJy",
    "mag": "mag(AB)",
    "sky": "nJy / arcsec2",
    "sky_gradient": "nJy / (arcmin arcsec2)",
}
SKIES = ("sky", "sky_gradient")
AUXILIARY = ("ellipticity", "Re_circular", "centre", "total")  # other forms of what is reported


@dataclass(frozen=True, eq=False)
class Quantity:
    """One scalar of the posterior.

    Attributes
    ----------
    parameter : str
        east, north, q, pa, n, Re, Ie, flux, mag, sky, or the program's own name of a site.
    draws : array (chains, draws)
        Position angles are shifted by multiples of 180 so that they run through; see `unwrap_axial`.
    source, band, image : str
        Empty where they do not apply; `image` is set for what each image has of its own.
    unit : str
        In the notation of astropy.units; empty for pure numbers and sites of unknown unit.
    """

    parameter: str
    draws: np.ndarray
    source: str = ""
    band: str = ""
    image: str = ""
    unit: str = ""

    @property
    def label(self) -> str:
        """A name unique among the quantities of a posterior, e.g. 'galaxy mag r' or 'sky r'."""
        return " ".join(part for part in (self.source, self.parameter, self.image or self.band) if part)

    @property
    def site(self) -> str:
        """The program's name of it, but for an index."""
        return f"{self.source}_{self.parameter}" if self.source else self.parameter

    @property
    def is_sky(self) -> bool:
        """Whether it belongs to a sky background."""
        return not self.source and self.parameter.partition("[")[0] in SKIES

    @property
    def varies(self) -> bool:
        """Whether the draws differ at all."""
        return bool(np.ptp(self.draws) > 0)

    @property
    def detected(self) -> bool:
        """False for the flux, or magnitude, of a band that is consistent with zero."""
        if self.parameter == "mag":
            return is_detected(10 ** (-0.4 * self.draws))
        return self.parameter != "flux" or is_detected(self.draws)


@dataclass(frozen=True)
class Layout:
    """What the axes of sites stand for.

    Attributes
    ----------
    dims : dict of tuple of str
        Names of each site's trailing axes.
    bands, images, image_bands : tuple of str
        Names of the bands, of the images, and the band of each image.
    """

    dims: Mapping[str, tuple[str, ...]]
    bands: tuple[str, ...]
    images: tuple[str, ...]
    image_bands: tuple[str, ...]

    def alone(self, image: str) -> bool:
        """Whether an image is the only one of its band."""
        return self.image_bands.count(self.image_bands[self.images.index(image)]) == 1


def quantities(values: Mapping[str, np.ndarray], layout: Layout) -> list[Quantity]:
    """All scalars of `values` (site -> (chains, draws, *shape)): sources first, then skies, then other sites.

    Each flux is followed by a magnitude, unless it is 0 in all draws. Auxiliary sites (the ellipticity vector) are left
    out.
    """
    bases = source_names(values, layout)
    found = [q for site in values for q in _of_site(site, values[site], layout, bases)]
    # a latent called "flux" is that of a source which reports it under its name
    named = [q.draws for q in found if q.parameter == "flux" and q.source]
    found = [q for q in found if q.parameter != "flux" or q.source or not _is_among(q.draws, named)]
    found += [_magnitude(q) for q in found if q.parameter == "flux" and np.any(q.draws)]
    sources = tuple(dict.fromkeys(q.source for q in found if q.parameter == "flux"))
    order = {name: i for i, name in enumerate(PARAMETERS)}

    def rank(q: Quantity) -> tuple[int, int]:
        if q.source in sources and q.source:
            return sources.index(q.source), order[q.parameter]
        return len(sources) + (not q.is_sky), 0

    return sorted(found, key=rank)


def _is_among(draws: np.ndarray, others: Sequence[np.ndarray]) -> bool:
    return any(np.array_equal(draws, other) for other in others)


def source_names(values: Mapping[str, np.ndarray], layout: Layout) -> tuple[str, ...]:
    """Names of the sources: whatever has a `<source>_flux` or `<source>_flux_<image>` site.

    Examples
    --------
    >>> layout = Layout({}, ("r",), ("r",), ("r",))
    >>> draws = np.ones((1, 5))
    >>> source_names({"galaxy_flux": draws, "star_flux_r": draws, "sky": draws}, layout)
    ('galaxy', 'star')
    """
    return tuple(dict.fromkeys(base for site in values if (base := _flux_site(site, layout)[0])))


def _flux_site(site: str, layout: Layout) -> tuple[str, str]:
    """The source and the image of a flux site; empty strings where there is none."""
    if site.endswith("_flux"):
        return site.removesuffix("_flux"), ""
    for image in layout.images:
        if site.endswith(f"_flux_{image}"):
            return site.removesuffix(f"_flux_{image}"), image
    return "", ""


def _split(site: str, layout: Layout, sources: tuple[str, ...]) -> tuple[str, str, str]:
    """Source, parameter and image of a site; a site of no known form is a parameter of its own name."""
    source, image = _flux_site(site, layout)
    if source:
        return source, "flux", image
    for source in sources:
        parameter = site.removeprefix(f"{source}_")
        if parameter != site and parameter in (*PARAMETERS, *AUXILIARY):
            return source, parameter, ""
    return "", site, ""


def _of_site(site: str, draws: np.ndarray, layout: Layout, sources: tuple[str, ...]) -> Iterator[Quantity]:
    """The scalars of one site, index by index of its trailing axes."""
    draws = np.asarray(draws)
    if not np.issubdtype(draws.dtype, np.number):
        return
    source, parameter, image = _split(site, layout, sources)
    if parameter in AUXILIARY:
        return
    dims = tuple(layout.dims.get(site, ()))
    if {*FIELD_PLATES} & set(dims):  # whose members are reported under names of their own
        return
    dims += tuple(f"{site}_dim_{i}" for i in range(len(dims), draws.ndim - 2))
    if parameter == "flux" and not dims and not image:  # one flux for all bands
        draws, dims = np.broadcast_to(draws[..., None], (*draws.shape, len(layout.bands))), ("band",)
    dims = _recognised(dims, draws.shape[2:], layout) if source else dims
    for index in np.ndindex(draws.shape[2:]):
        where = _placed(dims, index, image, layout)
        one = draws[(..., *index)].astype(float)
        number = "".join(f"[{i}]" for d, i in zip(dims, index, strict=True) if d not in ("band", "image"))
        name = {"source": source + number} if source else {"parameter": parameter + number}
        one = unwrap_axial(one) if parameter == "pa" else one
        unit = UNITS.get(parameter, "") if source or parameter in SKIES else ""
        yield replace(Quantity(parameter, one, source, unit=unit), **where, **name)


def _recognised(dims: tuple[str, ...], shape: tuple[int, ...], layout: Layout) -> tuple[str, ...]:
    """The last axis of a source's parameter, when it has no name: over bands or images if it is as long."""
    lengths = {len(layout.images): "image", len(layout.bands): "band"}
    if not dims or dims[-1] in ("band", "image") or "band" in dims or shape[-1] not in lengths:
        return dims
    return (*dims[:-1], lengths[shape[-1]])


def _placed(dims: Sequence[str], index: Sequence[int], image: str, layout: Layout) -> dict[str, str]:
    """Band and image of one element; the image is named only where the band does not say which one it is."""
    axis = dict(zip(dims, index, strict=True))
    if "image" in axis:
        image = layout.images[axis["image"]]
    if image:
        band = layout.image_bands[layout.images.index(image)]
        return {"band": band, "image": "" if layout.alone(image) else image}
    return {"band": layout.bands[axis["band"]]} if "band" in axis else {}


def _magnitude(flux: Quantity) -> Quantity:
    return replace(flux, parameter="mag", draws=magnitude(flux.draws), unit=UNITS["mag"])


def find(found: Sequence[Quantity], parameter: str, source: str, band: str | None = None) -> list[Quantity]:
    """The quantities of one parameter and source, in one band (or image of that name) when given."""
    chosen = [q for q in found if q.parameter == parameter and q.source == source]
    return [q for q in chosen if band is None or band in (q.band, q.image)]


def flux_of(found: Sequence[Quantity], band: str, source: str) -> Quantity:
    """The flux of a source in a band, or in an image when images of one band have fluxes of their own.

    Raises
    ------
    ValueError
        For a band that is not there, or several fluxes that differ in it; names what there is.
    """
    chosen = find(found, "flux", source, band)
    if not chosen:
        there = ", ".join(dict.fromkeys(q.image or q.band for q in find(found, "flux", source)))
        raise ValueError(f"{source!r} has no flux in band {band!r}: its bands are {there}")
    if any(not np.array_equal(q.draws, chosen[0].draws) for q in chosen[1:]):
        names = ", ".join(q.image for q in chosen)
        raise ValueError(
            f"band {band!r} has {len(chosen)} fluxes of {source!r}, one per image: name one of {names}"
        )
    return replace(chosen[0], image="") if len(chosen) > 1 else chosen[0]


def pick_source(found: Sequence[Quantity], source: str | None) -> str:
    """The source asked for, or the only one there is.

    Raises
    ------
    ValueError
        For an unknown source, no source with a flux, or a choice left open among several.
    """
    sources = list(dict.fromkeys(q.source for q in found if q.parameter == "flux"))
    if source in sources:
        return str(source)
    if not sources:
        raise ValueError(
            "no source has a flux in this posterior: name the component in observe (bj.Sersic(..., "
            "name='galaxy')), or record numpyro.deterministic('galaxy_flux', component.flux)"
        )
    if source is not None:
        raise ValueError(f"no source {source!r}: the sources are {', '.join(sources)}")
    if len(sources) > 1:
        raise ValueError(
            f"there are {len(sources)} sources: say which by source=, one of {', '.join(sources)}"
        )
    return sources[0]

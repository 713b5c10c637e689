"""Ready programs for the common cases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from bayesjoint.data.image_set import ImageSet
from bayesjoint.light.point import PointSource
from bayesjoint.light.sersic import Sersic
from bayesjoint.light.sky import FlatSky
from bayesjoint.model.observe import observe
from bayesjoint.model.priors import (
    sample_brightness,
    sample_flux,
    sample_sky,
    sample_structure,
    trends_of,
)
from bayesjoint.model.trend import Trend


@dataclass(frozen=True)
class _JointModel:
    """A program that compares, and travels to other processes, by what it is."""

    name: str
    sky: bool
    nucleus: bool
    per_band: tuple[tuple[str, Trend | bool], ...]

    def __call__(self, images: ImageSet) -> None:
        name = self.name
        structure = sample_structure(name, images, per_band=dict(self.per_band))
        light: list = [Sersic(**structure, Ie=sample_brightness(name, images, structure))]
        if self.nucleus:
            flux = sample_flux(f"{name}_nucleus", images)
            light.append(PointSource(structure["centre"], flux, name=f"{name}_nucleus"))
        if self.sky:
            light.append(FlatSky(sample_sky(images)))
        observe(images, *light)


def joint_model(
    name: str = "galaxy",
    *,
    sky: bool = True,
    nucleus: bool = False,
    per_band: Collection[str] | Mapping[str, Trend | bool] = (),
) -> Callable[[ImageSet], None]:
    """One Sersic galaxy in all images: shared structure, one Ie in each band.

    Parameters
    ----------
    name : str
        Source name: prefix of its sites.
    sky : bool
        Sample a flat sky in each image; otherwise the sky is 0.
    nucleus : bool
        Add a point source at the galaxy's centre, one flux in each band.
    per_band : collection of {"n", "Re", "ellipticity", "centre"}, or dict of Trend
        Structure that has one value in each band instead of one in all: see `sample_structure`.

    Returns
    -------
    program : function of an ImageSet
        Equal for equal arguments, so that what was compiled for one galaxy serves the next.
    """

    return _JointModel(name, sky, nucleus, tuple(trends_of(per_band).items()))

"""Ready programs for the common cases."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from bayesjoint.data.image_set import ImageSet
from bayesjoint.light.point import PointSource
from bayesjoint.light.sersic import Sersic
from bayesjoint.light.sky import FlatSky
from bayesjoint.model.observe import observe
from bayesjoint.model.priors import sample_brightness, sample_flux, sample_sky, sample_structure


@cache
def joint_model(
    name: str = "galaxy", *, sky: bool = True, nucleus: bool = False, per_band: tuple[str, ...] = ()
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
    per_band : tuple of {"n", "Re", "ellipticity", "centre"}
        Structure that has one value in each band instead of one in all.

    Returns
    -------
    program : function of an ImageSet
        The same function for the same arguments, so that what was compiled for one galaxy serves the next.
    """

    def program(images: ImageSet) -> None:
        structure = sample_structure(name, images, per_band=per_band)
        light: list = [Sersic(**structure, Ie=sample_brightness(name, images, structure))]
        if nucleus:
            flux = sample_flux(f"{name}_nucleus", images)
            light.append(PointSource(structure["centre"], flux, name=f"{name}_nucleus"))
        if sky:
            light.append(FlatSky(sample_sky(images)))
        observe(images, *light)

    return program

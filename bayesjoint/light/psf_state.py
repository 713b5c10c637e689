"""What a program samples of the images' PSFs, given to `observe` or `render` among the components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bayesjoint.light.checks import take_numbers
from bayesjoint.light.pytree import parameters_are


@parameters_are("factor", static=())
@dataclass(frozen=True, eq=False)
class Seeing:
    """Factor on the FWHM of the images' PSFs, where these are a `ScalablePSF`.

    Parameters
    ----------
    factor : float
        Within the `spread` of the images' PSFs. May carry a leading axis over the images (or bands) of the set it is
        rendered on.

    Examples
    --------
    >>> Seeing(1.05)
    Seeing(factor=1.05)
    """

    factor: Any

    amplitude: ClassVar[str] = ""
    events: ClassVar[Mapping[str, int]] = {}
    positive: ClassVar[tuple[str, ...]] = ("factor",)

    def __post_init__(self):
        take_numbers(self, factor="")


@parameters_are("values", static=())
@dataclass(frozen=True, eq=False)
class PSFCoefficients:
    """Coefficients of the eigen-PSFs of images whose PSF is an `EigenPSF`.

    Parameters
    ----------
    values : array (K,)
        May carry a leading axis over the images (or bands) of the set it is rendered on.

    Examples
    --------
    >>> PSFCoefficients([0.1, -0.3]).values.shape
    (2,)
    """

    values: Any

    amplitude: ClassVar[str] = ""
    events: ClassVar[Mapping[str, int]] = {"values": 1}

    def __post_init__(self):
        take_numbers(self, values="")

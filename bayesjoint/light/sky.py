"""Sky backgrounds, added in real space: they know no PSF."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax

from bayesjoint.light.checks import check_plain


@partial(jax.tree_util.register_dataclass, data_fields=["level"], meta_fields=[])
@dataclass(frozen=True, eq=False)
class FlatSky:
    """Constant surface brightness over the image.

    Parameters
    ----------
    level : float
        nJy/arcsec^2; may carry a leading axis over the images (or bands) of the set it is rendered on.

    Examples
    --------
    >>> FlatSky(12.0)
    FlatSky(level=12.0)
    """

    level: Any

    amplitude: ClassVar[str] = "level"

    def __post_init__(self):
        check_plain("FlatSky", "level", self.level, "nJy/arcsec^2")

"""Whether components fit the images that they are to be drawn on: what does not is refused in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from bayesjoint.data.image import Image
from bayesjoint.data.psf_basis import EigenWeights, ScaleWeights
from bayesjoint.light.psf_state import PSFCoefficients, Seeing
from bayesjoint.light.ranges import LEAST, MOST
from bayesjoint.light.windowed import Windowed


def check_fits(images: Sequence[Image], components: tuple) -> None:
    """Raise for what is no component, and for a latent of the PSF, or a window, that the images do not have."""
    for i, component in enumerate(components):
        _check_is_component(i, component)
        if isinstance(component, Windowed):
            _check_window(images, component)
    for kind in (Seeing, PSFCoefficients):
        given = [component for component in components if isinstance(component, kind)]
        if len(given) > 1:
            raise ValueError(
                f"{len(given)} components are {kind.__name__}, of which images take one: give one"
            )
        if given:
            _check_psf(images, given[0])


def _check_is_component(i: int, component: Any) -> None:
    if isinstance(component, type):
        raise TypeError(
            f"component {i} is the class {component.__name__}: give one of its objects, {component.__name__}(...)"
        )
    if not hasattr(type(component), "amplitude"):
        more = ": give its items one by one, *components" if isinstance(component, tuple | list) else ""
        raise TypeError(
            f"component {i} must be light, such as bj.Sersic(...), or what images may be off by, got "
            f"{type(component).__name__}{more}"
        )


def _check_window(images: Sequence[Image], component: Windowed) -> None:
    fewest = min(len(image.window_lattices) for image in images)
    if component.window >= fewest:
        raise ValueError(
            f"Windowed sources want window {component.window}, but the images have {fewest}: give "
            "images.with_windows(12.0), widths in arcsec"
        )


def _check_psf(images: Sequence[Image], component: Any) -> None:
    weights = [image.psf_weights for image in images]
    if isinstance(component, Seeing):
        if not any(isinstance(w, ScaleWeights) for w in weights):
            raise ValueError(
                "Seeing was given, but no image's PSF is a ScalablePSF: give psf=bj.ScalablePSF(...)"
            )
        return
    counts, given = {w.count for w in weights if isinstance(w, EigenWeights)}, jnp.shape(component.values)[-1]
    if counts != {given}:
        raise ValueError(
            f"PSFCoefficients has {given} values; the images' PSFs have "
            f"{' and '.join(map(str, sorted(counts))) or 'no'} eigen-PSFs (bj.EigenPSF)"
        )


def spreads_of(stacks: Sequence[Image]) -> np.ndarray:
    """The largest factor on the FWHM of each image of all stacks; any where its PSF has none."""
    each = [w.spread if isinstance(w, ScaleWeights) else MOST for w in (s.psf_weights for s in stacks)]
    return np.repeat(each, [stack.invvar.shape[0] for stack in stacks])


def spread_range(spreads: np.ndarray, axis: int | None) -> tuple[Any, Any]:
    """The range of `Seeing`, of each image or, where it is shared, of all."""
    largest = spreads if axis == 0 else spreads.min()
    return np.maximum(1 / largest, LEAST), largest

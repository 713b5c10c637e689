"""Where a run begins: at what its checkpoint knows, at a fit that was given, or at one made now."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from bayesjoint.data.image_set import ImageSet
from bayesjoint.infer.checkpoint import Checkpoint, fingerprint
from bayesjoint.infer.covariance import unpack_covariance
from bayesjoint.infer.fit import fit_map
from bayesjoint.infer.map_fit import MapFit, pack_fit, unpack_fit
from bayesjoint.infer.space import Program, find_latents

SAME_FIT = 1e-3  # standard deviations


def store_of(
    path: str | os.PathLike | None, program: Program, args: tuple, settings: Mapping[str, Any]
) -> Checkpoint:
    """The checkpoint at a path, or one in memory."""
    if path is None:
        return Checkpoint()
    return Checkpoint(path, fingerprint(find_latents(program, args), args, settings))


def fit_of(
    store: Checkpoint,
    program: Program,
    args: tuple,
    images: ImageSet,
    init: MapFit | None,
    progress: bool | None,
) -> MapFit:
    """The fit that the checkpoint has, or the one given, or one made now."""
    known = store.recall("fit")
    if init is None and known:
        return unpack_fit(program, images, args, find_latents(program, args), known)
    fit = init if init is not None else fit_map(program, images, *args[1:], progress=progress)
    check_init(program, args, fit)
    if not known:
        store.note("fit", pack_fit(fit))
        return fit
    z, covariance = known["unconstrained"], unpack_covariance(known)
    apart = np.max(np.abs(fit.unconstrained - z) / np.sqrt(covariance.diagonal()))
    if apart > SAME_FIT:
        raise ValueError(
            f"the checkpoint {str(store.path)!r} was begun at another fit, {apart:.2g} standard deviations from init: give "
            "that fit or none, delete the file to start anew, or give another path"
        )
    return replace(fit, unconstrained=z, covariance=covariance)


def check_init(program: Program, args: tuple, fit: MapFit) -> None:
    """The fit must be of this program, on images of these bands: else latents would go astray."""
    if not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise ValueError(
            "sample needs 64-bit floats and got 32: call numpyro.enable_x64() before making arrays"
        )
    if not isinstance(fit, MapFit):
        raise TypeError(f"init must be what bj.fit_map gives, got {type(fit).__name__}")
    images = args[0]
    ours, theirs = (images.bands, images.names), (fit.bands, fit.image_names)
    if theirs != ((), ()) and ours != theirs:
        raise ValueError(
            f"init is the fit of other images: {', '.join(theirs[1])} in bands {', '.join(theirs[0])}, these are "
            f"{', '.join(ours[1])} in bands {', '.join(ours[0])}; leave init out, or give bj.fit_map of these"
        )
    latents = find_latents(program, args)
    if latents != fit.layout:
        raise ValueError(
            f"init is the fit of another program: its latents are {', '.join(fit.labels)}, this program's "
            f"{', '.join(latents.labels)}; leave init out, or give bj.fit_map of this program and these images"
        )

"""What a fit is: values, errors and covariance, how well it fits, and what it says of itself."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.data.source_start import SourceStart
from bayesjoint.infer.covariance import (
    Covariance,
    is_determined,
    pack_covariance,
    root,
    unpack_covariance,
)
from bayesjoint.infer.curvature import values_and_errors
from bayesjoint.infer.goodness import judge_fit, judge_images
from bayesjoint.infer.pixels import PixelFit, pixel_fits, rendered
from bayesjoint.infer.space import Layout, Program
from bayesjoint.infer.verdict import Verdict
from bayesjoint.infer.windowed import LARGE, expansion
from bayesjoint.model.scene import Scene

_PLAIN = ("log_posterior", "iterations", "converged", "reason", "advice", "seconds")
_MOST_ROWS, _MOST_VALUES = 60, 9  # written of a fit


@dataclass(frozen=True)
class MapFit:
    """A maximum a posteriori: values, covariance, how well it fits, and whether to trust it.

    Attributes
    ----------
    values, errors : dict
        Constrained latents and deterministics at the maximum, and their standard errors from the covariance.
    unconstrained : array (P,)
        The maximum in the program's unconstrained space; `labels` names its elements.
    covariance : array (P, P) or SparseCovariance
        Inverse curvature there; of `method="blocks"` not an array, but `numpy.asarray` makes it one where it fits.
    chi2, pixels : array (n_images,)
        Of every image, in the set's order.
    log_posterior : float
    iterations : int
    converged : bool
    reason : str
        Why the iterations stopped.
    advice : tuple of str
        What to do about it when something looks wrong.
    seconds : float
    bands, image_names : tuple of str
        Of the images.
    sources : SourceStart, optional
        What these were told of sources.
    """

    values: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]
    unconstrained: np.ndarray
    covariance: Covariance
    layout: Layout
    images: tuple[PixelFit, ...]
    log_posterior: float
    iterations: int
    converged: bool
    reason: str
    advice: tuple[str, ...] = ()
    seconds: float = 0.0
    path: tuple[dict[str, float], ...] = field(default=(), repr=False)
    bands: tuple[str, ...] = ()
    image_names: tuple[str, ...] = ()
    sources: SourceStart | None = field(default=None, repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each element of `unconstrained`."""
        return self.layout.labels

    @property
    def chi2(self) -> np.ndarray:
        """Chi-squared of each image."""
        return np.array([image.chi2 for image in self.images])

    @property
    def pixels(self) -> np.ndarray:
        """Number of weighted pixels of each image."""
        return np.array([image.pixels for image in self.images])

    @property
    def chi2_per_dof(self) -> float:
        """Total chi-squared over pixels minus parameters."""
        return float(self.chi2.sum() / max(self.pixels.sum() - self.layout.size, 1))

    @property
    def verdict(self) -> Verdict:
        """Whether to trust the fit, and what to do about it, in plain words."""
        determined = is_determined(self.covariance)
        found = self.converged, self.reason, self.chi2_per_dof, float("nan"), determined, self.advice
        findings = judge_fit(*found, self.layout.size, float(self.pixels.sum()))
        return Verdict.from_findings(
            findings + judge_images([image.goodness for image in self.images]), "the fit"
        )

    def __repr__(self) -> str:
        state = "converged" if self.converged else "NOT converged"
        head = (
            f"MapFit: {state} ({self.reason}) after {self.iterations} iterations, {self.seconds:.1f} s; "
            f"chi2/dof {self.chi2_per_dof:.4f}"
        )
        rows = [f"  {name} = {_with_error(v, self.errors[name])}" for name, v in self.values.items()]
        if len(rows) > _MOST_ROWS:
            rows[_MOST_ROWS:] = [f"  ... {len(rows) - _MOST_ROWS} more: see fit.values and fit.errors"]
        return "\n".join([head, *rows, f"  {self.verdict.headline}"])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


def _with_error(values: np.ndarray, errors: np.ndarray) -> str:
    pairs = list(zip(np.ravel(values), np.ravel(errors), strict=True))
    shown = [f"{v:.6g} ± {e:.2g}" for v, e in pairs[:_MOST_VALUES]]
    return ", ".join(shown + [f"... {len(pairs)} values"] * (len(pairs) > _MOST_VALUES))


def pack_fit(fit: MapFit) -> dict[str, np.ndarray]:
    """A fit as named arrays, without what `unpack_fit` can compute again."""
    plain = {name: getattr(fit, name) for name in _PLAIN}
    arrays = {"unconstrained": fit.unconstrained} | pack_covariance(fit.covariance)
    return arrays | {"plain": np.array(json.dumps(plain, default=float))}


def means_and_noises(
    program: Program, layout: Layout, z: np.ndarray, args: tuple
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Model pixels of the observed sites at z, and the noise of what `observe` made, as `pixel_fits` takes them."""
    if isinstance(program, Scene) and layout.size > LARGE:  # its slopes may be more than memory holds
        return jax.device_get(rendered(program, layout, jnp.asarray(z), args)[1]), {}
    there = expansion(program, layout, args)(z)
    return jax.device_get((there.means, there.noises))


def unpack_fit(
    program: Program, images: Any, args: tuple, layout: Layout, packed: Mapping[str, Any]
) -> MapFit:
    """The fit of `pack_fit`, of the same program and images; its path is not kept."""
    z, covariance = packed["unconstrained"], unpack_covariance(packed)
    values, errors = values_and_errors(program, layout, z, root(covariance), args)
    plain = json.loads(str(packed["plain"]))
    plain["advice"] = tuple(plain["advice"])
    plain |= {
        "bands": tuple(getattr(images, "bands", ())),
        "image_names": tuple(getattr(images, "names", ())),
        "sources": getattr(images, "sources", None),
    }
    pixels = pixel_fits(*means_and_noises(program, layout, z, args), images)
    return MapFit(values, errors, z, covariance, layout, pixels, **plain)

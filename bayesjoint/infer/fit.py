"""Maximum a posteriori of a program: its start, its ascent, and what a fit says of itself."""

from __future__ import annotations

import html
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from bayesjoint.infer.curvature import values_and_errors
from bayesjoint.infer.goodness import judge_fit, judge_images
from bayesjoint.infer.linear import is_positive
from bayesjoint.infer.lm import Climb, climb, covariance_of
from bayesjoint.infer.pixels import PixelFit, pixel_fits
from bayesjoint.infer.space import Layout, Program, find_latents
from bayesjoint.infer.start import starting_point, values_of_fit
from bayesjoint.infer.verdict import Verdict
from bayesjoint.infer.windowed import expansion

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
    covariance : array (P, P)
        Inverse curvature there.
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
    """

    values: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]
    unconstrained: np.ndarray
    covariance: np.ndarray
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
        errors = np.sqrt(np.diag(self.covariance))
        determined = is_positive(self.covariance / np.outer(errors, errors))
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


def fit_map(
    program: Program,
    images: Any,
    *more: Any,
    start: Mapping[str, Any] | MapFit | None = None,
    starts: int = 1,
    seed: int = 0,
    max_iterations: int = 100,
    tolerance: float = 1e-4,
    progress: bool | None = None,
) -> MapFit:
    """Maximum a posteriori of a NumPyro program by Levenberg-Marquardt.

    Parameters
    ----------
    program : function
        A NumPyro program of `images` (and of `more` arguments).
    images : ImageSet or Image
    *more
        Further arguments of the program.
    start : dict or MapFit, optional
        Values of latent sites to start from; by default what the site suggests, else the prior's median. Of another fit,
        the values of its latents that have the same names, band by band and image by image: so after adding a band.
    starts : int
        Number of starts; beyond the first they are scattered about it, and the best maximum is kept.
    seed : int
        Of the scatter.
    max_iterations : int
    tolerance : float
        Stop when a full step would raise the log posterior by less.
    progress : bool, optional
        Print one line an iteration; by default only to a terminal or a notebook.

    Returns
    -------
    MapFit
        A fit that did not converge is returned, not raised: see its `reason` and `advice`.

    Raises
    ------
    ValueError
        Without 64-bit floats; for programs that cannot be fitted; for a start outside a prior's support.

    Examples
    --------
    See `bayesjoint.sample`.
    """
    if not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise ValueError(
            "fit_map needs 64-bit floats and got 32: call numpyro.enable_x64() before making arrays"
        )
    began = time.perf_counter()
    args = jax.device_put((images, *more))
    layout = find_latents(program, args)
    known = values_of_fit(program, layout, args, start) if isinstance(start, MapFit) else start
    first = starting_point(program, layout, args, known or {})
    scatter = np.random.default_rng(seed)
    best: Climb | None = None
    for k in range(starts):
        z = first if k == 0 else first + 0.5 * scatter.normal(size=first.shape) * _width(best, first)
        found = climb(program, layout, z, args, max_iterations, tolerance, _reporter(progress))
        if best is None or found.log_posterior > best.log_posterior:
            best = found
    assert best is not None
    return _finish(program, layout, images, args, best, began)


def _width(best: Climb | None, z: np.ndarray) -> np.ndarray:
    """Scale of the scatter of further starts: the prior's width where the curvature knows it."""
    if best is None:
        return np.ones_like(z)
    return 1 / np.sqrt(np.maximum(best.here.prior_curvature.diagonal(), 1e-12))


def _finish(program, layout, images, args, end: Climb, began: float) -> MapFit:
    covariance = covariance_of(end)
    root = np.linalg.cholesky(covariance)
    values, errors = values_and_errors(program, layout, end.z, root, args)
    return MapFit(
        values=values,
        errors=errors,
        unconstrained=end.z,
        covariance=covariance,
        layout=layout,
        images=pixel_fits(end.here.means, jax.device_get(end.here.noises), images),
        log_posterior=end.log_posterior,
        iterations=end.iterations,
        converged=end.converged,
        reason=end.reason,
        advice=_advice(end, layout),
        seconds=time.perf_counter() - began,
        path=tuple(end.path),
        bands=tuple(getattr(images, "bands", ())),
        image_names=tuple(getattr(images, "names", ())),
    )


def pack_fit(fit: MapFit) -> dict[str, np.ndarray]:
    """A fit as named arrays, without what `unpack_fit` can compute again."""
    plain = {name: getattr(fit, name) for name in _PLAIN}
    arrays = {"unconstrained": fit.unconstrained, "covariance": fit.covariance}
    return arrays | {"plain": np.array(json.dumps(plain, default=float))}


def unpack_fit(
    program: Program, images: Any, args: tuple, layout: Layout, packed: Mapping[str, Any]
) -> MapFit:
    """The fit of `pack_fit`, of the same program and images; its path is not kept."""
    z, covariance = packed["unconstrained"], packed["covariance"]
    root = np.linalg.cholesky(covariance)
    values, errors = values_and_errors(program, layout, z, root, args)
    plain = json.loads(str(packed["plain"]))
    plain["advice"] = tuple(plain["advice"])
    plain |= {
        "bands": tuple(getattr(images, "bands", ())),
        "image_names": tuple(getattr(images, "names", ())),
    }
    there = expansion(program, layout, args)(z)
    means, noises = jax.device_get((there.means, there.noises))
    pixels = pixel_fits(means, noises, images)
    return MapFit(values, errors, z, covariance, layout, pixels, **plain)


def _advice(end: Climb, layout: Layout) -> tuple[str, ...]:
    if end.converged:
        return ()
    pull = np.abs(end.here.gradient) / np.sqrt(np.maximum(end.curvature.diagonal(), 1e-300))
    uphill = layout.labels[int(np.argmax(pull))]
    return (f"try starts=4, or start={{...}} nearer the truth; {uphill} still pulls hardest",)


def _reporter(progress: bool | None) -> Callable[[str], None]:
    if progress is None:
        progress = sys.stderr.isatty() or "ipykernel" in sys.modules
    return (lambda line: print(line, file=sys.stderr)) if progress else (lambda line: None)

"""Maximum a posteriori of a program: its start and its ascent."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import jax
import numpy as np

from bayesjoint.infer.covariance import Covariance, root
from bayesjoint.infer.curvature import values_and_errors
from bayesjoint.infer.lm import Climb, NotFiniteError, climb, covariance_of
from bayesjoint.infer.map_fit import MapFit
from bayesjoint.infer.pixels import pixel_fits
from bayesjoint.infer.space import Layout, Program, find_latents
from bayesjoint.infer.start import starting_point, values_of_fit
from bayesjoint.infer.sweeps import Swept, field_of, sweep

_MANY = 20_000  # latents whose covariance is large
_HALVINGS = 5


def fit_map(
    program: Program,
    images: Any,
    *more: Any,
    start: Mapping[str, Any] | MapFit | None = None,
    starts: int = 1,
    seed: int = 0,
    max_iterations: int = 100,
    tolerance: float = 1e-4,
    method: Literal["joint", "blocks"] = "joint",
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
        By blocks, of sweeps over all of them.
    tolerance : float
        Stop when a full step would raise the log posterior by less.
    method : {"joint", "blocks"}
        "blocks" is for fields of thousands of sources (`scene_model`), where matrices of all latents would not fit: some 40
        neighbours at a time are fitted by Levenberg-Marquardt, all others as they are, in sweeps over the whole field until
        nothing is left to gain. The fit's covariance is then kept as its inverse, which is sparse. Sources whose
        windows do not meet in the sharpest image count as uncoupled but for the skies.
    progress : bool, optional
        Print one line an iteration; by default only to a terminal or a notebook.

    Returns
    -------
    MapFit
        A fit that did not converge is returned, not raised: see its `reason` and `advice`.

    Raises
    ------
    ValueError
        Without 64-bit floats; for programs that cannot be fitted; for a start outside a prior's support; for an unknown
        method, and for blocks of a program that is not a `scene_model`.

    Examples
    --------
    See `bayesjoint.sample`.
    """
    if not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise ValueError(
            "fit_map needs 64-bit floats and got 32: call numpyro.enable_x64() before making arrays"
        )
    if method not in ("joint", "blocks"):
        raise ValueError(f'method must be "joint" or "blocks", got {method!r}')
    began = time.perf_counter()
    args = jax.device_put((images, *more))
    layout = find_latents(program, args)
    known = values_of_fit(program, layout, args, start) if isinstance(start, MapFit) else start
    first = starting_point(program, layout, args, known or {})
    if method == "joint" and layout.size > _MANY:
        warnings.warn(
            f"the covariance of {layout.size} latents takes {8e-9 * layout.size**2:.0f} GB, and twice that to make: of a "
            'scene_model method="blocks" keeps its inverse, which is sparse',
            stacklevel=2,
        )
    if method == "blocks":
        end = sweep(
            field_of(program, images, starts, max_iterations),
            images,
            layout,
            first,
            max_iterations,
            tolerance,
            _reporter(progress),
        )
        pixels = pixel_fits(end.means, {}, images)
        return _made(program, layout, images, args, end, end.covariance, pixels, end.advice, began)
    ascend = partial(
        climb,
        program,
        layout,
        args=args,
        max_iterations=max_iterations,
        tolerance=tolerance,
        report=_reporter(progress),
    )
    best, scatter = ascend(first), np.random.default_rng(seed)
    for _ in range(starts - 1):
        found = _again(ascend, first, 0.5 * scatter.normal(size=first.shape) * _width(best))
        if found is not None and found.log_posterior > best.log_posterior:
            best = found
    return _finish(program, layout, images, args, best, began)


def _again(ascend: Callable[[np.ndarray], Climb], z: np.ndarray, away: np.ndarray) -> Climb | None:
    """An ascent from somewhere about z, nearer to that until the log posterior is finite; None where it never is."""
    for part in 0.5 ** np.arange(_HALVINGS):
        try:
            return ascend(z + part * away)
        except NotFiniteError:
            continue
    return None


def _width(best: Climb) -> np.ndarray:
    """Scale of the scatter of further starts: the prior's width where the curvature knows it."""
    known = best.here.prior_curvature.diagonal()
    return np.where(known > 0, 1 / np.sqrt(np.where(known > 0, known, 1.0)), 1.0)


def _finish(program, layout, images, args, end: Climb, began: float) -> MapFit:
    pixels = pixel_fits(end.here.means, jax.device_get(end.here.noises), images)
    return _made(program, layout, images, args, end, covariance_of(end), pixels, _advice(end, layout), began)


def _made(
    program, layout, images, args, end: Climb | Swept, covariance: Covariance, pixels, advice, began: float
) -> MapFit:
    values, errors = values_and_errors(program, layout, end.z, root(covariance), args)
    return MapFit(
        values=values,
        errors=errors,
        unconstrained=end.z,
        covariance=covariance,
        layout=layout,
        images=pixels,
        log_posterior=end.log_posterior,
        iterations=end.iterations,
        converged=end.converged,
        reason=end.reason,
        advice=advice,
        seconds=time.perf_counter() - began,
        path=tuple(end.path),
        bands=tuple(getattr(images, "bands", ())),
        image_names=tuple(getattr(images, "names", ())),
        sources=getattr(images, "sources", None),
    )


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

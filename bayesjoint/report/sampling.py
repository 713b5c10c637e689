"""From a program to its posterior in one call: fit, sample, report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.data.image_set import ImageSet
from bayesjoint.infer.curvature import quadratic
from bayesjoint.infer.fit import MapFit, fit_map
from bayesjoint.infer.nuts import Tuning
from bayesjoint.infer.pixels import pixel_fits
from bayesjoint.infer.sampler import Likelihood, sample_program
from bayesjoint.infer.space import Program, find_latents
from bayesjoint.report.posterior import Posterior


def sample(
    program: Program,
    images: ImageSet,
    *more: Any,
    init: MapFit | None = None,
    draws: int = 1000,
    chains: int = 4,
    warmup: int = 300,
    seed: int = 0,
    likelihood: Likelihood = "auto",
    target_accept: float | None = None,
    max_tree_depth: int | None = None,
    progress: bool | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Posterior:
    """Sample the posterior of a NumPyro program by NUTS, whitened by its maximum a posteriori.

    Parameters
    ----------
    program : function
        A NumPyro program of `images` (and of `more` arguments).
    images : ImageSet
    *more
        Further arguments of the program.
    init : MapFit, optional
        The fit to start from; made by `fit_map` when not given.
    draws, chains, warmup : int
        Draws kept of each chain, chains, and draws of each chain spent on adapting the step size.
    seed : int
        The same seed gives the same draws on the same machine.
    likelihood : {"auto", "compressed", "exact"}
        "compressed" samples quadratic forms that stand for the images near the fit, brightnesses integrated out, and
        reports how far they are from the exact log posterior at some of the draws; "exact" renders the images at every step
        (hundreds of times slower: ask for fewer draws). "auto" is compressed where that holds, to 0.01 in log posterior,
        else exact.
    target_accept : float, optional
        Acceptance that the step size is adapted to, by default 0.8 (compressed) or 0.65 (exact); raise it to 0.9
        when draws diverge.
    max_tree_depth : int, optional
        Trajectories have at most 2^depth - 1 leapfrogs. The default is 8 (compressed) or 2 (exact, which suits a posterior
        whitened by its fit; raise it where effective sample sizes stay low because the posterior is far from a
        Gaussian).
    progress : bool, optional
        Show a progress bar; by default only in a terminal or a notebook.
    provenance : dict, optional
        More attributes to keep with the posterior.

    Returns
    -------
    Posterior
        With its `verdict`. After Ctrl-C it holds the draws so far.

    Raises
    ------
    ValueError
        For programs that cannot be sampled, and numbers of draws below 1.
    KeyboardInterrupt
        When interrupted before there is a draw to keep.

    Examples
    --------
    >>> import numpy as np
    >>> import numpyro
    >>> numpyro.enable_x64()
    >>> import bayesjoint as bj
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 2.0]
    >>> wcs.wcs.crpix, wcs.wcs.cdelt = [12.5, 12.5], [-0.5 / 3600, 0.5 / 3600]
    >>> blank = bj.Image(np.zeros((24, 24)), wcs=wcs, zeropoint=31.4, psf=bj.gaussian_psf(1.2),
    ...                  invvar=np.ones((24, 24)), band="r")
    >>> truth = bj.Sersic((0.0, 0.0), q=0.7, pa=40.0, n=1.0, Re=1.5, Ie=100.0)
    >>> noise = np.random.default_rng(1).normal(size=(24, 24))
    >>> image = bj.Image(bj.render(blank, truth) + noise, wcs=wcs, zeropoint=31.4, psf=bj.gaussian_psf(1.2),
    ...                  invvar=np.ones((24, 24)), band="r")
    >>> images = bj.ImageSet([image])
    >>> fit = bj.fit_map(bj.joint_model(), images)
    >>> fit.converged
    True
    >>> posterior = bj.sample(bj.joint_model(), images, init=fit, draws=100, chains=2)
    >>> bool(abs(posterior.magnitude("r").median - 23.2) < 0.1)
    True
    """
    if not isinstance(images, ImageSet):
        raise TypeError(
            f"sample wants a bj.ImageSet, got {type(images).__name__}: wrap images as bj.ImageSet([...])"
        )
    counts = {"draws": (draws, 1), "chains": (chains, 1), "warmup": (warmup, 10), "seed": (seed, 0)}
    for name, (count, least) in (counts | {"max_tree_depth": (max_tree_depth, 1)}).items():
        if not (name == "max_tree_depth" and count is None):
            _check_whole(name, count, least)
    if target_accept is not None and not 0 < target_accept < 1:
        raise ValueError(f"target_accept must lie between 0 and 1, got {target_accept!r}")
    if likelihood not in get_args(Likelihood):
        raise ValueError(f"likelihood must be one of {', '.join(get_args(Likelihood))}, got {likelihood!r}")
    fit = init if init is not None else fit_map(program, images, *more, progress=progress)
    args = jax.device_put((images, *more))
    _check_init(program, args, fit)
    tuning = Tuning(int(draws), int(chains), int(warmup), seed, target_accept, max_tree_depth)
    kept = sample_program(program, args, fit, tuning, likelihood, progress)
    best = kept.unconstrained.reshape(-1, fit.layout.size)[np.argmax(kept.stats["lp"])]
    there = quadratic(program, fit.layout, jnp.asarray(best), args)
    means, noises = jax.device_get((there.means, there.noises))
    fitted = pixel_fits(means, noises, images)
    if len(fitted) < len(images):
        return Posterior.from_draws(kept, images, fit, provenance)
    models = [pixels.model for pixels in fitted]
    own = [(pixels.residual, pixels.goodness.widened) for pixels in fitted] if any(noises.values()) else None
    return Posterior.from_draws(kept, images, fit, provenance, model_images=models, residuals=own)


def _check_whole(name: str, count: Any, least: int) -> None:
    if not isinstance(count, int | float | np.number) or count != int(count) or count < least:
        raise ValueError(f"{name} must be a whole number from {least} on, got {count!r}")


def _check_init(program: Program, args: tuple, fit: MapFit) -> None:
    """The fit must be of this program, on images of these bands: else latents would go astray."""
    if not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise ValueError(
            "sample needs 64-bit floats and got 32: call numpyro.enable_x64() before making arrays"
        )
    latents = find_latents(program, args)
    if latents != fit.layout:
        raise ValueError(
            f"init is the fit of another program: its latents are {', '.join(fit.labels)}, this program's "
            f"{', '.join(latents.labels)}; leave init out, or give bj.fit_map of this program and these images"
        )

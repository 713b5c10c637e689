"""From a program to its posterior in one call: fit, sample, report."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

import jax
import numpy as np

from bayesjoint.data.image_set import ImageSet
from bayesjoint.infer.adapt import Adapt
from bayesjoint.infer.approximate import approximate_program
from bayesjoint.infer.chains import ChainMethod
from bayesjoint.infer.map_fit import MapFit
from bayesjoint.infer.methods import (
    CHAINS,
    GAUSSIAN,
    LEAST_PARTICLES,
    Method,
    check_options,
    draws_by_default,
    sampler_of,
)
from bayesjoint.infer.roads import Likelihood
from bayesjoint.infer.sampler import sample_program
from bayesjoint.infer.space import Program
from bayesjoint.report.extending import continuation, ended, model_images, run_until
from bayesjoint.report.posterior import Posterior
from bayesjoint.report.sampling_options import check_choices, check_images, check_limits, tuning_of
from bayesjoint.report.starting import fit_of, store_of


def sample(
    program: Program,
    images: ImageSet,
    *more: Any,
    method: Method = "nuts",
    init: MapFit | None = None,
    draws: int | None = None,
    chains: int = 4,
    warmup: int | None = None,
    seed: int = 0,
    likelihood: Likelihood = "auto",
    target_accept: float | None = None,
    max_tree_depth: int | None = None,
    adapt: Adapt = "auto",
    chain_method: ChainMethod | None = None,
    progress: bool | None = None,
    provenance: Mapping[str, Any] | None = None,
    checkpoint: str | os.PathLike | None = None,
    until_ess: float | None = None,
    max_seconds: float | None = None,
) -> Posterior:
    """Sample the posterior of a NumPyro program, by default by NUTS, whitened by its maximum a posteriori.

    Parameters
    ----------
    program : function
        A NumPyro program of `images` (and of `more` arguments).
    images : ImageSet
    *more
        Further arguments of the program.
    method : {"nuts", "laplace", "svi", "mclmc", "mams", "smc"}
        "nuts" is for results. "laplace" (the fit's Gaussian) and "svi" (the Gaussian nearest to the posterior) are for a
        quick look: exact log posteriors of all draws tell how far to trust them, and resample them where they can be.
        "mclmc" and "mams" are microcanonical chains, without and with Metropolis adjustment, and "smc" leads particles
        from a wide start to the posterior, which suits several peaks and gives the evidence; these three need blackjax
        (``pip install "bayesjoint[blackjax]"``).
    init : MapFit, optional
        The fit to start from; made by `fit_map` when not given.
    draws : int, optional
        Kept of each chain: by default 1000; of "laplace" and "svi" 250 (each is rendered), of "smc" 500 particles a run.
    chains : int
        Chains, or independent runs of "smc".
    warmup : int, optional
        Draws of each chain spent on adapting to the posterior; by default 300.
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
    adapt : {"auto", "always", "never"}
        Whether chains go on, after `warmup`, in coordinates made from the covariance of their draws instead of the fit's:
        "auto" does so where the two are far apart (an index at the end of its prior, blends, faint galaxies), and then
        spends up to 100 more draws of each chain on the step size.
    chain_method : {"parallel", "vectorized"}, optional
        Chains on threads, one for each core, or all in one program; by default "parallel" on a CPU and "vectorized" on an
        accelerator. Draws differ by rounding, which warm-up amplifies.
    progress : bool, optional
        Show a progress bar; by default only in a terminal or a notebook.
    provenance : dict, optional
        More attributes to keep with the posterior.
    checkpoint : path, optional
        A file that is written every few seconds while sampling. When the process dies, the same call goes on from it, and
        gives the draws, bit by bit, that it would have given. It is removed when all is done, and stays after Ctrl-C or
        `max_seconds`.
    until_ess : float, optional
        Sample on, `draws` of each chain at a time, until the least bulk effective sample size over all parameters
        reaches this.
    max_seconds : float, optional
        Stop after this time from the call on, as soon as each chain has draws to keep. `Posterior.stopped` tells which
        it was.

    Returns
    -------
    Posterior
        With its `verdict`. After Ctrl-C it holds the draws so far. Its `extend` makes more.

    Raises
    ------
    ValueError
        For programs that cannot be sampled, numbers of draws below 1, options that do not go with the method, and a
        checkpoint of another run, or none.
    ImportError
        For a method that needs blackjax, where that is missing.
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
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {', '.join(get_args(Method))}, got {method!r}")
    check_images("sample", images)
    own = {"warmup": warmup, "target_accept": target_accept, "max_tree_depth": max_tree_depth}
    own |= {
        "chain_method": chain_method,
        "checkpoint": checkpoint,
        "until_ess": until_ess,
        "max_seconds": max_seconds,
    }
    own |= {
        "likelihood": likelihood if likelihood != "auto" else None,
        "adapt": adapt if adapt != "auto" else None,
    }
    check_options(method, {name: value for name, value in own.items() if value is not None})
    check_choices({"likelihood": (likelihood, Likelihood), "adapt": (adapt, Adapt)})
    check_limits(until_ess, max_seconds)
    tuning = tuning_of(
        draws_by_default(method) if draws is None else draws,
        chains,
        warmup,
        seed,
        least=LEAST_PARTICLES if method == "smc" else 1,
        target_accept=target_accept,
        max_tree_depth=max_tree_depth,
        adapt=adapt,
        chain_method=chain_method,
    )
    deadline = time.monotonic() + (np.inf if max_seconds is None else max_seconds)
    args = jax.device_put((images, *more))
    settings = {**tuning._asdict(), "likelihood": likelihood, "method": method}
    sampler = None if method in GAUSSIAN else sampler_of(method)
    store = store_of(checkpoint, program, args, settings)
    fit = fit_of(store, program, args, images, init, progress)
    if sampler is None:
        kept = approximate_program(program, args, fit, tuning, likelihood, method)
    else:
        kept = sample_program(program, args, fit, tuning, likelihood, progress, store, deadline, sampler)
        kept = replace(kept, method=method)
    if until_ess is not None:
        kept, end = run_until(kept, until_ess, tuning, program, args, images, fit, progress, store, deadline)
    else:
        end = ended(kept, tuning, likelihood == "auto", max_seconds, deadline)
    tuning = tuning._replace(draws=kept.stats["lp"].shape[1])
    going_on = continuation(store, kept, tuning, fit.layout, fit.unconstrained) if method in CHAINS else None
    models, own_noise = model_images(program, args, fit.layout, images, kept)
    provenance = {**(provenance or {}), "stopped": end.words}
    posterior = Posterior.from_draws(kept, images, fit, provenance, models, own_noise, going_on)
    posterior.program, posterior.more = program, more
    if not (kept.interrupted or end.is_late):
        store.remove()
    return posterior

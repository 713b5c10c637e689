"""The posterior of a field, sampled group by group of sources: what it takes grows with the number of sources.

Each group is sampled as a small field by the road of any program (`infer.groups` cuts it out). Its draws are then put
together: groups are independent, and the skies follow from all sources' draws by the fit's covariance.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm.auto import tqdm

from bayesjoint.data.image_set import ImageSet
from bayesjoint.infer.chains import is_quiet
from bayesjoint.infer.draws import Draws, constrain, value_dims
from bayesjoint.infer.fit import MapFit, fit_map
from bayesjoint.infer.groups import Group, Piece, find_groups, piece_of
from bayesjoint.infer.roads import Likelihood
from bayesjoint.infer.sampler import sample_program
from bayesjoint.infer.space import latent_ends
from bayesjoint.infer.target import Tuning
from bayesjoint.model.scene import Scene
from bayesjoint.report.extending import model_images
from bayesjoint.report.posterior import Posterior
from bayesjoint.report.sampling import check_init
from bayesjoint.report.sampling_options import check_choices, check_images, tuning_of

_SUMMED = ("lp", "energy", "n_steps")


def sample_groups(
    program: Any,
    images: ImageSet,
    *,
    init: MapFit | None = None,
    coupling: float = 0.1,
    draws: int = 1000,
    chains: int = 4,
    warmup: int | None = None,
    seed: int = 0,
    likelihood: Likelihood = "auto",
    progress: bool | None = None,
) -> Posterior:
    """Sample the posterior of a field of sources, group by group.

    Sources whose errors correlate in the fit are sampled together, by NUTS as in `sample`, in boxes cut from the images,
    with all other sources as the fit has them and a sky that the pixels outside know of. So the time grows with the number
    of sources, where `sample`, which moves all at once, soon takes hours. What leaving the others where they are does to
    error bars is in the verdict.

    Parameters
    ----------
    program : function
        What `scene_model` gives.
    images : ImageSet
        That know of their sources (`with_sources`).
    init : MapFit, optional
        The fit to start from; made by `fit_map` when not given.
    coupling : float
        Sources belong together where errors of two of their parameters correlate by more than this; 0 makes one group.
    draws, chains, warmup, seed, likelihood, progress
        As of `sample`, for each group.

    Returns
    -------
    Posterior
        Of the whole field. Its log density is that of all groups together.

    Raises
    ------
    ValueError, TypeError
        For programs that are not a `scene_model`, a coupling outside 0 to 1, and what `sample` refuses.
    KeyboardInterrupt
        When interrupted: a posterior without some of its sources is none.

    Examples
    --------
    >>> import numpy as np
    >>> import numpyro
    >>> numpyro.enable_x64()
    >>> import bayesjoint as bj
    >>> from astropy.table import Table
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 2.0]
    >>> wcs.wcs.crpix, wcs.wcs.cdelt = [24.5, 24.5], [-0.5 / 3600, 0.5 / 3600]
    >>> about = {"wcs": wcs, "zeropoint": 31.4, "psf": bj.gaussian_psf(1.2), "invvar": np.ones((48, 48)), "band": "r"}
    >>> places = [(-6.0, -5.0), (6.0, 5.0)]
    >>> stars = [bj.PointSource(place, 900.0) for place in places]
    >>> light = bj.render(bj.Image(np.zeros((48, 48)), **about), *stars)
    >>> images = bj.ImageSet([bj.Image(light + np.random.default_rng(1).normal(size=(48, 48)), **about)])
    >>> table = Table({"name": ["a", "b"], "kind": ["star", "star"], "window": [4.0, 4.0]})
    >>> table["east"], table["north"] = zip(*places)
    >>> table["Re"], table["q"], table["pa"], table["flux_r"], table["flux_error_r"] = 0.3, 1.0, 0.0, 1000.0, 10.0
    >>> images = images.with_sources(table)
    >>> posterior = bj.sample_groups(bj.scene_model(), images, draws=50, chains=2)
    >>> posterior.idata.attrs["groups"]
    '[1, 1]'
    >>> bool(abs(posterior.flux("r", source="b").median - 900) < 30)
    True
    """
    if not isinstance(program, Scene):
        raise TypeError(
            f"sample_groups takes a program apart by its sources, which it knows of bj.scene_model() only, got {program!r}: "
            "sample others with bj.sample"
        )
    check_images("sample_groups", images)
    if not 0 <= coupling < 1:
        raise ValueError(f"coupling must lie between 0 and 1, a correlation, got {coupling!r}")
    check_choices({"likelihood": (likelihood, Likelihood)})
    tuning = tuning_of(draws, chains, warmup, seed)
    fit = init if init is not None else fit_map(program, images, progress=progress)
    check_init(program, jax.device_put((images,)), fit)
    began = time.perf_counter()
    sources: Any = images.sources
    groups = find_groups(fit, sources, program.name, coupling)
    found = []
    for k, group in enumerate(tqdm(groups, desc="groups", unit="group", disable=is_quiet(progress))):
        piece = piece_of(program, images, fit, group, program.name)
        # random numbers of its own: groups that are alike would else move alike
        own = tuning._replace(seed=int(np.random.SeedSequence([seed, k]).generate_state(1)[0]))
        found.append(_Sampled(piece, _sampled(program, piece, own, likelihood)))
    kept = _together(program, images, fit, found, tuning, time.perf_counter() - began)
    models, own_noise = model_images(program, jax.device_put((images,)), fit.layout, images, kept)
    posterior = Posterior.from_draws(kept, images, fit, _provenance(groups, coupling), models, own_noise)
    posterior.program, posterior.more = program, ()
    return posterior


class _Sampled(NamedTuple):
    """A group and its draws."""

    piece: Piece
    draws: Draws


def _provenance(groups: Sequence[Group], coupling: float) -> dict[str, Any]:
    """What the posterior keeps of how it was made."""
    sizes = sorted((len(group.members) for group in groups), reverse=True)
    return {
        "coupling": float(coupling),
        "groups": sizes,
        "narrowing": max(group.narrowing for group in groups),
    }


def _sampled(program: Scene, piece: Piece, tuning: Tuning, likelihood: Likelihood) -> Draws:
    """Draws of a group's posterior."""
    fit = fit_map(program, piece.images, start=piece.values, progress=False)
    draws = sample_program(program, jax.device_put((piece.images,)), fit, tuning, likelihood, progress=False)
    if draws.interrupted:
        raise KeyboardInterrupt("stopped before all groups were sampled")
    return draws


def _together(
    program: Scene, images: ImageSet, fit: MapFit, found: Sequence[_Sampled], tuning: Tuning, seconds: float
) -> Draws:
    """Draws of the whole field from those of its groups."""
    z = np.tile(fit.unconstrained, (tuning.chains, tuning.draws, 1))
    known = np.zeros(fit.layout.size, bool)
    for piece, draws in found:
        own = np.array(piece.is_own)
        z[..., piece.rows[own]] = draws.unconstrained[..., own]
        known[piece.rows[own]] = True
    _draw_rest(z, known, fit, tuning.seed)
    args, every = jax.device_put((images,)), [draws for _, draws in found]
    values = constrain(program, fit.layout, z, args)
    worst = max(every, key=lambda draws: draws.likelihood_error)
    return Draws(
        values=values,
        dims=value_dims(program, args, values),
        stats=_statistics(every),
        unconstrained=z,
        step_size=np.mean([draws.step_size for draws in every], axis=0),
        warmup=tuning.warmup,
        seed=tuning.seed,
        seconds=_seconds(every, seconds),
        ends=latent_ends(program, args),
        likelihood_errors=worst.likelihood_errors,
        road=worst.road,
    )


def _draw_rest(z: np.ndarray, known: np.ndarray, fit: MapFit, seed: int) -> None:
    """Draw, in place, what belongs to no group, the skies: given all sources, by the fit's Gaussian."""
    covariance, rest = fit.covariance, np.flatnonzero(~known)
    if not rest.size:
        return
    given = np.flatnonzero(known)
    slope = np.linalg.solve(covariance[np.ix_(given, given)], covariance[np.ix_(given, rest)])
    scatter = covariance[np.ix_(rest, rest)] - slope.T @ covariance[np.ix_(given, rest)]
    noise = np.random.default_rng([seed % 2**32, 7]).normal(size=(*z.shape[:2], rest.size))
    mean = fit.unconstrained[rest] + (z[..., given] - fit.unconstrained[given]) @ slope
    z[..., rest] = mean + noise @ np.linalg.cholesky(scatter).T


def _statistics(every: Sequence[Draws]) -> dict[str, np.ndarray]:
    """The sampler's statistics of all groups as those of one."""
    whole = {}
    for name in every[0].stats:
        stacked = np.stack([draws.stats[name] for draws in every])
        reduced = stacked.sum if name in _SUMMED else stacked.any if stacked.dtype == bool else stacked.mean
        whole[name] = np.asarray(reduced(axis=0))
    return whole


def _seconds(every: Sequence[Draws], whole: float) -> dict[str, float]:
    """Seconds of each step, of all groups; the rest of the whole is their fits and what takes them apart."""
    names = list(dict.fromkeys(name for draws in every for name in draws.seconds))
    spent = {name: sum(draws.seconds.get(name, 0.0) for draws in every) for name in names}
    return spent | {"fits": whole - sum(spent.values())}

"""The posterior of a field, sampled group by group of sources: what it takes grows with the number of sources.

Each group is sampled as a small field by the road of any program (`infer.groups` cuts it out). Its draws are then put
together: groups are independent, and the skies follow from all sources' draws by the fit's covariance.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm.auto import tqdm

from bayesjoint.data.image_set import ImageSet
from bayesjoint.infer.chains import is_quiet
from bayesjoint.infer.checkpoint import Checkpoint, remove_file
from bayesjoint.infer.covariance import given
from bayesjoint.infer.draws import Draws, constrain, value_dims
from bayesjoint.infer.fit import fit_map
from bayesjoint.infer.groups import Group, find_groups, piece_of
from bayesjoint.infer.map_fit import MapFit
from bayesjoint.infer.mixing import bfmi
from bayesjoint.infer.roads import Likelihood, in_words
from bayesjoint.infer.sampler import sample_program
from bayesjoint.infer.space import latent_ends
from bayesjoint.infer.target import Tuning
from bayesjoint.model.scene import Scene
from bayesjoint.report.extending import model_images
from bayesjoint.report.posterior import Posterior
from bayesjoint.report.sampling_options import check_choices, check_images, tuning_of
from bayesjoint.report.starting import fit_of, store_of

_SUMMED = ("lp", "n_steps")
_FIELD, _GROUP = "field.npz", "group{}.npz"  # in the folder of a checkpoint


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
    checkpoint: str | os.PathLike | None = None,
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
    checkpoint : path, optional
        A folder, made where there is none, of a file for each group. When the process dies or is interrupted, the same call
        goes on from it, and gives the draws that it would have given. It is removed when all is done.

    Returns
    -------
    Posterior
        Of the whole field. Its log density is that of all groups together; divergences and energies are the worst group's.

    Raises
    ------
    ValueError, TypeError
        For programs that are not a `scene_model`, a coupling outside 0 to 1, and what `sample` refuses.
    OSError
        Where the folder of `checkpoint` cannot be made.
    KeyboardInterrupt
        When interrupted: a posterior without some of its sources is none. With a `checkpoint` nothing is lost.

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
    args, settings = jax.device_put((images,)), {"likelihood": likelihood, "coupling": float(coupling)}
    field = store_of(_file_in(checkpoint), program, args, tuning._asdict() | settings)
    fit = fit_of(field, program, args, images, init, progress)
    _check_pixels(fit, images)
    sources: Any = images.sources
    groups = find_groups(fit, sources, program.name, coupling)
    found = []
    for k, group in enumerate(tqdm(groups, desc="groups", unit="group", disable=is_quiet(progress))):
        # random numbers of its own: groups that are alike would else move alike
        own = tuning._replace(seed=int(np.random.SeedSequence([seed, k]).generate_state(1)[0]))
        found.append(_sampled(program, images, fit, group, own, likelihood, _store_beside(field, k)))
    kept = _together(program, images, fit, found, tuning)
    models, own_noise = model_images(program, jax.device_put((images,)), fit.layout, images, kept)
    provenance = _provenance(groups, coupling, found)
    posterior = Posterior.from_draws(kept, images, fit, provenance, models, own_noise)
    posterior.program, posterior.more = program, ()
    _remove(field, len(groups))
    return posterior


def _file_in(folder: str | os.PathLike | None) -> Path | None:
    """That of the whole field in a folder of checkpoints."""
    if folder is None:
        return None
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(
            f"the checkpoint of sample_groups is a folder, and {str(path)!r} is a file: give another path"
        )
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"the folder of the checkpoint {str(path)!r} does not exist: make it, or choose another path"
        )
    path.mkdir(exist_ok=True)
    if not (path / _FIELD).exists() and any(path.glob(_GROUP.format("*"))):
        raise ValueError(
            f"the checkpoint {str(path)!r} holds groups of a run whose {_FIELD} is gone: empty the folder to start anew, or "
            "give another path"
        )
    return path / _FIELD


def _store_beside(field: Checkpoint, number: int) -> Checkpoint:
    """The checkpoint of a group."""
    if field.path is None:
        return Checkpoint()
    return Checkpoint(field.path.with_name(_GROUP.format(number)), field.fingerprint)


def _remove(field: Checkpoint, groups: int) -> None:
    """Remove the files of a run that is done, and their folder where nothing else is in it."""
    if field.path is None:
        return
    for number in range(groups):
        remove_file(field.path.with_name(_GROUP.format(number)))
    field.remove()
    with suppress(OSError):
        field.path.parent.rmdir()


def _check_pixels(fit: MapFit, images: ImageSet) -> None:
    """The fit's light is taken from the images."""
    for image, pixels in zip(images, fit.images, strict=True):
        if pixels.model.shape != image.shape:
            raise ValueError(
                f"init is the fit of other images: of {image.name!r} it has pixels {pixels.model.shape}, this one has "
                f"{image.shape}; leave init out, or give bj.fit_map of these"
            )


class _Sampled(NamedTuple):
    """Draws of a group: which elements of the field's z they are of, and of the group's."""

    rows: np.ndarray
    own: np.ndarray
    draws: Draws


def _provenance(groups: Sequence[Group], coupling: float, found: Sequence[_Sampled]) -> dict[str, Any]:
    """What the posterior keeps of how it was made."""
    sizes = sorted((len(group.members) for group in groups), reverse=True)
    narrowing, road = max(group.narrowing for group in groups), in_words([one.draws for one in found])
    return {"coupling": float(coupling), "groups": sizes, "narrowing": narrowing, "road": road}


def _sampled(
    program: Scene,
    images: ImageSet,
    fit: MapFit,
    group: Group,
    tuning: Tuning,
    likelihood: Likelihood,
    store: Checkpoint,
) -> _Sampled:
    """A group and draws of its posterior, from its checkpoint on."""
    began = time.perf_counter()
    piece = piece_of(program, images, fit, group, program.name)
    args, start = jax.device_put((piece.images,)), None
    if not store.recall("fit"):
        start = fit_map(program, piece.images, start=piece.values, progress=False)
    alone = fit_of(store, program, args, piece.images, start, False)
    fitted = time.perf_counter() - began
    draws = sample_program(program, args, alone, tuning, likelihood, progress=False, checkpoint=store)
    if draws.interrupted:
        raise KeyboardInterrupt("stopped before all groups were sampled")
    draws = replace(draws, seconds={"fits": fitted} | draws.seconds, values={}, dims={})
    return _Sampled(piece.rows[piece.is_own], piece.is_own, draws)


def _together(
    program: Scene, images: ImageSet, fit: MapFit, found: Sequence[_Sampled], tuning: Tuning
) -> Draws:
    """Draws of the whole field from those of its groups."""
    z = np.tile(fit.unconstrained, (tuning.chains, tuning.draws, 1))
    known = np.zeros(fit.layout.size, bool)
    for rows, own, draws in found:
        z[..., rows] = draws.unconstrained[..., own]
        known[rows] = True
    _draw_rest(z, known, fit, tuning.seed)
    args, every = jax.device_put((images,)), [one.draws for one in found]
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
        seconds=_seconds(every),
        ends=latent_ends(program, args),
        likelihood_errors=worst.likelihood_errors,
        road=worst.road,
    )


def _draw_rest(z: np.ndarray, known: np.ndarray, fit: MapFit, seed: int) -> None:
    """Draw, in place, what belongs to no group, the skies: given all sources, by the fit's Gaussian."""
    rest, sampled = np.flatnonzero(~known), np.flatnonzero(known)
    if not rest.size:
        return
    slope, scatter = given(fit.covariance, sampled, rest)
    noise = np.random.default_rng([seed % 2**32, 7]).normal(size=(*z.shape[:2], rest.size))
    mean = fit.unconstrained[rest] + (z[..., sampled] - fit.unconstrained[sampled]) @ slope
    z[..., rest] = mean + noise @ np.linalg.cholesky(scatter).T


def _statistics(every: Sequence[Draws]) -> dict[str, np.ndarray]:
    """The sampler's statistics of all groups as those of one; divergences and energies are those of the worst."""
    diverging = max((draws.stats["diverging"] for draws in every), key=np.sum)
    energy = min((draws.stats["energy"] for draws in every), key=_explored)
    whole = {"diverging": diverging, "energy": energy}
    for name in every[0].stats.keys() - whole.keys():
        stacked = np.stack([draws.stats[name] for draws in every])
        whole[name] = stacked.sum(axis=0) if name in _SUMMED else stacked.mean(axis=0)
    return whole


def _explored(energy: np.ndarray) -> float:
    """The least BFMI of energies (chains, draws); infinite where it cannot be told."""
    return float(np.min(np.nan_to_num(bfmi(energy), nan=np.inf))) if energy.shape[1] > 1 else np.inf


def _seconds(every: Sequence[Draws]) -> dict[str, float]:
    """Seconds of each step, of all groups."""
    names = dict.fromkeys(name for draws in every for name in draws.seconds)
    return {name: sum(draws.seconds.get(name, 0.0) for draws in every) for name in names}

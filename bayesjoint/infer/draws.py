"""What a sampler hands over: draws of the posterior with how they were made, as plain arrays.

Nothing here knows the sampler that made them nor what reports are made from them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp

from bayesjoint.compilation import quick_jit
from bayesjoint.data.image_set import ImageSet
from bayesjoint.infer.space import Layout, Program, constrained_values, latent_plates
from bayesjoint.model.rows import by_name

TOLERATED_ERROR = 0.01  # standard deviation of a compressed log posterior about the exact one


class Importance(NamedTuple):
    """What importance ratios of so many `checked` draws say of the Gaussian they come from.

    The shape of the ratios' tail, and how many independent draws of the posterior they are worth (NaN where that cannot be
    told); `resampled` where draws were resampled by these ratios.
    """

    k_hat: float
    effective: float
    checked: int
    resampled: bool


class LogEvidence(NamedTuple):
    """Natural log of the evidence, and its standard error from independent runs (NaN of a single one)."""

    value: float
    error: float

    @classmethod
    def from_runs(cls, log_evidence: np.ndarray) -> LogEvidence:
        """From each run's (runs,): the mean of the evidences, which is what each run estimates without bias."""
        count = len(log_evidence)
        error = np.std(log_evidence, ddof=1) / np.sqrt(count) if count > 1 else np.nan
        return cls(float(logsumexp(log_evidence) - np.log(count)), float(error))


@dataclass(frozen=True)
class Draws:
    """Posterior draws of one program.

    Attributes
    ----------
    values : dict of array (chains, draws, *shape)
        Constrained latents and deterministics, by site.
    dims : dict of tuple of str
        Names of the trailing axes of each value: "band", "image" or f"{name}_dim_0".
    stats : dict of array (chains, draws)
        diverging (bool), n_steps, acceptance_rate, energy, lp.
    unconstrained : array (chains, draws, parameters)
    step_size : array (chains,)
    warmup : int
        Warm-up draws of each chain, not among `values`.
    seed : int
    seconds : dict of float
        Wall time of each step, e.g. {"compile": 3.1, "warmup": 2.0, "sample": 8.5}.
    interrupted : bool
        True where the user stopped the sampler before the number of draws asked for.
    ends : dict of (low, high)
        Of the scalar latents whose prior has two ends.
    likelihood_errors : array (n,) or None
        Compressed minus exact log posterior at some of the draws, about their mean; None where the exact one was sampled.
    incompressible : str
        The noise for which "auto" sampled the exact likelihood, by name; "" where it was free to choose.
    road : str
        Which likelihood was sampled in the end; see `roads.Road`.
    method : str
        "nuts", or what else made the draws; see `bayesjoint.sample`.
    importance : Importance, optional
        How well what draws come from stands for the posterior: a Gaussian, or a compressed likelihood that ratios corrected.
    log_evidence : array (runs,), optional
        Of the samplers that know it, from each of several independent runs.
    """

    values: dict[str, np.ndarray]
    dims: dict[str, tuple[str, ...]]
    stats: dict[str, np.ndarray]
    unconstrained: np.ndarray
    step_size: np.ndarray
    warmup: int
    seed: int
    seconds: dict[str, float]
    interrupted: bool = False
    ends: dict[str, tuple[float, float]] = field(default_factory=dict)
    likelihood_errors: np.ndarray | None = None
    incompressible: str = ""
    road: Any = ""
    method: str = "nuts"
    importance: Importance | None = None
    log_evidence: np.ndarray | None = None

    @property
    def likelihood_holds(self) -> bool:
        """Whether the likelihood that was sampled is the exact one, as far as any posterior can tell."""
        return self.likelihood_error <= TOLERATED_ERROR

    @property
    def likelihood_error(self) -> float:
        """Standard deviation of the `likelihood_errors`; 0 where the exact likelihood was sampled."""
        return 0.0 if self.likelihood_errors is None else float(np.std(self.likelihood_errors))


@partial(quick_jit, static_argnames=("program", "layout"))
def _constrain_all(program: Program, layout: Layout, z, args: tuple) -> dict[str, Any]:
    return jax.vmap(lambda one: constrained_values(program, layout, one, args))(z)


def constrain(
    program: Program, layout: Layout, unconstrained: np.ndarray, args: tuple
) -> dict[str, np.ndarray]:
    """Constrained latents and deterministics of all draws, each (chains, draws, *shape)."""
    chains, draws, size = unconstrained.shape
    values = _constrain_all(program, layout, jnp.asarray(unconstrained.reshape(-1, size)), args)
    named = by_name(jax.device_get(values))
    return {name: np.asarray(v).reshape(chains, draws, *v.shape[1:]) for name, v in named.items()}


def value_dims(program: Program, args: tuple, values: dict[str, np.ndarray]) -> dict[str, tuple[str, ...]]:
    """Names of the trailing axes of each value: plates of latents that are known; bands for fluxes; else numbered."""
    images = args[0]
    lengths = {}
    if isinstance(images, ImageSet):
        lengths = {"band": len(images.bands), "image": len(images)}
        if images.sources is not None:
            lengths |= images.sources.plates
    plates = latent_plates(program, args)
    dims = {}
    for name, value in values.items():
        shape = value.shape[2:]
        plated = plates.get(name, ("band",) if shape[:1] == (lengths.get("band"),) else ())
        known = [p if lengths.get(p) == n else None for p, n in zip(plated, shape, strict=False)]
        known += [None] * (len(shape) - len(known))
        dims[name] = tuple(p or f"{name}_dim_{axis}" for axis, p in enumerate(known))
    return dims

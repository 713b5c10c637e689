"""What a sampler hands over: draws of the posterior with how they were made, as plain arrays.

`Draws` knows nothing of the sampler that made it nor of what reports are made from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


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

"""What samplers take and give: a log density in coordinates of its own, how many draws of it, and the draws."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from bayesjoint.infer.adapt import Adapt, Whitening
from bayesjoint.infer.chains import ChainMethod
from bayesjoint.infer.space import Program


@dataclass(frozen=True, eq=False)
class Target:
    """A log density to sample.

    Attributes
    ----------
    density : function (program, static, x, *known)
        The log density at x (D,).
    program, static
        Its first arguments; with `density` they name what is compiled, once.
    known : tuple
        What else it takes: arrays.
    whitening : Whitening
    start : function of x
        Log density and gradient at a chain's start.
    """

    density: Callable[..., jax.Array]
    program: Program
    static: Hashable
    known: tuple
    whitening: Whitening
    start: Callable[[np.ndarray], tuple]


class Tuning(NamedTuple):
    """How many draws, and how they are made; see `bayesjoint.sample`."""

    draws: int
    chains: int
    warmup: int
    seed: int
    target_accept: float | None = None
    max_tree_depth: int | None = None
    adapt: Adapt = "auto"
    chain_method: ChainMethod = "parallel"

    def or_else(self, **values: Any) -> Tuning:
        """With these values where none is given."""
        return self._replace(**{name: value for name, value in values.items() if getattr(self, name) is None})


class Chains(NamedTuple):
    """Draws x (chains, draws, D) and statistics (chains, draws) after warm-up, and how they were made.

    `log_evidence` (chains,) is the log of the density's integral over x, as each run has it; None of samplers without.
    """

    x: np.ndarray
    stats: dict[str, np.ndarray]
    step_size: np.ndarray
    seconds: dict[str, float]
    interrupted: bool
    log_evidence: np.ndarray | None = None

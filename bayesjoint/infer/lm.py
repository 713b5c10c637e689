"""Levenberg-Marquardt: the ascent from a start to the maximum of the posterior.

Exact gradients, generalised Gauss-Newton curvature, Marquardt damping on the diagonal and Nielsen's gain-ratio rule
(Madsen, Nielsen & Tingleff 2004), in unconstrained space. Linear amplitudes that start at the middle of a symmetric prior
(0) are solved exactly by the first step: there the structure's columns vanish. Near the maximum steps also know of the
curvature what Gauss-Newton leaves out, where that is known (the structured Newton methods of Dennis, Gay & Welsch 1981).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from bayesjoint.infer.blame import blame
from bayesjoint.infer.curvature import Quadratic
from bayesjoint.infer.linear import (
    bounded,
    dense,
    inverse,
    is_positive,
    positive_part,
    solve,
    solve_within,
    with_more_diagonal,
)
from bayesjoint.infer.space import Layout, Program
from bayesjoint.infer.windowed import expansion

FIRST_DAMPING = 1e-3
MAX_DAMPING = 1e10
LONGEST_STEP = 2.0  # widths of the prior
_SOFTEST = -0.6  # of the curvature of a block, what may be taken away


class NotFiniteError(ValueError):
    """The log posterior is not finite where an ascent was to start."""


@dataclass
class Climb:
    """State of one ascent: where it is, how far a step may reach, and the largest curvature met in each element."""

    z: np.ndarray
    here: Quadratic
    reach: np.ndarray
    scale: np.ndarray
    damping: float = FIRST_DAMPING
    growth: float = 2.0
    iterations: int = 0
    converged: bool = False
    reason: str = ""
    path: list[dict[str, float]] = field(default_factory=list)

    @property
    def log_posterior(self) -> float:
        """Height reached."""
        return float(self.here.value)

    @cached_property
    def curvature(self) -> Any:
        """Of likelihood and prior, positive semi-definite; sparse in large fields."""
        return self.here.likelihood_curvature + positive_part(self.here.prior_curvature)

    @cached_property
    def bent(self) -> Any:
        """The curvature with what is known of the likelihood's beyond it, positive: for steps, not for errors."""
        if self.here.bending is None:
            return self.curvature
        found = self.curvature
        for softest in (_SOFTEST, 0.0):
            more = bounded(self.here.bending, self.curvature, np.asarray(self.here.gradient), softest)
            found = self.curvature + (more if sparse.issparse(self.curvature) else more.toarray())
            if is_positive(found):
                break
        return found

    def move(self, z: np.ndarray, here: Quadratic) -> None:
        """Go on from another place."""
        self.z, self.here = z, here
        for known in ("curvature", "bent"):
            self.__dict__.pop(known, None)


def climb(
    program: Program,
    layout: Layout,
    z: np.ndarray,
    args: tuple,
    max_iterations: int,
    tolerance: float,
    report: Callable[[str], None],
    expand: Callable[[np.ndarray], Quadratic] | None = None,
) -> Climb:
    """Ascend from z until a full step would gain less than `tolerance` in log posterior; one line of report each time."""
    expand = expand or expansion(program, layout, args)
    here = expand(z)
    state = Climb(z, here, _reach(here), np.full(len(z), 1e-300))
    if not np.isfinite(state.log_posterior):
        raise NotFiniteError(
            f"the log posterior is not finite at the start: {blame(program, layout, z, args)}; give another "
            "start=, or mend the program there"
        )
    while not state.reason:
        gradient = np.asarray(state.here.gradient)
        gain = 0.5 * gradient @ solve(state.bent, gradient)
        state.path.append(
            {"log_posterior": state.log_posterior, "damping": state.damping, "gain": float(gain)}
        )
        report(
            f"iteration {state.iterations:3d}  log posterior {state.log_posterior:.4f}  damping {state.damping:.1e}"
        )
        if gain < tolerance:
            state.converged, state.reason = True, f"a full step would gain {gain:.1e} in log posterior"
        elif state.iterations >= max_iterations:
            state.reason = (
                f"stopped at {max_iterations} iterations with {gain:.2g} in log posterior still to gain"
            )
        else:
            _step(expand, state)
    return state


def _step(expand: Callable[[np.ndarray], Quadratic], state: Climb) -> None:
    """Raise the damping until a step climbs, then take it and relax the damping by how well it was predicted."""
    free = _free(state)
    # what is known beyond Gauss-Newton of what does not move is of no use
    curvature = state.bent if free.all() else state.curvature[np.ix_(free, free)]
    gradient = np.asarray(state.here.gradient)[free]
    state.scale = np.maximum(state.scale, state.curvature.diagonal())
    while state.damping < MAX_DAMPING:
        damped = with_more_diagonal(curvature, state.damping * state.scale[free])
        delta = solve_within(damped, gradient, state.reach[free])
        z = state.z.copy()
        z[free] += delta
        trial = expand(z)
        predicted = gradient @ delta - 0.5 * delta @ curvature @ delta
        is_known = predicted > 0 and np.isfinite(trial.value)
        ratio = (float(trial.value) - state.log_posterior) / predicted if is_known else -1.0
        if ratio > 1e-3 and np.all(np.isfinite(trial.gradient)):
            state.move(z, trial)
            relaxed = state.damping * max(0.1, 1 - (2 * min(ratio, 1.0) - 1) ** 3)
            state.damping = float(max(relaxed, 1e-8))
            state.growth, state.iterations = 2.0, state.iterations + 1
            return
        state.damping *= state.growth
        state.growth *= 2
    state.reason = "no step raises the log posterior, however short"


def _free(state: Climb) -> np.ndarray:
    """Which elements of z the next step moves: all, but in the first step only those that the data speak of.

    While a source's brightness is 0 the data say nothing of its structure, and the prior alone would move it.
    """
    spoken_of = np.asarray(state.here.likelihood_curvature.diagonal() > 0)
    return spoken_of if state.iterations == 0 and spoken_of.any() else np.ones(len(state.z), bool)


def _reach(here: Quadratic) -> np.ndarray:
    """The longest step in each element of z: a few widths of its prior, lest a bounded latent run to its ends."""
    return LONGEST_STEP / np.sqrt(np.maximum(positive_part(here.prior_curvature).diagonal(), 1e-300))


def covariance_of(state: Climb) -> np.ndarray:
    """Inverse of the curvature, of likelihood and prior; positive definite also where one direction is all but free."""
    curvature = dense(state.curvature)
    if not is_positive(curvature):
        unit = np.sqrt(np.maximum(curvature.diagonal(), 1e-12 * curvature.diagonal().max()))
        eigenvalues = np.linalg.eigvalsh(curvature / np.outer(unit, unit))
        curvature = curvature + np.diag(unit**2) * max(1e-12 * eigenvalues[-1], -2 * eigenvalues[0])
    covariance = inverse(curvature)
    return covariance + 1e-14 * np.diag(np.diag(covariance))

"""Maximum a posteriori by Levenberg-Marquardt.

Minimises the negative log posterior in unconstrained space with exact gradients, generalised Gauss-Newton curvature,
Marquardt damping on the diagonal and Nielsen's gain-ratio rule (Madsen, Nielsen & Tingleff 2004). Linear amplitudes that
start at the middle of a symmetric prior (0) are solved exactly by the first step: there the structure's columns vanish.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.infer.curvature import Quadratic, quadratic, values_and_errors
from bayesjoint.infer.goodness import judge_fit, judge_images
from bayesjoint.infer.pixels import PixelFit, pixel_fits
from bayesjoint.infer.space import Layout, Program, find_latents, start_vector
from bayesjoint.infer.verdict import Verdict

FIRST_DAMPING = 1e-3
MAX_DAMPING = 1e10
LONGEST_STEP = 2.0  # widths of the prior


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
        smallest = float(np.linalg.eigvalsh(self.covariance / np.outer(errors, errors))[0])
        findings = judge_fit(
            self.converged, self.reason, self.chi2_per_dof, float("nan"), smallest, self.advice
        )
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
        return "\n".join([head, *rows, f"  {self.verdict.headline}"])

    def _repr_html_(self) -> str:
        import html

        return f"<pre>{html.escape(repr(self))}</pre>"


def _with_error(values: np.ndarray, errors: np.ndarray) -> str:
    pairs = zip(np.ravel(values), np.ravel(errors), strict=True)
    return ", ".join(f"{v:.6g} ± {e:.2g}" for v, e in pairs)


def fit_map(
    program: Program,
    images: Any,
    *more: Any,
    start: dict[str, Any] | None = None,
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
    start : dict, optional
        Values of latent sites to start from; by default what the site suggests, else the prior's median.
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
    _check_start(start or {}, layout)
    first = np.asarray(_start(program, layout, args, start or {}))
    scatter = np.random.default_rng(seed)
    best: _Climb | None = None
    for k in range(starts):
        z = first if k == 0 else first + 0.5 * scatter.normal(size=first.shape) * _width(best, first)
        climb = _climb(program, layout, z, args, max_iterations, tolerance, _reporter(progress))
        if best is None or climb.log_posterior > best.log_posterior:
            best = climb
    assert best is not None
    return _finish(program, layout, images, args, best, began)


def _start(program: Program, layout: Layout, args: tuple, given: dict) -> jax.Array:
    z = _start_jitted(program, layout, args, given)
    if not np.all(np.isfinite(z)):
        bad = [label for label, x in zip(layout.labels, np.asarray(z), strict=True) if not np.isfinite(x)]
        raise ValueError(
            f"the start is outside the support of {', '.join(bad)}: give start= within the prior"
        )
    return z


_start_jitted = jax.jit(start_vector, static_argnames=("program", "layout"))


def _check_start(start: dict[str, Any], layout: Layout) -> None:
    unknown = sorted(set(start) - set(layout.names))
    if unknown:
        raise ValueError(
            f"start names {', '.join(unknown)}; the program's latents are {', '.join(layout.names)}"
        )


def _width(best: _Climb | None, z: np.ndarray) -> np.ndarray:
    """Scale of the scatter of further starts: the prior's width where the curvature knows it."""
    if best is None:
        return np.ones_like(z)
    return 1 / np.sqrt(np.maximum(np.diag(best.here.prior_curvature), 1e-12))


@dataclass
class _Climb:
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

    @property
    def curvature(self) -> np.ndarray:
        """Of likelihood and prior, positive semi-definite."""
        return self.here.likelihood_curvature + _positive_part(self.here.prior_curvature)  # type: ignore[return-value]


def _expand(program: Program, layout: Layout, z: np.ndarray, args: tuple) -> Quadratic:
    """The log posterior near z on the host, its model pixels left where they are."""
    q = quadratic(program, layout, jnp.asarray(z), args)
    return Quadratic(*jax.device_get(q[:4]), means=q.means)


def _positive_part(matrix: np.ndarray) -> np.ndarray:
    """The nearest positive semi-definite matrix."""
    eigenvalues, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    return (vectors * np.maximum(eigenvalues, 0)) @ vectors.T


def _climb(program, layout, z, args, max_iterations, tolerance, report: Callable[[str], None]) -> _Climb:
    here = _expand(program, layout, z, args)
    state = _Climb(z, here, _reach(here), np.full(len(z), 1e-300))
    if not np.isfinite(state.log_posterior):
        raise ValueError(
            "the log posterior is not finite at the start: check that no prior excludes it and no pixel is NaN"
        )
    while not state.reason:
        gain = 0.5 * state.here.gradient @ _solve(state.curvature, state.here.gradient)
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
            _step(program, layout, args, state)
    return state


def _step(program: Program, layout: Layout, args: tuple, state: _Climb) -> None:
    """Raise the damping until a step climbs, then take it and relax the damping by how well it was predicted."""
    curvature, gradient = state.curvature, np.asarray(state.here.gradient)
    free = _free(state)
    curvature, gradient = curvature[np.ix_(free, free)], gradient[free]
    state.scale = np.maximum(state.scale, np.diag(state.curvature))
    while state.damping < MAX_DAMPING:
        delta = _solve(curvature + state.damping * np.diag(state.scale[free]), gradient)
        delta *= min(1.0, 1 / np.max(np.abs(delta) / state.reach[free]))
        z = state.z.copy()
        z[free] += delta
        trial = _expand(program, layout, z, args)
        predicted = gradient @ delta - 0.5 * delta @ curvature @ delta
        ratio = (float(trial.value) - state.log_posterior) / predicted if np.isfinite(trial.value) else -1.0
        if ratio > 1e-3 and np.all(np.isfinite(trial.gradient)):
            state.z, state.here = z, trial
            state.damping = max(state.damping * max(0.1, 1 - (2 * min(ratio, 1.0) - 1) ** 3), 1e-8)
            state.growth, state.iterations = 2.0, state.iterations + 1
            return
        state.damping *= state.growth
        state.growth *= 2
    state.reason = "no step raises the log posterior, however short"


def _free(state: _Climb) -> np.ndarray:
    """Which elements of z the next step moves: all, but in the first step only those that the data speak of.

    While a source's brightness is 0 the data say nothing of its structure, and the prior alone would move it.
    """
    spoken_of = np.diag(state.here.likelihood_curvature) > 0
    return spoken_of if state.iterations == 0 and spoken_of.any() else np.ones(len(state.z), bool)


def _reach(here: Quadratic) -> np.ndarray:
    """The longest step in each element of z: a few widths of its prior, lest a bounded latent run to its ends."""
    return LONGEST_STEP / np.sqrt(np.maximum(np.diag(_positive_part(here.prior_curvature)), 1e-300))


def _solve(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Solve a symmetric system scaled to unit diagonal, through its eigenvectors: safe when nearly singular."""
    scale = 1 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    eigenvalues, vectors = np.linalg.eigh(scale[:, None] * matrix * scale)
    return scale * (vectors @ ((vectors.T @ (scale * vector)) / np.maximum(eigenvalues, 1e-12)))


def _covariance(state: _Climb) -> np.ndarray:
    """Inverse of the curvature with the prior's exact Hessian, or with its positive part where that fails."""
    scale_free = state.curvature
    eigenvalues = np.linalg.eigvalsh(scale_free)
    identity = np.eye(len(state.z))
    if eigenvalues[0] <= 0:
        scale_free = scale_free + identity * max(1e-12 * eigenvalues[-1], -2 * eigenvalues[0])
    columns = np.stack([_solve(scale_free, unit) for unit in identity])
    return 0.5 * (columns + columns.T)


def _finish(program, layout, images, args, climb: _Climb, began: float) -> MapFit:
    covariance = _covariance(climb)
    root = np.linalg.cholesky(covariance + 1e-14 * np.diag(np.diag(covariance)))
    values, errors = jax.device_get(
        values_and_errors(program, layout, jnp.asarray(climb.z), jnp.asarray(root), args)
    )
    return MapFit(
        values=values,
        errors=errors,
        unconstrained=climb.z,
        covariance=covariance,
        layout=layout,
        images=pixel_fits(climb.here.means, images),
        log_posterior=climb.log_posterior,
        iterations=climb.iterations,
        converged=climb.converged,
        reason=climb.reason,
        advice=_advice(climb, layout),
        seconds=time.perf_counter() - began,
        path=tuple(climb.path),
    )


def _advice(climb: _Climb, layout: Layout) -> tuple[str, ...]:
    if climb.converged:
        return ()
    pull = np.abs(climb.here.gradient) / np.sqrt(np.maximum(np.diag(climb.curvature), 1e-300))
    uphill = layout.labels[int(np.argmax(pull))]
    return (f"try starts=4, or start={{...}} nearer the truth; {uphill} still pulls hardest",)


def _reporter(progress: bool | None) -> Callable[[str], None]:
    if progress is None:
        progress = sys.stderr.isatty() or "ipykernel" in sys.modules
    return (lambda line: print(line, file=sys.stderr)) if progress else (lambda line: None)

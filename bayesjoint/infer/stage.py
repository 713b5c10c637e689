"""What a run of chains samples: the exact likelihood or a compressed one, in the coordinates of a region.

A stage is made from a fit, or from earlier draws, and goes with its chains: as named arrays it is kept in a checkpoint.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from bayesjoint.compilation import quick_jit
from bayesjoint.infer.collapse import Split, collapsed_log_posterior, complete, split_linear
from bayesjoint.infer.compress import Fitted, compress
from bayesjoint.infer.features import Parts
from bayesjoint.infer.form import Compressed, Form, compressed_log_posterior
from bayesjoint.infer.space import Layout, Program, log_posterior
from bayesjoint.infer.target import Target, Whitening
from bayesjoint.infer.windowed import expansion

_COMPLETED = 250  # draws at once
MOST_AMPLITUDES = 64  # of which the integral at every step costs less than sampling them
_OF_PARTS = ("waves", "origin", "to_coefficients")


class Region(NamedTuple):
    """Where a posterior lies: centre (P,), covariance (P, P), and points (N, P) that span it and its surroundings."""

    centre: np.ndarray
    covariance: np.ndarray
    points: np.ndarray


class Stage(NamedTuple):
    """Coordinates, the compressed likelihood (None: the exact one), and which latents are amplitudes, integrated out."""

    whitening: Whitening
    compressed: Compressed | None
    split: Split

    @property
    def is_collapsed(self) -> bool:
        """Whether amplitudes are integrated out."""
        return self.compressed is not None and bool(self.split.linear and self.split.rest)

    def target(self, program: Program, layout: Layout, args: tuple) -> Target:
        """The log density that chains sample."""
        if self.compressed is None:
            # compiled by the fit already
            expand = expansion(program, layout, args)
            return Target(log_posterior, program, layout, (args,), self.whitening, lambda z: expand(z)[:2])
        known = (args, self.compressed)
        if self.is_collapsed:

            def start(x):
                # a first step without its gradient is as good a start as any, and spares compiling one more program
                value = self.complete(program, x[None, None], args, seed=0, alone=True)[1]
                return value.ravel()[0], np.zeros_like(x)

            return Target(collapsed_log_posterior, program, self.split, known, self.whitening, start)

        def slope_of(x):
            return _compressed_slope(program, layout, x, *known)

        return Target(compressed_log_posterior, program, layout, known, self.whitening, slope_of)

    def complete(
        self, program: Program, x: np.ndarray, args: tuple, seed: int, alone: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draws of the rest (chains, draws, R) made whole (chains, draws, P), with their log posterior.

        With `alone`, that of the rest alone.
        """
        flat = x.reshape(-1, x.shape[-1])
        # of each chain its own, so that more draws leave those before as they were
        each = [
            np.random.default_rng([seed % 2**32, 2, chain]).normal(size=(len(draws), len(self.split.linear)))
            for chain, draws in enumerate(x)
        ]
        noise = np.concatenate(each)
        found = []
        for first in range(0, len(flat), _COMPLETED):
            rows = np.minimum(np.arange(first, first + _COMPLETED), len(flat) - 1)
            made = complete(program, self.split, flat[rows], noise[rows], args, self.compressed)  # type: ignore[arg-type]
            found.append(jax.device_get(made))
        z, whole, rest = (np.concatenate(parts)[: len(flat)] for parts in zip(*found, strict=True))
        return z.reshape(*x.shape[:2], -1), (rest if alone else whole).reshape(x.shape[:2])

    def pack(self) -> dict[str, np.ndarray]:
        """As named arrays."""
        arrays = {"centre": self.whitening.centre, "root": self.whitening.root}
        arrays |= {name: np.array(getattr(self.split, name), dtype=np.int64) for name in ("linear", "rest")}
        if self.compressed is None:
            return arrays
        forms, constant = jax.device_get(self.compressed)
        for k, form in enumerate(forms):
            for name, value in form._asdict().items():
                whole, windows = value if isinstance(value, Parts) else (value, ())
                arrays |= {f"form{k}/{name}{_part(i)}": a for i, a in enumerate((whole, *windows))}
        return arrays | {"constant": np.asarray(constant)}

    @classmethod
    def unpack(cls, arrays: dict[str, np.ndarray], layout: Layout) -> Stage:
        """The inverse of `pack`."""
        linear, rest = (tuple(int(i) for i in arrays[name]) for name in ("linear", "rest"))
        whitening, split = Whitening(arrays["centre"], arrays["root"]), Split(layout, linear, rest)
        if "constant" not in arrays:
            return cls(whitening, None, split)
        count = sum(name.endswith("/waves") for name in arrays)
        forms = []
        for k in range(count):
            parts = sum(name.startswith(f"form{k}/waves") for name in arrays)
            found: dict[str, Any] = {}
            for name in Form._fields:
                each = [arrays[f"form{k}/{name}{_part(i)}"] for i in range(parts if name in _OF_PARTS else 1)]
                found[name] = Parts(each[0], tuple(each[1:])) if name in _OF_PARTS else each[0]
            forms.append(Form(**found))
        return cls(whitening, jax.device_put(Compressed(tuple(forms), arrays["constant"])), split)


def _part(number: int) -> str:
    """What distinguishes the arrays of the windows' parts of a form, from 1 on, by name."""
    return f"_{number}" if number else ""


def exact_stage(layout: Layout, region: Region) -> Stage:
    """The exact likelihood, in the coordinates of a region."""
    whitening = Whitening(region.centre, np.linalg.cholesky(region.covariance))
    return Stage(whitening, None, Split(layout, (), tuple(range(layout.size))))


def compressed_stage(program: Program, layout: Layout, fitted: Fitted, region: Region, args: tuple) -> Stage:
    """The likelihood compressed over a region, amplitudes integrated out where some latents are, and not too many."""
    compressed = jax.device_put(compress(program, layout, fitted, region.points, args))
    split = split_linear(program, layout, region.points, args)
    if len(split.linear) > MOST_AMPLITUDES:
        split = Split(layout, (), tuple(range(layout.size)))
    centre, covariance = region.centre, region.covariance
    if split.linear and split.rest:
        rows = np.array(split.rest)
        centre, covariance = centre[rows], covariance[np.ix_(rows, rows)]
    return Stage(Whitening(centre, np.linalg.cholesky(covariance)), compressed, split)


_compressed_slope = quick_jit(
    jax.value_and_grad(compressed_log_posterior, argnums=2), static_argnames=("program", "layout")
)

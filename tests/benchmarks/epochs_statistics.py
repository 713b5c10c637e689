"""Realisations kept as they are made, and what they say of errors: bias, scatter, coverage."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ONE_SIGMA, TWO_SIGMA = 1.0, 1.95996


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """What `make` gives, read where it was made before."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        path.write_text(json.dumps(make()))
        print(f"{path.parent.name} {path.stem}: {time.perf_counter() - began:.1f} s", flush=True)
    return json.loads(path.read_text())


def realisations(folder: Path, count: int, make: Callable[[np.random.Generator], Any]) -> list[Any]:
    """What each of `count` simulations gives."""
    return [
        kept(folder / f"{i:04d}.json", lambda i=i: make(np.random.default_rng([20, i]))) for i in range(count)
    ]


def errors_of(values, errors, truth) -> dict[str, float]:
    """Bias, scatter and median error of values (realisations, ...), and how often the truth lies within 68.3 and 95 %.

    Scatter is the root of the mean squared distance from the mean; the error of the bias is that of the mean of as many
    realisations, whose own values may correlate.
    """
    away, errors = np.asarray(values) - truth, np.asarray(errors)
    pulls, each = np.abs(away) / errors, away.reshape(len(away), -1).mean(axis=1)
    return {
        "count": int(away.size),
        "bias": float(away.mean()),
        "bias_error": float(each.std() / np.sqrt(len(each))),
        "scatter": float(away.std()),
        "error": float(np.median(errors)),
        "within_68": float(np.mean(pulls < ONE_SIGMA)),
        "within_95": float(np.mean(pulls < TWO_SIGMA)),
    }


def ratio_of_scatters(away, other, seed: int = 0) -> list[float]:
    """Scatter of deviations over that of others in the same realisations, and its error by resampling these."""
    both, rng = np.stack([away, other]), np.random.default_rng(seed)
    rows = rng.integers(0, both.shape[1], (2000, both.shape[1]))
    ratios = both[0][rows].std(axis=1) / both[1][rows].std(axis=1)
    return [float(both[0].std() / both[1].std()), float(ratios.std())]

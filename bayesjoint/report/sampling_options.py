"""What is asked of samplers, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from bayesjoint.data.image_set import ImageSet
from bayesjoint.infer.adapt import Adapt
from bayesjoint.infer.chains import ChainMethod
from bayesjoint.infer.methods import WARMUP, chain_method_here
from bayesjoint.infer.target import Tuning
from bayesjoint.report.counts import check_whole


def tuning_of(
    draws: int,
    chains: int,
    warmup: int | None,
    seed: int,
    least: int = 1,
    target_accept: float | None = None,
    max_tree_depth: int | None = None,
    adapt: Adapt = "auto",
    chain_method: ChainMethod | None = None,
) -> Tuning:
    """What samplers are told of the options of `sample`, checked; `least` is that of draws."""
    warmup = WARMUP if warmup is None else warmup
    counts = {"draws": (draws, least), "chains": (chains, 1), "warmup": (warmup, 10), "seed": (seed, 0)}
    counts |= {} if max_tree_depth is None else {"max_tree_depth": (max_tree_depth, 1)}
    for name, (count, fewest) in counts.items():
        check_whole(name, count, fewest)
    if target_accept is not None and not 0 < target_accept < 1:
        raise ValueError(f"target_accept must lie between 0 and 1, got {target_accept!r}")
    chain_method = chain_method_here() if chain_method is None else chain_method
    check_choices({"chain_method": (chain_method, ChainMethod)})
    return Tuning(
        *(int(number) for number in (draws, chains, warmup, seed)),
        target_accept=None if target_accept is None else float(target_accept),
        max_tree_depth=None if max_tree_depth is None else int(max_tree_depth),
        adapt=adapt,
        chain_method=chain_method,
    )


def check_images(caller: str, images: Any) -> None:
    """What is sampled must be an ImageSet."""
    if not isinstance(images, ImageSet):
        raise TypeError(
            f"{caller} wants a bj.ImageSet, got {type(images).__name__}: wrap images as bj.ImageSet([...])"
        )


def check_choices(given: Mapping[str, tuple[str, Any]]) -> None:
    """Each word given must be one of the literal type that goes with it."""
    for name, (value, kinds) in given.items():
        if value not in get_args(kinds):
            raise ValueError(f"{name} must be one of {', '.join(get_args(kinds))}, got {value!r}")


def check_limits(until_ess: float | None, max_seconds: float | None) -> None:
    """Limits of a run must be positive."""
    for name, limit in {"until_ess": until_ess, "max_seconds": max_seconds}.items():
        if limit is not None and not limit > 0:
            raise ValueError(f"{name} must be a positive number, got {limit!r}")

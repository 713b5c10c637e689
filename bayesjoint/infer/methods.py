"""The ways to draw from a posterior, and what goes with each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import jax

from bayesjoint.infer.chains import ChainMethod
from bayesjoint.infer.microcanonical import import_blackjax, run_mams, run_mclmc
from bayesjoint.infer.nuts import run_nuts
from bayesjoint.infer.roads import Sampler
from bayesjoint.infer.tempering import run_smc

Method = Literal["nuts", "laplace", "svi", "mclmc", "mams", "smc"]

GAUSSIAN = ("laplace", "svi")
CHAINS = ("nuts", "mclmc", "mams")  # which can be noted, resumed and extended
WARMUP = 300
LEAST_PARTICLES = 20  # of SMC, which moves them by their covariance
_OF_CHAINS = ("chain_method", "checkpoint", "until_ess", "max_seconds")
_OPTIONS: dict[Method, tuple[str, ...]] = {
    "nuts": ("warmup", "likelihood", "target_accept", "max_tree_depth", "adapt", *_OF_CHAINS),
    "mclmc": ("warmup", "likelihood", *_OF_CHAINS),
    "mams": ("warmup", "likelihood", "target_accept", *_OF_CHAINS),
    "smc": ("likelihood",),
    "svi": ("likelihood",),
    "laplace": (),
}


def draws_by_default(method: str) -> int:
    """Draws of each chain where none are asked for: fewer where each is rendered, or moved many times."""
    return 1000 if method in CHAINS else 500 if method == "smc" else 250


def chain_method_here() -> ChainMethod:
    """How chains run by default on the device at hand."""
    return "parallel" if jax.default_backend() == "cpu" else "vectorized"


def check_options(method: Method, given: Mapping[str, Any]) -> None:
    """Options given must be of the method.

    Raises
    ------
    ValueError
        For an option that does not go with the method; names those that do.
    """
    for name in given:
        if name not in _OPTIONS[method]:
            known = ", ".join(("draws", "chains", "seed", *_OPTIONS[method]))
            raise ValueError(
                f'{name} does not go with method="{method}", which takes {known}: leave it out, or give method="nuts"'
            )


def sampler_of(method: str) -> Sampler:
    """What draws from a target.

    Raises
    ------
    ImportError
        For a method that needs blackjax, where that is missing.
    """
    if method in ("mclmc", "mams", "smc"):
        import_blackjax(method)
    return {"nuts": run_nuts, "mclmc": run_mclmc, "mams": run_mams, "smc": run_smc}[method]

"""Any NumPyro program as a function of a flat unconstrained vector z.

A program is run under NumPyro's handlers with its latents replaced by transforms of z. What comes out is its log
density, its constrained values, and the light that it observes.

All functions are pure; `program` and `layout` are static, `args` (the images) travel as arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.distributions.transforms import biject_to

from bayesjoint.compilation import quick_jit
from bayesjoint.infer.observed import is_rendered, site_log_density
from bayesjoint.infer.tracing import plain_words
from bayesjoint.model.observe import RecordLight
from bayesjoint.render.images import Light

Program = Callable[..., Any]


@dataclass(frozen=True)
class Layout:
    """Where each latent of a program sits in z: names, and the shapes of the constrained and unconstrained values."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    unconstrained_shapes: tuple[tuple[int, ...], ...]

    @property
    def size(self) -> int:
        """Length of z."""
        return sum(int(np.prod(shape)) for shape in self.unconstrained_shapes)

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for each element of z: the site's, with its index where it has several."""
        return tuple(
            name + ("" if shape == () else f"[{','.join(map(str, index))}]")
            for name, shape in zip(self.names, self.unconstrained_shapes, strict=True)
            for index in np.ndindex(shape)
        )

    def unpack(self, z) -> dict[str, jax.Array]:
        """Split z (..., size) into its sites' unconstrained values."""
        sizes = [int(np.prod(shape)) for shape in self.unconstrained_shapes]
        pieces = jnp.split(z, np.cumsum(sizes)[:-1], axis=-1)
        shapes = zip(self.names, pieces, self.unconstrained_shapes, strict=True)
        return {name: piece.reshape(piece.shape[:-1] + shape) for name, piece, shape in shapes}

    def pack(self, values: dict[str, Any]) -> jax.Array:
        """The flat vector of the sites' unconstrained values: inverse of `unpack`."""
        return jnp.concatenate([jnp.ravel(values[name]) for name in self.names])


def find_latents(program: Program, args: tuple) -> Layout:
    """Names and shapes of a program's latent sites, by an abstract run that computes nothing.

    Raises
    ------
    ValueError
        For programs without latents or without observed sites, with discrete or improper latents, with shapes or
        branches that depend on values, or with two sites of one name.
    """
    found: dict[str, tuple] = {}
    observed: list[str] = []

    def run(args):
        proper = handlers.substitute(RecordLight(program), substitute_fn=_refuse_improper)
        trace = handlers.trace(handlers.seed(proper, 0)).get_trace(*args)
        for name, site in trace.items():
            if site["type"] == "sample" and site["is_observed"]:
                observed.append(name)
            elif site["type"] == "sample":
                found[name] = _describe_latent(name, site)

    with plain_words(program):
        jax.eval_shape(run, args)
    label = getattr(program, "__name__", repr(program))
    if not found:
        raise ValueError(
            f"the program {label!r} has no latent: sample at least one parameter with numpyro.sample"
        )
    if not observed:
        raise ValueError(f"the program {label!r} observes nothing: end it with bj.observe(images, ...)")
    shapes, unconstrained = zip(*found.values(), strict=True)
    return Layout(tuple(found), shapes, unconstrained)


def _describe_latent(name: str, site: dict) -> tuple[tuple[int, ...], tuple[int, ...]]:
    support = site["fn"].support
    if support is not None and getattr(support, "is_discrete", False):
        raise ValueError(
            f"latent {name!r} is discrete; NUTS and the fit need continuous latents: marginalise it"
        )
    shape = jnp.shape(site["value"])
    return shape, tuple(biject_to(support).inverse_shape(shape))


def _refuse_improper(site: dict) -> None:
    """An improper prior cannot be drawn from, so it is refused before the program runs into it."""
    if site["type"] == "sample" and not site["is_observed"] and isinstance(site["fn"], dist.ImproperUniform):
        name = site["name"]
        raise ValueError(
            f"latent {name!r} has an improper prior: give it a distribution that integrates to one"
        )


def run_program(program: Program, layout: Layout, z, args: tuple) -> tuple[dict, jax.Array]:
    """The program's trace at z, and the log determinant of the transforms to constrained values."""
    unconstrained = layout.unpack(z)
    log_determinants = []

    def constrain(site):
        if site["type"] != "sample" or site["is_observed"] or site["name"] not in unconstrained:
            return None
        transform, u = biject_to(site["fn"].support), unconstrained[site["name"]]
        value = transform(u)
        log_determinants.append(jnp.sum(transform.log_abs_det_jacobian(u, value)))
        return value

    seeded = handlers.seed(handlers.substitute(program, substitute_fn=constrain), 0)
    trace = handlers.trace(seeded).get_trace(*args)
    return trace, sum(log_determinants)  # type: ignore[return-value]


def log_posterior(program: Program, layout: Layout, z, args: tuple) -> jax.Array:
    """Log posterior density in z (scalar), up to the evidence."""
    trace, log_determinant = run_program(program, layout, z, args)
    return log_determinant + sum(site_log_density(s) for s in trace.values() if s["type"] == "sample")


def prior_and_light(
    program: Program, layout: Layout, z, args: tuple
) -> tuple[jax.Array, list[tuple[tuple[str, ...], Light]], dict]:
    """Without rendering: the log density in z of the latents alone, the light of the observed sites, and the trace."""
    recorder = RecordLight(program)
    trace, log_determinant = run_program(recorder, layout, z, args)
    log_prior = log_determinant + sum(site_log_density(site) for site in trace.values() if _is_latent(site))
    return log_prior, _named(recorder.lights, trace), trace


def _named(lights: list, trace: dict) -> list[tuple[tuple[str, ...], Light]]:
    """The lights with the names that their sites have in the trace, where a scope may have renamed them."""
    rendered = [name for name, site in trace.items() if is_rendered(site)]
    if len(rendered) != sum(len(sites) for sites, _ in lights):
        return lights
    names = iter(rendered)
    return [(tuple(next(names) for _ in sites), light) for sites, light in lights]


@partial(jax.jit, static_argnames=("program", "layout"))
def density_and_light(program: Program, layout: Layout, z, args: tuple) -> tuple[jax.Array, list[Light]]:
    """Log density in z of all but what `observe` observes, and the light of that.

    Compiled in name only: within compiled programs, and their derivatives, it spares running the program anew.
    """
    log_prior, lights, trace = prior_and_light(program, layout, z, args)
    rendered = {site for sites, _ in lights for site in sites}
    observed = (site for site in trace.values() if site["type"] == "sample" and site["is_observed"])
    own = sum((site_log_density(s) for s in observed if s["name"] not in rendered), start=jnp.zeros(()))
    return log_prior + own, [light for _, light in lights]


def constrained_values(program: Program, layout: Layout, z, args: tuple) -> dict[str, Any]:
    """Latents and deterministics of the program at z; `by_name` gives those that were reported in rows their names."""
    recorder = RecordLight(program)
    trace, _ = run_program(recorder, layout, z, args)
    kept = {n: s for n, s in trace.items() if s["type"] == "deterministic" or _is_latent(s)}
    return {name: site["value"] for name, site in kept.items()} | {
        rows.names[0]: rows for rows in recorder.rows
    }


def _is_latent(site: dict) -> bool:
    return site["type"] == "sample" and not site["is_observed"]


def start_vector(program: Program, layout: Layout, args: tuple, given: dict[str, Any]) -> jax.Array:
    """Where a fit starts: given values, else what the site suggests, else the prior's median; unconstrained.

    A site suggests a start by `numpyro.sample(..., infer={"start": value})`.
    """
    unconstrained: dict[str, jax.Array] = {}

    def choose(site):
        if site["type"] != "sample" or site["is_observed"]:
            return None
        shape = layout.shapes[layout.names.index(site["name"])]
        value = given.get(site["name"], site["infer"].get("start"))
        value = _median(site["fn"], shape) if value is None else jnp.asarray(value, jnp.result_type(float))
        value = jnp.broadcast_to(value, shape)
        unconstrained[site["name"]] = biject_to(site["fn"].support).inv(value)
        return value

    seeded = handlers.seed(handlers.substitute(RecordLight(program), substitute_fn=choose), 0)
    handlers.trace(seeded).get_trace(*args)
    return layout.pack(unconstrained)


def latent_plates(program: Program, args: tuple) -> dict[str, tuple[str, ...]]:
    """Names of the plates around each latent, outermost axis first."""
    plates: dict[str, tuple[str, ...]] = {}

    def run(args):
        for name, site in handlers.trace(handlers.seed(RecordLight(program), 0)).get_trace(*args).items():
            if _is_latent(site):
                frames = sorted(site["cond_indep_stack"], key=lambda frame: frame.dim)
                plates[name] = tuple(frame.name for frame in frames)

    jax.eval_shape(run, args)
    return plates


def latent_ends(program: Program, args: tuple) -> dict[str, tuple[float, float]]:
    """The ends (low, high) of the latents whose prior has two, where they are scalars."""
    ends = jax.device_get(_latent_ends(program, args))
    return {name: (float(a), float(b)) for name, (a, b) in ends.items() if np.ndim(a) == np.ndim(b) == 0}


@partial(quick_jit, static_argnames="program")
def _latent_ends(program: Program, args: tuple) -> dict[str, tuple[jax.Array, jax.Array]]:
    trace = handlers.trace(handlers.seed(RecordLight(program), 0)).get_trace(*args)
    supports = {name: site["fn"].support for name, site in trace.items() if _is_latent(site)}
    return {
        name: (jnp.asarray(support.lower_bound, float), jnp.asarray(support.upper_bound, float))
        for name, support in supports.items()
        if hasattr(support, "lower_bound") and hasattr(support, "upper_bound")
    }


def _median(fn: dist.Distribution, shape: tuple[int, ...]) -> jax.Array:
    """The prior's median where it has a quantile function, else the median of 25 draws in unconstrained space.

    Some quantile functions of NumPyro want another package, and raise ImportError without it.
    """
    try:
        base = fn
        while isinstance(base, dist.Independent | dist.ExpandedDistribution):
            base = base.base_dist
        return jnp.broadcast_to(base.icdf(0.5), shape)
    except (NotImplementedError, AttributeError, ImportError):
        transform = biject_to(fn.support)
        draws = jnp.asarray(fn.sample(jax.random.PRNGKey(0), (25,)))
        extra = draws.shape[1:]
        return jnp.broadcast_to(transform(jnp.median(transform.inv(draws), axis=0)), extra or shape)

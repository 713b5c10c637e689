"""What a program is made of: its latents with their plates, what depends on what, and which images it observes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.infer.inspect import get_model_relations

from bayesjoint.data.image_set import ImageSet
from bayesjoint.infer.space import Program
from bayesjoint.infer.tracing import plain_words
from bayesjoint.model.observe import PIXEL_SITE, RecordLight

_WRAPPERS = dist.Independent | dist.MaskedDistribution | dist.ExpandedDistribution


class Site(NamedTuple):
    """A latent, or what is observed.

    Attributes
    ----------
    name : str
    family : str
        Of its distribution.
    plates : tuple of (name, size)
        Outermost first.
    parents : tuple of str
        The latents that its distribution depends on, through whatever follows from them.
    images : tuple of str
        Names of the images that it holds; of what is observed by `observe`.
    is_observed : bool
    """

    name: str
    family: str
    plates: tuple[tuple[str, int], ...]
    parents: tuple[str, ...]
    images: tuple[str, ...]
    is_observed: bool


def sites_of(program: Program, images: Any, more: Sequence[Any] = ()) -> list[Site]:
    """The latents and observed sites of a program, in its order, by abstract runs that compute nothing."""
    plain: dict[str, tuple] = {}

    def run(args):
        for name, site in handlers.trace(handlers.seed(RecordLight(program), 0)).get_trace(*args).items():
            if site["type"] == "sample":
                frames = sorted(site["cond_indep_stack"], key=lambda frame: frame.dim)
                plates = tuple((frame.name, frame.size) for frame in frames)
                plain[name] = family_name(site["fn"]), plates, site["is_observed"]

    args = (images, *more)
    with plain_words(program):
        jax.eval_shape(run, args)
        direct = get_model_relations(_unhashed(program), args)["sample_sample"]
    latents = {name for name, (_, _, is_observed) in plain.items() if not is_observed}
    return [
        Site(
            name,
            family,
            plates,
            _latents_behind(direct, name, latents),
            _images_of(name, images),
            is_observed,
        )
        for name, (family, plates, is_observed) in plain.items()
    ]


def _unhashed(program: Program) -> Program:
    """The program as a function that NumPyro may wrap."""
    return lambda *args: program(*args)


def family_name(fn: Any) -> str:
    """Name of a distribution, without what only spreads it over axes.

    Examples
    --------
    >>> family_name(dist.Normal(0, 1).expand([3]).to_event(1)), family_name(dist.TruncatedNormal(low=0.0))
    ('Normal', 'truncated Normal')
    """
    while isinstance(fn, _WRAPPERS):
        fn = fn.base_dist
    if type(fn) is dist.TransformedDistribution:
        return f"transformed {family_name(fn.base_dist)}"
    if hasattr(fn, "base_dist") and "Truncated" in type(fn).__name__:
        return f"truncated {family_name(fn.base_dist)}"
    return type(fn).__name__


def _latents_behind(direct: Mapping[str, Sequence[str]], name: str, latents: set[str]) -> tuple[str, ...]:
    """The latents that a site depends on, through deterministic sites."""
    found: dict[str, None] = {}
    for parent in direct.get(name, ()):
        behind = (parent,) if parent in latents else _latents_behind(direct, parent, latents)
        found |= dict.fromkeys(behind)
    return tuple(found)


def _images_of(site: str, images: Any) -> tuple[str, ...]:
    """The images in a site that `observe` made."""
    if PIXEL_SITE not in site:
        return ()
    name = site.rpartition(PIXEL_SITE)[2]
    if isinstance(images, ImageSet):
        for stack, members in zip(images.stacks, images.members, strict=True):
            if stack.name == name:
                return tuple(images.names[i] for i in members)
    return (name,)

"""Gradient and curvature of fields of sources that are drawn in windows: sources whose windows do not meet do not couple.

The slopes of a windowed source's pixels fill its window, not the image: they are made window by window here, and put
together on the host (`overlaps.py`). What all sources share (skies, the PSF, noise) has columns over whole images.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import compress
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from bayesjoint.compilation import quick_jit
from bayesjoint.infer.curvature import Quadratic, quadratic, site_weights
from bayesjoint.infer.overlaps import Columns, ImageTerms, assemble
from bayesjoint.infer.slopes import Slopes, slopes_of
from bayesjoint.infer.space import Layout, Program, prior_and_light
from bayesjoint.light.noise import Noise
from bayesjoint.light.noise_density import density_terms
from bayesjoint.light.psf_state import PSFCoefficients, Seeing
from bayesjoint.light.registration import Registration
from bayesjoint.light.windowed import Windowed, WindowedKind
from bayesjoint.model.pixel_distributions import GaussianPixels
from bayesjoint.render.images import Light, either
from bayesjoint.render.place import frames_of, is_source, place, place_source
from bayesjoint.render.spectral import add_windows, draw, draw_window

LARGE = 1000  # latents from which on the curvature stays sparse


class FieldTerms(NamedTuple):
    """The log prior and of each light its images' terms, in their parameters."""

    log_prior: Any
    range: Any
    images: list[tuple[ImageTerms, ...]]
    means: dict[str, Any]
    noises: dict[str, tuple[Noise, ...]]


def parameter_places(
    program: Program, layout: Layout, args: tuple
) -> list[tuple[np.ndarray, list[np.ndarray]]]:
    """Of each light which of its parameters all pixels share, and those (S, k) of the sources in windows; else none."""
    found: list = []

    def run(z):
        _, lights, trace = prior_and_light(program, layout, z, args)
        observed = {name for name, site in trace.items() if site["type"] == "sample" and site["is_observed"]}
        places = [parameter_numbers(light) for _, light in lights]
        windowed = any(windows for _, windows in places)
        plain = all(stack.whitening is None for _, light in lights for stack in light.stacks)
        if windowed and plain and observed == {site for sites, _ in lights for site in sites}:
            found.extend(places)

    jax.eval_shape(run, jax.ShapeDtypeStruct((layout.size,), float))
    return found


def parameter_numbers(light: Light) -> tuple[np.ndarray, list[np.ndarray]]:
    """Which parameters of an image all its pixels share, and for each `Windowed` those (S, k) of each source.

    The places of windows are among neither: nothing moves them.
    """
    components = _numbered(light)
    windowed = [component for component in components if isinstance(component, Windowed)]
    windows = [
        np.concatenate([leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(each.sources)], axis=1)
        for each in windowed
    ]
    every, own = (
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(each)] or [[]])
        for each in (components, windowed)
    )
    return np.setdiff1d(every, own).astype(int), windows


def _numbered(light: Light) -> tuple:
    """The components of one image, with the numbers of their parameters in their place."""
    shapes = [
        leaf.shape[1:] if axis == 0 else leaf.shape
        for leaf, axis in zip(light.leaves, light.axes, strict=True)
    ]
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
    leaves = [
        np.arange(a, a + int(np.prod(shape))).reshape(shape) for a, shape in zip(ends, shapes, strict=False)
    ]
    return jax.tree.unflatten(light.treedef, leaves)


@partial(quick_jit, static_argnames=("program", "layout"))
def field_terms(program: Program, layout: Layout, z, args: tuple) -> FieldTerms:
    """What the expansion of the log posterior at z is made of, but for how parameters move with z."""
    log_prior, lights, trace = prior_and_light(program, layout, z, args)
    inside, images, means, noises = jnp.zeros(()), [], {}, {}
    for sites, light in lights:
        inside += light.log_range()
        terms, pixels = zip(*_stack_terms(light, [trace[site] for site in sites]), strict=True)
        images.append(terms)
        means |= dict(zip(sites, pixels, strict=True))
        for site, rows in zip(sites, light.rows(), strict=True):
            noises[site] = jax.tree.map(lambda p, rows=rows: p[rows], light.noise())
    return FieldTerms(log_prior, inside, images, means, noises)


class _Moving(NamedTuple):
    """Something placed on an image, how that moves along each of its parameters (leading axis), and its nodes."""

    here: Any
    moves: Any
    grid: Any


def _moving(function: Callable[[Any], tuple[Any, Any]], parameters, directions) -> _Moving:
    """A function, of places and their nodes, along directions (k, K)."""

    def along(direction):
        return jax.jvp(function, (parameters,), (direction,), has_aux=True)

    return _Moving(*jax.vmap(along, out_axes=(None, 0, None))(directions))


def _pixels_along(draw_it: Callable[[Any], jax.Array], moving: _Moving) -> tuple[jax.Array, jax.Array]:
    """Pixels, and how they move, one direction after the other: all at once they would not fit the cache."""
    if not jax.tree.leaves(moving.moves)[0].shape[0]:
        pixels = draw_it(moving.here)
        return pixels, jnp.zeros((0, *pixels.shape), pixels.dtype)

    def step(_, move):
        return jax.jvp(draw_it, (moving.here,), (move,))

    blank = jax.eval_shape(draw_it, moving.here)
    return jax.lax.scan(step, jnp.zeros(blank.shape, blank.dtype), moving.moves)


def _stack_terms(light: Light, sites: list[dict]) -> list[tuple[ImageTerms, jax.Array]]:
    """The terms of each stack's images, and their model pixels."""
    together, _ = parameter_numbers(light)
    components = jax.tree.unflatten(light.treedef, light.leaves)
    sources = [c for c in components if is_source(c)]
    # what all share moves windowed sources where images may be off by something
    moved = any(isinstance(c, Registration | Seeing | PSFCoefficients) for c in components)
    kept = [moved or not isinstance(source, Windowed) for source in sources]
    parameters, (own, shared), noise = light.parameters(), light.tables(), light.noise()

    def place_all(frame, parameters):
        def common(t):
            parts = light.components(t)
            return place(frame, tuple(c for c in parts if moved or not isinstance(c, Windowed)))

        basis = jnp.asarray(np.eye(parameters.shape[0])[together], parameters.dtype)
        return _moving(common, parameters, basis), _place_windows(frame, light.components(parameters))

    def one(inputs):
        image, data, weight, common, windows, own, noise = inputs
        tables, latents = either(own, shared), common.here.psf

        def draw_common(scene):
            kinds, own_tables = (tuple(compress(each, kept)) for each in (light.kinds, tables))
            return draw(image, scene, common.grid, kinds, own_tables)  # pyright: ignore[reportArgumentType]

        model, columns = _pixels_along(draw_common, common)
        found = []
        windowed = [(c.kind, t) for c, t in zip(sources, tables, strict=True) if isinstance(c, Windowed)]
        for (kind, table), moving in zip(windowed, windows, strict=True):
            stamps, slopes = _draw_windows(image, kind, moving, table, latents)
            model = model if moved else model + add_windows(image, kind, moving.here.origin, stamps)
            found.append(Columns(slopes, moving.here.origin, moving.moves.position))
        return _terms(noise, image, data, model, weight, columns, tuple(found)), model

    placed, found = jax.vmap(place_all)(frames_of(light.stacks), parameters), []
    for site, stack, rows in zip(sites, light.stacks, light.rows(), strict=True):
        inputs = jax.tree.map(lambda a, rows=rows: a[rows], (*placed, own, noise))
        known = stack.without_data(), site["value"], site_weights(site, stack.invvar.shape[0])
        found.append(jax.lax.map(one, (*known, *inputs)))
    return found


def _terms(noise: tuple, image, data, model, weight, columns, windows) -> ImageTerms:
    """Of one image."""
    if noise:
        t = density_terms(noise, data, model, image.invvar)
        noisy = (weight * part for part in (t.slope, t.cross.reshape(t.slope.size, *model.shape), t.square))
        return ImageTerms(weight * t.value, weight * t.score, weight * t.weight, columns, windows, *noisy)
    value = weight * GaussianPixels(model, image.invvar, image.log_normaliser).log_prob(data)
    information = weight * image.invvar
    nothing = jnp.zeros(0), jnp.zeros((0, *model.shape)), jnp.zeros((0, 0))
    return ImageTerms(value, information * (data - model), information, columns, windows, *nothing)


def _place_windows(frame, components: tuple) -> tuple[_Moving, ...]:
    """Of each `Windowed` where its sources are on one image, and how each moves with its own parameters."""
    corrections, found = [c for c in components if isinstance(c, Registration)], []
    for component in components:
        if not isinstance(component, Windowed):
            continue
        leaves, treedef = jax.tree.flatten(component.sources)
        shapes = [leaf.shape[1:] for leaf in leaves]
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]

        def one(inputs, treedef=treedef, shapes=shapes, ends=ends, window=component.window):
            parameters, about = inputs

            def placed(t):
                pieces = [p.reshape(shape) for p, shape in zip(jnp.split(t, ends), shapes, strict=True)]
                source = jax.tree.unflatten(treedef, pieces)
                return place_source(source, frame, corrections, frame.windows[window], about)

            return _moving(placed, parameters, jnp.eye(parameters.size, dtype=parameters.dtype))

        flat = jnp.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in leaves], axis=1)
        found.append(jax.lax.map(one, (flat, component.places)))
    return tuple(found)


def _draw_windows(image, kind: WindowedKind, moving: _Moving, table, latents) -> tuple[jax.Array, jax.Array]:
    """Pixels (S, size, size) of sources in windows, and their slopes (S, k, size, size)."""

    def one(inputs):
        moving, table = inputs

        def pixels(source):
            return draw_window(image, source, moving.grid, kind, table, latents)

        return _pixels_along(pixels, moving)

    return jax.lax.map(one, (moving, table))


def expand_field(
    program: Program,
    layout: Layout,
    z: np.ndarray,
    args: tuple,
    places: list[tuple[np.ndarray, list[np.ndarray]]],
    slopes: Slopes,
) -> Quadratic:
    """As `curvature.quadratic`, on the host, for what `parameter_places` has places of; sparse where z is long."""
    terms = field_terms(program, layout, jnp.asarray(z), args)
    means, noises = terms.means, terms.noises
    terms: Any = jax.device_get(terms._replace(means={}, noises={}))
    value, gradient = float(terms.log_prior + terms.range), np.array(slopes.gradient)
    curvature = bending = sparse.csr_array((layout.size, layout.size))
    for jacobians, stacks, places_here in zip(slopes.lights, terms.images, places, strict=True):
        rows = iter(jacobians)
        for stack in stacks:
            for i in range(len(stack.value)):
                own = jax.tree.map(lambda a, i=i: a[i], stack)
                jacobian = next(rows)
                slope, square, bent = assemble(own, jacobian.shape[0], *places_here)
                value += float(own.value)
                gradient += jacobian.T @ slope
                curvature = curvature + jacobian.T @ (square @ jacobian)
                bending = bending + jacobian.T @ (bent @ jacobian)
    found: Any = (
        value,
        gradient,
        *(m if layout.size > LARGE else m.toarray() for m in (curvature, -slopes.hessian)),
    )
    return Quadratic(*found, means=means, noises=noises, bending=bending)


def expansion(program: Program, layout: Layout, args: tuple) -> Callable[[np.ndarray], Quadratic]:
    """The log posterior near any z on the host, its model pixels left where they are; of a field window by window."""
    expand = expander(program, layout, args)
    return lambda z: expand(z, args)


def expander(program: Program, layout: Layout, args: tuple) -> Callable[[np.ndarray, tuple], Quadratic]:
    """As `expansion`, for any arguments of these shapes: what is found out of the program serves all."""
    if places := parameter_places(program, layout, args):
        slopes = slopes_of(program, layout, args)
        return lambda z, args: expand_field(program, layout, z, args, places, slopes(z, args))

    def expand(z: np.ndarray, args: tuple) -> Quadratic:
        q = quadratic(program, layout, jnp.asarray(z), args)
        return Quadratic(*jax.device_get(q[:4]), means=q.means, noises=q.noises)

    return expand

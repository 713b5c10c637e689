"""Components rendered on an image, or on all images of a set: parameters are spread over bands and images here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.compilation import quick_jit
from bayesjoint.data.image import Image
from bayesjoint.data.image_set import ImageSet
from bayesjoint.light.noise import Noise, noise_among
from bayesjoint.light.profile import Kind, Profile
from bayesjoint.light.psf_state import Seeing
from bayesjoint.light.pytree import event_axes, owner_of
from bayesjoint.light.ranges import hold_traced, range_of
from bayesjoint.light.windowed import Windowed, WindowedKind
from bayesjoint.render.checks import check_fits, spread_range, spreads_of
from bayesjoint.render.place import AT_ONCE, frames_of, is_source, place
from bayesjoint.render.spectral import draw

_PAIRS = ("centre", "gradient")


def render(image: Image, *components: Any) -> jax.Array:
    """Model pixels of an image.

    Parameters
    ----------
    image : Image
    *components : profiles of light, such as Sersic, PointSource or FlatSky
        With scalar parameters.

    Returns
    -------
    array (ny, nx)
        nJy per pixel, PSF and pixel included.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.wcs import WCS
    >>> from bayesjoint.data.analytic_psf import gaussian_psf
    >>> from bayesjoint.light.point import PointSource
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 2.0]
    >>> wcs.wcs.crpix, wcs.wcs.cdelt = [16.5, 16.5], [-0.2 / 3600, 0.2 / 3600]
    >>> image = Image(np.zeros((32, 32)), wcs=wcs, zeropoint=31.4, psf=gaussian_psf(0.8), invvar=np.ones((32, 32)))
    >>> pixels = render(image, PointSource((0.0, 0.0), flux=100.0))
    >>> print(pixels.shape, f"{pixels.sum():.3f}")
    (32, 32) 100.000
    """
    if not isinstance(image, Image):
        more = ": render the images of a set one by one" if isinstance(image, ImageSet) else ""
        raise TypeError(f"render wants a bj.Image first, got {type(image).__name__}{more}")
    if not components:
        raise ValueError("render wants components to draw after the image, such as bj.Sersic(...), got none")
    return _render_compiled(light_on_image(image, *components))[0][0]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["stacks", "leaves", "inside"],
    meta_fields=["treedef", "axes"],
)
@dataclass(frozen=True, eq=False)
class Light:
    """Components with their parameters spread over the images of all stacks, not yet rendered.

    Attributes
    ----------
    stacks : tuple of Image
        Their arrays have a leading axis. "All images" below are those of one stack after those of another.
    leaves : list of array
        The components' parameters; `axes` says of each whether its leading axis (0) runs over all images (None: shared).
    treedef : PyTreeDef
        What makes components of the leaves.
    inside : bool array ()
        Whether all parameters were given in their ranges: `leaves` are.
    """

    stacks: tuple[Image, ...]
    leaves: list[jax.Array]
    treedef: Any
    axes: tuple[int | None, ...]
    inside: Any = True

    @property
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """Images, ny, nx of each stack."""
        return tuple((stack.invvar.shape[0], *stack.shape) for stack in self.stacks)

    def parameters(self) -> jax.Array:
        """All parameters of each image, flattened: (images, parameters)."""
        count = sum(shape[0] for shape in self.shapes)
        each = [
            leaf if axis == 0 else jnp.broadcast_to(leaf, (count, *leaf.shape))
            for leaf, axis in self._pairs()
        ]
        return jnp.concatenate([leaf.reshape(count, -1) for leaf in each], axis=1)

    def components(self, parameters) -> tuple:
        """The components on one image, from its row of `parameters`."""
        shapes = [leaf.shape[1:] if axis == 0 else leaf.shape for leaf, axis in self._pairs()]
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
        pieces = jnp.split(parameters, ends)
        leaves = [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]
        return jax.tree.unflatten(self.treedef, leaves)

    def are_amplitudes(self) -> np.ndarray:
        """Which of the `parameters` are amplitudes, in which the pixels are linear: (parameters,)."""
        return self._are(_is_amplitude)

    def are_places(self) -> np.ndarray:
        """Which of the `parameters` say where windows are, and move no light: (parameters,)."""
        return self._are(lambda owner, name: isinstance(owner, Windowed) and name == "places")

    def _are(self, such: Callable[[Any, str], bool]) -> np.ndarray:
        components = jax.tree.unflatten(self.treedef, self.leaves)
        paths, _ = jax.tree_util.tree_flatten_with_path(components)
        shapes = [leaf.shape[1:] if axis == 0 else leaf.shape for leaf, axis in self._pairs()]
        found = [such(owner_of(components, path), path[-1].name) for path, _ in paths]
        return np.repeat(found, [int(np.prod(shape)) for shape in shapes])

    def noise(self) -> tuple[Noise, ...]:
        """The noise among the components, each of its parameters (images,). These are the last of the `parameters`."""
        count = sum(shape[0] for shape in self.shapes)
        leaves = [
            leaf if axis == 0 else jnp.broadcast_to(leaf, (count, *leaf.shape))
            for leaf, axis in self._pairs()
        ]
        return noise_among(jax.tree.unflatten(self.treedef, leaves))

    @property
    def kinds(self) -> tuple[Kind | None, ...]:
        """The form of every source; None of a point."""
        components = jax.tree.unflatten(self.treedef, self.leaves)
        return tuple(getattr(c, "kind", None) for c in components if is_source(c))

    def tables(self) -> tuple[tuple, tuple]:
        """The tables of every source: those of all images (None where shared), and the shared ones."""
        dtype = jnp.finfo(self.stacks[0].transfer.dtype).dtype
        components, axes = (jax.tree.unflatten(self.treedef, each) for each in (self.leaves, self.axes))
        own, shared = [], []
        for component, axis in zip(components, axes, strict=True):
            if not is_source(component):
                continue
            tables = _tables_of(component, axis, dtype)
            own.append(tables[0])
            shared.append(tables[1])
        return tuple(own), tuple(shared)

    def log_range(self) -> jax.Array:
        """0 where all parameters lie in their ranges, else -inf: what a log density gets. Its slopes are 0."""
        components = jax.tree.unflatten(self.treedef, self.leaves)
        sources = [getattr(c, "sources", c) for c in components]
        # the range of each was looked at when they were spread: what is left are conditions on several at once
        joint = [c for c in sources if isinstance(c, Profile) and type(c).in_range is not Profile.in_range]
        inside = jnp.stack([jnp.asarray(self.inside), *(c.in_range for c in joint)])
        return jnp.where(jnp.all(inside), 0.0, -jnp.inf)

    def by_stack(self) -> tuple[Light, ...]:
        """The light of each stack's images alone."""
        pieces = []
        for stack, rows in zip(self.stacks, self.rows(), strict=True):
            leaves = [leaf[rows] if axis == 0 else leaf for leaf, axis in self._pairs()]
            pieces.append(Light((stack,), leaves, self.treedef, self.axes, self.inside))
        return tuple(pieces)

    def rows(self) -> tuple[slice, ...]:
        """Where the images of each stack are among all."""
        ends = np.cumsum([0, *(shape[0] for shape in self.shapes)])
        return tuple(slice(int(a), int(b)) for a, b in pairwise(ends))

    def _pairs(self):
        return zip(self.leaves, self.axes, strict=True)


def render_light(light: Light) -> tuple[jax.Array, ...]:
    """Model pixels (images, ny, nx) of each stack, nJy."""

    placed = place_all(light)
    own, shared = light.tables()

    def draw_one(image, scene, grids, own):
        return draw(image, scene, grids, light.kinds, either(own, shared))

    return tuple(
        jax.vmap(draw_one)(stack, *jax.tree.map(lambda a, rows=rows: a[rows], (*placed, own)))
        for stack, rows in zip(light.stacks, light.rows(), strict=True)
    )


def place_all(light: Light) -> tuple:
    """All components on each image, and the nodes of their smooth parts."""
    varying = [leaf for leaf, axis in zip(light.leaves, light.axes, strict=True) if axis == 0]

    def place_one(inputs):
        frame, own = inputs
        rest = iter(own)
        pairs = zip(light.leaves, light.axes, strict=True)
        return place(frame, light.treedef.unflatten([next(rest) if a == 0 else leaf for leaf, a in pairs]))

    inputs = frames_of(light.stacks), varying
    if any(isinstance(kind, WindowedKind) for kind in light.kinds):
        # sources are gone through one by one there, and JAX cannot map over images what holds derivatives of its own
        return jax.lax.map(place_one, inputs)
    return jax.vmap(place_one)(inputs)


def _tables_of(component: Any, axis: Any, dtype) -> tuple:
    """The table of each image (None where shared), and the shared one."""
    sources, axis = (getattr(each, "sources", each) for each in (component, axis))
    if not isinstance(sources, Profile):
        return None, None
    leaves, treedef = jax.tree.flatten(sources)
    axes = jax.tree.leaves(axis, is_leaf=lambda a: a is None)

    def table(*leaves):
        one = jax.tree.unflatten(treedef, leaves)
        if not isinstance(component, Windowed):
            return _table(one, dtype)
        return jax.lax.map(lambda source: _table(source, dtype), one, batch_size=AT_ONCE)

    if any(part == 0 for part in axis.shape_parts):
        return jax.vmap(table, in_axes=tuple(axes))(*leaves), None
    firsts = (leaf if a is None else leaf[0] for leaf, a in zip(leaves, axes, strict=True))
    return None, table(*firsts)


def _table(source: Profile, dtype) -> jax.Array | None:
    """The table of one source; its derivatives are among its rows."""
    return source.kind.transform_table(jax.lax.stop_gradient(source.shape_values), dtype)


def either(own: tuple, shared: tuple) -> tuple:
    """Of each pair the one that is not None."""
    return tuple(a if b is None else b for a, b in zip(own, shared, strict=True))


_render_compiled = quick_jit(render_light)


def light_on_image(image: Image, *components: Any) -> Light:
    """Components with scalar parameters on a single image, as a stack of one."""
    check_fits((image,), components)
    components = _noise_last(components)
    stack = jax.tree.map(lambda a: jnp.asarray(a)[None], image)
    return _spread((stack,), components, (0,), 1, (0,), per_image=False)


def light_on_stacks(images: ImageSet, *components: Any) -> Light:
    """Components on every stack of a set.

    A parameter with a leading axis of the number of bands is taken per band; of the number of images, per image.
    """
    check_fits(images.stacks, components)
    components = _noise_last(components)
    members = [i for stack in images.members for i in stack]
    return _spread(images.stacks, components, images.band_index, len(images.bands), members)


def _noise_last(components: tuple) -> tuple:
    return (*(c for c in components if not isinstance(c, Noise)), *noise_among(components))


def _spread(stacks, components, band_index, n_bands, members, per_image=True) -> Light:
    """Light on `members`, images by number: parameters spread over them, and held to their ranges."""
    paths, treedef = jax.tree_util.tree_flatten_with_path(components)
    leaves, axes = [], []
    for path, leaf in paths:
        leaf = jnp.asarray(leaf, jnp.result_type(float))
        event = event_axes(components, path)
        if leaf.ndim == event:
            leaves.append(leaf)
            axes.append(None)
            continue
        which = _which_axis(path, leaf, event, len(band_index), n_bands, per_image)
        rows = members if which == "image" else [band_index[i] for i in members]
        leaves.append(leaf[np.asarray(rows)])
        axes.append(0)
    owners = [(owner_of(components, path), path[-1].name) for path, _ in paths]
    spreads = spreads_of(stacks)
    ranges = [
        spread_range(spreads, axis) if isinstance(owner, Seeing) else range_of(owner, name)
        for (owner, name), axis in zip(owners, axes, strict=True)
    ]
    names = [f"{type(owner).__name__}: {name}" for owner, name in owners]
    leaves, inside = hold_traced(names, leaves, ranges)
    return Light(stacks, leaves, treedef, tuple(axes), inside)


def per_image_if_mixed(component: Any, images: ImageSet) -> Any:
    """The component with one value of each varying parameter for each image, if it has some per image, some per band."""
    n_images, n_bands = len(images), len(images.bands)
    paths, treedef = jax.tree_util.tree_flatten_with_path(component)
    lengths = [0 if jnp.ndim(leaf) == event_axes(component, p) else len(leaf) for p, leaf in paths]
    if n_images == n_bands or not {n_images, n_bands} <= set(lengths):
        return component
    index = np.asarray(images.band_index)
    pairs = zip(paths, lengths, strict=True)
    return treedef.unflatten([jnp.asarray(leaf)[index] if n == n_bands else leaf for (_, leaf), n in pairs])


def _which_axis(path, leaf, event: int, n_images: int, n_bands: int, per_image: bool) -> str:
    """Whether the leading axis of a parameter runs over images or bands (the same where both hold)."""
    if per_image and leaf.ndim == event + 1 and leaf.shape[0] in (n_images, n_bands):
        return "image" if leaf.shape[0] == n_images else "band"
    own = "a scalar" if event == 0 else "(2,)" if path[-1].name in _PAIRS else f"{event} axes of its own"
    more = f", or ({n_bands},) for one value a band or ({n_images},) for one an image"
    wanted = own + (more + (" before it" if event else "") if per_image else "")
    raise ValueError(f"component {path[0].idx}: {path[-1].name} has shape {leaf.shape}; wanted {wanted}")


def _is_amplitude(owner: Any, name: str) -> bool:
    """Whether light is linear in a parameter of its."""
    return name in ((owner.amplitude,) if isinstance(owner.amplitude, str) else owner.amplitude)

"""Images of a size held as one, whose arrays have a leading axis: what makes a program render them all at once."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.data.image import Image


def members_of(images: Sequence[Image]) -> tuple[tuple[int, ...], ...]:
    """Indices of the images that can be stacked: of one lattice, set of orders, kind of transfer and of noise."""
    groups: dict[tuple, list[int]] = {}
    for i, image in enumerate(images):
        key = (
            image.fft_shape,
            image.orders,
            image.psf_weights,
            image.window_lattices,
            image.transfer.dtype,
            image.time is None,
            None if image.whitening is None else (image.whitening.stamp.shape, image.whitening.polish.shape),
        )
        groups.setdefault(key, []).append(i)
    return tuple(tuple(members) for members in groups.values())


def stacks_of(groups: list[list[Image]]) -> tuple[Image, ...]:
    """The stack of each group, named by its size; of several of one size all but the first are numbered."""
    stacks, names = [], []
    for group in groups:
        ny, nx = (max(image.shape[axis] for image in group) for axis in (0, 1))
        names.append(f"{ny}x{nx}")
        same = names.count(names[-1])
        stacks.append(_stack(group, names[-1] if same == 1 else f"{names[-1]}_{same}"))
    return tuple(stacks)


def _stack(images: list[Image], name: str) -> Image:
    """One `Image` whose arrays have a leading axis; smaller images are padded with pixels without weight."""
    ny, nx = (max(image.shape[axis] for image in images) for axis in (0, 1))
    patterns = max(0 if image.whitening is None else image.whitening.table.shape[-1] for image in images)

    def leaves(image: Image) -> list[np.ndarray]:
        room = ((0, ny - image.shape[0]), (0, nx - image.shape[1]))
        (data, invvar, *rest, whitening), _ = image.tree_flatten()
        if whitening is not None:
            whitening = whitening.padded(room, patterns)
        return jax.tree.leaves((np.pad(data, room), np.pad(invvar, room), *rest, whitening))

    template = images[0]
    stacked = [np.stack(same) for same in zip(*map(leaves, images), strict=True)]
    arrays = jax.tree.unflatten(jax.tree.structure(template.tree_flatten()[0]), stacked)
    own = (template.fft_shape, template.orders, template.psf_weights, template.window_lattices)
    static = (name, "", (ny, nx), *own)
    return Image.tree_unflatten(static, arrays)


def unstack(stack: Image, row: int, label: tuple[str, str, tuple[int, int]]) -> Image:
    """The image in one row of a stack, cut to its own shape."""
    name, band, (ny, nx) = label
    arrays = jax.tree.map(lambda a: jnp.asarray(a)[row], stack.tree_flatten()[0])
    data, invvar, *rest, whitening = arrays
    data, invvar = jax.tree.map(lambda a: a[:ny, :nx], (data, invvar))
    if whitening is not None:
        whitening = whitening._replace(index=whitening.index[:ny, :nx])
    static = (name, band, (ny, nx), *stack.tree_flatten()[1][3:])
    return Image.tree_unflatten(static, (data, invvar, *rest, whitening))

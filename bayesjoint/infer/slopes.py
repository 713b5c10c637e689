"""How the prior's slope and the parameters of light move with z, sparse: in a field, latents of many sources at once.

A parameter of one source moves with few elements of z, so that elements which no parameter shares may move together, and
what each did can still be told: the columns of a sparse Jacobian are coloured (Curtis, Powell & Reid 1974), and as many
derivatives taken as there are colours, whatever the number of sources. One random direction more checks each result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from bayesjoint.compilation import quick_jit
from bayesjoint.infer.space import Layout, Program, prior_and_light

AT_ONCE = 256  # elements of z that are moved together, one by one
_CROWDED = 64  # elements that a row of the Hessian may have before it is taken from its column
_JITTER = 0.1  # of z where dependences are looked for: at its start some happen to be 0


class Slopes(NamedTuple):
    """At one z: the log prior's gradient (P,) and Hessian (P, P), and of each light how the parameters of each of its
    images move (K, P); matrices are sparse.
    """

    gradient: np.ndarray
    hessian: Any
    lights: list[list[Any]]


class _Entries(NamedTuple):
    """Where the elements of a sparse Jacobian are, and where each is found among moves (directions, rows)."""

    row: np.ndarray
    column: np.ndarray
    found: tuple[np.ndarray, np.ndarray]


def slopes_of(program: Program, layout: Layout, args: tuple) -> Callable[[np.ndarray, tuple], Slopes]:
    """A function of z, and of arguments like these, that gives its `Slopes`."""
    shapes = _shapes(program, layout, args)
    jacobian = _Jacobian(partial(_along, program, layout), layout.size)
    ends = np.cumsum([0, *(count for images, size in shapes for count in (size,) * images)])

    def at(z: np.ndarray, args: tuple) -> Slopes:
        values, found = jacobian(np.asarray(z), args)
        rows = iter([found[a:b] for a, b in pairwise(ends)])
        lights = [[next(rows) for _ in range(images)] for images, _ in shapes]
        return Slopes(values[ends[-1] :], found[ends[-1] :], lights)

    return at


def _shapes(program: Program, layout: Layout, args: tuple) -> list[tuple[int, int]]:
    """Images and parameters (of each image) of each light."""
    found: list = []

    def run(z):
        found.extend(light.parameters().shape for _, light in prior_and_light(program, layout, z, args)[1])

    jax.eval_shape(run, jax.ShapeDtypeStruct((layout.size,), float))
    return found


@partial(quick_jit, static_argnames=("program", "layout"))
def _along(program: Program, layout: Layout, z, directions, args: tuple) -> tuple[jax.Array, jax.Array]:
    """The parameters of all lights and, last, the log prior's slope (rows,); how they move along directions (D, rows)."""

    def density(z):
        log_prior, lights, _ = prior_and_light(program, layout, z, args)
        return log_prior, [light.parameters().ravel() for _, light in lights]

    def all_rows(z):
        gradient, parameters = jax.grad(density, has_aux=True)(z)
        return jnp.concatenate([*parameters, gradient])

    def move(direction):
        return jax.jvp(all_rows, (z,), (direction,))

    return jax.vmap(move, out_axes=(None, 0))(directions)


class _Jacobian:
    """The Jacobian of rows, the last of which are a slope's and so symmetric; it learns where that has elements.

    Parameters
    ----------
    along : function
        Of z, directions (D, P) and arguments: the rows, and how they move (D, rows).
    size : int
        Length of z.
    """

    def __init__(self, along: Callable[[Any, Any, tuple], tuple], size: int):
        self.along, self.size = along, size
        self.entries: _Entries | None = None
        self.directions = np.zeros((0, size))

    def __call__(self, z: np.ndarray, args: tuple) -> tuple[np.ndarray, Any]:
        """The rows at z, and their Jacobian, sparse."""
        if self.size <= AT_ONCE:
            values, moves = jax.device_get(self.along(z, np.eye(self.size), args))
            return values, sparse.csr_array(moves.T)
        if self.entries is None:
            self._learn(self._whole(z + _JITTER * np.random.default_rng(0).normal(size=self.size), args)[1])
        assert self.entries is not None
        values, moves = jax.device_get(self.along(z, self.directions, args))
        elements = moves[self.entries.found], (self.entries.row, self.entries.column)
        found = sparse.coo_array(elements, shape=(len(values), self.size)).tocsr()
        if _says_the_same(found, self.directions[-1], moves[-1]):
            return values, found
        values, whole = self._whole(z, args)
        self._learn(abs(whole) + abs(found))
        return values, whole

    def _whole(self, z: np.ndarray, args: tuple) -> tuple[np.ndarray, Any]:
        """As it is called, each element of z moved alone."""
        values, pieces = np.zeros(0), []
        for block in _blocks(self.size):
            values, moves = jax.device_get(self.along(z, block, args))
            pieces.append(sparse.csr_array(moves.T))
        whole: Any = sparse.hstack(pieces, format="csr")
        return values, whole[:, : self.size]

    def _learn(self, pattern: Any) -> None:
        """Take the elements to be where `pattern` has some, and choose directions by that."""
        self.entries, colours = _coloured(pattern)
        directions = np.zeros((colours.max() + 2, self.size))
        directions[colours, np.arange(self.size)] = 1.0
        directions[-1] = np.random.default_rng(1).normal(size=self.size)
        self.directions = directions


def _blocks(size: int) -> Iterator[np.ndarray]:
    """Directions along one element of z each, by as many as are moved at once."""
    for start in range(0, size, AT_ONCE):
        block = np.zeros((AT_ONCE, size))
        own = np.arange(start, min(start + AT_ONCE, size))
        block[own - start, own] = 1.0
        yield block


def _says_the_same(jacobian: Any, direction: np.ndarray, moved: np.ndarray) -> bool:
    """Whether a Jacobian tells how rows moved along a direction; also where that cannot be told, without numbers."""
    wanted, room = jacobian @ direction, 1e-9 * (abs(jacobian) @ np.abs(direction) + np.abs(moved))
    return not np.any(np.abs(wanted - moved) > room)


def _coloured(pattern: Any) -> tuple[_Entries, np.ndarray]:
    """The elements of a pattern, and a colour (P,) for each column: columns of one colour have no row in common.

    Crowded rows among the last, which are symmetric, are left out of this, and found in their columns.
    """
    rows, size = pattern.shape
    crowded = np.flatnonzero(np.diff(pattern.indptr) > _CROWDED)
    crowded = crowded[crowded >= rows - size]
    kept = np.ones(rows)
    kept[crowded] = 0.0
    lean = sparse.csr_array(sparse.diags_array(kept) @ abs(pattern))
    lean.eliminate_zeros()
    colours = _greedy(sparse.csr_array(lean.T @ lean))
    found = pattern.tocoo()
    row, column = found.row, found.col
    mirrored = np.isin(row, crowded)
    at_column = colours[np.where(mirrored, row - (rows - size), column)]
    at_row = np.where(mirrored, column + (rows - size), row)
    return _Entries(row, column, (at_column, at_row)), colours


def _greedy(meet: Any) -> np.ndarray:
    """Colours (P,) of columns, of those that `meet` (P, P) none alike."""
    size = meet.shape[0]
    colours = np.full(size, -1)
    for i in range(size):
        taken = colours[meet.indices[meet.indptr[i] : meet.indptr[i + 1]]]
        free = np.ones(len(taken) + 1, bool)
        free[taken[(taken >= 0) & (taken < len(free))]] = False
        colours[i] = np.flatnonzero(free)[0]
    return colours

"""Rao's score test of directions that a program does not have: the width of a PSF, an offset, a slope of the sky.

With model pixels m, weights W and residuals r, a direction d has the score d.W.r and the information d.W.d. The program's
own parameters can take up g = J^T W d of it, J = dm/dz, against the curvature H of the fit: what is left has the variance
V = d.W.d - g.H^-1.g, and the score over its root is a standard Normal number where the model is right (Rao 1948, Proc.
Camb. Phil. Soc. 44, 50). Score / V is what an added parameter would be fitted as, and H^-1 g how far the program's own
parameters are off for each unit of it. Away from the maximum the score is less g.H^-1 times the gradient (Neyman 1959).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.compilation import quick_jit
from bayesjoint.data.whitening import chi_squared
from bayesjoint.infer.curvature import Quadratic
from bayesjoint.infer.linear import dense, inverse, positive_part
from bayesjoint.infer.observed import counts, observe_mean, rendered_pixels
from bayesjoint.infer.pixels import Place
from bayesjoint.infer.space import Layout, Program, run_program
from bayesjoint.light.noise_density import density_terms
from bayesjoint.model.pixel_distributions import CorrelatedPixels, NoisyPixels

_OF_PRIOR = 1e-9


class ScoreTests(NamedTuple):
    """Score tests of D directions, of a program of P latents.

    Attributes
    ----------
    score : array (D,)
        Without what the program's parameters explain.
    variance : array (D, D)
        Covariance of the scores.
    information : array (D,)
        Of each direction, were all of the program known.
    likelihood_only : array (D,)
        Variance of each score if priors knew nothing.
    shift : array (D, P)
        How far z is off for one unit of each direction.
    covariance : array (P, P)
        Of z.
    """

    score: np.ndarray
    variance: np.ndarray
    information: np.ndarray
    likelihood_only: np.ndarray
    shift: np.ndarray
    covariance: np.ndarray

    def along(self, mixture: np.ndarray) -> ScoreTests:
        """Tests of mixtures (E, D) of the directions; of information only what single directions have."""
        square = mixture**2
        return ScoreTests(
            mixture @ self.score,
            mixture @ self.variance @ mixture.T,
            square @ self.information,
            square @ self.likelihood_only,
            mixture @ self.shift,
            self.covariance,
        )


def score_tests(
    program: Program,
    layout: Layout,
    here: Quadratic,
    z: np.ndarray,
    args: tuple,
    places: Sequence[Place],
    directions: Mapping[str, np.ndarray],
) -> ScoreTests:
    """Score tests of every image's directions (images x directions, the latter running fastest).

    Parameters
    ----------
    here : Quadratic
        The log posterior at z (P,): best its maximum.
    places : sequence of Place
        The images, and where they are observed.
    directions : dict of array (images, K, ny, nx)
        Of each site, nJy per pixel.
    """
    tested = {place.site: jnp.asarray(directions[place.site]) for place in places}
    sums = jax.device_get(_sums(program, layout, jnp.asarray(z), args, tested))
    rows = [(site, row if isinstance(row, int) else 0) for _, site, row in places]
    score, square, slopes = (np.stack([part[site][row] for site, row in rows]) for part in sums)
    images, count = score.shape
    own = np.zeros((images, count, images, count))
    own[np.arange(images), :, np.arange(images), :] = square
    own, slopes = own.reshape(2 * (images * count,)), slopes.reshape(images * count, -1)
    likelihood = dense(here.likelihood_curvature)
    curvature = likelihood + positive_part(dense(here.prior_curvature))
    covariance = inverse(curvature)
    alone = inverse((1 - _OF_PRIOR) * likelihood + _OF_PRIOR * curvature)
    shift = slopes @ covariance
    return ScoreTests(
        score.ravel() - shift @ np.asarray(here.gradient),
        own - shift @ slopes.T,
        np.diag(own),
        np.diag(own) - np.einsum("dp,pq,dq->d", slopes, alone, slopes, optimize=True),
        shift,
        covariance,
    )


@partial(quick_jit, static_argnames=("program", "layout"))
def _sums(program: Program, layout: Layout, z, args: tuple, directions: dict) -> tuple[dict, dict, dict]:
    """Of each site the scores (images, K), the information (images, K, K), and J^T W d (images, K, P) of its directions."""

    def observed(z):
        trace, _ = run_program(program, layout, z, args)
        means = {name: observe_mean(trace[name]).mean for name in directions}  # type: ignore[union-attr]
        noises = {name: getattr(rendered_pixels(trace[name]), "noise", ()) for name in directions}
        return (means, noises), trace

    (means, noises), pull, trace = jax.vjp(observed, z, has_aux=True)
    nothing = jax.tree.map(jnp.zeros_like, (means, noises))
    scores, squares, slopes = {}, {}, {}
    for name, along in directions.items():
        found = _weighed(trace[name])
        weighed = jnp.moveaxis(jax.lax.map(found.weigh, jnp.moveaxis(along, 1, 0)), 0, 1)
        scores[name] = jnp.einsum("ikyx,iyx->ik", along, found.score)
        squares[name] = jnp.einsum("ikyx,ilyx->ikl", along, weighed)
        cross = jnp.einsum("ikyx,iqyx->ikq", along, found.cross)
        images, count = along.shape[:2]

        def back(which, name=name, weighed=weighed, cross=cross):
            """What z can take up of one direction of one image."""
            i, k = which
            mean = jnp.zeros_like(weighed[:, 0]).at[i].set(weighed[i, k]).reshape(means[name].shape)
            leaves, treedef = jax.tree.flatten(noises[name])
            noise = [jnp.zeros_like(leaf).at[i].set(cross[i, k, q]) for q, leaf in enumerate(leaves)]
            pulled = (
                {**nothing[0], name: mean},
                {**nothing[1], name: jax.tree.unflatten(treedef, noise)},
            )
            return pull(pulled)[0]

        which = tuple(jnp.asarray(w.ravel()) for w in np.indices((images, count)))
        slopes[name] = jax.lax.map(back, which).reshape(images, count, -1)
    return scores, squares, slopes


class _Weighed(NamedTuple):
    """The score of each model pixel (images, ny, nx), what makes a direction's product with the information, and the
    information that pixels share with the noise's parameters (images, Q, ny, nx).
    """

    score: jax.Array
    weigh: Callable[[jax.Array], jax.Array]
    cross: jax.Array


def _weighed(site: dict) -> _Weighed:
    """Of one observed site."""
    fn, data, count = rendered_pixels(site), site["value"], counts(site)
    ny, nx = data.shape[-2:]
    nothing = jnp.zeros((data.size // (ny * nx), 0, ny, nx), data.dtype)
    if fn is None:
        own = observe_mean(site)
        assert own is not None
        weight = own.weight.reshape(-1, ny, nx)
        return _Weighed(own.score.reshape(-1, ny, nx), lambda d: weight * d, nothing)
    if isinstance(fn, NoisyPixels):
        terms = jax.vmap(density_terms)(fn.noise, data, fn.loc, fn.invvar)
        cross = jnp.broadcast_to(count, data.shape)[:, None] * terms.cross.reshape(len(data), -1, ny, nx)
        return _Weighed(count * terms.score, lambda d: count * terms.weight * d, cross)
    if isinstance(fn, CorrelatedPixels):
        factor = count / jnp.reshape(fn.factor, (-1, 1, 1)) ** 2
        square = jax.grad(lambda d: 0.5 * jnp.sum(chi_squared(fn.whitening, fn.invvar, d)))

        def weigh(d):
            return factor * square(d)
    else:

        def weigh(d):
            return count * fn.invvar * d

    return _Weighed(weigh(data - fn.loc), weigh, nothing)

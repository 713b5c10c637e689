"""Posterior predictive checks of images: realised discrepancies of the data beside those of replicated data, draw by draw.

(Gelman, Meng & Stern 1996, Statistica Sinica 6, 733.) Replicated data are drawn from the very distribution that a program
observes its pixels under. What is looked at are deviations from the model in sigma.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.data.image import Image
from bayesjoint.infer.goodness import SOURCE_PIXELS
from bayesjoint.infer.observed import deviations
from bayesjoint.infer.pixels import Place
from bayesjoint.infer.renders import for_draws
from bayesjoint.infer.space import Layout, Program

STATISTICS = ("chi2", "source", "smooth source", "largest", "smooth largest", "source mean", "correlation")
LAGS = 10
_COLUMNS = len(STATISTICS) - 1 + LAGS
_KERNEL = np.array([1, 4, 6, 4, 1]) / 16  # sigma of one pixel


@dataclass(frozen=True, eq=False)
class Prediction:
    """Discrepancies of one image.

    Attributes
    ----------
    name : str
    observed, replicated : array (draws, 6 + LAGS)
        chi2 over all pixels; chi2 where the source stands out, of deviations and of these smoothed over neighbours (sigma of
        a pixel, in units of their noise), which shows what many pixels have in common; the largest absolute deviation, and
        that of smoothed ones; the mean deviation where the source stands out; and the correlation of deviations 1, 2, ...
        pixels apart in rows and columns. NaN where there are too few pixels.
    residual : array (ny, nx)
        Mean deviation over the draws, sigma; 0 where a pixel carries no weight.
    source : bool array (ny, nx)
        Where the source stands out of its background by one sigma in a single pixel.
    used : bool array (ny, nx)
    """

    name: str
    observed: np.ndarray
    replicated: np.ndarray
    residual: np.ndarray = field(repr=False)
    source: np.ndarray = field(repr=False)
    used: np.ndarray = field(repr=False)

    def p_value(self, statistic: str) -> float:
        """Probability that replicated data exceed the observed; ties count half. NaN where it cannot be told."""
        column = STATISTICS.index(statistic)
        observed, replicated = self.observed[:, column], self.replicated[:, column]
        if not np.isfinite(observed).all():
            return np.nan
        return float(np.mean(replicated > observed) + 0.5 * np.mean(replicated == observed))

    def means(self, statistic: str) -> tuple[float, float]:
        """Mean over the draws, of the data and of replicated data."""
        column = STATISTICS.index(statistic)
        return float(np.mean(self.observed[:, column])), float(np.mean(self.replicated[:, column]))

    @property
    def smoothed(self) -> np.ndarray:
        """The mean deviation smoothed over neighbours, in units of its noise where pixels are independent, (ny, nx)."""
        spread = np.sqrt(_smoothed(self.used[None].astype(float), _KERNEL**2)[0])
        wide = np.asarray(_smoothed(self.residual[None], _KERNEL)[0])
        return np.where(self.used, wide / np.where(spread > 0, spread, 1.0), 0.0)

    @property
    def correlations(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Correlation at lags 1, 2, ...: mean of the data (LAGS,), and 2.5 and 97.5 % of replicated data."""
        low, high = np.quantile(self.replicated[:, -LAGS:], [0.025, 0.975], axis=0)
        return np.mean(self.observed[:, -LAGS:], axis=0), low, high


def predictions(
    program: Program,
    layout: Layout,
    draws: np.ndarray,
    args: tuple,
    places: Sequence[Place],
    means: Mapping[str, Any],
    seed: int,
) -> list[Prediction]:
    """The discrepancies of each image at draws (N, P); `means` are model pixels at one of them, which show the sources."""
    regions = _regions(places, means)
    shapes = {site: source.shape for site, (source, *_) in regions.items()}
    totals = {site: np.zeros(shape) for site, shape in shapes.items()}
    tables = {site: np.empty((2, len(draws), shape[0], _COLUMNS)) for site, shape in shapes.items()}
    lock = Lock()

    def keep(rows: slice, found: dict) -> None:
        with lock:
            for site, (observed, replicated, deviation) in found.items():
                tables[site][0, rows], tables[site][1, rows] = observed, replicated
                totals[site] += deviation.sum(axis=0)

    for_draws(program, layout, draws, args, _discrepancies, (regions, np.uint32(seed % 2**32)), keep)
    found = []
    for image, site, row in places:
        row, (ny, nx) = row if isinstance(row, int) else 0, image.shape
        cut = (row, slice(ny), slice(nx))
        source, used = regions[site][0][cut], np.asarray(image.invvar) > 0
        observed, replicated = tables[site][:, :, row]
        found.append(
            Prediction(image.name, observed, replicated, totals[site][cut] / len(draws), source, used)
        )
    return found


def _regions(places: Sequence[Place], means: Mapping[str, Any]) -> dict[str, tuple]:
    """Of each site, which pixels are a source's, the noise of smoothed deviations, and of each image the pixels with weight
    and the pairs of these at each lag.
    """
    found: dict[str, tuple] = {}
    for image, site, row in places:
        pixels = np.asarray(means[site])
        ny, nx = pixels.shape[-2:]
        rows = pixels.size // (ny * nx)
        if site not in found:
            whole = np.full((rows, ny, nx), np.inf)
            found[site] = np.isfinite(whole), whole, np.zeros(rows), np.zeros((rows, LAGS))
        sources, spread, count, pairs = found[site]
        own, (height, width) = row if isinstance(row, int) else 0, image.shape
        model = pixels.reshape(rows, ny, nx)[own, :height, :width]
        source, used = source_pixels(image, model), np.asarray(image.invvar) > 0
        sources[own, :height, :width] = source if source.sum() >= SOURCE_PIXELS else False
        noise = np.sqrt(_smoothed(used[None].astype(float), _KERNEL**2)[0])
        spread[own, :height, :width] = np.where(used, noise, np.inf)
        count[own] = used.sum()
        pairs[own] = [_pairs(used, lag) for lag in range(1, LAGS + 1)]
    return found


def source_pixels(image: Image, model: np.ndarray) -> np.ndarray:
    """Where a model (ny, nx) stands out of its background by more than one sigma in a single pixel."""
    used = np.asarray(image.invvar) > 0
    background = np.quantile(model[used], 0.05) if used.any() else 0.0
    return used & (np.abs(model - background) * np.sqrt(image.invvar) > 1)


def _pairs(used: np.ndarray, lag: int) -> int:
    rows, columns = used[lag:] & used[:-lag], used[:, lag:] & used[:, :-lag]
    return int(rows.sum() + columns.sum())


def _discrepancies(trace: dict, known: Any) -> dict[str, tuple]:
    """Of each site those of the data, of replicated data, and the deviations of the data."""
    regions, seed = known
    found = {}
    for number, (name, region) in enumerate(sorted(regions.items())):
        site = trace[name]
        replicated = site["fn"].sample(jax.random.fold_in(_key(trace, seed), number))
        both = [jnp.reshape(deviations(site, v), region[0].shape) for v in (site["value"], replicated)]
        found[name] = (_measured(both[0], *region), _measured(both[1], *region), both[0])
    return found


def _key(trace: dict, seed: Any) -> jax.Array:
    """The random numbers of a draw: its own, in whatever order draws are rendered."""
    latents = (s["value"] for s in trace.values() if s["type"] == "sample" and not s["is_observed"])
    total = sum(jnp.sum(value) for value in latents)
    key = jax.random.PRNGKey(seed)
    for bits in jnp.ravel(jax.lax.bitcast_convert_type(total, jnp.uint32)):
        key = jax.random.fold_in(key, bits)
    return key


def _smoothed(pixels: Any, kernel: np.ndarray) -> Any:
    """Pixels (rows, ny, nx) folded with a kernel along both axes; nothing lies outside."""
    for axis in (1, 2):
        room = [(0, 0), (0, 0), (0, 0)]
        room[axis] = (len(kernel) // 2, len(kernel) // 2)
        wide, size = jnp.pad(pixels, room), pixels.shape[axis]
        shifted = (jax.lax.slice_in_dim(wide, k, k + size, axis=axis) for k in range(len(kernel)))
        pixels = sum(weight * each for weight, each in zip(kernel, shifted, strict=True))
    return pixels


def _measured(deviation, source, spread, count, pairs) -> jax.Array:
    """The discrepancies (rows, 6 + LAGS) of deviations (rows, ny, nx)."""
    chi2, number = jnp.sum(deviation**2, axis=(1, 2)), jnp.sum(source, axis=(1, 2))
    smooth = _smoothed(deviation, _KERNEL) / spread
    correlated = [
        jnp.sum(deviation[:, lag:] * deviation[:, :-lag], axis=(1, 2))
        + jnp.sum(deviation[:, :, lag:] * deviation[:, :, :-lag], axis=(1, 2))
        for lag in range(1, LAGS + 1)
    ]
    share = 1 / jnp.where(number > 0, number, jnp.nan).astype(deviation.dtype)

    def on_source(values):
        return jnp.sum(jnp.where(source, values, 0.0), axis=(1, 2)) * share

    columns = [chi2, on_source(deviation**2), on_source(smooth**2)]
    columns += [jnp.max(jnp.abs(each), axis=(1, 2)) for each in (deviation, smooth)]
    columns.append(on_source(deviation))
    shares = jnp.stack(correlated, axis=1) / jnp.where(pairs > 0, pairs, jnp.nan)
    return jnp.concatenate([jnp.stack(columns, axis=1), shares / (chi2 / count)[:, None]], axis=1)

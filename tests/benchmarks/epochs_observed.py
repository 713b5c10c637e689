"""Eight observed exposures in three filters: colours, and each exposure as the other seven predict it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
from epochs_statistics import kept

import bayesjoint as bj

EXPOSURES = ("g1", "g2", "g3", "r1", "r2", "z1", "z2", "z3")
STRUCTURE = ("q", "pa", "n", "Re")
LAGS = 3


def galaxy(images):
    """The sky is 0: it was subtracted, and the galaxy fills the frames."""
    structure = bj.sample_structure("galaxy", images)
    bj.observe(images, bj.Sersic(**structure, Ie=bj.sample_brightness("galaxy", images, structure)))


def read_exposures(folder: Path) -> bj.ImageSet:
    """Exposures named g1 ... z3, whose bands are their filters."""
    folder = folder / "decam_dithers_2447p120"
    return bj.ImageSet(
        [bj.read_image(folder / f"{name}.fits", name=name, band=name[0]) for name in EXPOSURES]
    )


def observed(folder: Path, scratch: Path) -> dict[str, Any]:
    """Each exposure as the others predict it, and the colours of all together."""
    images, rows = read_exposures(folder), {}
    for name in EXPOSURES:
        rows[name] = kept(scratch / f"{name}.json", lambda name=name: left_out(images, name))
    return {"left_out": rows, "colours": kept(scratch / "colours.json", lambda: colours(images))}


def colours(images: bj.ImageSet) -> dict[str, list[float]]:
    """Median and standard deviation, mag."""
    posterior = bj.sample(galaxy, images, method="laplace", draws=100, progress=False)
    pairs = {f"{a} - {b}": posterior.colour(a, b) for a, b in (("g", "r"), ("r", "z"))}
    return {name: [float(one.median), float(one.sd)] for name, one in pairs.items()}


def left_out(images: bj.ImageSet, name: str, draws: int = 50) -> dict[str, float]:
    """How an exposure compares with what the others predict for it.

    Its flux over that predicted (by least squares, with the predicted shape), with the error of its noise and of the
    prediction, and with noise as wide and as correlated as its residuals; chi2 of its pixels over their number, with and
    without the covariance that the prediction's errors give them.
    """
    others = bj.ImageSet([image for image in images if image.name != name], frame=images.frame)
    posterior = bj.sample(galaxy, others, method="laplace", draws=draws, progress=False)
    image = images[name]
    models = predicted(posterior, image, others.bands.index(image.band))
    root = np.sqrt(image.invvar)
    mean, data = root * models.mean(axis=0), root * np.asarray(image.data)
    scales = np.sum(root * models * data, axis=(1, 2)) / np.sum((root * models) ** 2, axis=(1, 2))
    noise = np.sum(mean**2) ** -0.5
    residual = data - scales.mean() * mean
    used = image.number_used
    departures = (root * (models - models.mean(axis=0))).reshape(len(models), -1) / np.sqrt(len(models) - 1)
    wide = noise * np.sqrt(inflation(mean, residual))
    away = (data - mean).ravel()
    known = np.linalg.solve(np.eye(len(models)) + departures @ departures.T, departures @ away)
    return {
        "ratio": float(scales.mean()),
        "error": float(np.hypot(noise, scales.std())),
        "wide_error": float(np.hypot(wide, scales.std())),
        "chi2": float(np.sum(away**2) / used),
        "chi2_with_prediction": float((np.sum(away**2) - away @ departures.T @ known) / used),
        "chi2_of_shape": float(np.sum(residual**2) / used),
        "correlation": float(np.mean(correlation(residual)[[0, 1], [1, 0]])),
        "trusted": bool(posterior.importance.resampled),
    }


def predicted(posterior: bj.Posterior, image: bj.Image, band: int) -> np.ndarray:
    """Model pixels (draws, ny, nx) of an image that the posterior has not seen."""

    def flat(site):
        values = posterior.values(site)
        return values.reshape(-1, *values.shape[2:])

    shape = {key: flat(f"galaxy_{key}") for key in STRUCTURE}
    centre = np.stack([flat("galaxy_east"), flat("galaxy_north")], axis=-1)
    Ie = flat("galaxy_Ie")[:, band]
    draw = jax.jit(lambda place, shape, Ie: bj.render(image, bj.Sersic(place, **shape, Ie=Ie)))
    rows = range(len(Ie))
    return np.stack([draw(centre[i], {key: each[i] for key, each in shape.items()}, Ie[i]) for i in rows])


def correlation(residual: np.ndarray) -> np.ndarray:
    """Of residuals by lag [y, x] up to LAGS pixels; 1 at none."""
    found = np.zeros((LAGS + 1, LAGS + 1))
    ny, nx = residual.shape
    for y, x in np.ndindex(found.shape):
        here, there = residual[y:, x:], residual[: ny - y, : nx - x]
        mirrored = residual[y:, : nx - x], residual[: ny - y, x:]
        found[y, x] = 0.5 * (np.sum(here * there) + np.sum(mirrored[0] * mirrored[1]))
    return found / found[0, 0]


def inflation(template: np.ndarray, residual: np.ndarray) -> float:
    """By what the variance of an amplitude grows where noise is as wide as the residuals and correlates as they do."""
    twice = np.ones((LAGS + 1, LAGS + 1)) * 4
    twice[0], twice[:, 0] = 2, 2
    twice[0, 0] = 1
    factor = float(np.sum(twice * correlation(residual) * correlation(template)))
    return max(factor, 1.0) * float(np.mean(residual[residual != 0] ** 2))

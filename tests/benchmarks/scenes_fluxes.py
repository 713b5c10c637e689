"""Fluxes of blended galaxies over many realisations of the noise: joint fits from detection on, beside aperture photometry.

The apertures are given all that can be known: the true places, the true sky, and the light that each galaxy of its true
shape loses. What is left of their error is the neighbours' light, and noise.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from astropy.io import fits
from machine import markdown_table
from photutils.aperture import CircularAperture, aperture_photometry

REALISATIONS = 50
RADII = (1.0, 0.5)  # of the FWHM


def fluxes(images: Any, truth: dict[str, np.ndarray], prefix: str) -> dict[str, Any]:
    """Of each realisation, method, galaxy and band the flux, nJy; of fits also their errors."""
    import bayesjoint as bj

    clean = [_noiseless(image, prefix) for image in images]
    corrections = {ratio: _corrections(images, truth, ratio) for ratio in RADII}
    found: dict[str, list] = {"fit": [], "error": [], **{f"aperture {ratio}": [] for ratio in RADII}}
    spurious, missed, pulls = 0, 0, []
    for i in range(REALISATIONS):
        rng = np.random.default_rng([50, i])
        noisy = [_with_noise(image, pixels, rng) for image, pixels in zip(images, clean, strict=True)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            field = bj.ImageSet(noisy)
            field = field.with_sources(bj.find_sources(field))
            fit = bj.fit_map(bj.scene_model(), field, progress=False)
        value, error = _of_the_true(field, fit, truth["place"])
        spurious += len(field.sources) - int(np.isfinite(value[:, 0]).sum())
        missed += int(np.isnan(value[:, 0]).sum())
        pulls.append(_pulls(field, fit, truth))
        found["fit"].append(value.tolist())
        found["error"].append(error.tolist())
        for ratio in RADII:
            sums = [_aperture(image, truth["place"], ratio) for image in noisy]
            found[f"aperture {ratio}"].append((np.stack(sums, axis=1) / corrections[ratio]).tolist())
    about = {"bands": list(images.bands), "truth": truth["flux"].tolist()}
    return about | {"spurious": spurious, "missed": missed, "fluxes": found, "pulls": pulls}


def _noiseless(image: Any, prefix: str) -> np.ndarray:
    return fits.getdata(f"{prefix}_{image.band}.fits", "TRUTH") * 10 ** (0.4 * (31.4 - image.zeropoint))


def _with_noise(image: Any, pixels: np.ndarray, rng: np.random.Generator) -> Any:
    return image.with_data(pixels + rng.normal(size=pixels.shape) / np.sqrt(np.asarray(image.invvar)))


def _pulls(field: Any, fit: Any, truth: dict[str, np.ndarray]) -> list[list[float]]:
    """Deviations over errors (galaxies found, parameters) of the fit's structure."""
    wanted = {"east": truth["place"][:, 0], "north": truth["place"][:, 1], "n": truth["n"], "Re": truth["Re"]}
    there = np.stack([fit.values["source_east"], fit.values["source_north"]], axis=1)
    rows = []
    for i, true in enumerate(truth["place"]):
        distance = np.hypot(*(there - true).T)
        if distance.min() < 1.0:
            name = field.sources.names[int(distance.argmin())]
            sites = {key: f"{name}_{key}" for key in wanted}
            rows.append(
                [float((fit.values[at] - wanted[key][i]) / fit.errors[at]) for key, at in sites.items()]
            )
    return rows


def _of_the_true(field: Any, fit: Any, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fluxes and errors (galaxies, bands) of the sources that are the true ones; NaN of those that were not found."""
    there = np.stack([fit.values["source_east"], fit.values["source_north"]], axis=1)
    value = np.full((len(place), len(field.bands)), np.nan)
    error = value.copy()
    for i, true in enumerate(place):
        distance = np.hypot(*(there - true).T)
        if distance.min() < 1.0:
            name = f"{field.sources.names[int(distance.argmin())]}_flux"
            value[i], error[i] = fit.values[name], fit.errors[name]
    return value, error


def _corrections(images: Any, truth: dict[str, np.ndarray], ratio: float) -> np.ndarray:
    """Of each galaxy, alone, the share of its flux (galaxies, bands) that the aperture holds."""
    import bayesjoint as bj

    shares = np.empty(truth["flux"].shape)
    for i in range(len(shares)):
        shape = {key: float(truth[key][i]) for key in ("q", "pa", "n", "Re")}
        one = bj.Sersic(tuple(truth["place"][i]), **shape, Ie=1.0)
        for k, image in enumerate(images):
            alone = image.with_data(np.asarray(bj.render(image, one)) / float(one.flux))
            shares[i, k] = _aperture(alone, truth["place"][i : i + 1], ratio)[0]
    return shares


def _aperture(image: Any, place: np.ndarray, ratio: float) -> np.ndarray:
    """Sums in circles of `ratio` FWHM about places (galaxies, 2) given in arcsec East and North."""
    centres = [np.asarray(image.pixel_map.linearise(np.asarray(one))[0]) for one in place]
    circles = CircularAperture(np.stack(centres), ratio * image.psf.fwhm_pixels)
    table = aperture_photometry(np.asarray(image.data, float), circles)
    return np.asarray(table["aperture_sum"], float)


def page(rows: list[dict]) -> str:
    """By band and method: how far fluxes are from the truth on average, and in their scatter."""
    (row,) = rows
    truth, found = np.array(row["truth"]), {key: np.array(value) for key, value in row["fluxes"].items()}
    error = found.pop("error")
    lines = []
    for k, band in enumerate(row["bands"]):
        for method, values in found.items():
            away = values[..., k] - truth[:, k]
            bias = np.nanmean(away, axis=0)
            of_bias = np.nanstd(away, axis=0) / np.sqrt(np.sum(np.isfinite(away), axis=0))
            spread = np.sqrt(np.nanmean(away**2))
            cells = [
                f"{one:+.1%} ± {its:.1%}"
                for one, its in zip(bias / truth[:, k], of_bias / truth[:, k], strict=True)
            ]
            pulls = np.abs(away / error[..., k]) if method == "fit" else None
            held = (
                ""
                if pulls is None
                else ", ".join(f"{np.nanmean(pulls < edge):.2f}" for edge in (0.9945, 1.96))
            )
            lines.append(
                (band, _NAMES.get(method, method), *cells, f"{spread / truth[:, k].mean():.1%}", held)
            )
    names = [f"galaxy {i + 1}" for i in range(len(truth))]
    columns = ("band", "method", *names, "error, rms", "within 68, 95 %")
    count = (
        f"Not found {row['missed']}, spurious {row['spurious']} of {REALISATIONS * len(truth)} sources.\n\n"
    )
    pulls = np.abs(np.concatenate(row["pulls"]))
    held = [
        (key, len(pulls), *(f"{np.mean(pulls[:, k] < edge):.2f}" for edge in (0.9945, 1.96)))
        for k, key in enumerate(("east", "north", "n", "Re"))
    ]
    structure = markdown_table(("parameter of the fit", "galaxies", "within 68 %", "within 95 %"), held)
    return count + markdown_table(columns, lines) + "\n" + structure


_NAMES = {"fit": "joint fit", **{f"aperture {ratio}": f"aperture of {ratio:g} FWHM" for ratio in RADII}}

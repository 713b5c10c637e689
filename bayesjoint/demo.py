"""The demonstration: a galaxy seen by three telescopes, simulated with known truth, or LEDA 41136 as served.

Both give r at 0.262", W1 at 2.75" and NUV at 1.5" per pixel, 260,804 pixels in all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import jax
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from scipy.special import ndtr

import bayesjoint as bj
from bayesjoint.data.analytic_psf import FWHM_PER_SIGMA
from bayesjoint.data.image import AB_ZEROPOINT_NJY

if TYPE_CHECKING:
    from bayesjoint.report.posterior import Posterior

RA, DEC = 187.3119, 12.9783
VIEWER = "https://www.legacysurvey.org/viewer/fits-cutout"
VIEWER_VARIABLE = "BAYESJOINT_VIEWER_URL"
WELL_SAMPLED_FWHM = 4.0
_render = jax.jit(bj.render)
STRUCTURE = {"east": 0.83, "north": -1.21, "q": 0.62, "pa": 37.0, "n": 1.7, "Re": 12.5}


@dataclass(frozen=True)
class Band:
    """One telescope's image of the scene.

    Attributes
    ----------
    pixels : int
        Along each side.
    scale, fwhm : float
        Pixel and Gaussian PSF (before the pixel), arcsec.
    zeropoint, mag : float
        AB magnitude of one data unit, and of the simulated galaxy.
    sky_sigma, gain : float
        Noise of the sky per pixel in data units, and electrons per data unit.
    layer, filter : str
        Names by which the Legacy Surveys viewer serves it.
    """

    pixels: int
    scale: float
    fwhm: float
    zeropoint: float
    mag: float
    sky_sigma: float
    gain: float
    layer: str = ""
    filter: str = ""


BANDS = {
    "r": Band(500, 0.262, 1.12, 22.5, 14.6, 0.004, 400, "ls-dr9", "r"),
    "W1": Band(52, 2.75, 6.1, 25.199, 15.2, 0.9, 50, "unwise-neo7", "1"),
    "NUV": Band(90, 1.5, 5.4, 20.08, 17.6, 0.0025, 3000, "galex", "n"),
}


def simulate(
    folder: str | os.PathLike, bands: Mapping[str, Band] = BANDS, seed: int = 1, **structure: float
) -> tuple[list[Path], dict[str, Any]]:
    """Simulate the scene and write one FITS file per band.

    Parameters
    ----------
    folder : path
        Made when missing.
    bands : dict of Band
    seed : int
        Of the noise, Gaussian with the variance of sky and photons.
    **structure : float
        True values other than `STRUCTURE`'s of east, north, q, pa, n, Re.

    Returns
    -------
    paths : list of Path
        HDU 0 data with WCS, ZPT and BAND; INVVAR; PSF.
    truth : dict
        east, north, q, pa, n, Re, and by band Ie (nJy/arcsec^2), flux (nJy), mag and sky.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shape = STRUCTURE | structure
    truth: dict[str, Any] = {**shape, "Ie": {}, "flux": {}, "mag": {}, "sky": {}}
    noise = np.random.default_rng(seed)
    paths = []
    for name, band in bands.items():
        galaxy = _galaxy(shape, band.mag)
        paths.append(_write_band(folder / f"{name}.fits", name, band, galaxy, noise))
        truth["Ie"][name], truth["flux"][name] = float(galaxy.Ie), float(galaxy.flux)
        truth["mag"][name], truth["sky"][name] = band.mag, 0.0
    return paths, truth


def _galaxy(shape: Mapping[str, float], mag: float) -> bj.Sersic:
    """The galaxy of a magnitude: its Ie follows from the flux that Ie = 1 gives."""
    own = {key: shape[key] for key in ("q", "pa", "n", "Re")}
    centre = np.array([shape["east"], shape["north"]])
    unit = float(bj.Sersic(centre, **own, Ie=1.0).flux)
    return bj.Sersic(centre, **own, Ie=10 ** (-0.4 * (mag - AB_ZEROPOINT_NJY)) / unit)


def _write_band(path: Path, name: str, band: Band, galaxy: bj.Sersic, noise: np.random.Generator) -> Path:
    shape = (band.pixels, band.pixels)
    blank = bj.Image(
        np.zeros(shape),
        wcs=_wcs(band),
        zeropoint=band.zeropoint,
        psf=bj.gaussian_psf(band.fwhm),
        invvar=np.ones(shape),
        band=name,
    )
    model = np.asarray(_render(blank, galaxy)) * 10 ** (0.4 * (band.zeropoint - AB_ZEROPOINT_NJY))
    variance = band.sky_sigma**2 + np.clip(model, 0, None) / band.gain
    data = model + noise.normal(size=shape) * np.sqrt(variance)
    header = _wcs(band).to_header()
    header["ZPT"] = (band.zeropoint, "AB magnitude of one data unit")
    header["BAND"] = name
    stamp, oversampling = effective_stamp(band.fwhm / band.scale)
    psf = fits.ImageHDU(stamp, name="PSF")
    psf.header["OVERSAMP"] = (oversampling, "samples per image pixel")
    psf.header["PIXINCL"] = (True, "the pixel's response is included")
    weights = fits.ImageHDU((1 / variance).astype("f4"), name="INVVAR")
    fits.HDUList([fits.PrimaryHDU(data.astype("f4"), header), weights, psf]).writeto(path)
    return path


def _wcs(band: Band) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [RA, DEC]
    wcs.wcs.crpix = [(band.pixels + 1) / 2] * 2
    wcs.wcs.cdelt = [-band.scale / 3600, band.scale / 3600]
    return wcs


def effective_stamp(fwhm: float) -> tuple[np.ndarray, int]:
    """A Gaussian of `fwhm` pixels seen through the pixel, as a stamp of sum 1, and its oversampling.

    The exact integral over each pixel, sampled three times a pixel where the PSF is narrow.
    """
    sigma = fwhm / FWHM_PER_SIGMA
    oversampling = 1 if fwhm > WELL_SAMPLED_FWHM else 3
    reach = int(np.ceil((6 * sigma + 0.5) * oversampling))
    x = np.arange(-reach, reach + 1) / oversampling
    profile = ndtr((x + 0.5) / sigma) - ndtr((x - 0.5) / sigma)
    stamp = np.outer(profile, profile)
    return stamp / stamp.sum(), oversampling


def cutout_url(band: Band, base: str | None = None) -> str:
    """Where the viewer serves a band's cutout of LEDA 41136; `base` or $BAYESJOINT_VIEWER_URL replace it."""
    query = {
        "ra": RA,
        "dec": DEC,
        "size": band.pixels,
        "layer": band.layer,
        "pixscale": band.scale,
        "bands": band.filter,
    }
    return f"{base or os.environ.get(VIEWER_VARIABLE) or VIEWER}?{urlencode(query)}"


def download(
    folder: str | os.PathLike,
    bands: Mapping[str, Band] = BANDS,
    base: str | None = None,
    timeout: float = 60.0,
) -> list[Path]:
    """Download LEDA 41136 through astropy's cache, and copy it into a folder.

    Parameters
    ----------
    folder : path
        Made when missing.
    bands : dict of Band
    base : str, optional
        Address of the service; default $BAYESJOINT_VIEWER_URL, else the Legacy Surveys viewer.
    timeout : float
        Seconds to wait for an answer.

    Returns
    -------
    list of Path
        <band>.fits of each band, as it was served: without zero point, PSF and weights.

    Raises
    ------
    ConnectionError
        When a cutout cannot be had; says what to do instead.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, band in bands.items():
        cached = _fetch(cutout_url(band, base), timeout, bands, base)
        paths.append(folder / f"{name}.fits")
        shutil.copyfile(cached, paths[-1])
    return paths


def _fetch(url: str, timeout: float, bands: Mapping[str, Band], base: str | None) -> Path:
    """A cached copy of what a URL serves; what is not FITS is not kept."""
    from astropy.utils.data import clear_download_cache, download_file

    try:
        path = Path(download_file(url, cache=True, show_progress=False, timeout=timeout))
    except (OSError, ValueError) as error:
        getattr(error, "close", lambda: None)()  # an HTTPError holds its connection open
        raise ConnectionError(_how_else(f"{url} cannot be had ({error})", bands, base)) from None
    with path.open("rb") as start:
        if start.read(6) == b"SIMPLE":
            return path
    clear_download_cache(url)
    raise ConnectionError(_how_else(f"{url} did not serve a FITS file", bands, base))


def _how_else(problem: str, bands: Mapping[str, Band], base: str | None) -> str:
    urls = " ".join(f"{name}.fits from {cutout_url(band, base)}" for name, band in bands.items())
    return (
        f"{problem}: run 'bayesjoint demo' for the simulated scene, which needs no network, or get by hand "
        f"{urls} and run '{fit_command(bands)}'"
    )


def fit_command(bands: Mapping[str, Band] = BANDS) -> str:
    """The command that fits the downloaded files."""
    files = " ".join(f"{name}.fits" for name in bands)
    options = " ".join(
        f"--zeropoint {name}={band.zeropoint} --psf {name}=gaussian:{band.fwhm}"
        for name, band in bands.items()
    )
    return f"bayesjoint fit {files} {options} --out LEDA41136"


def known_of_cutouts(bands: Mapping[str, Band] = BANDS) -> dict[str, Any]:
    """What the downloaded files do not say of themselves, as arguments of `bj.read_images`."""
    return {
        "zeropoint": {name: band.zeropoint for name, band in bands.items()},
        "psf": {name: bj.gaussian_psf(band.fwhm) for name, band in bands.items()},
        "band": {name: name for name in bands},
        "position": (RA, DEC),
    }


def pulls(posterior: Posterior, truth: Mapping[str, Any]) -> list[tuple[str, float, float, float, float]]:
    """Label, truth, posterior mean, sd, and (mean - truth) / sd of every quantity whose truth is known."""
    from bayesjoint.report.plots import truth_of

    rows = []
    for quantity in posterior.quantities:
        value = truth_of(quantity, truth)
        if value is not None and quantity.varies:
            mean, sd = float(np.mean(quantity.draws)), float(np.std(quantity.draws))
            rows.append((quantity.label, value, mean, sd, (mean - value) / sd))
    return rows


def pull_table(rows: Sequence[tuple[str, float, float, float, float]]) -> str:
    """The rows of `pulls` as a text table."""
    width = max((len(row[0]) for row in rows), default=0)
    head = f"{'':{width}}  {'truth':>12}  {'posterior':>12}  {'sd':>10}  pull"
    lines = [f"{n:{width}}  {t:12.6g}  {m:12.6g}  {s:10.3g}  {p:+.2f}" for n, t, m, s, p in rows]
    return "\n".join([head, *lines])

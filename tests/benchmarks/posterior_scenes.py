"""Galaxies simulated by others, fitted from automatic starts, compared with the truth beside them.

A folder holds NNN_A.fits, NNN_B.fits, NNN_C.fits (data, WCS, zero point, INVVAR, and PSFUP3: the PSF three times finer than
the pixels, without the pixel) and NNN_truth.json (of each galaxy east, north, q, pa, n, re and flux of each band).
"""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits

import bayesjoint as bj
from bayesjoint.report.calibrate import placed
from bayesjoint.report.calibration import Calibration
from bayesjoint.report.quantities import Quantity

BANDS = "ABC"


def fitted(folder: Path) -> tuple[Calibration, list[dict]]:
    """Every scene of a folder: ranks and pulls of all, and how each fit went."""
    rows = [_one(path) for path in sorted(folder.glob("*_truth.json"))]
    return Calibration.from_results(rows), rows


def _one(truth: Path) -> dict:
    number = truth.name.removesuffix("_truth.json")
    files = [truth.with_name(f"{number}_{band}.fits") for band in BANDS]
    psf = {
        band: bj.PSF(fits.getdata(file, "PSFUP3"), oversampling=3, includes_pixel=False)
        for band, file in zip(BANDS, files, strict=True)
    }
    true = json.loads(truth.read_text())["galaxies"][0]
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = bj.read_images(*files, psf=psf)
        program = bj.joint_model()
        fit = bj.fit_map(program, images, progress=False)
        between = time.perf_counter()
        posterior = bj.sample(program, images, init=fit, seed=int(number), progress=False)
    after = time.perf_counter()
    zeropoint = float(fits.getheader(files[0])["ZPT"])
    row = {
        "scene": number,
        "quantities": _compared(posterior.quantities, true, 10 ** (0.4 * (31.4 - zeropoint))),
        "seconds": after - began,
        "fit_seconds": between - began,
        "converged": bool(fit.converged),
        "trusted": bool(posterior.verdict.trusted),
        "headline": posterior.verdict.headline,
        "likelihood": posterior.idata.attrs["likelihood"],
        "least_ess": posterior.least_ess()[1],
    }
    print(number, f"{row['seconds']:.1f} s", row["headline"], flush=True)
    return row


def _compared(found: list[Quantity], true: dict, to_njy: float) -> dict[str, dict]:
    """Where the truth lies among the draws."""
    draws = {q.parameter: q.draws for q in found if q.parameter in ("east", "north", "q", "pa", "n", "Re")}
    flux = {q.band: q.draws for q in found if q.parameter == "flux"}
    wanted = {name: true[name] for name in ("east", "north", "q", "n")} | {"Re": true["re"]}
    rows = {name: placed(draws[name], value) for name, value in wanted.items()}
    rows["pa"] = placed((draws["pa"] - true["pa"] + 90) % 180 - 90, 0.0)
    truth = {band: true["flux"][band] * to_njy for band in BANDS}
    rows |= {f"flux {band}": placed(flux[band], truth[band]) for band in BANDS}
    for a, b in ("AB", "BC", "AC"):
        # of fluxes of any sign: their ratio, cross-multiplied
        rows[f"colour {a}-{b}"] = placed(flux[b] * truth[a] - flux[a] * truth[b], 0.0)
    return {name: {key: float(np.asarray(value)) for key, value in row.items()} for name, row in rows.items()}

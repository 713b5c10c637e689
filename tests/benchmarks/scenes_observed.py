"""Observed fields, from files to fluxes: what is found, how well it is fitted, and what is left."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from machine import markdown_table

SATURATED, CORE = (10.138, -6.571), 1.6  # arcsec East and North of the spiral, and around it
MOST = 15  # sources of which fluxes are written
FIELDS = {
    "kids_viking_group": "u g r i Z Y J H Ks",
    "gama202627": "r K NUV",
    "decam_unwise_1867p255": "z W1 W2",
}


def fitted(folder: str, figures: str) -> dict[str, Any]:
    """A field fitted, pruned and fitted again; a figure of its images, models and residuals beside the others."""
    import bayesjoint as bj

    name = Path(folder).name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = bj.read_images(*(Path(folder) / f"{band}.fits" for band in FIELDS[name].split()))
        began = time.perf_counter()
        table = bj.find_sources(images)
        if name == "gama202627":
            images = _without_saturated(images, bj)
        found = len(table)
        table, others = edited(name, table)
        asked = len(table)
        first = bj.fit_map(bj.scene_model(), images.with_sources(table, mask_others=others), progress=False)
        if not others:  # none are meant to be left
            table = bj.add_sources(first, images, table)
            first = bj.fit_map(bj.scene_model(), images.with_sources(table), start=first, progress=False)
        pruned = bj.prune_sources(first, table)
        kept = pruned[[not reason for reason in pruned["dropped"]]]
        images = images.with_sources(kept, mask_others=others)
        fit = bj.fit_map(bj.scene_model(), images, progress=False)
        seconds = time.perf_counter() - began
        bj.plot_images(images, fit).savefig(Path(figures) / f"field_{name}.png", dpi=200)
    clear = [_outside(image, one) for image, one in zip(images, fit.images, strict=True)]
    return {
        "name": name,
        "found": found,
        "asked": asked,
        "added": len(table) - asked,
        "kept": len(kept),
        "dropped": [f"{row['name']}: {row['dropped']}" for row in pruned if row["dropped"]],
        "parameters": fit.layout.size,
        "iterations": fit.iterations,
        "converged": bool(fit.converged),
        "seconds": seconds,
        "images": list(images.names),
        "pixels": [int(n) for n in fit.pixels],
        "chi2": (fit.chi2 / fit.pixels).tolist(),
        "outside": clear,
        "fluxes": _fluxes(fit, images, kept),
    }


def edited(name: str, table: Any) -> tuple[Any, bool]:
    """What a person would change in the table: of the spiral's field the bright sources are modelled, others masked; the
    brightest galaxy of the group is a bulge and what is about it.
    """
    if name == "kids_viking_group":
        table["kind"][int(np.argmax(table["snr"]))] = "bulge+disc"
    if name != "gama202627":
        return table, False
    table = table[table["snr"] > 100]
    table["kind"][int(np.argmax(table["snr"]))] = "star"  # whose core is saturated
    spiral = int(np.argmin(np.hypot(table["east"], table["north"])))
    table["kind"][spiral] = "bulge+disc"
    return table, True


def _without_saturated(images: Any, bj: Any) -> Any:
    """Without the core of the star beside the spiral, which fills its pixels in r."""
    r = images["VST_r"]
    rows, columns = np.indices(r.shape)
    x, y = np.asarray(r.pixel_map.linearise(np.array(SATURATED))[0])
    core = np.hypot(rows - y, columns - x) < CORE / r.pixel_scale
    return bj.ImageSet([r.with_mask(core), *list(images)[1:]])


def _outside(image: Any, one: Any) -> float:
    """chi2/pixel without the circle of two FWHM about the brightest pixel of the model."""
    residual = np.asarray(one.residual)
    peak = np.unravel_index(int(np.argmax(np.asarray(one.model))), residual.shape)
    rows, columns = np.indices(residual.shape)
    far = np.hypot(rows - peak[0], columns - peak[1]) > 2 * image.psf.fwhm_pixels
    used = far & (np.asarray(image.invvar) > 0)
    return float(np.mean(residual[used] ** 2))


def _fluxes(fit: Any, images: Any, table: Any) -> list[list]:
    rows = []
    for row in table[:MOST]:
        flux, error = fit.values[f"{row['name']}_flux"], fit.errors[f"{row['name']}_flux"]
        place = [float(row["ra"]), float(row["dec"])]
        rows.append([str(row["name"]), str(row["kind"]), *place, flux.tolist(), error.tolist()])
    return rows


def page(rows: list[dict]) -> str:
    """What became of each field, and the fluxes of its brightest sources."""
    texts = []
    for row in rows:
        state = f"{row['iterations']} iterations" if row["converged"] else "NOT converged"
        texts.append(
            f"### {row['name']}\n\n{row['found']} sources found, {row['asked']} modelled, {row['added']} more found in what "
            f"that left, {row['kept']} after pruning; {row['parameters']} parameters, {state}, {row['seconds']:.0f} s from "
            "detection to the last fit.\n"
        )
        texts.append("".join(f"- pruned {text}\n" for text in row["dropped"]))
        columns = ["chi²/pixel", *row["images"]]
        lines = [["all pixels", *(f"{x:.2f}" for x in row["chi2"])]]
        lines.append(["outside the brightest core", *(f"{x:.2f}" for x in row["outside"])])
        texts.append(markdown_table(columns, lines))
        if len(row["images"]) <= 3:
            bands = [f"{name}, µJy" for name in row["images"]]
            cells = [
                [name, kind, f"{ra:.5f}", f"{dec:+.5f}", *map(_with_error, flux, error)]
                for name, kind, ra, dec, flux, error in row["fluxes"]
            ]
            texts.append(markdown_table(["source", "kind", "RA", "Dec", *bands], cells))
        texts.append(f"![Data, model and residuals of {row['name']}](../figures/field_{row['name']}.png)\n")
    return "\n".join(text for text in texts if text)


def _with_error(flux: float, error: float) -> str:
    digits = max(0, 1 - int(np.floor(np.log10(error / 1000))))
    return f"{flux / 1000:.{digits}f} ± {error / 1000:.{digits}f}"

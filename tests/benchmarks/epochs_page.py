"""The page of epochs.py, from what its parts left."""

from __future__ import annotations

from typing import Any

import numpy as np
from epochs_statistics import ratio_of_scatters
from machine import markdown_table

TITLE = """# Several images of a band, and sources that vary

What joint fits of images in their native pixels give that stacks do not. Scenes are drawn by GalSim, under PSFs and
WCS that are known. Made by `python tests/benchmarks/epochs.py`.
"""

DITHERS = """## Eight exposures and their average

A galaxy of n = 2 and Re 0.5" in eight exposures of 60² px of 0.3", at random dithers of up to three pixels, three of
them turned, at seeings of 0.75" to 1.8"; S/N {snr}. The average is Lanczos-interpolated (as SWarp does) and weighted
by inverse variance; its PSF is that of a star in the same place, without noise. Its noise is given in three ways: by
the weights added up, by the scatter of its blank pixels, and with the correlation of its noise measured by
`noise_correlation`. {count} realisations; deviations are of logarithms, in per cent; errors are the medians of the
fits' own, and what lies within them is given at 68 and 95 %.

"""
AFTER_DITHERS = """
Scatter of the average's (weights added up) over that of the joint fit, of the same realisations: {right}. With zero
points off by 3 %, over the joint fit that samples flux scales (`sample_registration(images, flux_scale=0.03,
reference=False)`): {off}. One sd of a share of {count} is 6 % at 68 %, 3 % at 95 %.

"""

UNDERSAMPLED = """## Pixels as wide as the PSF

PSF of 0.4" in pixels of 0.3" (FWHM 1.33 px). A galaxy of Re 0.15" and n = 1, half a pixel large, and a pair of stars
0.22" apart (0.75 px, fluxes 2 to 1), each of 1050 nJy, 12 nJy a pixel: eight exposures at random dithers, every other
turned by 90 degrees. *Told from a star*: chi² falls by more than five sigma against a single star. {count}
realisations. A single exposure of the same total time has the same photons, and the pixels of one dither.

"""

SUPERNOVA = """## A supernova on its host

Twelve epochs in g, r and i (36 images of 44² px of 0.3"), at seeings of 0.8", 1.1" and 1.5" and two orientations in
turn; a host of n = 2 and Re 1.5", a supernova 0.4" from its nucleus whose peak in r, {peak:.0f} nJy, lies 3 mag below
the host's light within 0.5". Three epochs come before the explosion. {count} realisations of all that comes after;
*bright* is over 150 nJy, about three sigma. Difference imaging: the epochs before, averaged, are the reference of
each band; it is matched to each epoch's seeing by the exact kernel (or the epoch to it, where that is broader), all
on one grid; PSF photometry on the difference at the true place, with the errors of independent pixels. The joint fits
know neither place nor host nor skies.

"""
AFTER_SUPERNOVA = """
*Limits* are those at 95 % of epochs under three sigma: how many, and in what share the truth is fainter. Errors of
the joint fits are those of the fit's Gaussian; a fit takes {seconds}. The function of time has a peak and a fall in
each band and one rise, which is how the supernova was made; the process knows nothing of it.

![Light curves as simulated and as measured](../figures/supernova.png)

"""


def page(found: dict[str, dict]) -> str:
    """Markdown of the parts that are there."""
    texts = [TITLE]
    for part, write in PARTS.items():
        if part in found:
            texts.append(write(found[part]["found"]) + "\n" + found[part]["measured"] + "\n")
    return "\n".join(texts)


def dithers(roads: dict[str, Any]) -> str:
    count = len(roads["jointly"]["away"]["n"])
    flux = roads["jointly"]["parameters"]["flux"]["error"]
    stack, scaled = "stack, weights added up", "zero points off: jointly, flux scales sampled"
    ratios = {
        "right": ratios_of(roads[stack], roads["jointly"]),
        "off": ratios_of(roads[f"zero points off: {stack}"], roads[scaled]),
    }
    head = DITHERS.format(snr=f"{1 / flux:.0f} in flux", count=count)
    return head + errors_table(roads, ("n", "Re", "flux")) + AFTER_DITHERS.format(count=count, **ratios)


def ratios_of(road: dict, other: dict) -> str:
    pairs = {name: ratio_of_scatters(road["away"][name], other["away"][name]) for name in ("n", "Re", "flux")}
    return ", ".join(f"{name} {ratio:.2f} ± {error:.2f}" for name, (ratio, error) in pairs.items())


def errors_table(roads: dict[str, Any], names: tuple[str, ...]) -> str:
    """Bias, scatter, error and coverage of parameters, a row for each road."""
    rows = []
    for road, told in roads.items():
        row = [road]
        for name in names:
            one = {key: 100 * value for key, value in told["parameters"][name].items()}
            row += [
                f"{one['bias']:+.2f} ± {one['bias_error']:.2f}",
                f"{one['scatter']:.2f}",
                f"{one['error']:.2f}",
                f"{one['within_68']:.0f}, {one['within_95']:.0f}",
            ]
        rows.append(row)
    columns = [f"{name}: {what}" for name in names for what in ("bias", "scatter", "error", "within")]
    return markdown_table(("by", *columns), rows)


def undersampled(roads: dict[str, Any]) -> str:
    texts = [UNDERSAMPLED.format(count=len(roads["galaxy: jointly"]["away"]["n"]))]
    for scene, names in {"galaxy": ("Re", "flux"), "pair": ("separation", "flux of the fainter")}.items():
        own = {road.partition(": ")[2]: told for road, told in roads.items() if road.startswith(scene)}
        rows = []
        for road, told in own.items():
            row = [road, f"{100 * told['told']:.0f} %", f"{told['gain']:.0f}"]
            for name in names:
                one = told["parameters"][name]
                away = 100 * np.array(told["away"][name])
                row += [f"{np.median(away):+.0f}", f"{_width(away):.0f}", f"{100 * one['error']:.0f}"]
                row += [f"{100 * one['within_68']:.0f}, {100 * one['within_95']:.0f}"]
            rows.append(row)
        columns = [f"{name}: {what}" for name in names for what in ("median", "scatter", "error", "within")]
        head = ("by", "told from a star", "chi² gained")
        texts.append(f"The {scene}, deviations in per cent (scatter: half the width of the middle 68 %):\n\n")
        texts.append(markdown_table((*head, *columns), rows) + "\n")
    return "".join(texts)


def _width(away: np.ndarray) -> float:
    low, high = np.quantile(away, [0.16, 0.84])
    return (high - low) / 2


def supernova(found: dict[str, Any]) -> str:
    rows, seconds = [], []
    for road, told in found["roads"].items():
        row = [road]
        for part in ("bright", "faint"):
            one = told[part]
            row += [
                f"{one['bias']:+.1f} ± {one['bias_error']:.1f}",
                f"{one['scatter']:.1f}",
                f"{one['error']:.1f}",
                f"{100 * one['within_68']:.0f}, {100 * one['within_95']:.0f}",
            ]
        row.append(f"{told['limits']['count']}, {100 * told['limits']['hold']:.0f} %")
        rows.append(row)
        seconds += [f"{told['seconds']:.0f} s ({road})"] if "seconds" in told else []
    columns = [
        f"{part}: {what}" for part in ("bright", "faint") for what in ("bias", "scatter", "error", "within")
    ]
    table = markdown_table(("by", *(f"{name}" for name in columns), "limits"), rows)
    head = SUPERNOVA.format(peak=found["peak"], count=found["realisations"])
    return head + "nJy:\n\n" + table + AFTER_SUPERNOVA.format(seconds=", ".join(seconds))


OBSERVED = """## Eight observed exposures, each predicted from the others

DECam exposures of one galaxy in g, r and z (41 x 51 px each; seeing 0.76" to 1.5"), one Sersic profile shared by all, sky
0, as it was subtracted. Of each exposure left out: chi² per pixel of the prediction, with the covariance that its own errors
give pixels; the flux in it over the flux predicted, by least squares with the predicted shape; and the error of that ratio,
first with the noise as the weights have it, then as wide and as correlated as the residuals are (lags up to 3 px).

"""
AFTER_OBSERVED = """
Colours of all eight together: {colours}. Errors of colours are those of the noise alone.

Neighbouring residuals correlate, and chi² per pixel is 1.1 to 1.2 in r and z: the
[residuals](../figures/observed_decam_dithers_2447p120.png) show a core that is no Sersic profile, and a faint neighbour in
the West that is not in the model. So errors of the noise alone are too small, by a factor of {factor}, for a flux
measured over pixels that deviate together. By the second kind of error a deviation of one is what is expected. The pixels
are within errors only where chi² per pixel exceeds 1 by less than {chance:.2f} (3 sd of chance): elsewhere the model is
wrong at the level of the noise, and the error bars of its parameters do not know that.

"""


def observed(found: dict[str, Any]) -> str:
    rows, factors = [], []
    for name, one in found["left_out"].items():
        away = one["ratio"] - 1
        rows.append(
            (
                name,
                f"{one['chi2_with_prediction']:.3f}",
                f"{one['correlation']:+.2f}",
                f"{one['ratio']:.4f}",
                f"{one['error']:.4f}, {away / one['error']:+.1f}",
                f"{one['wide_error']:.4f}, {away / one['wide_error']:+.1f}",
            )
        )
        factors.append(one["wide_error"] / one["error"])
    columns = (
        "left out",
        "chi²/px",
        "correlation",
        "flux / predicted",
        "error, deviation",
        "as residuals have it",
    )
    told = ", ".join(
        f"{name} = {value:.3f} ± {error:.3f}" for name, (value, error) in found["colours"].items()
    )
    spread = f"{min(factors):.1f} to {max(factors):.1f}"
    tail = AFTER_OBSERVED.format(colours=told, factor=spread, chance=3 * (2 / (41 * 51)) ** 0.5)
    return OBSERVED + markdown_table(columns, rows) + tail


PARTS = {"dithers": dithers, "undersampled": undersampled, "supernova": supernova, "observed": observed}

"""The page of the sampling benchmarks, from what its parts left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from machine import markdown_table

_SIMULATED = """True parameters from the prior (n log-uniform from 0.5 to 6), images of 64², 32² and 24² pixels; each is
fitted and sampled as any images are (2 chains of 500 draws), by `bj.calibrate`. Runs have independent seeds: galaxies and
noise of their own; median seconds are those of the last.

"""
_PEER_SCENES = """
AstroPhot 0.18 on the same scenes, measured apart: as its documents have it, 68 and 95 % intervals from the covariance of its
fit hold n in 48 and 92 %, Re in 46 and 79 %, the centre in 48 and 79 %, magnitudes in 54 and 83 %, colours in 65 and 83 %;
11 of 60 fits fail; a fit takes 0.8 s (median). With the PSF three times oversampled, started at the truth: n in 65 and 97 %,
Re in 57 and 95 %, the centre in 60 and 90 %, magnitudes in 62 and 97 %, in 5 to 34 s.
"""
_SCENES = """One Sersic galaxy each, S/N 15 to 200, every third undetected in its last band; automatic starts, PSFs given as
stamps three times finer than the pixels; the package's own priors, which are not those that the truth was drawn from.
"""

TITLE = """# Posteriors

Seconds to a certified posterior (one whose verdict passes all checks), agreement of the two likelihoods, coverage of error
bars. Made by `python tests/benchmarks/posterior.py`.
"""


def page(found: dict[str, dict]) -> str:
    """Markdown of the parts that are there."""
    texts = [TITLE]
    for part, write in PARTS.items():
        if part in found:
            texts.append(write(found[part]["found"]) + "\n" + found[part]["measured"] + "\n")
    return "\n".join(texts)


def certified(runs: list[dict]) -> str:
    rows = [
        (
            run["run"],
            f"{run['seconds']:.1f}",
            f"{run['fit']:.1f}",
            ", ".join(f"{name} {seconds:.1f}" for name, seconds in run["parts"].items()),
            f"{run['ess']:.0f} ({run['of']})",
            f"{run['r_hat']:.4f}",
            f"{run['process']:.0f}",
            f"{run['peak_gb']:.2f}",
            run["headline"],
        )
        for run in runs
    ]
    columns = (
        "run",
        "seconds",
        "fit",
        "sampling",
        "least bulk ESS",
        "largest R-hat",
        "whole process, s",
        "peak, GB",
        "verdict",
    )
    return (
        "## From images in memory to a certified posterior\n\n"
        "Three images (500², 52² and 90² pixels), defaults (4 chains of 1000 draws), or chains of 300 and more until "
        "there are effective draws enough. *Seconds* run from the images in memory to the verdict.\n\n"
        + markdown_table(columns, rows)
    )


def likelihoods(rows: list) -> str:
    return (
        "## Effective draws a second\n\nThe same images, defaults; warm-up counts as sampling.\n\n"
        + markdown_table(("what", "measured"), rows)
    )


def agreement(found: dict) -> str:
    rows = [
        (row["name"], f"{row['mean']:+.3f}", f"{100 * row['sd']:+.1f} %")
        for row in found["rows"]
        if " mag" not in row["name"]
    ]
    worst = max(abs(row["mean"]) for row in found["rows"]), max(abs(row["sd"]) for row in found["rows"])
    return (
        f"## Exact and compressed likelihood, {found['draws']} draws of each\n\nDifference of the means in standard "
        f"deviations, and of the standard deviations: at most {worst[0]:.3f} and {100 * worst[1]:.1f} %.\n\n"
        + markdown_table(("scalar", "mean", "sd"), rows)
    )


def peer(found: dict) -> str:
    rate = found["least_ess"] / found["seconds"]
    rows = [
        ("its fit, s", f"{found['fit_seconds']:.1f}"),
        (f"draws in {found['seconds']:.0f} s, warm-up apart", found["draws"]),
        ("least bulk ESS", f"{found['least_ess']:.0f}"),
        ("effective draws a second", f"{rate:.2f}"),
    ]
    how = "Its likelihood of the same images, sampled by Pyro's NUTS in coordinates whitened by its own fit, one core."
    return f"## AstroPhot {found['version']}\n\n{how}\n\n" + markdown_table(("what", "measured"), rows)


def pysersic(found: dict) -> str:
    rows = [
        (f"warm-up draws in {found['limit']:.0f} s, of {found['warmup']}", found["warmed"]),
        (f"draws in the {found['seconds']:.0f} s after", found["draws"]),
        ("leapfrog steps a draw", f"{found['steps']:.0f}"),
        ("least bulk ESS", f"{found['least_ess']:.0f}"),
        ("effective draws a second, warm-up apart", f"{found['least_ess'] / found['seconds']:.2f}"),
    ]
    how = (
        "The r band alone (it has one pixel grid); its default prior and NUTS, a flat sky, float32, one core."
    )
    return f"## pysersic {found['version']}\n\n{how}\n\n" + markdown_table(("what", "measured"), rows)


_CALIBRATION = (
    "scalar",
    "simulations",
    "within 68 %",
    "within 95 %",
    "mean pull",
    "sd of pulls",
    "p (ranks uniform)",
)


def _ranks(table: list[list]) -> str:
    rows = [[row[0], row[1], *(f"{x:.2f}" for x in row[2:6]), f"{row[6]:.3f}"] for row in table]
    return markdown_table(_CALIBRATION, rows)


def calibration(found: dict) -> str:
    runs = list(found.values())
    settings = [
        (
            rows[0]["kind"],
            rows[0]["signal_to_noise"],
            *(sum(row[key] for row in rows) for key in ("simulations", "failed", "trusted")),
            f"{rows[-1]['seconds']:.1f}",
        )
        for rows in zip(*(run["settings"] for run in runs), strict=True)
    ]
    columns = ("noise and bands", "S/N", "simulations", "failed", "verdict trusts", "median seconds")
    count = sum(row[2] for row in settings)
    return (
        f"## Calibration: {count} simulated galaxies\n\n{_SIMULATED}"
        + markdown_table(columns, settings)
        + "\n"
        + _runs([run["table"] for run in runs])
        + f"\nRanks of run {len(runs)}:\n\n![Ranks of the truth among the draws](../figures/calibration.png)\n"
    )


def _runs(tables: list[list[list]]) -> str:
    """Coverage of all and of each run, which has galaxies of its own; pulls as the last run has them."""
    rows = []
    for same in zip(*tables, strict=True):
        counts = [row[1] for row in same]
        held = []
        for k in (2, 3):
            each = [row[k] for row in same]
            whole = sum(n * x for n, x in zip(counts, each, strict=True)) / sum(counts)
            held += [whole, *each] if len(each) > 1 else [whole]
        rows.append([same[0][0], sum(counts), *(f"{x:.2f}" for x in held)])
        rows[-1] += [f"{x:.2f}" for x in same[-1][4:6]] + [f"{row[6]:.3f}" for row in same]
    runs = range(1, len(tables) + 1)
    columns = ["scalar", "simulations"]
    for level in ("68 %", "95 %"):
        columns += [f"within {level}", *(f"run {k}" for k in runs if len(tables) > 1)]
    columns += [f"{what}, run {runs[-1]}" for what in ("mean pull", "sd of pulls")]
    columns += [f"p (ranks uniform), run {k}" for k in runs]
    return markdown_table(columns, rows)


def scenes(found: dict) -> str:
    rows = found["rows"]
    seconds, fit = (sorted(row[key] for row in rows) for key in ("seconds", "fit_seconds"))
    kinds = sorted({row["likelihood"] for row in rows})
    counts = ", ".join(f"{sum(row['likelihood'] == kind for row in rows)} {kind}" for kind in kinds)
    return (
        f"## {len(rows)} scenes simulated with GalSim\n\n{_SCENES}Failed: {len(found['failures'])}; likelihood of the "
        f"draws: {counts}; verdict trusts {sum(row['trusted'] for row in rows)}. Fit {fit[len(fit) // 2]:.1f} s median "
        f"({fit[-1]:.1f} at most), in all {seconds[len(seconds) // 2]:.1f} s median ({seconds[-1]:.1f}).\n\n"
        + _ranks(found["table"])
        + _PEER_SCENES
    )


def observed(rows: list[dict]) -> str:
    table = [
        (
            row["set"],
            row["variant"],
            row["images"],
            row["pixels"],
            f"{row['chi2_per_dof']:.3f}",
            f"{row['fit_seconds']:.1f}",
            f"{row['seconds']:.1f}",
            row["likelihood"],
            f"{row['least_ess'][1]:.0f}",
            f"{row['r_hat']:.3f}",
            row["headline"],
        )
        for row in rows
    ]
    columns = (
        "images",
        "program",
        "number",
        "pixels",
        "chi²/dof",
        "fit, s",
        "all, s",
        "likelihood",
        "least ESS",
        "R-hat",
        "verdict",
    )
    words, names = [], dict.fromkeys(row["set"] for row in rows)
    for row in rows:
        what = "; ".join(f["what"] for f in row["findings"])
        stopped = f" Stopped: {row['stopped']}." if row["stopped"] else ""
        words.append(f"- *{row['set']}, {row['variant']}*: {what or 'nothing to look at'}.{stopped}")
    return (
        "## Observed galaxies\n\n"
        + markdown_table(columns, table)
        + "\nWhat the verdicts say:\n\n"
        + "\n".join(words)
        + "\n\n"
        + "\n".join(
            f"![Data, model and residuals of {name}](../figures/observed_{name}.png)" for name in names
        )
        + "\n"
    )


PARTS: dict[str, Callable[[Any], str]] = {
    "certified": certified,
    "likelihoods": likelihoods,
    "agreement": agreement,
    "peer": peer,
    "pysersic": pysersic,
    "calibration": calibration,
    "scenes": scenes,
    "observed": observed,
}

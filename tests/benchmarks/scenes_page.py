"""The page of fields of many sources, docs/benchmarks/scenes.md: its texts and tables."""

from __future__ import annotations

import numpy as np
import scenes_fluxes
import scenes_missed
import scenes_observed
import scenes_sampled
from machine import markdown_table

BANDS = 5
SIDE = 50  # pixels, whose square there is for each source


def page(found: dict[str, dict]) -> str:
    """Markdown of the parts that are there."""
    texts = [
        "# Fields of many sources\n\nFound by `find_sources`, fitted by `scene_model` from what it gives, without "
        "touching anything. Made by\n`python tests/benchmarks/scenes.py`.\n"
    ]
    writers = {
        "groups": groups,
        "sampled": scenes_sampled.page,
        "grouped": scenes_sampled.grouped_page,
        "missed": scenes_missed.page,
        "fluxes": scenes_fluxes.page,
        "observed": scenes_observed.page,
        "sources": costs,
        "blocks": costs,
        "images": costs,
        "pruning": left,
        "positions": positions,
    }
    for part, write in writers.items():
        if part in found:
            texts.append(HEADS[part] + write(found[part]["found"]) + "\n" + found[part]["measured"] + "\n")
    return "\n".join(texts)


HEADS = {
    "groups": """## Groups simulated with GalSim in r, W1 and NUV

Errors are those of the best fit's Gaussian. AstroPhot 0.18 on the same scenes, measured apart, from sources found by
photutils: 68 and 95 % intervals hold W1 fluxes in 21 and 31 %, r in 17 and 34 %, NUV in 66 and 100 %; one of six fits of
five galaxies ends in success, in 6 to 64 s; of thirty galaxies chi²/dof is 2.3 after 400 s and 2.4 GB.
Beside chi²/pixel of the fit that of the true, noiseless images: how far off 1 the noise itself is, in W1 of 64 pixels.

""",
    "missed": """## What detection misses

More groups of five: what `find_sources` finds, and what `add_sources` adds to it from what the first fit leaves.

""",
    "sampled": "## The same groups sampled\n\n`bj.sample` with its defaults, 4 chains of 1000 draws; seconds from the "
    "table of sources to the verdict.\n\n",
    "grouped": f"## Fields of {BANDS} bands sampled group by group\n\n`bj.sample_groups` with its defaults, 4 chains of "
    "1000 draws of each group, after the fit and with nothing compiled before.\n\n",
    "fluxes": """## Fluxes over 50 realisations of the noise

The first group, from detection to the best fit each time, beside apertures at the true places that know the sky and what
each galaxy alone would lose. Bias of each galaxy; root mean square error of all over their mean flux.

""",
    "observed": """## Observed fields

As detection gives them, but that the brightest galaxy of the group is two components about one centre, and that of the
field of the spiral (gama202627) what is fainter than 100 sigma is masked, the spiral is a bulge and a disc, and the star
beside it is without its saturated core. Where nothing is masked, sources are added that the first fit left in the images.

""",
    "sources": f'## Cost against the number of sources, {BANDS} bands\n\nGalaxies of Re 0.6 to 1.2", one to {SIDE}² px.\n\n',
    "blocks": "## By blocks\n\nThe same fields, and one so large that one matrix of all its latents takes 10 GB, by "
    '`bj.fit_map(..., method="blocks")`;\niterations are sweeps over all blocks.\n\n',
    "images": "## Cost against the number of images, 5 sources\n\n",
    "positions": """## Positions

Of galaxies in eight fields of 200 in one band, fitted from what detection gives; deviations over the fit's errors.

""",
    "pruning": f"## What `prune_sources` leaves, {BANDS} bands\n\nThe same fields, after their first fit.\n\n",
}


def groups(rows: list[dict]) -> str:
    """Table of the groups, and coverage of all their fluxes by band."""
    table = [
        (
            row["group"],
            f"{row['matched']} of {row['true']}, {row['spurious']}",
            *(", ".join(f"{x:.3f}" for x in row[key]) for key in ("chi2", "noise_chi2")),
            row["parameters"],
            row["iterations"] if row["converged"] else f"{row['iterations']}, not converged",
            *(f"{row[key]:.1f}" for key in ("find_seconds", "cold_seconds", "warm_seconds", "peak_gb")),
        )
        for row in rows
    ]
    columns = (
        "group",
        "found, spurious",
        "chi²/pixel",
        "of the truth",
        "parameters",
        "iterations",
        "find, s",
        "fit cold, s",
        "warm, s",
    )
    pulls = np.array([pull for row in rows for pull in row["pulls"]])
    covered = [
        (
            band,
            len(pulls),
            *(f"{np.mean(np.abs(pulls[:, i]) < edge):.2f}" for edge in (0.9945, 1.96)),
            f"{pulls[:, i].mean():+.2f}",
        )
        for i, band in enumerate(rows[0]["bands"])
    ]
    names = ("flux in", "galaxies", "within 68 %", "within 95 %", "mean deviation, sigma")
    return markdown_table((*columns, "peak, GB"), table) + "\n" + markdown_table(names, covered)


def costs(rows: list[dict]) -> str:
    """Table of what each case cost."""
    table = [
        (
            *(row[key] for key in ("sources", "images", "pixels", "parameters", "iterations")),
            f"{row['matched']} of {row['true']}, {row['spurious']}",
            *(f"{row[key]:.1f}" for key in ("find_seconds", "cold_seconds")),
            f"{row['warm_seconds']:.1f}" if row["warm_seconds"] else "",
            f"{(row['warm_seconds'] or row['cold_seconds']) / max(row['iterations'], 1):.2f}",
            f"{row['gradient_ms']:.0f}" if row["gradient_ms"] else "",
            f"{row['peak_gb']:.1f}",
            ", ".join(f"{100 * part:.1f}" for part in row["held"]),
        )
        for row in rows
    ]
    columns = (
        "sources",
        "images",
        "pixels",
        "parameters",
        "iterations",
        "found, spurious",
        "find, s",
        "fit cold, s",
    )
    more = ("warm, s", "a step, s", "gradient, ms", "peak, GB", "fluxes within 68, 95 %")
    return markdown_table((*columns, *more), table)


def left(rows: list[dict]) -> str:
    """Table of what pruning leaves."""
    counts = [
        (row["sources"], *(row[key] for key in ("true", "true_left", "spurious", "spurious_left")))
        for row in rows
    ]
    return markdown_table(("sources", "found", "of them kept", "spurious", "of them kept"), counts)


def positions(rows: list[dict]) -> str:
    """Table of how far off places are."""
    count = sum(row["found"] for row in rows)
    mean, held = (
        np.average([row[key] for row in rows], axis=0, weights=[row["found"] for row in rows])
        for key in ("mean", "held")
    )
    table = [
        (way, count, f"{mean[i]:+.3f} ± {count**-0.5:.3f}", *(f"{100 * part:.1f} %" for part in held[i]))
        for i, way in enumerate(("east", "north"))
    ]
    return markdown_table(("", "galaxies", "mean deviation", "within 68 %", "within 95 %"), table)

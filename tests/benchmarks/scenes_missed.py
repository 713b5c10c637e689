"""What detection misses of simulated groups, and what `add_sources` finds of it in what a first fit leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from machine import markdown_table

NEAR = 1.0  # arcsec, within which a source is the true one


def missed(folder: str, read: Any) -> dict[str, Any]:
    """All groups of a folder: sources after detection, and after what the fit leaves was searched."""
    import bayesjoint as bj

    rows = []
    for path in sorted(Path(folder).glob("*_truth.json")):
        images, truth = read(str(path).removesuffix("_truth.json"))
        table = bj.find_sources(images)
        fit = bj.fit_map(bj.scene_model(), images.with_sources(table), progress=False)
        more = bj.add_sources(fit, images, table)
        row = {"group": path.name[:3], "true": len(truth["place"]), "before": counted(table, truth)}
        row |= {"after": counted(more, truth), "chi2_before": (fit.chi2 / fit.pixels).tolist()}
        if len(more) > len(table):
            fit = bj.fit_map(bj.scene_model(), images.with_sources(more), start=fit, progress=False)
        rows.append(row | {"chi2_after": (fit.chi2 / fit.pixels).tolist()})
    return {"rows": rows}


def counted(table: Any, truth: dict[str, np.ndarray]) -> list[int]:
    """How many true sources have one of the table, and how many of these are none."""
    place = np.stack([table["east"], table["north"]], axis=1)
    distance = np.hypot(*(truth["place"][:, None] - place[None]).transpose(2, 0, 1))
    return [int(np.sum(distance.min(axis=1) < NEAR)), int(np.sum(distance.min(axis=0) > NEAR))]


def page(found: list[dict]) -> str:
    """What all groups have together, and those in which something was added, each."""
    rows = [row for one in found for row in one["rows"]]
    table = [
        [f"{len(rows)} groups", sum(row["true"] for row in rows), *_counts(rows), "", ""],
        *(
            [
                row["group"],
                row["true"],
                *_counts([row]),
                *(_words(row[key]) for key in ("chi2_before", "chi2_after")),
            ]
            for row in rows
            if row["after"] != row["before"] or row["before"][0] < row["true"]
        ),
    ]
    columns = ("", "galaxies", "detected, spurious", "with what was added", "chi²/pixel before", "after")
    return markdown_table(columns, table)


def _counts(rows: list[dict]) -> list[str]:
    return [", ".join(str(sum(row[key][i] for row in rows)) for i in (0, 1)) for key in ("before", "after")]


def _words(chi2: list[float]) -> str:
    return ", ".join(f"{x:.2f}" for x in chi2)

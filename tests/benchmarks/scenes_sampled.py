"""Groups of galaxies sampled: seconds to a certified posterior, and whether its intervals hold the truth."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
from machine import markdown_table

INTERVALS = {"68": (0.1587, 0.8413), "95": (0.025, 0.975)}


def sampled(images: Any, truth: dict[str, np.ndarray]) -> dict[str, Any]:
    """A group from its images to its posterior, twice: the second time nothing is left to compile."""
    import bayesjoint as bj

    images, program, seconds = images.with_sources(bj.find_sources(images)), bj.scene_model(), []
    for _ in range(2):
        began = time.perf_counter()
        fit = bj.fit_map(program, images, progress=False)
        posterior = bj.sample(program, images, init=fit, progress=False, seed=1)
        seconds.append(time.perf_counter() - began)
    summary = posterior.summary()
    return {
        "true": len(truth["place"]),
        "found": len(images.sources),
        "latents": fit.layout.size,
        "seconds": seconds,
        "parts": json.loads(posterior.idata.attrs["seconds"]),
        "likelihood": posterior.idata.attrs["road"],
        "error": float(np.std(posterior.likelihood_errors))
        if posterior.likelihood_errors is not None
        else None,
        "ess": posterior.least_ess()[1],
        "r_hat": max(float(x) for x in summary["r_hat"] if x == x),
        "headline": posterior.verdict.headline,
        "covered": covered(posterior, images, truth),
    }


def grouped(images: Any, truth: dict[str, np.ndarray]) -> dict[str, Any]:
    """A field from its images to its posterior, sampled group by group, compilation included."""
    from peers_render import peak_mb

    import bayesjoint as bj

    images, program = images.with_sources(bj.find_sources(images)), bj.scene_model()
    fit = bj.fit_map(program, images, progress=False)
    began = time.perf_counter()
    posterior = bj.sample_groups(program, images, init=fit, progress=False, seed=1)
    seconds, attrs = time.perf_counter() - began, posterior.idata.attrs
    return {
        "true": len(truth["place"]),
        "found": len(images.sources),
        "latents": fit.layout.size,
        "groups": json.loads(attrs["groups"]),
        "seconds": seconds,
        "parts": json.loads(attrs["seconds"]),
        "narrowing": attrs["narrowing"],
        "ess": posterior.least_ess()[1],
        "r_hat": max(float(x) for x in posterior.summary()["r_hat"] if x == x),
        "headline": posterior.verdict.headline,
        "covered": covered(posterior, images, truth),
        "peak_gb": peak_mb() / 1024,
    }


def covered(posterior: Any, images: Any, truth: dict[str, np.ndarray]) -> list[dict]:
    """Of each galaxy that was found whether intervals hold what was put in, by parameter."""
    place = np.stack(
        [np.median(posterior.values(f"source_{way}"), axis=(0, 1)) for way in ("east", "north")], axis=1
    )
    rows = []
    for i, true in enumerate(truth["place"]):
        distance = np.hypot(*(place - true).T)
        if distance.min() > 1.0:
            continue
        name = images.sources.names[int(distance.argmin())]
        wanted = {
            "east": true[0],
            "north": true[1],
            **{key: truth[key][i] for key in ("n", "Re") if key in truth},
        }
        draws = {key: posterior.values(f"{name}_{key}") for key in wanted}
        for k, band in enumerate(images.bands):
            wanted[f"flux {band}"] = truth["flux"][i, k]
            draws[f"flux {band}"] = posterior.values(f"{name}_flux")[..., k]
        for key, value in wanted.items():
            row = {"what": key}
            for label, ends in INTERVALS.items():
                low, high = np.quantile(draws[key], ends)
                row[label] = bool(low < value < high)
            row["deviation"] = float((draws[key].mean() - value) / draws[key].std())
            rows.append(row)
    return rows


def page(rows: list[dict]) -> str:
    """Tables of the runs, and of what their intervals hold."""
    table = [
        (
            row["group"],
            f"{row['found']} of {row['true']}",
            row["latents"],
            row["likelihood"] + (f" ({row['error']:.0e})" if row["error"] is not None else ""),
            f"{row['seconds'][0]:.0f}",
            f"{row['seconds'][1]:.0f}",
            f"{row['parts']['sample']:.0f}",
            f"{row['ess']:.0f}",
            f"{row['r_hat']:.3f}",
            row["headline"],
        )
        for row in rows
    ]
    columns = ("group", "found", "latents", "likelihood (error)", "cold, s", "warm, s", "sampling, s")
    columns += ("least ESS", "R-hat", "verdict")
    return markdown_table(columns, table) + "\n" + coverage(rows)


def coverage(rows: list[dict]) -> str:
    """Table of what intervals hold, by parameter."""
    every = [one for row in rows for one in row["covered"]]
    held = []
    for what in dict.fromkeys(one["what"] for one in every):
        own = [one for one in every if one["what"] == what]
        shares = (f"{np.mean([one[label] for one in own]):.2f}" for label in INTERVALS)
        held.append((what, len(own), *shares, f"{np.mean([one['deviation'] for one in own]):+.2f}"))
    names = ("parameter", "galaxies", "within 68 %", "within 95 %", "mean deviation, sd")
    return markdown_table(names, held)


def grouped_page(rows: list[dict]) -> str:
    """Tables of fields sampled group by group, and of what their intervals hold."""
    table = [
        (
            f"{row['found']} of {row['true']}",
            row["latents"],
            f"{len(row['groups'])}, {max(row['groups'])}",
            f"{row['seconds']:.0f}",
            f"{row['seconds'] / row['found']:.1f}",
            f"{row['parts']['sample']:.0f}",
            f"{row['narrowing']:.1%}",
            f"{row['ess']:.0f}",
            f"{row['r_hat']:.3f}",
            f"{row['peak_gb']:.1f}",
            row["headline"],
        )
        for row in rows
    ]
    columns = ("found", "latents", "groups, largest", "seconds", "a source", "sampling, s", "narrower by")
    columns += ("least ESS", "R-hat", "peak, GB", "verdict")
    return markdown_table(columns, table) + "\n" + coverage(rows)

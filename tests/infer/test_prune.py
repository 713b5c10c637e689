"""Sources that a fit has no use for are told, and refits do without them."""

import numpy as np
import pytest
from helpers.fields import GALAXIES, STAR, field

import bayesjoint as bj

SPURIOUS = (-8.0, -8.0)


def added(table, place, name):
    """The table with one more star."""
    row = {column: table[column][0] for column in table.colnames}
    row |= {"name": name, "kind": "star", "east": place[0], "north": place[1], "window": 0.52}
    table.add_row(row)


@pytest.fixture(scope="module")
def case():
    """A field with a star where there is none, and another split in two: images, table and fit."""
    images = field(names=("r", "W1"))
    table = bj.find_sources(images)
    table.remove_columns(["ra", "dec"])
    star = table[table["kind"] == "star"][0]
    added(table, SPURIOUS, "nothing")
    added(table, (star["east"] + 0.04, star["north"]), "twin")
    fit = bj.fit_map(bj.scene_model(), images.with_sources(table))
    return images, table, fit


def test_what_is_not_there_goes_and_all_else_stays(case):
    _, table, fit = case
    pruned = bj.prune_sources(fit, table)
    reasons = dict(zip(pruned["name"], pruned["dropped"], strict=True))
    assert "consistent with 0 in all bands" in reasons["nothing"]
    star = str(table["name"][table["kind"] == "star"][0])
    (gone,) = {name for name in (star, "twin") if reasons[name]}
    (kept,) = {star, "twin"} - {gone}
    assert reasons[gone].startswith(f"merged with {kept}")
    assert sum(map(bool, reasons.values())) == 2
    assert "dropped" not in table.colnames


def test_refit_without_them(case):
    images, table, fit = case
    kept = images.with_sources(bj.prune_sources(fit, table))
    assert len(kept.sources) == len(GALAXIES) + 1
    again = bj.fit_map(bj.scene_model(), kept)
    assert again.converged and again.layout.size == fit.layout.size - 8
    name = next(n for n, kind in zip(kept.sources.names, kept.sources.kinds, strict=True) if kind == "star")
    assert np.all(np.abs(again.values[f"{name}_flux"] - STAR[2][:2]) < 4 * again.errors[f"{name}_flux"])


def test_a_size_that_ran_off(case):
    _, table, fit = case
    galaxy = str(table["name"][table["kind"] == "galaxy"][0])
    for growth, dropped, kind in ((40.0, "Re ran off to", "galaxy"), (0.001, "", "star")):
        changed = fit.values | {f"{galaxy}_Re": growth * float(table["Re"][table["name"] == galaxy][0])}
        row = bj.prune_sources(bj.MapFit(**vars(fit) | {"values": changed}), table)
        row = row[row["name"] == galaxy][0]
        assert row["dropped"].startswith(dropped) and bool(row["dropped"]) == bool(dropped)
        assert row["kind"] == kind


def test_fits_of_something_else(case):
    _, table, fit = case
    with pytest.raises(ValueError, match="the fit knows no field_total: give a fit of"):
        bj.prune_sources(fit, table, name="field")
    with pytest.raises(ValueError, match="the fit has 6 components and the table 5"):
        bj.prune_sources(fit, table[:5])
    other = table.copy()
    other["name"][0] = "s99"
    with pytest.raises(ValueError, match="the fit knows no source 's99'"):
        bj.prune_sources(fit, other)

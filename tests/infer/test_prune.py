"""Sources that a fit has no use for are told, and refits do without them."""

import jax
import numpy as np
import pytest
from helpers.fields import GALAXIES, STAR, field

import bayesjoint as bj
from bayesjoint.infer.space import find_latents
from bayesjoint.infer.start import values_of_fit

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


def test_the_order_of_rows_says_nothing(case):
    _, table, fit = case
    there = bj.prune_sources(fit, table)
    back = bj.prune_sources(fit, table[::-1])
    for column in ("name", "dropped", "kind"):
        assert list(back[column][::-1]) == list(there[column]), column


def test_a_band_without_pixels_of_two_does_not_keep_them_apart(case):
    """Their fluxes in it are those of the prior, and do not correlate."""
    _, table, fit = case
    labels, sources = list(fit.labels), fit.sources
    covariance = fit.covariance.copy()
    for k, (name, error) in enumerate(zip(sources.names, np.asarray(sources.flux_error[1]), strict=True)):
        if sources.kinds[k] == "star" and name != "nothing":
            row = labels.index(f"source_total[1,{k}]")
            covariance[row], covariance[:, row] = 0.0, 0.0
            covariance[row, row] = (10 * (abs(float(sources.flux[1, k])) + 5 * error)) ** 2
    pruned = bj.prune_sources(bj.MapFit(**vars(fit) | {"covariance": covariance}), table)
    assert sum("merged with" in reason for reason in pruned["dropped"]) == 1


def test_a_fit_of_the_same_sources_in_another_order_is_gone_on_from(case):
    images, table, fit = case
    here = images.with_sources(table[::-1])
    args = jax.device_put((here,))
    layout = find_latents(bj.scene_model(), args)
    found = values_of_fit(bj.scene_model(), layout, args, fit)
    np.testing.assert_allclose(found["source_total"][:, ::-1], fit.values["source_total"])
    np.testing.assert_allclose(found["source_n"][::-1], fit.values["source_n"])
    np.testing.assert_allclose(found["sky"], fit.values["sky"])


def test_refit_without_them(case):
    images, table, fit = case
    kept = images.with_sources(bj.prune_sources(fit, table))
    assert len(kept.sources) == len(GALAXIES) + 1
    again = bj.fit_map(bj.scene_model(), kept)
    assert again.converged and again.layout.size == fit.layout.size - 8
    name = next(n for n, kind in zip(kept.sources.names, kept.sources.kinds, strict=True) if kind == "star")
    assert np.all(np.abs(again.values[f"{name}_flux"] - STAR[2][:2]) < 4 * again.errors[f"{name}_flux"])


def test_a_size_that_ran_off_stays_as_found_or_is_none(case):
    images, table, fit = case
    galaxy, other = (str(name) for name in table["name"][table["kind"] == "galaxy"][:2])
    told = table.copy()
    told["fixed"][told["name"] == galaxy] = "centre, n=4"
    told["tied"][told["name"] == other] = f"n={galaxy}"
    for growth, kind, fixed in ((40.0, "galaxy", "centre, n=4, Re"), (0.001, "star", "centre")):
        changed = fit.values | {f"{galaxy}_Re": growth * float(table["Re"][table["name"] == galaxy][0])}
        pruned = bj.prune_sources(bj.MapFit(**vars(fit) | {"values": changed}), told)
        row = pruned[pruned["name"] == galaxy][0]
        # it holds no index as a star, nor can another have that of what is no galaxy any more
        assert not row["dropped"] and row["kind"] == kind and row["fixed"] == fixed
        assert pruned["tied"][pruned["name"] == other][0] == ("" if kind == "star" else f"n={galaxy}")
        images.with_sources(pruned)


def test_fits_of_something_else(case):
    _, table, fit = case
    with pytest.raises(ValueError, match="the fit knows no field_total: give a fit of"):
        bj.prune_sources(fit, table, name="field")
    gone = str(table["name"][5])
    with pytest.raises(ValueError, match=f"the fit and the table differ in source '{gone}': give the fit to"):
        bj.prune_sources(fit, table[:5])
    other = table.copy()
    other["name"][0] = "s99"
    with pytest.raises(ValueError, match="differ in source 's"):
        bj.prune_sources(fit, other)

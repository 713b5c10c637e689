"""Tables: which rows, which numbers, which words; what a file gives back."""

from __future__ import annotations

import io
import re

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from bayesjoint.report import tables
from bayesjoint.report.plots import select
from bayesjoint.report.posterior import Posterior
from bayesjoint.report.quantities import Layout, quantities

COLUMNS = "parameter source band unit median mean sd lower upper interval ess_bulk ess_tail r_hat".split()


def row(table, parameter, band=""):
    """The only row of a parameter in a band."""
    chosen = table[(table["parameter"] == parameter) & (table["band"] == band)]
    assert len(chosen) == 1
    return chosen[0]


def test_summary_columns_and_rows(posterior):
    table = posterior.summary()
    assert [name for name in table.colnames if name != "image"] == COLUMNS
    names = list(zip(table["parameter"], table["band"], strict=True))
    structure = [(name, "") for name in ("east", "north", "q", "pa", "n", "Re")]
    bands = [(name, band) for name in ("Ie", "flux", "mag", "sky") for band in ("NUV", "r", "W1")]
    assert names == structure + bands
    assert {u.Unit(text) for text in table["unit"] if text} >= {u.arcsec, u.deg, u.nJy, u.ABmag}


def test_summary_numbers(posterior):
    table = posterior.summary()
    index = row(table, "n")
    assert index["median"] == pytest.approx(1.7, abs=0.005) and index["sd"] == pytest.approx(0.05, rel=0.05)
    assert index["upper"] - index["lower"] == pytest.approx(0.1, rel=0.08)
    assert index["interval"] == "68.27 % equal-tailed"
    assert index["r_hat"] == pytest.approx(1, abs=0.01) and 1500 < index["ess_bulk"] < 2500
    mag = row(table, "mag", "r")
    assert mag["median"] == pytest.approx(31.4 - 2.5 * np.log10(3e5), abs=0.01)


def test_position_angle_near_north_has_a_small_error(posterior):
    pa = row(posterior.summary(), "pa")
    assert 0 <= pa["median"] < 180 and pa["sd"] == pytest.approx(2.0, rel=0.06)
    assert pa["lower"] < pa["median"] < pa["upper"]


def test_undetected_magnitude_is_a_limit_in_words(faint):
    mag = row(faint.summary(), "mag", "NUV")
    assert np.isnan(mag["median"]) and mag["upper"] == np.inf
    assert mag["lower"] == pytest.approx(31.4 - 2.5 * np.log10(50 + 164.5), abs=0.08)
    assert "limit" in mag["interval"] and "not detected" in mag["interval"]
    assert row(faint.summary(), "flux", "NUV")["median"] == pytest.approx(50, abs=10)
    assert np.isfinite(mag["r_hat"])


def test_colours(posterior, faint):
    table = posterior.colours()
    assert list(table["colour"]) == ["NUV - r", "NUV - W1", "r - W1"]
    assert table["median"][0] == pytest.approx(2.5 * np.log10(15), abs=0.01)
    assert table["sd"][0] == pytest.approx(1.0857 * 0.02 * np.sqrt(2), rel=0.05)
    limits = faint.colours()
    assert list(limits["limit"]) == [">", ">", ""]
    assert np.isfinite(limits["lower"][0]) and limits["upper"][0] == np.inf


@pytest.mark.parametrize("kind", ["summary", "colours", "to_table"])
def test_tables_survive_ecsv(faint, kind):
    table = getattr(faint, kind)()
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    back = QTable.read(text.getvalue(), format="ascii.ecsv")
    assert back.colnames == table.colnames and len(back) == len(table)
    for name in table.colnames:
        if table[name].dtype.kind == "f":
            np.testing.assert_array_equal(np.asarray(back[name], float), np.asarray(table[name], float))
        else:
            # An empty text reads back masked, which is how ECSV tells it from a missing one.
            assert [str(x) if x else "" for x in np.ma.filled(back[name], "")] == [
                str(x) for x in table[name]
            ]


def test_catalogue_has_units_and_limits(faint):
    table = faint.to_table()
    assert list(table["band"]) == ["NUV", "r", "W1"]
    assert table["Re"].unit == u.arcsec and table["flux"].unit == u.nJy and table["mag"].unit == u.ABmag
    assert np.isnan(table["mag"][0]) and np.isfinite(table["mag_limit"][0])
    assert np.isfinite(table["mag"][1]) and np.isnan(table["mag_limit"][1])
    assert table["mag"][1].to_value(u.ABmag) == pytest.approx(17.71, abs=0.02)


def test_structure_by_band_and_other_sites(scene, mock):
    rng = np.random.default_rng(5)
    extra = {
        "galaxy_n": rng.normal([1, 2, 3], 0.01, (4, 500, 3)),
        "gradient": rng.normal(0.3, 0.1, (4, 500)),
        "fixed": np.full((4, 500), 2.0),
        "weights": rng.normal(0, 1, (4, 500, 2)),
    }
    draws = mock.make_draws(extra=extra)
    draws.dims["galaxy_n"] = ("band",)
    table = Posterior.from_draws(draws, scene[0]).summary()
    assert [row(table, "n", band)["median"] for band in ("NUV", "r", "W1")] == pytest.approx(
        [1, 2, 3], abs=0.01
    )
    assert row(table, "gradient")["source"] == ""
    assert "fixed" in row(table, "fixed")["interval"] and np.isnan(row(table, "fixed")["r_hat"])
    assert row(table, "weights[1]")["sd"] == pytest.approx(1, rel=0.1)
    catalogue = Posterior.from_draws(draws, scene[0]).to_table()
    np.testing.assert_allclose(catalogue["n"], [1, 2, 3], atol=0.01)


def test_images_of_one_band_are_told_apart_by_name(mock):
    images, _ = mock.make_images(("r", "r", "NUV"), names=("r1", "r2", "NUV"))
    draws = mock.make_draws(("r", "NUV"), 3)
    table = Posterior.from_draws(draws, images).summary()
    sky = table[table["parameter"] == "sky"]
    assert list(sky["band"]) == ["r", "r", "NUV"] and list(sky["image"]) == ["r1", "r2", ""]
    assert sum(table["parameter"] == "mag") == 2


def test_latex(faint):
    text = faint.to_latex()
    assert text.startswith(r"\begin{table}") and text.rstrip().endswith(r"\end{table}")
    assert r"68.27\,\% equal-tailed" in text and r"95\,\%" in text
    assert "$m$ & NUV & $>" in text and "nan" not in text and "inf" not in text
    assert r"$n$ &  & $1." in text
    assert text.count("{") == text.count("}")
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) > 15 and all(line.count("&") == 3 for line in rows)
    assert r"\multicolumn" not in text and "sky" not in text and "sky & r" in faint.to_latex(sky=True)


def test_summary_in_text(faint):
    lines = tables.summary_text(faint.summary()).splitlines()
    assert len(lines) == 1 + len(faint.summary()) and max(map(len, lines)) < 80
    index = next(line for line in lines if line.startswith("galaxy n "))
    assert re.match(r"galaxy n +1\.\d+ +0\.0\d+ +0\.0\d+ +\d+ +1\.00\d$", index)
    assert any(re.match(r"galaxy mag NUV +> 25\.\d\d +mag", line) for line in lines)


def test_axis_over_images_is_recognised_without_a_name(mock):
    images, _ = mock.make_images(("r", "r", "NUV"), names=("r1", "r2", "NUV"))
    flux = np.random.default_rng(4).normal([100, 200, 50], 1.0, (4, 500, 3))
    draws = mock.make_draws(("r", "NUV"), 3, extra={"galaxy_flux": flux, "galaxy_total": flux})
    draws.dims["galaxy_flux"] = ("galaxy_flux_dim_0",)
    table = Posterior.from_draws(draws, images).summary()
    flux_rows = table[table["parameter"] == "flux"]
    assert list(flux_rows["image"]) == ["r1", "r2", ""] and list(flux_rows["band"]) == ["r", "r", "NUV"]
    assert "galaxy_total" not in list(table["parameter"])


def test_gradients_of_skies_are_skies():
    """With a unit, after the levels, and as they left out of figures and papers' tables unless asked for."""
    draws = np.random.default_rng(0).normal(size=(2, 50, 2, 2))
    layout = Layout(
        {site: ("image",) for site in ("sky", "sky_gradient")}, ("g", "r"), ("g", "r"), ("g", "r")
    )
    found = quantities({"ratio": draws[..., 0, 0], "sky": draws[..., 0], "sky_gradient": draws}, layout)
    labels = ["sky g", "sky r", *(f"sky_gradient[{i}] {band}" for band in "gr" for i in (0, 1)), "ratio"]
    assert [q.label for q in found] == labels and [q.is_sky for q in found] == [True] * 6 + [False]
    assert u.Unit(found[2].unit) == u.nJy / u.arcsec**2 / u.arcmin
    assert [q.label for q in select(found)] == ["ratio"] and len(select(found, sky=True)) == 7


def test_a_latent_called_flux_is_told_once():
    """Under the name of the source that it is the flux of; one that is of no source stays."""
    layout = Layout({"star_flux": ("band",)}, ("r",), ("r",), ("r",))
    draws = np.random.default_rng(0).normal(5.0, 1.0, (2, 50))
    both = quantities({"flux": draws, "star_flux": draws[..., None]}, layout)
    assert [(q.source, q.parameter) for q in both] == [("star", "flux"), ("star", "mag")]
    other = quantities({"flux": draws + 1, "star_flux": draws[..., None]}, layout)
    assert ("", "flux") in [(q.source, q.parameter) for q in other]


def test_a_dark_band_has_no_magnitude(scene, mock):
    draws = mock.make_draws()
    draws.values["galaxy_flux"][..., 0] = 0.0
    dark = Posterior.from_draws(draws, scene[0])
    assert [q.band for q in dark.quantities if q.parameter == "mag"] == ["r", "W1"]
    assert "galaxy: NUV dark; r 17." in repr(dark) and "inf" not in dark.to_latex()
    table = dark.to_table()
    assert all(np.isnan(table[name][0]) for name in ("mag", "mag_lower", "mag_upper", "mag_limit"))
    assert list(dark.colours()["limit"]) == ["undetermined", "undetermined", ""]
    assert len(dark.plot_colours().axes) == 2

"""The program of a field: what it samples, what its table holds and ties, and under which names a posterior tells of it."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from astropy.table import Table
from helpers.fields import field
from helpers.scenes import make_image, rendered

import bayesjoint as bj
from bayesjoint.infer.space import find_latents
from bayesjoint.infer.windowed import parameter_places


@pytest.fixture(scope="module")
def images():
    found = field(names=("r", "W1"))
    return found.with_sources(bj.find_sources(found))


@pytest.fixture(scope="module")
def posterior(images):
    fit = bj.fit_map(bj.scene_model(), images)
    return bj.sample(bj.scene_model(), images, init=fit, method="laplace", draws=200)


def test_fits_of_crowds_are_written_short(images):
    fit = bj.fit_map(bj.scene_model(), images, max_iterations=1)
    many = {f"s{i}_flux": np.arange(30.0) for i in range(90)}
    lines = repr(replace(fit, values=many, errors=many)).splitlines()
    assert len(lines) == 63 and max(map(len, lines)) < 200
    assert "... 30 values" in lines[1] and "30 more: see fit.values" in lines[-2]


def test_sites(images):
    layout = find_latents(bj.scene_model(), (images,))
    shapes = dict(zip(layout.names, layout.shapes, strict=True))
    assert shapes == {
        "source_east": (4,),
        "source_north": (4,),
        "source_total": (2, 4),
        "source_ellipticity": (3, 2),
        "source_n": (3,),
        "source_Re_circular": (3,),
        "sky": (2,),
    }


def test_each_source_is_told_of_by_name(images, posterior):
    assert posterior.sources == images.sources.names
    table = posterior.summary()
    names = set(zip(table["source"], table["parameter"], table["band"], strict=True))
    star = images.sources.kinds.index("star")
    for i, name in enumerate(images.sources.names):
        assert {(name, "flux", "r"), (name, "mag", "W1"), (name, "east", "")} <= names
        assert ((name, "Re", "") in names) == (i != star)
    assert not [row for row in table["parameter"] if row.startswith("source")]


def test_fluxes_and_structure_are_those_of_the_plates(images, posterior):
    total, n = posterior.values("source_total"), posterior.values("source_n")
    np.testing.assert_array_equal(posterior.values("s1_flux"), total[..., 0])
    galaxies = images.sources.of_kind("galaxy")
    np.testing.assert_array_equal(posterior.values(f"{images.sources.names[galaxies[1]]}_n"), n[..., 1])
    assert "r - W1" in repr(posterior.colour("r", "W1", source="s1"))


def test_programs_compare_by_what_they_are():
    assert bj.scene_model() == bj.scene_model() and bj.scene_model(sky=False) != bj.scene_model()


def test_correlated_noise_takes_the_common_road(images):
    stamp = np.array([[0.0, 0.1, 0.0], [0.1, 1.0, 0.1], [0.0, 0.1, 0.0]])
    noisy = images.with_noise_correlations([stamp, None])
    layout = find_latents(bj.scene_model(), (noisy,))
    assert parameter_places(bj.scene_model(), layout, (noisy,)) == []
    assert parameter_places(bj.scene_model(), layout, (images,)) != []


@pytest.fixture(scope="module")
def edited(images):
    """A bulge in a disc, whose bulge is as flat as the disc; n tied to a held one; a shape half held."""
    table = bj.find_sources(images)
    galaxies = [str(row["name"]) for row in table if row["kind"] == "galaxy"]
    first, second, third = (int(np.flatnonzero(table["name"] == name)[0]) for name in galaxies)
    table["kind"][first], table["tied"][first] = "bulge+disc", "bulge_q=disc_q, bulge_pa=disc_pa"
    table["fixed"][second] = "n=2.5, q=0.8, centre"
    table["tied"][third] = f"n={galaxies[1]}"
    return table, galaxies


def test_what_is_held_and_tied_is_not_sampled(images, edited):
    table, _ = edited
    layout = find_latents(bj.scene_model(), (images.with_sources(table),))
    assert dict(zip(layout.names, layout.shapes, strict=True)) == {
        "source_east": (3,),
        "source_north": (3,),
        "source_total": (2, 5),
        "source_ellipticity": (2, 2),
        "source_pa": (1,),
        "source_Re_circular": (4,),
        "sky": (2,),
    }


def test_held_and_tied_values_are_those_of_the_table(images, edited):
    table, (first, second, third) = edited
    fit = bj.fit_map(bj.scene_model(), images.with_sources(table))
    assert fit.converged and abs(fit.chi2_per_dof - 1) < 0.05
    assert fit.values[f"{second}_n"] == fit.values[f"{third}_n"] == 2.5
    assert abs(fit.values[f"{second}_q"] - 0.8) < 1e-12
    row = table[table["name"] == second][0]
    np.testing.assert_allclose(fit.values[f"{second}_east"], row["east"], atol=1e-6)
    assert fit.values[f"{first}_bulge_q"] == fit.values[f"{first}_disc_q"]
    assert (fit.values[f"{first}_bulge_n"], fit.values[f"{first}_disc_n"]) == (4.0, 1.0)
    parts = fit.values[f"{first}_bulge_flux"] + fit.values[f"{first}_disc_flux"]
    np.testing.assert_allclose(fit.values[f"{first}_flux"], parts)
    posterior = bj.sample(bj.scene_model(), images.with_sources(table), init=fit, method="laplace", draws=200)
    assert {first, f"{first}_bulge", f"{first}_disc"} <= set(posterior.sources)
    names = set(zip(posterior.summary()["source"], posterior.summary()["parameter"], strict=True))
    assert {(first, "east"), (f"{first}_disc", "Re"), (second, "n")} <= names
    assert not [name for _, name in names if name.startswith("source")]


def test_a_saved_table_builds_the_same_program(images, edited, tmp_path):
    table, _ = edited
    table.write(tmp_path / "sources.ecsv")
    read = images.with_sources(Table.read(tmp_path / "sources.ecsv")).sources
    told = images.with_sources(table).sources
    assert jax.tree.structure(read) == jax.tree.structure(told)  # names, kinds, ties and windows are static
    for here, there in zip(jax.tree.leaves(read), jax.tree.leaves(told), strict=True):
        np.testing.assert_array_equal(here, there)


def test_a_bulge_in_a_disc_is_told_apart():
    """Fluxes of both parts in two bands, of colours of their own, from noise of known width."""
    scene = {"q": 0.8, "pa": 40.0}
    bulge, disc = (bj.Sersic((0.3, -0.2), **scene, n=n, Re=Re, Ie=1.0) for n, Re in ((4.0, 0.6), (1.0, 2.5)))
    truth = {"bulge": np.array([8e3, 2e4]), "disc": np.array([3e4, 2.5e4])}
    images = bj.ImageSet([noisy(i, bulge, disc, truth) for i in range(2)])
    table = bj.find_sources(images, contrast=1.0)
    table["kind"] = "bulge+disc"
    fit = bj.fit_map(bj.scene_model(), images.with_sources(table))
    for part, flux in truth.items():
        pull = (fit.values[f"s1_{part}_flux"] - flux) / fit.errors[f"s1_{part}_flux"]
        assert np.all(np.abs(pull) < 4), (part, pull)
        assert np.all(fit.errors[f"s1_{part}_flux"] < 0.3 * flux)


def noisy(i, bulge, disc, truth):
    """One band of a bulge in a disc."""
    sigma, name = 10.0, "gi"[i]
    image = make_image(
        (80, 80), 0.3, bj.gaussian_psf(0.9 + 0.1 * i), invvar=np.full((80, 80), sigma**-2), name=name
    )
    parts = [
        bj.Sersic(one.centre, one.q, one.pa, one.n, one.Re, truth[part][i] / float(one.flux))
        for part, one in (("bulge", bulge), ("disc", disc))
    ]
    rng = np.random.default_rng(7 + i)
    return image.with_data(np.asarray(rendered(image, *parts)) + rng.normal(0, sigma, image.shape))

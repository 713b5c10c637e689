"""Fields taken apart: which latents are whose, which sources belong together, and that a group is the field about it."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from helpers.correlations import RESAMPLED
from helpers.fields import field
from helpers.scenes import make_image, rendered

import bayesjoint as bj
from bayesjoint.data.cutouts import Box, box_within, cut_image
from bayesjoint.infer import groups
from bayesjoint.infer.draws import constrain
from bayesjoint.infer.groups import find_groups, piece_of
from bayesjoint.infer.pieces import box_about, latents_of
from bayesjoint.infer.space import find_latents, log_posterior


@pytest.fixture(scope="module")
def case():
    """The field in r and a sharp second band, and its fit."""
    images = field(names=("r",))
    twin = images[0].with_data(images[0].data + 3.0)
    twin.name = twin.band = "i"
    images = bj.ImageSet([images[0], twin])
    images = images.with_sources(bj.find_sources(images))
    return images, bj.fit_map(bj.scene_model(), images, progress=False)


def edited(images):
    """The same field with sources that are held, tied, and of two parts."""
    table = bj.find_sources(images)
    table["fixed"], table["tied"] = "", ""
    galaxies = np.flatnonzero(table["kind"] == "galaxy")
    fixed, tied = ["" for _ in table], ["" for _ in table]
    fixed[galaxies[0]] = "n=2, q"
    tied[galaxies[1]] = f"n={table['name'][galaxies[2]]}"
    table["fixed"], table["tied"] = fixed, tied
    kinds = [str(kind) for kind in table["kind"]]
    kinds[galaxies[2]] = "bulge+disc"
    table["kind"] = kinds
    tied[galaxies[1]] = f"n={table['name'][galaxies[0]]}"
    fixed[galaxies[0]] = "q"
    table["fixed"], table["tied"] = fixed, tied
    return images.with_sources(table)


def test_latents_move_the_sources_that_they_are_said_to_be_of(case):
    images = edited(case[0])
    sources, args = images.sources, jax.device_put((images,))
    layout = find_latents(bj.scene_model(), args)
    z = np.random.default_rng(0).normal(size=layout.size)
    moved = z + 0.01 * np.eye(layout.size)
    found = constrain(bj.scene_model(), layout, np.concatenate([z[None], moved])[None], args)
    told = {name: value[0] for name, value in found.items() if name not in layout.names}
    for k, latent in enumerate(latents_of(layout, sources, "source")):
        changed = {n for n, v in told.items() if not np.allclose(v[k + 1], v[0], rtol=1e-12, atol=0)}
        whose = {n.split("_")[0] for n in changed}
        tied = {
            sources.parents[i]
            for parameter in sources.owner._fields
            for i, owner in enumerate(getattr(sources.owner, parameter))
            if owner == latent.component
        }
        assert whose <= tied
        assert bool(whose) == (latent.component >= 0)
        if latent.component >= 0:
            assert sources.parents[latent.component] in whose


def test_sources_that_share_parameters_belong_together(case):
    images = edited(case[0])
    sources, layout = images.sources, find_latents(bj.scene_model(), (images,))
    uncorrelated = SimpleNamespace(layout=layout, covariance=np.eye(layout.size))
    found = find_groups(uncorrelated, sources, "source", 0.1)
    assert all(group.narrowing < 1e-12 for group in found) and len(found) == 3
    together = {i: group.members for group in found for i in group.members}
    assert sorted(together) == list(range(len(sources)))
    for parameter in sources.owner._fields:
        for i, owner in enumerate(getattr(sources.owner, parameter)):
            assert owner in together[i]
    parts = [i for i, parent in enumerate(sources.parents) if sources.parents.count(parent) > 1]
    assert len(parts) == 2 and together[parts[0]] == together[parts[1]]


def test_groups_are_what_correlates(case):
    images, fit = case
    labels = latents_of(fit.layout, images.sources, "source")
    whose = np.array([latent.component for latent in labels])
    error = np.sqrt(np.diag(fit.covariance))
    correlation = np.abs(fit.covariance / np.outer(error, error))
    for coupling in (0.0, 0.02, 0.1, 0.99):
        found = find_groups(fit, images.sources, "source", coupling)
        label = {i: k for k, group in enumerate(found) for i in group.members}
        for a in range(len(images.sources)):
            for b in range(a):
                if label[a] != label[b]:
                    assert correlation[np.ix_(whose == a, whose == b)].max() <= coupling
        assert len(found) == {0.0: 1, 0.99: 4}.get(coupling, len(found))


def test_narrowing_is_that_of_errors_given_the_others(case):
    images, fit = case
    whose = np.array([latent.component for latent in latents_of(fit.layout, images.sources, "source")])
    for group in find_groups(fit, images.sources, "source", 0.99):
        own, others = (np.flatnonzero(mask) for mask in (np.isin(whose, group.members), whose >= 0))
        others = np.setdiff1d(others, own)
        C = fit.covariance
        alone = C[np.ix_(own, own)] - C[np.ix_(own, others)] @ np.linalg.solve(
            C[np.ix_(others, others)], C[np.ix_(others, own)]
        )
        expected = np.max(1 - np.sqrt(np.diag(alone) / np.diag(C)[own]))
        assert group.narrowing == pytest.approx(expected, abs=1e-8)


def test_a_group_has_the_log_posterior_of_the_field_about_it(case):
    """As a function of its own sources, all else as fitted."""
    images, fit = case
    program, args = bj.scene_model(), jax.device_put((images,))
    root = np.linalg.cholesky(fit.covariance)
    rng = np.random.default_rng(1)
    steps = np.concatenate([np.zeros((1, fit.layout.size)), rng.normal(size=(6, fit.layout.size)) @ root.T])
    density = jax.jit(log_posterior, static_argnums=(0, 1))
    for group in find_groups(fit, images.sources, "source", 0.99):
        piece = piece_of(program, images, fit, group, "source")
        assert all(image.shape[0] < 90 for image in piece.images)
        cut = jax.device_put((piece.images,))
        layout = find_latents(program, cut)
        own = piece.rows[piece.is_own]
        differences = []
        for step in steps:
            z = fit.unconstrained.copy()
            z[own] += step[own]
            part = density(program, layout, z[piece.rows], cut)
            differences.append(float(density(program, fit.layout, z, args) - part))
        assert np.ptp(differences) < 2e-3


@pytest.mark.parametrize("correlated", [False, True])
def test_the_sky_of_a_group_is_known_as_well_as_that_of_the_field(case, correlated):
    images, fit = case
    if correlated:
        images = images.with_noise_correlations([RESAMPLED["bilinear by 0.5 px"]] * 2)
        fit = bj.fit_map(bj.scene_model(), images, start=fit, progress=False)
    (group, *_) = find_groups(fit, images.sources, "source", 0.99)
    piece = piece_of(bj.scene_model(), images, fit, group, "source")
    again = bj.fit_map(bj.scene_model(), piece.images, start=piece.values, progress=False)
    sky, whole = again.values["sky"], fit.values["sky"]
    # of correlated noise the pixels on either side of the box's border know of each other
    assert np.all(np.abs(sky - whole) < (0.2 if correlated else 0.05) * fit.errors["sky"])
    assert np.allclose(again.errors["sky"], fit.errors["sky"], rtol=0.03 if correlated else 0.01)
    name, field_name = piece.images.sources.parents[0], images.sources.parents[group.members[0]]
    for parameter in ("east", "north", "flux"):
        value, before = again.values[f"{name}_{parameter}"], fit.values[f"{field_name}_{parameter}"]
        error = fit.errors[f"{field_name}_{parameter}"]
        assert np.all(np.abs(value - before) < (0.1 if correlated else 0.02) * error)


@pytest.mark.parametrize("varying", (False, True), ids=("one PSF", "varying PSF"))
def test_a_cut_image_shows_what_the_whole_does(varying):
    psf = bj.gaussian_psf(1.0)
    if varying:
        ny, nx = np.mgrid[-9:10, -9:10]
        stamps = [np.exp(-0.5 * (nx**2 + ny**2) / width**2) for width in (1.6, 1.9, 2.2, 1.7)]
        stamps = [stamp / stamp.sum() for stamp in stamps]
        psf = bj.VaryingPSF(stamps, [(0, 0), (99, 0), (0, 79), (99, 79)])
    image = make_image((80, 100), 0.3, psf, angle=25.0)
    image.pixel_area = 1.02 * image.pixel_area  # as where the WCS distorts: a sky level is the whole image's
    light = (
        bj.Sersic((6.0, -3.0), 0.6, 40.0, 1.5, 0.8, 100.0),
        bj.PointSource((7.5, -2.0), 400.0),
        bj.FlatSky(30.0),
    )
    box = Box(40, 8, 48, 64)
    cut = cut_image(image, box)
    whole = np.asarray(rendered(image, *light))
    assert cut.shape == (64, 48) and cut.band == image.band
    there = np.asarray(rendered(cut, *light))
    np.testing.assert_allclose(there, whole[box.slices], atol=2e-5 * whole.max())
    world = cut.wcs.pixel_to_world(3.0, 5.0)
    assert world.separation(image.wcs.pixel_to_world(43.0, 13.0)).arcsec < 1e-6
    assert cut_image(image, Box(0, 0, 100, 80)) is image
    assert jax.tree.structure(cut_image(image, Box(10, 10, 48, 64))) == jax.tree.structure(cut)


def test_boxes_lie_in_their_images():
    shape = (80, 200)
    for low, high in (
        ((-5.0, 10.0), (20.0, 40.0)),
        ((150.0, 60.0), (199.0, 85.0)),
        ((90.0, 1.0), (180.0, 79.0)),
    ):
        box = box_within(shape, np.array(low), np.array(high))
        assert 0 <= box.x <= 200 - box.width and 0 <= box.y <= 80 - box.height
        for first, count, a, b, limit in (
            (box.x, box.width, low[0], high[0], 199),
            (box.y, box.height, low[1], high[1], 79),
        ):
            assert first <= max(a, 0) and first + count - 1 >= min(b, limit)


def test_an_image_smaller_than_a_window_is_not_cut(case):
    """Every group sees all of it, and its sky is as the field's prior has it."""
    images, fit = case
    (group, *_) = find_groups(fit, images.sources, "source", 0.99)
    whole = [Box(0, 0, *image.shape[::-1]) for image in images]
    small = [image.with_source_windows([100.0]) for image in images]
    sources = replace(images.sources, window=(0,) * len(images.sources))
    assert [box_about(image, sources, group.members) for image in small] == whole
    own = np.flatnonzero([x.component in group.members for x in latents_of(fit.layout, sources, "source")])
    prior = groups._sky_prior(images, images, fit, whole, own)
    np.testing.assert_allclose(prior["sky_scatter"], images.start.sky_scatter + images.start.sky_error)
    np.testing.assert_allclose(prior["sky"], images.start.sky)

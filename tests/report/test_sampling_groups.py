"""A field sampled group by group: the posterior that sampling all at once gives, and what is refused."""

import json

import numpy as np
import pytest
from helpers.fields import field

import bayesjoint as bj
from bayesjoint.report.statistics import diagnose

PROGRAM = bj.scene_model()


@pytest.fixture(scope="module")
def case():
    """The field in r, its fit, and its posterior by groups."""
    images = field(names=("r",))
    images = images.with_sources(bj.find_sources(images))
    fit = bj.fit_map(PROGRAM, images, progress=False)
    found = bj.sample_groups(PROGRAM, images, init=fit, draws=500, coupling=0.3, seed=2, progress=False)
    return images, fit, found


@pytest.fixture(scope="module")
def whole(case):
    """The posterior of all at once."""
    images, fit, _ = case
    return bj.sample(PROGRAM, images, init=fit, draws=500, seed=1, progress=False)


def test_it_is_the_posterior_of_all_at_once(case, whole):
    found = case[2]
    assert len(json.loads(found.idata.attrs["groups"])) > 1
    ours = {q.label: q for q in found.quantities}
    assert {q.label for q in whole.quantities} == set(ours)
    for other in whole.quantities:
        if other.parameter in ("pa", "mag"):  # an angle; what a flux says
            continue
        a, b = ours[other.label].draws, other.draws
        least = min(diagnose(a)[1], diagnose(b)[1])
        (low, middle, high), theirs = (np.quantile(x, (0.16, 0.5, 0.84)) for x in (a, b))
        width = (theirs[2] - theirs[0]) / 2
        assert abs(middle - theirs[1]) < 5 * width * np.sqrt(np.pi / least), other.label
        # of the sd of a Gaussian from its 16 and 84 % ends, each by draws of its own
        assert abs(np.log((high - low) / (2 * width))) < 0.02 + 5 * np.sqrt(2 / least), other.label


def test_skies_follow_the_sources(case):
    """Given those of all sources their draws are Gaussian, as the precision matrix of the fit has it."""
    _, fit, found = case
    low, high = np.quantile(found.values("sky"), (0.16, 0.84))
    assert (high - low) / 2 == pytest.approx(float(fit.errors["sky"][0]), rel=0.1)
    labels = list(fit.labels)
    sky = labels.index("sky[0]")
    precision = np.linalg.inv(fit.covariance)
    others = np.delete(np.arange(len(labels)), sky)
    slope = -precision[sky, others] / precision[sky, sky]
    totals = [labels.index(f"source_total[0,{k}]") for k in range(4)]
    # of what is linear in z, and most of what moves the sky
    known = found.values("source_total").reshape(-1, 4) - fit.unconstrained[totals]
    left = (
        found.values("sky").ravel() - fit.unconstrained[sky] - known @ slope[np.searchsorted(others, totals)]
    )
    assert left.std() < 0.9 * found.values("sky").std()
    assert left.std() == pytest.approx(precision[sky, sky] ** -0.5, rel=0.1)
    assert all(abs(np.corrcoef(left, each)[0, 1]) < 0.1 for each in known.T)


def test_groups_do_not_move_alike(case):
    """Each has random numbers of its own."""
    found = case[2]
    east, north = found.values("source_east"), found.values("source_north")
    for one in (east, north):
        together = np.corrcoef(one.reshape(-1, one.shape[-1]).T)
        assert np.abs(together - np.eye(len(together))).max() < 0.3


def test_it_says_what_it_left_out(case, tmp_path):
    *_, found = case
    (finding,) = (f for f in found.verdict.findings if "sampled in groups" in f.what)
    assert finding.figure == pytest.approx(found.idata.attrs["narrowing"])
    assert 0 < finding.figure < 0.05
    again = bj.Posterior.load(found.save(tmp_path / "field.nc"))
    assert str(again.verdict) == str(found.verdict)
    with pytest.raises(ValueError, match="does not know how its chains go on"):
        found.extend(draws=5)


@pytest.mark.loose
@pytest.mark.parametrize(
    ("program", "options", "kind", "words"),
    [
        (bj.joint_model(), {}, TypeError, "which it knows of bj.scene_model"),
        (PROGRAM, {"coupling": 1.0}, ValueError, "coupling must lie between 0 and 1, a correlation, got 1.0"),
        (PROGRAM, {"likelihood": "approximate"}, ValueError, "likelihood must be one of"),
        (PROGRAM, {"draws": 0}, ValueError, "draws must be a whole number from 1 on, got 0"),
        (bj.scene_model(sky=False), {}, ValueError, "init is the fit of another program"),
    ],
)
def test_what_is_refused(case, program, options, kind, words):
    images, fit, _ = case
    with pytest.raises(kind, match=words):
        bj.sample_groups(program, images, init=fit, **options)


def test_images_without_sources_are_told(case):
    images, fit, _ = case
    with pytest.raises(TypeError, match=r"sample_groups wants a bj.ImageSet, got list: wrap images"):
        bj.sample_groups(PROGRAM, list(images), init=fit)
    with pytest.raises(ValueError, match=r"give images.with_sources\(bj.find_sources\(images\)\)"):
        bj.sample_groups(PROGRAM, bj.ImageSet(list(images)), init=fit)

"""A field sampled group by group: the posterior that sampling all at once gives, and what is refused."""

import json
from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from helpers.fields import field
from helpers.killed_run import two_stars

import bayesjoint as bj
from bayesjoint.report import sampling_groups
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


@pytest.mark.loose
def test_it_says_what_it_left_out(case, tmp_path):
    *_, found = case
    (finding,) = (f for f in found.verdict.findings if "sampled in groups" in f.what)
    assert finding.figure == pytest.approx(found.idata.attrs["narrowing"])
    assert 0 < finding.figure < 0.05
    again = bj.Posterior.load(found.save(tmp_path / "field.nc"))
    assert str(again.verdict) == str(found.verdict)
    before, after = (jax.tree.leaves(p.images.sources) for p in (found, again))
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert jax.tree.structure(again.images) == jax.tree.structure(found.images)
    chi2 = [float(np.sum(one.loo(PROGRAM).pointwise)) for one in (found, again)]
    assert chi2[0] == pytest.approx(chi2[1], rel=1e-6)
    with pytest.raises(ValueError, match="does not know how its chains go on"):
        found.extend(draws=5)


def test_divergences_and_energies_are_those_of_the_worst_group():
    rng, shape = np.random.default_rng(0), (2, 50)

    def group(diverging, energy):
        stats = {"diverging": np.zeros(shape, bool), "energy": energy, "n_steps": np.full(shape, 3)}
        stats["diverging"].flat[:diverging] = True
        return SimpleNamespace(stats=stats | {"lp": np.ones(shape)})

    slow = np.cumsum(rng.normal(size=shape), axis=1)
    found = sampling_groups._statistics(
        [group(1, rng.normal(size=shape)), group(2, slow), group(0, slow[::-1])]
    )
    assert found["diverging"].sum() == 2 and np.array_equal(found["energy"], slow)
    assert np.all(found["n_steps"] == 9) and np.all(found["lp"] == 3)


@pytest.mark.loose
def test_the_fit_must_be_of_these_images(case):
    images, fit, _ = case
    other = replace(fit, image_names=("g",), bands=("g",))
    with pytest.raises(
        ValueError, match="init is the fit of other images: g in bands g, these are r in bands r"
    ):
        bj.sample_groups(PROGRAM, images, init=other)
    small = replace(fit, images=tuple(replace(one, model=one.model[1:]) for one in fit.images))
    with pytest.raises(ValueError, match=r"of 'r' it has pixels \(89, 96\), this one has \(90, 96\)"):
        bj.sample_groups(PROGRAM, images, init=small)


@pytest.mark.loose
def test_a_field_without_a_sky():
    """Nothing is drawn on whole images: the light is all in windows."""
    images, program = two_stars(), bj.scene_model(sky=False)
    found = bj.sample(program, images, draws=100, chains=2, progress=False)
    apart = bj.sample_groups(program, images, draws=100, chains=2, progress=False)
    for name in ("a", "b"):
        for posterior in (found, apart):
            flux = posterior.flux("r", source=name)
            assert abs(flux.median - 900) < 5 * flux.sd and flux.sd < 30


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


@pytest.mark.loose
def test_a_checkpoint_is_a_folder_of_this_run(tmp_path):
    images = two_stars()
    options = {"draws": 5, "chains": 2, "warmup": 20, "progress": False, "checkpoint": tmp_path / "run"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling_groups, "sample_program", interrupted_at_the_second())
        with pytest.raises(KeyboardInterrupt):
            bj.sample_groups(PROGRAM, images, **options)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"field.npz", "group0.npz", "group1.npz"}
    with pytest.raises(ValueError, match=r"field.npz' is of another run: coupling was 0.1 and is 0.2\. Give"):
        bj.sample_groups(PROGRAM, images, coupling=0.2, **options)
    assert bj.sample_groups(PROGRAM, images, **options).idata.posterior.sizes["draw"] == 5
    assert not (tmp_path / "run").exists()


def interrupted_at_the_second():
    """What samples a group, but for the second, where Ctrl-C is pressed."""
    sample_program, done = sampling_groups.sample_program, []

    def pressed(*args, **options):
        done.append(1)
        if len(done) == 2:
            raise KeyboardInterrupt
        return sample_program(*args, **options)

    return pressed


def test_a_checkpoint_that_cannot_be_is_told(tmp_path):
    images = two_stars()
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"is a folder, and '.*file' is a file: give another path"):
        bj.sample_groups(PROGRAM, images, checkpoint=tmp_path / "file")
    with pytest.raises(FileNotFoundError, match=r"the folder of the checkpoint '.*run' does not exist: make"):
        bj.sample_groups(PROGRAM, images, checkpoint=tmp_path / "none" / "run")


def test_images_without_sources_are_told(case):
    images, fit, _ = case
    with pytest.raises(TypeError, match=r"sample_groups wants a bj.ImageSet, got list: wrap images"):
        bj.sample_groups(PROGRAM, list(images), init=fit)
    with pytest.raises(ValueError, match=r"give images.with_sources\(bj.find_sources\(images\)\)"):
        bj.sample_groups(PROGRAM, bj.ImageSet(list(images)), init=fit)

"""Values out of range inside programs, and what direct calls refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from numpyro.infer.util import log_density

import bayesjoint as bj
from bayesjoint.light.ranges import hold

CENTRE = (0.1, -0.2)
GALAXY = {"q": 0.6, "pa": 30.0, "n": 1.5, "Re": 1.2, "Ie": 3.0}
ROUND = (0.6, 30.0)
NAN = np.nan


def galaxy(centre=CENTRE, **changed):
    return bj.Sersic(centre, **GALAXY | changed)


MAKERS = {
    "q": (lambda v, c: galaxy(c, q=v), (0.0, -1.0, 2.0, NAN)),
    "Re": (lambda v, c: galaxy(c, Re=v), (0.0, -1.0, np.inf, NAN)),
    "hs": (lambda v, c: bj.EdgeOnDisc(c, 30.0, 1.0, v, 1.0), (0.0,)),
    "rt": (lambda v, c: bj.King(c, *ROUND, v, 10.0, 2.0, 1.0), (0.0,)),
    "king": (lambda v, c: bj.King(c, *ROUND, 3.0, 10.0, v, 1.0), (0.0,)),
    "spline": (lambda v, c: bj.Spline(c, *ROUND, (1.0, 2.0, 4.0), jnp.stack([v, v, v])), (0.0, -1.0)),
    "ferrer": (lambda v, c: bj.Ferrer(c, *ROUND, 3.0, 2.0, v, 1.0), (2.0, 2.5)),
    "spergel": (lambda v, c: bj.Spergel(c, *ROUND, v, 1.0, 1.0), (-1.0,)),
    "core": (lambda v, c: bj.CoreSersic(c, *ROUND, 1.0, 3.0, v, 0.1, 2.0, 1.0), (0.0, -1.0)),
    "moffat": (lambda v, c: bj.Moffat(c, *ROUND, 1.0, v, 1.0), (-1.0,)),
    "nuker": (lambda v, c: bj.Nuker(c, *ROUND, 1.0, 2.0, v, 0.5, 1.0), (0.0,)),
    "fractions": (lambda v, c: bj.MultiGaussian(c, *ROUND, [1.0, 2.0], jnp.stack([v, v]), 3.0), (0.0,)),
    "point": (lambda v, c: bj.PointSource(c, v), (NAN, 1e300)),
    "sky": (lambda v, c: bj.FlatSky(v), (NAN,)),
    "windowed": (lambda v, c: bj.Windowed(bj.PointSource(jnp.stack([c, c]), v)), (NAN,)),
}


@pytest.fixture(scope="module")
def image(build):
    return build.image((24, 26)).with_windows(4.0)


def density(image, make):
    """Log density and its slopes by a value and a centre."""

    def of(value, centre):
        return log_density(lambda: bj.observe(image, make(value, centre)), (), {}, {})[0]

    return jax.jit(jax.value_and_grad(of, argnums=(0, 1)))


@pytest.mark.parametrize("name", MAKERS)
def test_out_of_range_inside_a_program(image, name):
    make, values = MAKERS[name]
    of = density(image, make)
    for value in values:
        found, slopes = of(jnp.array(value), jnp.array(CENTRE))
        assert found == -jnp.inf
        assert slopes[0] == 0 and np.all(np.abs(slopes[1]) < 1e3)


@pytest.mark.parametrize("centre", [(1e10, 0.0), (NAN, 0.0)])
def test_centres_out_of_range(image, centre):
    found, slopes = density(image, MAKERS["q"][0])(jnp.array(0.6), jnp.array(centre))
    assert found == -jnp.inf and np.isfinite(slopes[0]) and slopes[1][0] == 0


def test_values_in_range_stay_as_they_are():
    leaves = [jnp.array(0.1 + 0.2), jnp.array([[1e-7, 3.0], [-1e11, 10.0]])]
    ranges = [(1e-8, 1.0), (-1e12, np.array([1e12, 9.0]))]
    (q, values), inside = hold(leaves, ranges)
    assert not inside and q == leaves[0]
    np.testing.assert_array_equal(values, [[1e-7, 3.0], [-1e11, 9.0]])
    slopes = jax.grad(lambda leaf: jnp.sum(hold([leaves[0], leaf], ranges)[0][1]))(leaves[1])
    np.testing.assert_array_equal(slopes, [[1, 1], [1, 0]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: galaxy((NAN, 0.0)), "Sersic: centre must be finite"),
        (lambda: galaxy(pa=NAN), "Sersic: pa must be finite, got nan"),
        (lambda: galaxy(Ie=np.inf), "Sersic: Ie must be finite, got inf"),
        (lambda: galaxy(Re=np.inf), r"Sersic: Re must lie in \(0, inf\), got inf"),
        (lambda: bj.PointSource(CENTRE, NAN), "PointSource: flux must be finite"),
        (lambda: bj.FlatSky(NAN), "FlatSky: level must be finite"),
        (lambda: bj.Registration(rotation=NAN), "Registration: rotation must be finite"),
        (lambda: bj.Patch(CENTRE, 0.0, 1.0, [[NAN, 1.0], [1.0, 1.0]]), "Patch: values must be finite"),
        (lambda: galaxy(q=[0.5, 2.0]), r"Sersic: q must lie in \(0, 1\]"),
        (lambda: galaxy(n=[1.0, 20.0]), r"Sersic: n must lie in \[0.3, 10\]"),
        (lambda: galaxy((0.0, 1.0, 2.0)), "Sersic: centre must be a pair"),
        (lambda: bj.Registration((0, 0, 0)), "Registration: offset must be a pair"),
        (lambda: bj.PlaneSky(1.0, [1, 2, 3]), "PlaneSky: gradient must be a pair"),
        (lambda: galaxy((np.zeros(2), np.zeros(2))), "two pairs or two columns"),
        (
            lambda: bj.Windowed(galaxy(np.zeros((2, 2)), q=np.full(3, 0.5))),
            "q must have one value for each of the 2",
        ),
        (
            lambda: bj.Windowed(galaxy(np.zeros((3, 2)), q=np.full(2, 0.5))),
            "q must have one value for each of the 3",
        ),
        (lambda: bj.Windowed(galaxy([(0, 1), (2, 3)]), window=-1), "window must be a whole number from 0 on"),
        (lambda: bj.MultiGaussian(CENTRE, *ROUND, [1.0], [0.0], 3.0), "fraction must be positive somewhere"),
        (lambda: bj.airy_psf(800, 2.4), "must be given in micron"),
    ],
)
def test_numbers_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: galaxy(n=None), "Sersic: n must be a number, got None"),
        (lambda: galaxy(n=True), "Sersic: n must be a number, got True"),
        (lambda: bj.FlatSky(None), "FlatSky: level must be a number"),
        (lambda: galaxy(SkyCoord(150.0, 2.0, unit="deg")), r"image.frame.offsets\("),
        (lambda: bj.PSF("psf.fits"), "a PSF stamp must be an array"),
        (lambda: bj.Image("r.fits", wcs=None, zeropoint=25.0, psf=None), "read_image"),
        (
            lambda: bj.Image(np.ones((4, 4)) * u.nJy, wcs=None, zeropoint=25.0, psf=None),
            "in the units of zeropoint",
        ),
    ],
)
def test_kinds_refused(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_lists_of_pairs_are_rows():
    pairs = [(0.0, 1.0), (4.0, -3.0)]
    for given in (
        pairs,
        tuple(pairs),
        [list(pair) for pair in pairs],
        [*map(np.array, [*pairs, (0, 0)])][:3],
    ):
        np.testing.assert_array_equal(galaxy(given).centre[:2], pairs)
    columns = galaxy((np.array([0.0, 4.0, 1.0]), np.array([1.0, -3.0, 2.0])))
    np.testing.assert_array_equal(columns.centre, [(0, 1), (4, -3), (1, 2)])


@pytest.mark.parametrize(
    ("components", "message"),
    [
        ((3.0,), "component 0 must be light.*got float"),
        (([galaxy()],), "got list: give its items one by one"),
        ((bj.Sersic,), "component 0 is the class Sersic"),
        ((bj.Seeing(1.1), bj.Seeing(1.2)), "2 components are Seeing"),
        ((), "render wants components"),
    ],
)
def test_components_refused(image, components, message):
    with pytest.raises((TypeError, ValueError), match=message):
        bj.render(image, *components)


def test_only_an_image_is_rendered(image):
    for given in (bj.ImageSet([image]), np.zeros((3, 3))):
        with pytest.raises(TypeError, match=r"render wants a bj\.Image first"):
            bj.render(given, galaxy())


def test_seeing_beyond_the_spread(build):
    image = build.image(psf=bj.ScalablePSF(bj.gaussian_psf(0.9), spread=1.25))
    with pytest.raises(ValueError, match=r"Seeing: factor must lie in \[0.8, 1.25\] to be drawn, got 2"):
        bj.render(image, bj.PointSource(CENTRE, 3.0), bj.Seeing(2.0))
    bj.render(image, bj.PointSource(CENTRE, 3.0), bj.Seeing(1.25))

    def of(factor):
        parts = bj.PointSource(CENTRE, 3.0), bj.Seeing(factor)
        return log_density(lambda: bj.observe(image, *parts), (), {}, {})[0]

    of = jax.jit(of)
    assert of(2.0) == -jnp.inf and np.isfinite(of(1.2))


def test_windows_stay_in_a_set(build):
    images = [
        build.image(name=name, wcs=build.wcs((40, 50), ra=ra)).with_windows(4.0)
        for name, ra in (("a", 150.0), ("b", 150.0005))
    ]
    joint = bj.ImageSet(images)
    assert [len(image.window_lattices) for image in joint] == [1, 1]
    plain = bj.ImageSet([images[0], build.image((30, 30), name="c")])
    with pytest.raises(ValueError, match="the images have 0"):
        log_density(lambda: bj.observe(plain, bj.Windowed(galaxy([CENTRE, CENTRE]))), (), {}, {})
    for width in (-3.0, 0.0):
        with pytest.raises(ValueError, match=r"width of windows .* must be a positive number"):
            images[0].with_windows(width)


def test_numbers_of_psfs():
    stamp = np.outer(*[np.exp(-(np.arange(-12, 13) ** 2) / 8)] * 2)
    for wrong in (None, (2, 2), NAN):
        with pytest.raises(ValueError, match="oversampling must be a whole number"):
            bj.PSF(stamp / stamp.sum(), oversampling=wrong)
    with pytest.raises(ValueError, match="VaryingPSF: stamps must be one or more of one shape"):
        bj.VaryingPSF([stamp, stamp[1:-1, 1:-1]], [(0, 0), (1, 1)])
    assert bj.gaussian_psf(np.array(1.0)) == bj.gaussian_psf(jnp.array(1.0)) == bj.gaussian_psf(1.0)


def test_the_radial_brightness_is_at_arcsec():
    assert float(galaxy().radial_brightness(1.2)) == pytest.approx(3.0)

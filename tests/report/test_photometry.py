"""Photometry on draws, against numbers known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from bayesjoint.report import photometry as ph
from bayesjoint.report.estimates import Estimate

RNG = np.random.default_rng(11)


def test_magnitude_is_ab():
    assert ph.magnitude(3631e9) == pytest.approx(0.0, abs=1e-4)  # 3631 Jy
    assert ph.magnitude(1.0) == pytest.approx(31.4)
    np.testing.assert_array_equal(ph.magnitude([0.0, -3.0]), [np.inf, np.inf])


def test_magnitude_and_colour_keep_shapes_and_never_warn():
    flux = RNG.normal(0, 1, (3, 4, 2))
    assert ph.magnitude(flux).shape == flux.shape
    assert (
        np.isnan(ph.colour(-1.0, -1.0)) and ph.colour(-1.0, 1.0) == np.inf and ph.colour(1.0, -1.0) == -np.inf
    )


def test_error_of_a_magnitude_is_relative_error_of_the_flux():
    flux = RNG.normal(1000, 10, 200_000)
    low, high = ph.interval(ph.magnitude(flux))
    assert (high - low) / 2 == pytest.approx(2.5 / np.log(10) * 0.01, rel=0.02)


def test_colour_uses_the_covariance():
    shared = RNG.normal(1, 0.05, 100_000)
    a, b = (1000 * (shared + RNG.normal(0, 0.01, shared.size)) for _ in range(2))
    quadrature = np.hypot(np.std(ph.magnitude(a)), np.std(ph.magnitude(b)))
    error = np.std(ph.colour(a, b))
    assert error == pytest.approx(1.0857 * 0.01 * np.sqrt(2), rel=0.03)
    assert error < 0.25 * quadrature


def test_interval_is_equal_tailed():
    draws = RNG.exponential(size=400_000)
    low, high = ph.interval(draws, 0.9)
    assert low == pytest.approx(-np.log(0.95), rel=0.02) and high == pytest.approx(-np.log(0.05), rel=0.02)
    with pytest.raises(ValueError, match="between 0 and 1"):
        ph.interval(draws, 90)


def test_intervals_of_draws_with_infinities_are_not_nan():
    draws = np.r_[np.arange(99.0), np.inf]
    assert np.isfinite(ph.interval(draws, 0.9)).all()


@pytest.mark.parametrize(("mean", "detected"), [(5.0, True), (2.5, False), (0.0, False), (-4.0, False)])
def test_detection(mean, detected):
    assert ph.is_detected(RNG.normal(mean, 1, 20_000)) is detected


def test_a_skewed_flux_with_a_tail_below_zero_is_not_detected():
    flux = np.r_[np.full(970, 100.0), np.full(30, -1.0)]
    assert ph.signal_to_noise(flux) > 3 and not ph.is_detected(flux)


def test_magnitude_limit():
    flux = RNG.normal(50, 100, 200_000)
    limit = ph.magnitude_limit(flux)
    assert limit.direction == ">" and limit.probability == 0.95
    assert limit.value == pytest.approx(31.4 - 2.5 * np.log10(50 + 164.49), abs=0.01)
    assert "0.5 sigma" in str(limit)
    assert ph.magnitude_limit(RNG.normal(1000, 100, 1000)) is None


def test_limit_of_a_negative_flux_is_what_the_noise_allows():
    limit = ph.magnitude_limit(RNG.normal(-300, 100, 200_000))
    assert limit.value == pytest.approx(31.4 - 2.5 * np.log10(164.49), abs=0.01)


def test_colour_limits_point_the_right_way():
    faint, bright = RNG.normal(50, 100, 100_000), RNG.normal(10_000, 100, 100_000)
    wanted = -2.5 * np.log10((50 + 164.49) / 10_000)
    redder = ph.colour_limit(faint, bright, ("NUV", "r"))
    bluer = ph.colour_limit(bright, faint, ("r", "NUV"))
    assert (redder.direction, bluer.direction) == (">", "<")
    assert redder.value == pytest.approx(wanted, abs=0.01) and bluer.value == pytest.approx(-wanted, abs=0.01)
    assert "NUV is not detected" in str(redder) and "NUV is not detected" in str(bluer)
    assert ph.colour_limit(faint, faint).direction == "undetermined"
    assert ph.colour_limit(bright, bright) is None


def test_position_angles_wrap():
    draws = np.mod(RNG.normal(0.5, 2.0, 20_000), 180)  # half of them near 179
    assert abs(np.median(draws) - 0.5) > 0.5 or np.std(draws) > 50
    run_through = ph.unwrap_axial(draws)
    assert np.median(run_through) == pytest.approx(0.5, abs=0.05)
    assert np.std(run_through) == pytest.approx(2.0, rel=0.03)


def test_unwrapped_angles_have_their_median_in_range():
    for mean in (0.0, 89.0, 90.0, 91.0, 179.5):
        run_through = ph.unwrap_axial(np.mod(RNG.normal(mean, 5, 5000), 180))
        assert 0 <= np.median(run_through) < 180
        assert np.ptp(run_through) < 180


def test_axial_mean_and_concentration():
    assert (
        ph.axial_mean([179.0, 1.0]) % 180 == pytest.approx(0.0, abs=1e-9)
        or ph.axial_mean([179.0, 1.0]) > 179.999
    )
    assert ph.axial_concentration([10.0, 10.0]) == pytest.approx(1.0)
    assert ph.axial_concentration([0.0, 90.0]) == pytest.approx(0.0, abs=1e-12)


def test_colours_leave_out_draws_in_which_neither_band_has_light():
    rng = np.random.default_rng(5)
    bright, faint = rng.normal(1000, 100, 2000), rng.normal(50, 100, 2000)
    bright[:3] = faint[:3] = -1.0
    left, limit = ph.colour_limit(bright[3:], faint[3:]), ph.colour_limit(bright, faint)
    assert limit.direction == "<" and limit.value == pytest.approx(left.value, abs=0.01)
    both = Estimate("g - r", "mag", ph.colour(bright, 2 * bright)[None])
    assert np.isnan(both.draws).sum() == 3
    assert [both.median, *both.interval] == pytest.approx([2.5 * np.log10(2)] * 3)


def test_a_dark_band_has_no_limit():
    dark, bright = np.zeros((2, 100)), np.random.default_rng(6).normal(1000, 100, (2, 100))
    assert ph.signal_to_noise(dark) == 0 and not ph.is_detected(dark)
    assert str(ph.magnitude_limit(dark)) == "undetermined (dark: the flux is 0 in all draws)"
    limits = [ph.colour_limit(*pair, ("g", "r")) for pair in ((dark, bright), (bright, dark), (dark, dark))]
    assert [limit.why for limit in limits] == ["g is dark", "r is dark", "g is dark"]
    assert all(limit.direction == "undetermined" for limit in limits)

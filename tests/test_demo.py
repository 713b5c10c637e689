"""The demonstration: its scene, its comparison with the truth, and its downloads."""

from __future__ import annotations

import functools
import http.server
import threading

import galsim
import numpy as np
import pytest
from astropy.config import set_temp_cache
from astropy.io import fits
from astropy.utils.data import conf
from scipy.special import ndtr

import bayesjoint as bj
from bayesjoint import cli, demo, pipeline

BANDS = {
    "r": demo.Band(64, 0.4, 1.12, 22.5, 16.0, 0.02, 400, "ls-dr9", "r"),
    "W1": demo.Band(20, 1.5, 3.3, 25.199, 17.5, 2.0, 50, "unwise-neo7", "1"),
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Files, truth and images of a small scene."""
    pipeline.numpyro.enable_x64()
    files, truth = demo.simulate(tmp_path_factory.mktemp("scene"), BANDS, Re=3.0, n=1.2)
    return files, truth, bj.read_images(*files)


def test_scene_is_that_of_the_survey_images():
    assert sum(band.pixels**2 for band in demo.BANDS.values()) == 260_804
    assert [band.fwhm for band in demo.BANDS.values()] == [1.12, 6.1, 5.4]


def test_files_say_all_that_a_fit_needs(scene):
    files, _, images = scene
    assert images.bands == ("r", "W1") and images.names == ("r", "W1")
    assert [image.shape for image in images] == [(64, 64), (20, 20)]
    assert [image.zeropoint for image in images] == [22.5, 25.199]
    assert [image.noise_estimated for image in images] == [False, False]
    np.testing.assert_allclose(images.frame.ra, demo.RA)
    with fits.open(files[1]) as hdus:
        assert hdus["PSF"].header["OVERSAMP"] == 3 and hdus["PSF"].header["PIXINCL"] is True


def test_truth_has_the_magnitudes(scene):
    _, truth, _ = scene
    for name, band in BANDS.items():
        np.testing.assert_allclose(-2.5 * np.log10(truth["flux"][name]) + 31.4, band.mag)
        galaxy = bj.Sersic((0.0, 0.0), **{k: truth[k] for k in ("q", "pa", "n", "Re")}, Ie=truth["Ie"][name])
        np.testing.assert_allclose(galaxy.flux, truth["flux"][name])


def test_noise_is_what_the_weights_say(scene):
    """The truth leaves chi2/pixel of one, through the oversampled stamp that was written."""
    _, truth, images = scene
    image = images["W1"]
    galaxy = bj.Sersic(
        (truth["east"], truth["north"]),
        **{k: truth[k] for k in ("q", "pa", "n", "Re")},
        Ie=truth["Ie"]["W1"],
    )
    residual = (image.data - np.asarray(demo._render(image, galaxy))) * np.sqrt(image.invvar)
    assert abs(np.mean(residual**2) - 1) < 4 * np.sqrt(2 / residual.size)
    assert abs(np.mean(residual)) < 4 / np.sqrt(residual.size)


def test_same_seed_same_scene(scene, tmp_path):
    files, _, _ = scene
    again, _ = demo.simulate(tmp_path / "again", BANDS, Re=3.0, n=1.2)
    other, _ = demo.simulate(tmp_path / "other", BANDS, seed=2, Re=3.0, n=1.2)
    assert again[0].read_bytes() == files[0].read_bytes() != other[0].read_bytes()


@pytest.mark.parametrize("fwhm", [2.2, 3.6, 4.27])
def test_stamp_is_the_effective_psf(fwhm):
    """Against GalSim's Gaussian drawn through the pixel, at the same sampling."""
    stamp, oversampling = demo.effective_stamp(fwhm)
    assert (oversampling > 1) == (fwhm < 4) and stamp.sum() == pytest.approx(1)
    effective = galsim.Convolve(galsim.Gaussian(fwhm=fwhm), galsim.Pixel(1.0))
    size = {"nx": stamp.shape[1], "ny": stamp.shape[0], "scale": 1 / oversampling, "method": "sb"}
    drawn = effective.drawImage(dtype=float, **size).array
    assert np.abs(stamp - drawn / drawn.sum()).max() < 1e-5 * stamp.max()
    sigma = fwhm / 2.3548200450309493
    assert stamp.max() == pytest.approx((2 * ndtr(0.5 / sigma) - 1) ** 2 / oversampling**2, rel=1e-6)


class _Known:
    """A posterior of two parameters, for `pulls`."""

    def __init__(self, draws):
        from bayesjoint.report.quantities import Quantity

        self.quantities = [Quantity("pa", draws + 178, "galaxy"), Quantity("mag", draws, "galaxy", "r")]
        self.quantities.append(Quantity("n", np.full_like(draws, 4.0), "galaxy"))


def test_pulls_count_sigmas_and_angles_by_half_turns():
    draws = np.random.default_rng(1).normal(size=(2, 4000))
    draws = (draws - draws.mean()) / draws.std()
    rows = demo.pulls(_Known(draws), {"pa": -1.0, "mag": {"r": 2.0}, "n": 4.0})
    assert [row[0] for row in rows] == ["galaxy pa", "galaxy mag r"]
    np.testing.assert_allclose([row[-1] for row in rows], [-1.0, -2.0], atol=1e-9)
    text = demo.pull_table(rows).splitlines()
    assert len(text) == 3 and text[1].endswith("-1.00")


class _Viewer(http.server.BaseHTTPRequestHandler):
    """Serves cutouts as the survey's viewer does: by layer and band, one as a cube of one plane."""

    def do_GET(self):
        self.server.asked.append(self.path)
        body = self.server.cutouts.get(self.path.partition("layer=")[2].partition("&")[0], b"")
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def _as_served(path, folder, cube):
    """The file's bytes without zero point, band, weights and PSF."""
    with fits.open(path) as hdus:
        header = hdus[0].header
        for keyword in ("ZPT", "BAND"):
            header.remove(keyword)
        served = folder / f"served_{path.name}"
        fits.PrimaryHDU(hdus[0].data[None] if cube else hdus[0].data, header).writeto(served)
    return served.read_bytes()


@pytest.fixture
def viewer(scene, tmp_path, monkeypatch):
    """A server on the loopback address, an empty download cache, and no proxy between."""
    cutouts = {
        band.layer: _as_served(path, tmp_path, cube=name == "W1")
        for path, (name, band) in zip(scene[0], BANDS.items(), strict=True)
    }
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Viewer)
    server.cutouts, server.asked = cutouts, []
    thread = threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    address = f"http://127.0.0.1:{server.server_port}/cutout.fits"
    with set_temp_cache(tmp_path / "downloads"), conf.set_temp("delete_temporary_downloads_at_exit", True):
        (tmp_path / "downloads").mkdir(exist_ok=True)
        yield server, address
    server.shutdown()
    server.server_close()
    thread.join()


def test_addresses_are_the_viewers():
    url = demo.cutout_url(demo.BANDS["W1"])
    assert url == (
        "https://www.legacysurvey.org/viewer/fits-cutout"
        "?ra=187.3119&dec=12.9783&size=52&layer=unwise-neo7&pixscale=2.75&bands=1"
    )


def test_download_reads_as_three_line_cutouts(viewer, tmp_path, monkeypatch):
    server, address = viewer
    monkeypatch.setenv(demo.VIEWER_VARIABLE, address)
    files = demo.download(tmp_path / "data", BANDS)
    assert [path.name for path in files] == ["r.fits", "W1.fits"]
    assert "layer=ls-dr9" in server.asked[0] and "size=20" in server.asked[1]
    images = bj.read_images(*files, **demo.known_of_cutouts(BANDS))
    assert images.bands == ("r", "W1") and [image.shape for image in images] == [(64, 64), (20, 20)]
    assert [image.noise_estimated for image in images] == [True, True]
    assert [image.zeropoint for image in images] == [22.5, 25.199]
    assert repr(images[1].psf) == "GaussianPSF(fwhm=3.3)"


def test_download_is_cached(viewer, tmp_path):
    server, address = viewer
    demo.download(tmp_path / "one", BANDS, address)
    asked = len(server.asked)
    demo.download(tmp_path / "two", BANDS, address)
    assert len(server.asked) == asked == 2


def test_what_is_no_fits_file_is_refused_and_not_cached(viewer, tmp_path):
    server, address = viewer
    good = server.cutouts["ls-dr9"]
    server.cutouts["ls-dr9"] = b"<html>down for maintenance</html>"
    with pytest.raises(ConnectionError, match="did not serve a FITS file"):
        demo.download(tmp_path / "data", BANDS, address)
    server.cutouts["ls-dr9"] = good
    assert len(demo.download(tmp_path / "data", BANDS, address)) == 2


def test_without_network_one_sentence_says_what_to_do(viewer, tmp_path, monkeypatch, capsys):
    server, address = viewer
    server.cutouts.clear()
    with pytest.raises(ConnectionError, match="404"):
        demo.download(tmp_path / "data", BANDS, address)
    dead = "http://127.0.0.1:1/cutout.fits"
    monkeypatch.setenv(demo.VIEWER_VARIABLE, dead)
    out = tmp_path / "out" / "real"
    assert cli.main(["demo", "--real", "--out", str(out)]) == 1
    sentence = capsys.readouterr().err.split("bayesjoint: error: ")[1]
    assert sentence.count("\n") == 1 and "Traceback" not in sentence
    for text in ("'bayesjoint demo'", f"{dead}?ra=187.3119", "--zeropoint W1=25.199", "NUV=gaussian:5.4"):
        assert text in sentence
    assert list(out.parent.iterdir()) == []


def test_real_demo_from_the_command_line(viewer, scene, tmp_path, monkeypatch, capsys):
    """Up to the fit, which is another test's: files, zero points and position arrive there."""
    _, address = viewer
    monkeypatch.setenv(demo.VIEWER_VARIABLE, address)
    monkeypatch.setattr(demo, "download", functools.partial(demo.download, bands=BANDS))
    monkeypatch.setattr(demo, "known_of_cutouts", functools.partial(demo.known_of_cutouts, BANDS))
    seen = []

    def stop(program, images, **_):
        seen.append(images)
        raise KeyboardInterrupt

    monkeypatch.setattr(bj, "fit_map", stop)
    assert cli.main(["demo", "--real", "--out", str(tmp_path / "real")]) == 130
    assert seen[0].names == ("r", "W1")
    assert np.hypot(*seen[0].start.position) < 4
    assert "LEDA 41136" in capsys.readouterr().err
    assert not (tmp_path / "real").exists()

"""Made by `python tests/benchmarks/wrong.py [--each 20] [--right 200]`: models wrong on purpose, and right ones, checked.

Two bands of 56 x 56 pixels of 0.4 arcsec, a Sersic galaxy (n = 1.6, Re = 2.2 arcsec; at Re 8 and 15 sigma a pixel, FWHM
1.3 arcsec), fitted by one Sersic profile: in each case something that the program or the images say is not so. Realisations
that were done stay in a folder.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpyro

sys.path.insert(0, str(Path(__file__).absolute().parents[0]))
sys.path.insert(0, str(Path(__file__).absolute().parents[1]))
from epochs_statistics import realisations
from helpers.scenes import make_image
from machine import heading, markdown_table

import bayesjoint as bj

SHAPE, SCALE, FWHM, SIGMA = (56, 56), 0.4, 1.3, 1.0
PLACE, Q, PA, N, RE = (0.1, -0.15), 0.65, 40.0, 1.6, 2.2
# nJy per square arcsec at Re: 8 and 15 sigma in a pixel of 0.16 square arcsec
BRIGHTNESS = {"g": 50.0, "r": 94.0}
CORRELATION = np.outer([0.25, 1.0, 0.25], [0.25, 1.0, 0.25])
KINDS = ("PSF width", "offset", "sky slope", "flux scale")


class Case(NamedTuple):
    """What images hold, and what is told of them."""

    lights: Callable[[str], Sequence[Any]]
    told_fwhm: float = FWHM
    told_sigma: float = SIGMA
    correlated: bool = False


def galaxy(times: float = 1.0) -> Callable[[str], Sequence[Any]]:
    """One Sersic galaxy, so many times as bright."""
    return lambda band: (bj.Sersic(PLACE, Q, PA, N, RE, times * BRIGHTNESS[band]), bj.FlatSky(5.0))


def with_star(band: str) -> Sequence[Any]:
    """The galaxy, and in r a star of a signal-to-noise ratio of 12."""
    unit = np.asarray(bj.render(_blank(band, FWHM, SIGMA, False), bj.PointSource((5.0, 4.0), 1.0)))
    star = bj.PointSource((5.0, 4.0), 12 * SIGMA / np.sqrt(np.sum(unit**2)))
    return (*galaxy()(band), star) if band == "r" else galaxy()(band)


def bulge_and_disc(band: str) -> Sequence[Any]:
    """Of the galaxy's flux 40 % in a bulge."""
    flux = float(galaxy()(band)[0].flux)

    def part(kind, share, q, radius):
        return kind(PLACE, q, PA, radius, share * flux / float(kind(PLACE, q, PA, radius, 1.0).flux))

    return part(bj.DeVaucouleurs, 0.4, 0.85, 0.7), part(bj.Exponential, 0.6, 0.5, 3.0), bj.FlatSky(5.0)


WRONG = {
    "nothing": Case(galaxy()),
    "star of S/N 12, not masked": Case(with_star),
    "noise understated by 2": Case(galaxy(), told_sigma=SIGMA / 2),
    "a bulge and a disc instead": Case(bulge_and_disc),
    "PSF 10 % too narrow": Case(galaxy(), told_fwhm=0.9 * FWHM),
    "the same, galaxy four times as bright": Case(galaxy(4.0), told_fwhm=0.9 * FWHM),
}
RIGHT = {
    "white noise": Case(galaxy()),
    "white noise, galaxy a quarter as bright": Case(galaxy(0.25)),
    "correlated noise": Case(galaxy(), correlated=True),
}
NARROW = {
    f"{100 * wrong:.0f} %, {times:g} times as bright": Case(galaxy(times), told_fwhm=(1 - wrong) * FWHM)
    for wrong in (0.1, 0.05)
    for times in (0.5, 1.0, 2.0, 4.0)
}


def _blank(
    band: str, fwhm: float, sigma: float, correlated: bool, data: np.ndarray | None = None
) -> bj.Image:
    told = {"psf": bj.gaussian_psf(fwhm), "data": data, "invvar": np.full(SHAPE, sigma**-2)}
    image = make_image(SHAPE, SCALE, name=band, band=band, **told)
    return image.with_noise_correlation(CORRELATION) if correlated else image


def simulated(case: Case, rng: np.random.Generator) -> bj.ImageSet:
    """Images of a case."""
    images = []
    for band in BRIGHTNESS:
        light = np.asarray(bj.render(_blank(band, FWHM, SIGMA, False), *case.lights(band)))
        noise = rng.normal(size=SHAPE)
        if case.correlated:
            noise = _correlated(rng)
        data = light + SIGMA * noise
        images.append(_blank(band, case.told_fwhm, case.told_sigma, case.correlated, data))
    return bj.ImageSet(images)


def _correlated(rng: np.random.Generator) -> np.ndarray:
    """White noise smoothed until neighbours correlate as told, of unit variance; cut from a larger field."""
    size = 2 * SHAPE[0]
    kernel = np.zeros((size, size))
    kernel[:3, :3] = CORRELATION
    power = np.fft.fft2(np.roll(kernel, (-1, -1), (0, 1))).real
    field = np.fft.ifft2(np.fft.fft2(rng.normal(size=(size, size))) * np.sqrt(power)).real
    return field[: SHAPE[0], : SHAPE[1]]


def found(case: Case, method: str, rng: np.random.Generator) -> dict[str, Any]:
    """What the verdicts of a posterior and of its check say of one realisation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = simulated(case, rng)
        posterior = bj.sample(bj.joint_model(), images, method=method, progress=False)
        check = posterior.check()
    r = check.predictions[-1]
    rows = {name: r.means(name) for name in ("chi2", "source", "smooth source", "smooth largest")}
    tested = {kind: check.scores.of_kind(kind) for kind in KINDS}
    index = next(q for q in posterior.quantities if q.parameter == "n").draws
    whole = [one for one in tested["PSF width"] if one.image == "all images"]
    return {
        "posterior": _gravest(posterior.verdict),
        "check": _gravest(check.verdict),
        "ratios": {name: observed / expected for name, (observed, expected) in rows.items()},
        "largest": rows["smooth largest"],
        "p": [one.p_value(name) for one in check.predictions for name in rows],
        "told": [f.what for f in check.verdict.findings if f.severity in ("warning", "fail")],
        "alarms": {kind: len(check.scores.suspects(kind)) for kind in KINDS},
        "sigmas": {kind: [one.sigma for one in ones] for kind, ones in tested.items()},
        "wider": [(float(one.amplitude[0]), float(one.error[0]), one.sigma) for one in whole],
        "n": [float(index.mean()), float(index.std())],
    }


def _gravest(verdict: bj.Verdict) -> str:
    severities = [finding.severity for finding in verdict.findings]
    return next((grave for grave in ("fail", "warning") if grave in severities), "trusted")


def all_cases(cases: dict[str, Case], method: str, count: int, folder: Path) -> dict[str, list[dict]]:
    """So many realisations of every case; of correlated noise, which takes longer, a quarter."""
    rows = {}
    for name, case in cases.items():
        own = count // 4 if case.correlated else count
        make = partial(found, case, method)
        rows[name] = realisations(folder / f"{method} {name}", own, make)
    return rows


def wrong_table(rows: dict[str, list[dict]]) -> str:
    """Medians of what was measured in r, and how often verdicts tell."""
    columns = ["what is wrong", "chi2", "source", "smooth source", "largest, smoothed, σ", "n, sd off"]
    columns += ["posterior's verdict: fails, warns", "check's: fails, warns", "one of both tells"]
    lines = []
    for name, ones in rows.items():
        ratios = [
            np.median([one["ratios"][key] for one in ones]) for key in ("chi2", "source", "smooth source")
        ]
        largest = np.median([one["largest"] for one in ones], axis=0)
        off = np.median([(one["n"][0] - N) / one["n"][1] for one in ones])
        told = np.mean([{one["posterior"], one["check"]} != {"trusted"} for one in ones])
        counts = [
            ", ".join(str(sum(one[whose] == grave for one in ones)) for grave in ("fail", "warning"))
            for whose in ("posterior", "check")
        ]
        cells = [f"{ratio:.2f}" for ratio in ratios] + [f"{largest[0]:.1f} ({largest[1]:.1f})", f"{off:+.1f}"]
        lines.append([name, *cells, *counts, f"{told:.0%} of {len(ones)}"])
    return markdown_table(columns, lines)


def right_table(rows: dict[str, list[dict]]) -> str:
    """How often right models are warned of."""
    columns = ["right model", "checks", "any warning", "a predictive p-value", *(f"{k}" for k in KINDS)]
    columns += ["sd of PSF tests"]
    lines = []
    for name, ones in rows.items():
        warned = np.mean([one["check"] != "trusted" for one in ones])
        extreme = np.mean([any(p < 0.005 or p > 0.995 for p in one["p"]) for one in ones])
        alarms = [np.mean([one["alarms"][kind] > 0 for one in ones]) for kind in KINDS]
        pulls = np.std([wide / error for one in ones for wide, error, _ in one["wider"]])
        cells = [f"{share:.1%}" for share in (warned, extreme, *alarms)]
        lines.append([name, str(len(ones)), *cells, f"{pulls:.2f}"])
    return markdown_table(columns, lines)


def narrow_table(rows: dict[str, list[dict]], right: list[dict]) -> str:
    """How often a PSF that is too narrow is told, how far it is measured, and what it did to n."""
    columns = [
        "PSF too narrow by, galaxy",
        "checks",
        "told",
        "found, %",
        "scatter, % (its error)",
        "n, sd off",
    ]
    lines = []
    for name, ones in {"0 %, as bright": right, **rows}.items():
        told = np.mean([one["alarms"]["PSF width"] > 0 for one in ones])
        wide = np.array([one["wider"][0][:2] for one in ones])
        off = np.mean([(one["n"][0] - N) / one["n"][1] for one in ones])
        error = f"{wide[:, 0].std():.1f} ({np.median(wide[:, 1]):.1f})"
        lines.append(
            [name, str(len(ones)), f"{told:.0%}", f"{np.mean(wide[:, 0]):+.1f}", error, f"{off:+.1f}"]
        )
    return markdown_table(columns, lines)


PAGE = """{heading}{about}

## Wrong on purpose

Medians over realisations, in r; chi2 relative to that of replicated data, the largest smoothed residual beside that of
replicates (in brackets). Each is sampled by defaults.

{wrong}
## False alarms

Share of checks (of Laplace posteriors) that warn though nothing is wrong. Each kind of score test is meant to do so in 1 %;
the last column is the scatter of amplitude over error of the test of all PSFs alike.

{right}
## A PSF that is too narrow

How often the score test tells it (Laplace posteriors). Told a PSF that is narrower by 10 %, a fit would widen it by 11.1 %;
by 5 %, by 5.3 %.

{narrow}"""


def page(wrong: dict, right: dict, narrow: dict) -> str:
    """All tables, in Markdown."""
    about = (__doc__ or "").split("\n\n")[1].split(" Realisations")[0]
    return PAGE.format(
        heading=heading("Models that are wrong, and right ones", __doc__),
        about=about,
        wrong=wrong_table(wrong),
        right=right_table(right),
        narrow=narrow_table(narrow, right["white noise"]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--each", type=int, default=20)
    parser.add_argument("--right", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "wrong-models")
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks/checks.md"))
    args = parser.parse_args()
    numpyro.enable_x64()
    bj.enable_compilation_cache()
    wrong = all_cases(WRONG, "nuts", args.each, args.folder)
    right = all_cases(RIGHT, "laplace", args.right, args.folder)
    narrow = all_cases(NARROW, "laplace", args.right // 4, args.folder)
    args.page.write_text(page(wrong, right, narrow))


if __name__ == "__main__":
    main()

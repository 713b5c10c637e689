"""Made by `python tests/benchmarks/wavelength.py [DATA_DIR]`: an observed galaxy in nine bands, three models of it compared.

Writes docs/benchmarks/wavelength.md and docs/figures/wavelength_j0056m0021.png. DATA_DIR has the fields of docs/data.md.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpyro
import numpyro.distributions as dist
from machine import heading, markdown_table

import bayesjoint as bj
from bayesjoint.report.style import PALETTE

ROOT = Path(__file__).parents[2]
DATA = os.environ.get("BAYESJOINT_DATA", ROOT.parent / "shared" / "data")
CHAINS, DRAWS, LIMIT = 4, 250, 900.0
# effective wavelengths, micron
WAVELENGTHS = {
    "GALEX_FUV": 0.154,
    "GALEX_NUV": 0.232,
    "SDSS_u": 0.355,
    "SDSS_g": 0.477,
    "SDSS_r": 0.623,
    "SDSS_i": 0.762,
    "SDSS_z": 0.913,
    "2MASS_J": 1.235,
    "2MASS_Ks": 2.159,
}
WIDTH = dist.HalfNormal(0.5)
MODELS = {
    "shared": False,
    "line": bj.Trend(WAVELENGTHS, width=WIDTH, centred=True),
    "process": bj.Trend(WAVELENGTHS, length=1.0, width=WIDTH, centred=True),
}
WORDS = """![Re and n against wavelength](../figures/wavelength_j0056m0021.png)

j0056m0021 in GALEX, SDSS and 2MASS, one Sersic profile, noise scaled in each image. n and Re are shared by all bands, or
change by a line in ln wavelength or by a Gaussian process of length 1 e-fold, each of a sampled width (half-normal, 0.5),
centred. Each is sampled by {chains} chains of {draws} draws; least ESS is the least bulk effective sample size of these
{all} draws, seconds are those of fit and sampling.
Blocks of pixels predicted from all others (PSIS-LOO): {conclusion}.

"""
SHOWN = {
    "shared": (PALETTE[1], "shared"),
    "line": (PALETTE[2], "a line in ln wavelength"),
    "process": (PALETTE[0], "a Gaussian process"),
}


@dataclass(frozen=True)
class Galaxy:
    """A Sersic galaxy whose n and Re change by a model, in noise that may be wider than said."""

    model: bj.Trend | bool

    def __call__(self, images: bj.ImageSet) -> None:
        per_band = dict.fromkeys(("Re", "n"), self.model)
        structure = bj.sample_structure("galaxy", images, per_band)
        light = bj.Sersic(**structure, Ie=bj.sample_brightness("galaxy", images, structure))
        bj.observe(images, light, bj.FlatSky(bj.sample_sky(images)), bj.sample_noise_scale(images, 0.5))


def sampled(images: bj.ImageSet, model: bj.Trend | bool) -> tuple[bj.Posterior, float]:
    """The posterior, and the seconds of fit and sampling."""
    began = time.perf_counter()
    fit = bj.fit_map(Galaxy(model), images, progress=False)
    posterior = bj.sample(
        Galaxy(model), images, init=fit, chains=CHAINS, draws=DRAWS, seed=1, progress=False, max_seconds=LIMIT
    )
    return posterior, time.perf_counter() - began


def table_of(posteriors: dict, seconds: dict, found: bj.Comparison) -> str:
    """A row for each model, the best first."""
    told = {row["model"]: row for row in found.table()}
    rows = []
    for name in found.names:
        row, posterior = told[name], posteriors[name]
        behind = f"{row['behind']:.1f} ± {row['noise']:.1f}" if name != found.best else "0"
        r_hat = max(float(x) for x in posterior.summary()["r_hat"] if x == x)
        ess = f"{posterior.least_ess()[1]:.0f}"
        rows.append(
            (
                *(name, found.models[name].latents, behind, f"{row['between']:.1f}", f"{row['p_loo']:.0f}"),
                *(row["k_over_0.7"], ess, f"{r_hat:.3f}", f"{seconds[name]:.0f}"),
            )
        )
    columns = (
        "n and Re",
        "latents",
        "behind in elpd, ± noise",
        "± between blocks",
        "p_loo",
        "k-hat over 0.7",
    )
    return markdown_table((*columns, "least ESS", "R-hat", "seconds"), rows)


def structure_table(posterior: bj.Posterior, singles: dict) -> str:
    """Re and n of each band, by a trend and alone."""
    rows = []
    for i, band in enumerate(posterior.bands):
        row = [band]
        for site in ("galaxy_Re", "galaxy_n"):
            low, middle, high = np.quantile(posterior.values(site)[..., i], [0.16, 0.5, 0.84])
            alone, error = (np.ravel(part[site])[0] for part in (singles[band].values, singles[band].errors))
            row += [f"{middle:.3f} +{high - middle:.3f} -{middle - low:.3f}", f"{alone:.3f} ± {error:.3f}"]
        rows.append(row)
    return markdown_table(("band", "Re, process", "Re, alone", "n, process", "n, alone"), rows)


def draw(posteriors: dict, singles: dict, path: Path) -> None:
    """Re and n against wavelength: by each model, and each band alone."""
    figure, axes = None, None
    for name, (colour, label) in SHOWN.items():
        own = singles if name == "process" else None
        options = {"singles": own, "axes": axes, "colour": colour, "label": label}
        figure = posteriors[name].plot_wavelength(WAVELENGTHS, **options)
        axes = figure.axes
    axes[1].plot([], [], "ko", markersize=3, label="each band alone")
    axes[1].set_xlabel("wavelength [micron]")
    axes[1].set_xticks([0.2, 0.5, 1.0, 2.0], ["0.2", "0.5", "1", "2"])
    axes[1].minorticks_off()
    handles, labels = _handles(axes)
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=7, frameon=False)
    figure.savefig(path, dpi=200)


def _handles(axes: list) -> tuple[list, list]:
    """What the panels show, each once."""
    found = dict(
        pair for panel in axes[:2] for pair in zip(*reversed(panel.get_legend_handles_labels()), strict=True)
    )
    return list(found.values()), list(found)


def main(data: str | Path = DATA) -> None:
    numpyro.enable_x64()
    bj.enable_compilation_cache()
    files = [Path(data) / "j0056m0021" / f"{band.rpartition('_')[2]}.fits" for band in WAVELENGTHS]
    posteriors, seconds = {}, {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of stamps cut short
        images = bj.read_images(*files)
        for name, model in MODELS.items():
            posteriors[name], seconds[name] = sampled(images, model)
            print(name, f"{seconds[name]:.0f} s", posteriors[name].verdict.headline, flush=True)
        singles = {image.band: bj.fit_map(Galaxy(False), bj.ImageSet([image])) for image in images}
        found = bj.compare(posteriors)
    print(found)
    draw(posteriors, singles, ROOT / "docs" / "figures" / "wavelength_j0056m0021.png")
    text = heading("Structure and wavelength: an observed galaxy", __doc__)
    text += WORDS.format(conclusion=found.conclusion, chains=CHAINS, draws=DRAWS, all=CHAINS * DRAWS)
    text += table_of(posteriors, seconds, found) + "\n" + structure_table(posteriors["process"], singles)
    (ROOT / "docs" / "benchmarks" / "wavelength.md").write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What the draws of a posterior say: numbers with error bars, tables, and whether to trust them."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesjoint.data.frame import TangentFrame
from bayesjoint.data.image_set import ImageSet
from bayesjoint.infer.draws import Importance, LogEvidence
from bayesjoint.infer.goodness import Goodness, goodness
from bayesjoint.infer.verdict import Verdict
from bayesjoint.report import latex, tables
from bayesjoint.report.archive import unpack_images
from bayesjoint.report.assess import assess
from bayesjoint.report.estimates import Estimate, FluxEstimate
from bayesjoint.report.light_curve import LightCurve, light_curve_of
from bayesjoint.report.photometry import ONE_SIGMA
from bayesjoint.report.quantities import Layout, Quantity, flux_of, pick_source, quantities
from bayesjoint.report.statistics import diagnose, pareto_k

if TYPE_CHECKING:
    from astropy.table import QTable


class Results:
    """Draws and the images they explain, read: base of `Posterior`.

    Attributes
    ----------
    idata : arviz.InferenceData
        Groups posterior, sample_stats and constant_data (images, weights, PSFs, model pixels); attributes
        with versions, command, seed, date and the fit.
    """

    def __init__(self, idata: Any, images: ImageSet | None = None):
        self.idata = idata
        if images is not None:
            self.images = images

    @cached_property
    def images(self) -> ImageSet:
        """The images the posterior was made from; of a loaded posterior, rebuilt from the file."""
        return unpack_images(self._constants, self.image_names)

    @property
    def frame(self) -> TangentFrame:
        """The tangent plane that positions are in."""
        return TangentFrame(*(float(angle) for angle in self._constants["frame"]))

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands, in the images' order."""
        return tuple(json.loads(self.idata.attrs["bands"]))

    @property
    def image_names(self) -> tuple[str, ...]:
        """The images' names, in order."""
        return tuple(json.loads(self.idata.attrs["images"]))

    @property
    def image_bands(self) -> tuple[str, ...]:
        """The band of each image."""
        return tuple(str(band) for band in self._constants["band_of_image"])

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources that have a flux."""
        return tuple(dict.fromkeys(q.source for q in self.quantities if q.parameter == "flux"))

    @cached_property
    def _constants(self) -> dict[str, np.ndarray]:
        return {str(name): array.values for name, array in self.idata.constant_data.data_vars.items()}

    @property
    def map_fit(self) -> dict[str, Any] | None:
        """The fit that sampling started from, as plain numbers."""
        text = self.idata.attrs.get("map_fit", "")
        return json.loads(text) if text else None

    def values(self, site: str) -> np.ndarray:
        """Draws of one site of the program, (chains, draws, *shape).

        Raises
        ------
        ValueError
            For a site that is not there; names those that are.
        """
        sites = [str(name) for name in self.idata.posterior.data_vars]
        if site not in sites:
            raise ValueError(f"no site {site!r} in this posterior: there are {', '.join(sites)}")
        return self.idata.posterior[site].values

    @cached_property
    def quantities(self) -> list[Quantity]:
        """Every scalar of the posterior by its name, source, band and unit."""
        sites = self.idata.posterior.data_vars
        return quantities({str(name): site.values for name, site in sites.items()}, self.layout)

    @property
    def layout(self) -> Layout:
        """What the axes of its sites stand for."""
        sites = self.idata.posterior.data_vars
        dims = {str(name): tuple(str(d) for d in site.dims[2:]) for name, site in sites.items()}
        return Layout(dims, self.bands, self.image_names, self.image_bands)

    def colour(self, a: str, b: str, source: str | None = None, probability: float = ONE_SIGMA) -> Estimate:
        """Colour a - b in AB magnitudes from the joint draws, so that what both bands share cancels.

        Parameters
        ----------
        a, b : str
            Bands; or images' names where images of one band have fluxes of their own.
        source : str, optional
            Needed where there are several sources.
        probability : float
            Of the equal-tailed interval.

        Returns
        -------
        Estimate
            A limit where one of the bands is not detected.

        Raises
        ------
        ValueError
            For an unknown band or source, or twice the same band; names what there is.
        """
        if a == b:
            raise ValueError(
                f"a colour needs two bands, got {a!r} twice: choose from {', '.join(self.bands)}"
            )
        source = pick_source(self.quantities, source)
        fluxes = (flux_of(self.quantities, band, source) for band in (a, b))
        return tables.colour_estimate(*fluxes, probability=probability)

    def magnitude(self, band: str, source: str | None = None, probability: float = ONE_SIGMA) -> Estimate:
        """Total AB magnitude in a band, or its limit where that is not detected; arguments as in `colour`."""
        flux = flux_of(self.quantities, band, pick_source(self.quantities, source))
        return tables.magnitude_estimate(flux, probability)

    def flux(
        self, band: str | None = None, source: str | None = None, probability: float = ONE_SIGMA
    ) -> Estimate | FluxEstimate:
        """Total flux, nJy: of one band, or of all with their full covariance; arguments as in `colour`."""
        source = pick_source(self.quantities, source)
        if band is not None:
            return tables.estimate(flux_of(self.quantities, band, source), None, probability)
        fluxes = tables.distinct_fluxes(self.quantities, source)
        draws = np.stack([flux.draws for flux in fluxes], axis=-1)
        return FluxEstimate(source, tuple(flux.image or flux.band for flux in fluxes), draws, probability)

    def light_curve(self, source: str | None = None, band: str | None = None) -> LightCurve:
        """Fluxes of a source that has one in each image, in the order of time, with their covariance.

        Parameters
        ----------
        source : str, optional
            Needed where there are several sources.
        band : str, optional
            One band's images; by default all.

        Raises
        ------
        ValueError
            For an unknown source or band, and a source with one flux a band.
        """
        source = pick_source(self.quantities, source)
        return light_curve_of(self.quantities, source, band, self.images, self.image_bands)

    def summary(self, probability: float = ONE_SIGMA) -> QTable:
        """Every scalar with its error bar, R-hat and effective sample sizes; see `tables.summary_table`."""
        return tables.summary_table(self.quantities, self._diagnose, probability)

    def colours(self, probability: float = ONE_SIGMA) -> QTable:
        """Colours of every pair of bands; see `tables.colours_table`."""
        return tables.colours_table(self.quantities, probability)

    def to_table(self, probability: float = ONE_SIGMA) -> QTable:
        """One row per source and band, with astropy units, to stack over galaxies; see `tables.catalogue`."""
        return tables.catalogue(self.quantities, probability, self.frame)

    def to_latex(self, probability: float = ONE_SIGMA, sky: bool = False) -> str:
        """A paper's table; see `latex.to_latex`."""
        return latex.to_latex(self.quantities, probability, sky, self.frame)

    def model_images(self) -> list[np.ndarray]:
        """Model pixels (ny, nx) of each image, nJy.

        Raises
        ------
        ValueError
            If the posterior was made without them.
        """
        names = [f"model_{i}" for i in range(len(self.image_names))]
        if any(name not in self._constants for name in names):
            raise ValueError(
                "this posterior holds no model pixels: make it with Posterior.from_draws(..., "
                "model_images=[...]), one array per image"
            )
        return [self._constants[name] for name in names]

    def residual_images(self) -> list[np.ndarray]:
        """Residuals (ny, nx) of each image, which scatter independently by 1 where the model is right; 0 without weight.

        Raises
        ------
        ValueError
            If the posterior was made without model pixels.
        """
        found = []
        for i, model in enumerate(self.model_images()):
            data, invvar = self._constants[f"data_{i}"], self._constants[f"invvar_{i}"]
            found.append(self._constants.get(f"residual_{i}", (data - model) * np.sqrt(invvar)))
        return found

    def goodness(self) -> list[Goodness]:
        """chi2 and residual correlation of each image against the stored model, if there is one."""
        if "model_0" not in self._constants:
            return []
        found, widened = [], self._constants.get("widened")
        for i, name in enumerate(self.image_names):
            data, model, invvar = (self._constants[f"{kind}_{i}"] for kind in ("data", "model", "invvar"))
            factor = 1.0 if widened is None else float(widened[i])
            own = self._constants.get(f"residual_{i}"), factor, f"noise_correlation_{i}" in self._constants
            found.append(goodness(name, data, model, invvar, *own))
        return found

    @cached_property
    def verdict(self) -> Verdict:
        """Whether to trust this posterior, and what to do about it, in plain words."""
        stats = {str(name): array.values for name, array in self.idata.sample_stats.data_vars.items()}
        interrupted = bool(self.idata.attrs.get("interrupted", 0))
        ends = json.loads(self.idata.attrs.get("ends", "{}"))
        errors = self.likelihood_errors
        checked = None if errors is None else (errors, pareto_k(-errors))
        obstacle = str(self.idata.attrs.get("incompressible", ""))
        how = self.importance, self.method
        return assess(
            self.quantities,
            diagnose,
            stats,
            self.goodness(),
            self.map_fit,
            interrupted,
            ends,
            checked,
            obstacle,
            *how,
            self.idata.attrs.get("narrowing"),
            str(self.idata.attrs.get("road", "")),
        )

    @property
    def method(self) -> str:
        """What made the draws: see `bayesjoint.sample`."""
        return str(self.idata.attrs.get("method", "nuts"))

    @property
    def importance(self) -> Importance | None:
        """What the importance ratios of draws of a Gaussian say of it; None of chains."""
        found = json.loads(self.idata.attrs.get("importance", "null"))
        if found is None:
            return None
        known: dict[str, Any] = {name: np.nan if x is None else x for name, x in found.items()}
        return Importance(**known)

    @property
    def log_evidence(self) -> LogEvidence:
        """Log of the probability density of the data under the program, priors and pixels normalised.

        Raises
        ------
        ValueError
            Of draws by other methods than "smc".
        """
        runs = json.loads(self.idata.attrs.get("log_evidence", "null"))
        if runs is None:
            raise ValueError(
                f'the evidence is not known from method="{self.method}": sample with method="smc", or call bj.evidence'
            )
        return LogEvidence.from_runs(np.array(runs))

    def _diagnose(self, draws: np.ndarray) -> tuple[float, float, float]:
        """As `diagnose`; where there are no chains, the number of independent draws that these are worth."""
        worth = self.importance
        return diagnose(draws) if worth is None else (np.nan, worth.effective, worth.effective)

    @property
    def likelihood_errors(self) -> np.ndarray | None:
        """Compressed minus exact log posterior at some of the draws, about their mean; None of exact draws."""
        errors = json.loads(self.idata.attrs.get("likelihood_errors", "null"))
        return None if errors is None else np.array(errors, dtype=float)

    def least_ess(self) -> tuple[str, float]:
        """The scalar with the smallest bulk effective sample size, and that size; 0 where none can be told."""
        found = {q.label: self._diagnose(q.draws)[1] for q in self.quantities if q.parameter != "mag"}
        told = {label: ess for label, ess in found.items() if np.isfinite(ess)}
        return min(told.items(), key=lambda pair: pair[1], default=("none", 0.0))

    @property
    def stopped(self) -> str:
        """Why sampling ended, where `until_ess` or `max_seconds` was given; else empty."""
        return str(self.idata.attrs.get("stopped", ""))

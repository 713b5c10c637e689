"""`Posterior`: draws with all that belongs to them, as numbers with error bars, tables, figures and a file."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesjoint.data.image_set import ImageSet
from bayesjoint.infer.checkpoint import pack, unpack
from bayesjoint.infer.draws import Importance, LogEvidence
from bayesjoint.infer.goodness import Goodness, goodness
from bayesjoint.infer.verdict import Verdict
from bayesjoint.report import colours_plot, images_plot, latex, plots, tables
from bayesjoint.report.archive import pack_images, run_record, unpack_images
from bayesjoint.report.assess import assess
from bayesjoint.report.estimates import Estimate, FluxEstimate
from bayesjoint.report.files import with_slashes, without_slashes, write_whole
from bayesjoint.report.photometry import ONE_SIGMA
from bayesjoint.report.quantities import Layout, Quantity, flux_of, pick_source, quantities
from bayesjoint.report.statistics import arviz, diagnose, pareto_k

if TYPE_CHECKING:
    from astropy.table import QTable
    from matplotlib.figure import Figure

    from bayesjoint.infer.draws import Draws
    from bayesjoint.report.check import Check
    from bayesjoint.report.loo import Loo

_CONTINUATION = "continuation"


class Posterior:
    """Draws of a posterior, the images they explain, and how they were made.

    Made by `bj.sample`, `Posterior.from_draws` or `Posterior.load`.

    Attributes
    ----------
    idata : arviz.InferenceData
        Groups posterior, sample_stats and constant_data (images, weights, PSFs, model pixels); attributes
        with versions, command, seed, date and the fit.
    program, more
        What `bj.sample` was given; None and () of a posterior from a file.
    """

    program: Any = None
    more: tuple = ()

    def __init__(self, idata: Any, images: ImageSet | None = None):
        self.idata = idata
        if images is not None:
            self.images = images

    @classmethod
    def from_draws(
        cls,
        draws: Draws,
        images: ImageSet,
        fit: Any = None,
        provenance: Mapping[str, Any] | None = None,
        model_images: Sequence[np.ndarray] | None = None,
        residuals: Sequence[tuple[np.ndarray, float]] | None = None,
        continuation: Mapping[str, np.ndarray] | None = None,
    ) -> Posterior:
        """A posterior from a sampler's draws.

        Parameters
        ----------
        draws : Draws
        images : ImageSet
        fit : MapFit, optional
            The fit from which sampling started; kept with the posterior.
        provenance : dict, optional
            More attributes to keep, e.g. the command line.
        model_images : sequence of array (ny, nx), optional
            Model pixels of each image, nJy, at the best draw or fit; figures and the verdict on the images
            need them.
        residuals : sequence of (array (ny, nx), float), optional
            Of each image whose noise is not as its inverse variances say: see `infer.residuals`.
        continuation : dict of array, optional
            How the chains go on; `extend` needs it.
        """
        images = images if isinstance(images, ImageSet) else ImageSet(images)
        packed = pack_images(images, model_images, residuals)
        if continuation is not None:
            packed[_CONTINUATION] = (("byte",), np.frombuffer(pack(continuation), dtype=np.uint8))
        idata = arviz().from_dict(
            posterior=dict(draws.values),
            sample_stats=dict(draws.stats),
            constant_data={name: array for name, (_, array) in packed.items()},
            coords={"band": list(images.bands), "image": list(images.names)},
            dims={site: list(dims) for site, dims in draws.dims.items()}
            | {name: list(dims) for name, (dims, _) in packed.items()},
            save_warmup=False,
        )
        idata.attrs = run_record(draws, images, fit, provenance)
        return cls(idata, images)

    @cached_property
    def images(self) -> ImageSet:
        """The images the posterior was made from; of a loaded posterior, rebuilt from the file."""
        return unpack_images(self._constants, self.image_names)

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

    def summary(self, probability: float = ONE_SIGMA) -> QTable:
        """Every scalar with its error bar, R-hat and effective sample sizes; see `tables.summary_table`."""
        return tables.summary_table(self.quantities, self._diagnose, probability)

    def colours(self, probability: float = ONE_SIGMA) -> QTable:
        """Colours of every pair of bands; see `tables.colours_table`."""
        return tables.colours_table(self.quantities, probability)

    def to_table(self, probability: float = ONE_SIGMA) -> QTable:
        """One row per source and band, with astropy units, to stack over galaxies; see `tables.catalogue`."""
        return tables.catalogue(self.quantities, probability)

    def to_latex(self, probability: float = ONE_SIGMA, sky: bool = False) -> str:
        """A paper's table; see `latex.to_latex`."""
        return latex.to_latex(self.quantities, probability, sky)

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
        measured = self.goodness()
        obstacle = str(self.idata.attrs.get("incompressible", ""))
        how = self.importance, self.method
        return assess(
            self.quantities,
            diagnose,
            stats,
            measured,
            self.map_fit,
            interrupted,
            ends,
            checked,
            obstacle,
            *how,
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
        return None if errors is None else np.array(errors)

    def least_ess(self) -> tuple[str, float]:
        """The scalar with the smallest bulk effective sample size, and that size; 0 where none can be told."""
        found = {q.label: self._diagnose(q.draws)[1] for q in self.quantities if q.parameter != "mag"}
        told = {label: ess for label, ess in found.items() if np.isfinite(ess)}
        return min(told.items(), key=lambda pair: pair[1], default=("none", 0.0))

    @property
    def stopped(self) -> str:
        """Why sampling ended, where `until_ess` or `max_seconds` was given; else empty."""
        return str(self.idata.attrs.get("stopped", ""))

    @property
    def continuation(self) -> dict[str, np.ndarray]:
        """How the chains go on, as named arrays.

        Raises
        ------
        ValueError
            If the posterior was made without.
        """
        if _CONTINUATION not in self._constants:
            raise ValueError(
                "this posterior does not know how its chains go on: only those that bj.sample made can be extended"
            )
        return unpack(self._constants[_CONTINUATION].tobytes())

    def made_by(self, program: Any = None, more: tuple = ()) -> tuple[Any, tuple]:
        """The program given and what `more` arguments it has, or those that `bj.sample` was given.

        Raises
        ------
        ValueError
            If neither is there.
        """
        if program is None and self.program is None:
            raise ValueError(
                "a posterior from a file does not know its program: give it as the first argument"
            )
        return (self.program, self.more) if program is None else (program, more)

    def extend(
        self, program: Any = None, *more: Any, draws: int = 1000, progress: bool | None = None
    ) -> Posterior:
        """More draws of the same chains, also of a posterior that was saved and loaded.

        The draws are those that one long run would have made, to the last bit on the same machine with the same versions,
        where that would have sampled the same likelihood (`bj.sample` chooses it by the draws asked for first).

        Parameters
        ----------
        program : function, optional
            The program that the posterior was made by, and what `more` arguments it had; needed of one from a file.
        draws : int
            More of each chain.
        progress : bool, optional
            Show a progress bar; by default only in a terminal or a notebook.

        Returns
        -------
        Posterior
            A new one, with the old draws and the new; this one stays as it is.

        Raises
        ------
        ValueError
            For another program than the one it was made by, and posteriors that `bj.sample` did not make.
        """
        from bayesjoint.report.extending import extended  # which needs this module

        if draws != int(draws) or draws < 1:
            raise ValueError(f"draws must be a whole number from 1 on, got {draws!r}")
        return extended(self, *self.made_by(program, more), int(draws), progress)

    def check(self, program: Any = None, *more: Any, draws: int = 200, seed: int = 0) -> Check:
        """Whether the model describes the images, and what the parameters rest on; see `checking.checked`.

        Parameters
        ----------
        program, more
            As in `extend`.
        draws : int
            At how many draws the images are rendered and replicated; at least 50.
        seed : int
            Of the replicated noise.
        """
        from bayesjoint.report.checking import checked  # which needs this module

        return checked(self, *self.made_by(program, more), draws, seed)

    def loo(self, program: Any = None, *more: Any, draws: int = 400, block: float | None = None) -> Loo:
        """How well each block of pixels is predicted from all others; see `loo.leave_blocks_out`.

        Parameters
        ----------
        program, more
            As in `extend`.
        draws : int
            At how many draws the images are rendered; at least 100.
        block : float, optional
            Side of the blocks, arcsec; by default each image's FWHM.
        """
        from bayesjoint.report.loo import leave_blocks_out  # which needs this module

        return leave_blocks_out(self, *self.made_by(program, more), draws, block)

    def plot_images(self, **options: Any) -> Figure:
        """Data, model and normalised residual of each image; see `images_plot.plot_images`."""
        if "residual_0" in self._constants:
            own = [self._constants[f"residual_{i}"] for i in range(len(self.image_names))]
            options = {"residuals": own} | options
        return images_plot.plot_images(self.images, self.model_images(), **options)

    def plot_corner(self, **options: Any) -> Figure:
        """Joint distributions of structure and magnitudes; see `plots.plot_corner`."""
        return plots.plot_corner(self.quantities, **options)

    def plot_trace(self, **options: Any) -> Figure:
        """Chains and marginals; see `plots.plot_trace`."""
        return plots.plot_trace(self.quantities, self._diagnose, **options)

    def plot_colours(self, **options: Any) -> Figure:
        """Magnitudes and colours of each source; see `colours_plot.plot_colours`."""
        return colours_plot.plot_colours(self.quantities, **options)

    def save(self, path: str | os.PathLike) -> Path:
        """Write everything as netCDF.

        The file is written under a temporary name in the same folder, then renamed: an interrupted or failed
        write leaves no half file, and an old file of that name as it was.
        """
        path = Path(path)
        if not path.parent.is_dir():
            raise FileNotFoundError(
                f"the folder {str(path.parent)!r} does not exist: make it, or choose another path"
            )
        write_whole(path, lambda name: without_slashes(self.idata).to_netcdf(name, engine="h5netcdf"))
        return path

    @classmethod
    def load(cls, path: str | os.PathLike) -> Posterior:
        """Read what `save` wrote; images and figures come with it."""
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"no file {str(path)!r}: give the path of a posterior written by Posterior.save"
            )
        try:
            with arviz().rc_context({"data.load": "eager"}):
                idata = arviz().from_netcdf(str(path), engine="h5netcdf")
        except (OSError, ValueError) as error:
            raise ValueError(f"{str(path)!r} is not a netCDF file of a posterior ({error})") from None
        if "constant_data" not in idata.groups() or "bands" not in idata.attrs:
            raise ValueError(
                f"{str(path)!r} was not written by Posterior.save: it lacks the images and their bands"
            )
        return cls(with_slashes(idata))

    def __repr__(self) -> str:
        sizes = self.idata.posterior.sizes
        lines = [
            f"Posterior of {sizes['chain']} chains x {sizes['draw']} draws, {len(self.image_names)} images"
        ]
        lines[0] += f" in {', '.join(self.bands)}"
        for source in self.sources:
            fluxes = tables.distinct_fluxes(self.quantities, source)
            lines += [f"  {source}: " + "; ".join(map(tables.in_brief, fluxes))]
        lines += [f"  {self.stopped}"] if self.stopped else []
        return "\n".join([*lines, f"  {self.verdict.headline}"])

    def _repr_html_(self) -> str:
        lines = repr(self).splitlines()[:-1]  # the verdict follows with its advice
        return f"<pre>{html.escape(chr(10).join(lines))}</pre>{self.verdict._repr_html_()}"

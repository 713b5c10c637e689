"""`Posterior`: draws with all that belongs to them: they go on, are checked, drawn and kept in a file."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesjoint.data.image_set import ImageSet
from bayesjoint.infer.checkpoint import pack, unpack
from bayesjoint.report import colours_plot, images_plot, plots, tables, wavelength_plot
from bayesjoint.report.archive import pack_images, run_record
from bayesjoint.report.counts import check_whole
from bayesjoint.report.files import with_slashes, without_slashes, write_whole
from bayesjoint.report.products import Products
from bayesjoint.report.quantities import pick_source
from bayesjoint.report.statistics import arviz

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bayesjoint.infer.draws import Draws

_CONTINUATION = "continuation"


class Posterior(Products):
    """Draws of a posterior, the images they explain, and how they were made.

    Made by `bj.sample`, `Posterior.from_draws` or `Posterior.load`.

    Attributes
    ----------
    idata : arviz.InferenceData
        Groups posterior, sample_stats and constant_data (images, weights, PSFs, model pixels); attributes
        with versions, command, seed, date and the fit.
    """

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
                "this posterior does not know how its chains go on: only those that bj.sample made can be extended, "
                f"by a method that has chains; this one is of {self.method!r}"
            )
        return unpack(self._constants[_CONTINUATION].tobytes())

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

        check_whole("draws", draws, 1)
        return extended(self, *self.made_by(program, more), int(draws), progress)

    def plot_images(self, **options: Any) -> Figure:
        """Data, model and normalised residual of each image; see `images_plot.plot_images`."""
        return images_plot.plot_images(self.images, self, **options)

    def plot_profile(self, *bands: str, program: Any = None, more: tuple = (), **options: Any) -> Figure:
        """Surface brightness against radius beside the images' own isophotes; see `profile_plot.plot_profile`."""
        from bayesjoint.report import profile_plot  # which needs this module

        return profile_plot.plot_profile(self, *self.made_by(program, more), bands, **options)

    def plot_corner(self, **options: Any) -> Figure:
        """Joint distributions of structure and magnitudes; see `plots.plot_corner`."""
        return plots.plot_corner(self.quantities, **options)

    def plot_trace(self, **options: Any) -> Figure:
        """Chains and marginals; see `plots.plot_trace`."""
        return plots.plot_trace(self.quantities, self._diagnose, **options)

    def plot_colours(self, **options: Any) -> Figure:
        """Magnitudes and colours of each source; see `colours_plot.plot_colours`."""
        return colours_plot.plot_colours(self.quantities, **options)

    def plot_wavelength(
        self, wavelengths: Mapping[str, float], source: str | None = None, **options: Any
    ) -> Figure:
        """Structure against wavelength, beside fits of single bands; see `wavelength_plot.plot_wavelength`."""
        source = pick_source(self.quantities, source)
        return wavelength_plot.plot_wavelength(self.quantities, source, wavelengths, **options)

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

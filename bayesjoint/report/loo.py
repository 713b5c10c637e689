"""Leave-one-out predictions: how well each block of pixels is predicted from all others."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from bayesjoint.data.image import Image
from bayesjoint.infer.blocks import block_labels, block_log_densities
from bayesjoint.infer.pixels import Place
from bayesjoint.infer.residuals import one_of
from bayesjoint.infer.space import Program
from bayesjoint.infer.verdict import Finding, Verdict, counted
from bayesjoint.light.noise import Noise
from bayesjoint.light.noise_density import variance_of
from bayesjoint.report.checking import Rendering, rendering
from bayesjoint.report.products import Products
from bayesjoint.report.statistics import leave_one_out

LEAST_DRAWS = 100
UNRELIABLE = 0.7
EXCESS = 2.0


@dataclass(frozen=True, eq=False)
class Loo:
    """Expected log predictive density (elpd) of blocks of pixels, each left out in turn. Made by `Posterior.loo`.

    Attributes
    ----------
    names : tuple of str
        Of the images.
    images : tuple of Image
    labels : tuple of array (ny, nx)
        Of each image, the number of each pixel's block in it; -1 where a pixel carries no weight.
    models, sigmas : tuple of array (ny, nx)
        Model pixels of each image at the best draw, and the width of their noise, nJy.
    pointwise, effective, k_hat : array (blocks,)
        elpd of each block, those of the first image first; how much of it is owed to the block's own data (its share of the
        effective number of parameters); and the shape of the tail of its importance ratios.
    draws : int
    latents : int
        Numbers that the program samples.
    data : str
        A fingerprint of the pixels.
    noises : tuple of tuple of Noise
        What each image's noise is at the best draw beside its inverse variances.
    """

    names: tuple[str, ...]
    images: tuple[Image, ...] = field(repr=False)
    labels: tuple[np.ndarray, ...] = field(repr=False)
    models: tuple[np.ndarray, ...] = field(repr=False)
    sigmas: tuple[np.ndarray, ...] = field(repr=False)
    pointwise: np.ndarray = field(repr=False)
    effective: np.ndarray = field(repr=False)
    k_hat: np.ndarray = field(repr=False)
    draws: int = 0
    latents: int = 0
    data: str = ""
    noises: tuple[tuple[Noise, ...], ...] = field(default=(), repr=False)

    @property
    def elpd(self) -> float:
        """Sum over the blocks."""
        return float(self.pointwise.sum())

    @property
    def error(self) -> float:
        """Standard error of `elpd`, from the scatter of the blocks."""
        return float(np.sqrt(self.pointwise.size * np.var(self.pointwise)))

    @property
    def p_loo(self) -> float:
        """Effective number of parameters."""
        return float(self.effective.sum())

    @property
    def unreliable(self) -> int:
        """Blocks whose k-hat is over 0.7: without them the posterior would be another."""
        return int(np.sum(self.k_hat > UNRELIABLE))

    def of_images(self, values: np.ndarray) -> list[np.ndarray]:
        """Values of the blocks, taken apart image by image."""
        return np.split(values, np.cumsum([labels.max() + 1 for labels in self.labels])[:-1])

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the importance ratios can be trusted."""
        return Verdict.from_findings(self.findings(), "leave-one-out")

    def findings(self, name: str = "") -> list[Finding]:
        """What k-hats and the effective number of parameters say, of a model of this name."""
        found, where = [self._judge_ratios(name)], f"{name}: " if name else ""
        if self.p_loo > EXCESS * self.latents + EXCESS:
            counts = f"p_loo is {self.p_loo:.0f}, of {counted(self.latents, 'parameter')}"
            what = f"{where}{counts}: blocks pull harder than their noise allows"
            advice = "the model misfits, or noise is correlated: posterior.check() tells where"
            found.append(Finding("warning", what, self.p_loo, advice))
        return found

    def _judge_ratios(self, name: str) -> Finding:
        worst, where = float(np.max(self.k_hat)), f"{name}: " if name else ""
        if not self.unreliable:
            return Finding("ok", f"{where}k-hat is at most {worst:.2f} over {self.k_hat.size} blocks", worst)
        share = self.unreliable / self.k_hat.size
        what = (
            f"{where}{counted(self.unreliable, 'block')} of {self.k_hat.size} determine the posterior so much that "
            f"leaving them out cannot be told from its draws (k-hat up to {worst:.2f}, wanted under {UNRELIABLE})"
        )
        advice = "leave out smaller blocks (block=, arcsec) at more draws; where it stays, look at the pixels there"
        return Finding("fail" if share > 0.05 else "warning", what, worst, advice)

    def __repr__(self) -> str:
        return (
            f"Loo of {self.pointwise.size} blocks in {len(self.names)} images by {self.draws} draws: elpd {self.elpd:.1f} "
            f"+- {self.error:.1f}, p_loo {self.p_loo:.1f}\n{self.verdict}"
        )

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self).splitlines()[0])}</pre>{self.verdict._repr_html_()}"


def leave_blocks_out(
    posterior: Products, program: Program, more: Sequence[Any], draws: int = 400, block: float | None = None
) -> Loo:
    """PSIS-LOO over square blocks of pixels, whose log likelihoods come from images rendered at some of the draws.

    Returns
    -------
    Loo

    Raises
    ------
    ValueError
        For fewer than 100 draws, blocks without size, and noise under which pixels are not independent.
    """
    if block is not None and not block > 0:
        raise ValueError(f"block must be a side in arcsec, above 0, got {block!r}")
    known = rendering(posterior, program, more, draws, LEAST_DRAWS)
    images = tuple(place.image for place in known.places)
    labels = tuple(block_labels(image, _side(image, block)) for image in images)
    some = known.some(int(draws))
    made = known.program, known.layout, some, known.args
    found = block_log_densities(*made, known.places, labels, known.means)
    blocks = leave_one_out(np.concatenate(found, axis=1))
    models, sigmas, noises = zip(*(_at_best(known, place) for place in known.places), strict=True)
    names, data = tuple(image.name for image in images), _fingerprint(images)
    return Loo(names, images, labels, models, sigmas, *blocks, len(some), known.layout.size, data, noises)


def _at_best(known: Rendering, place: Place) -> tuple[np.ndarray, np.ndarray, tuple[Noise, ...]]:
    """Model pixels of an image at the best draw, how wide its noise is there, and what the noise is."""
    image, site, row = place
    ny, nx = image.shape
    model = np.asarray(known.means[site][row])[:ny, :nx]
    noise = one_of(known.noises.get(site, ()), row)
    return model, np.sqrt(np.asarray(variance_of(noise, model, image.invvar))), noise


def _side(image: Image, block: float | None) -> int:
    """Of a block, in pixels."""
    arcsec = image.psf.fwhm_arcsec(image.pixel_scale) if block is None else block
    return max(1, round(float(arcsec / image.pixel_scale)))


def _fingerprint(images: Sequence[Image]) -> str:
    """Of the pixels that are predicted."""
    digest = hashlib.sha256()
    for image in images:
        used = np.asarray(image.invvar) > 0
        digest.update(repr((image.name, used.shape)).encode() + used.tobytes())
        digest.update(np.asarray(image.data, np.float64)[used].tobytes())
    return digest.hexdigest()

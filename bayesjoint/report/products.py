"""What a posterior tells by its program, run again: whether it holds, profiles of the light, and fluxes in other images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bayesjoint.report.results import Results

if TYPE_CHECKING:
    from bayesjoint.data.image import Image
    from bayesjoint.data.image_set import ImageSet
    from bayesjoint.report.check import Check
    from bayesjoint.report.loo import Loo
    from bayesjoint.report.posterior import Posterior
    from bayesjoint.report.radial_profile import RadialProfile


class Products(Results):
    """Draws that know their program: base of `Posterior`.

    Attributes
    ----------
    program, more
        What `bj.sample` was given; None and () of a posterior from a file.
    """

    program: Any = None
    more: tuple = ()

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

    def surface_brightness(
        self, band: str, radii: Any, source: Any = None, program: Any = None, more: tuple = ()
    ) -> RadialProfile:
        """Surface brightness in a band at radii along the major axis, nJy/arcsec^2, free of PSF and noise.

        It is the mean over the ellipse of each semi-major axis; of one source of elliptical isophotes that along these.

        Parameters
        ----------
        band : str
        radii : array (n,)
            Semi-major axes, arcsec.
        source : str or tuple of str, optional
            Needed where there are several; of several the sum, on the ellipses of the first:
            `("galaxy_disc", "galaxy_bulge")`.
        program, more
            As in `extend`.

        Returns
        -------
        RadialProfile
            With its `gradient`, and as `magnitudes` per arcsec^2.
        """
        from bayesjoint.report import radial_profile  # which needs this module

        made = self.made_by(program, more)
        return radial_profile.surface_brightness(self, *made, (band,), radii, source)[0]

    def colour_profile(
        self, a: str, b: str, radii: Any, source: Any = None, program: Any = None, more: tuple = ()
    ) -> RadialProfile:
        """Colour a - b at radii along the major axis in band a, AB magnitudes; arguments as in `surface_brightness`.

        Its `gradient` is the change of the colour per dex of radius.
        """
        from bayesjoint.report import radial_profile  # which needs this module

        made = self.made_by(program, more)
        one, two = radial_profile.surface_brightness(self, *made, (a, b), radii, source)
        return radial_profile.colour_profile(one, two, (a, b))

    def forced_photometry(
        self,
        images: ImageSet | Sequence[Image],
        program: Any = None,
        more: tuple = (),
        *,
        draws: int = 1000,
        seed: int = 0,
    ) -> Posterior:
        """Fluxes in other images, of other bands, given the structure that this posterior has, which they do not change.

        To each draw of structure the fluxes and skies of the other images are drawn from their exact Gaussian: errors hold
        what structure leaves open, undetected bands have their signal to noise and a limit, and what sources blended
        there share is in the covariance. For images that shall inform structure, too, sample all of them together:
        `bj.sample(program, bj.ImageSet([*images, *others]))`.

        Parameters
        ----------
        images : ImageSet or sequence of Image
            The other images; of a field they must know of the same sources (`with_sources`).
        program, more
            As in `extend`.
        draws : int
            Of structure, spread over the chains; at most all.
        seed : int

        Returns
        -------
        Posterior
            Of all images together, so that it has the colours between them: `forced.flux()`, `forced.colour("r", "W1")`. Its
            `check` and `loo` would take it for a fit of all of them.

        Raises
        ------
        ValueError
            For bands that are among those of this posterior, programs whose other latents are not linear, and noise that is
            not Gaussian.

        References
        ----------
        Plummer 2015, Statistics and Computing 25, 37 (cut feedback).
        """
        from bayesjoint.report.forced import forced_photometry  # which needs this module

        return forced_photometry(self, images, *self.made_by(program, more), draws, seed)

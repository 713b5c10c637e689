"""Joint multiband galaxy models as NumPyro programs, fitted in native pixels, with error bars to trust."""

import os

# On some processors XLA reports every program that it loads from its cache as an error, wrongly (openxla/xla#44565);
# it reads this once, when JAX is first imported. Failures are raised as exceptions all the same.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from bayesjoint.compilation import compiler_options, enable_compilation_cache
from bayesjoint.data.airy import airy_psf
from bayesjoint.data.analytic_psf import gaussian_mixture_psf, gaussian_psf, moffat_psf
from bayesjoint.data.correlation import NoiseCorrelation, noise_correlation
from bayesjoint.data.find_sources import find_sources
from bayesjoint.data.fits import read_image, read_images
from bayesjoint.data.frame import TangentFrame
from bayesjoint.data.image import Image
from bayesjoint.data.image_set import ImageSet
from bayesjoint.data.psf import PSF
from bayesjoint.data.psf_basis import EigenPSF, ScalablePSF, VaryingPSF
from bayesjoint.infer.fit import fit_map
from bayesjoint.infer.map_fit import MapFit
from bayesjoint.infer.missed import add_sources
from bayesjoint.infer.prune import prune_sources
from bayesjoint.infer.verdict import Verdict
from bayesjoint.light.core_sersic import CoreSersic
from bayesjoint.light.devaucouleurs import DeVaucouleurs
from bayesjoint.light.edge_on import EdgeOnDisc
from bayesjoint.light.exponential import Exponential
from bayesjoint.light.ferrer import Ferrer
from bayesjoint.light.fourier_modes import FourierModes
from bayesjoint.light.gaussian import Gaussian
from bayesjoint.light.king import King
from bayesjoint.light.moffat import Moffat
from bayesjoint.light.multi_gaussian import MultiGaussian
from bayesjoint.light.noise import ContaminatedNoise, NoiseFloor, NoiseScale, PoissonNoise, StudentTNoise
from bayesjoint.light.nuker import Nuker
from bayesjoint.light.patch import Patch
from bayesjoint.light.point import PointSource
from bayesjoint.light.psf_state import PSFCoefficients, Seeing
from bayesjoint.light.pytree import parameters_are
from bayesjoint.light.radial import NumericalProfile
from bayesjoint.light.registration import Registration
from bayesjoint.light.sersic import Sersic
from bayesjoint.light.sky import FlatSky, PlaneSky, PolynomialSky
from bayesjoint.light.spergel import Spergel
from bayesjoint.light.spline import Spline
from bayesjoint.light.superellipse import Superellipse
from bayesjoint.light.truncated import Truncated
from bayesjoint.light.warp import Warp
from bayesjoint.light.windowed import Windowed
from bayesjoint.model.bulge_disc import sample_bulge_disc
from bayesjoint.model.corrections import sample_psf_coefficients, sample_registration, sample_seeing
from bayesjoint.model.light_curve import sample_light_curve
from bayesjoint.model.noise import sample_noise_floor, sample_noise_scale, sample_outliers
from bayesjoint.model.observe import observe
from bayesjoint.model.pixel_distributions import GaussianPixels
from bayesjoint.model.priors import sample_brightness, sample_flux, sample_sky, sample_structure
from bayesjoint.model.programs import joint_model
from bayesjoint.model.scene import scene_model
from bayesjoint.model.trend import Trend, sample_trend
from bayesjoint.render.images import render
from bayesjoint.report.calibrate import calibrate
from bayesjoint.report.calibration import Calibration
from bayesjoint.report.check import Check
from bayesjoint.report.comparison import Comparison, compare
from bayesjoint.report.evidence import evidence
from bayesjoint.report.images_plot import plot_images, plot_model, plot_residuals
from bayesjoint.report.light_curve import LightCurve
from bayesjoint.report.loo import Loo
from bayesjoint.report.posterior import Posterior
from bayesjoint.report.program_plot import plot_program
from bayesjoint.report.rgb_plot import plot_rgb
from bayesjoint.report.sampling import sample
from bayesjoint.report.sampling_groups import sample_groups
from bayesjoint.report.sources_plot import plot_sources, plot_windows

__all__ = [
    "PSF",
    "Calibration",
    "Check",
    "Comparison",
    "ContaminatedNoise",
    "CoreSersic",
    "DeVaucouleurs",
    "EdgeOnDisc",
    "EigenPSF",
    "Exponential",
    "Ferrer",
    "FlatSky",
    "FourierModes",
    "Gaussian",
    "GaussianPixels",
    "Image",
    "ImageSet",
    "King",
    "LightCurve",
    "Loo",
    "MapFit",
    "Moffat",
    "MultiGaussian",
    "NoiseCorrelation",
    "NoiseFloor",
    "NoiseScale",
    "Nuker",
    "NumericalProfile",
    "PSFCoefficients",
    "Patch",
    "PlaneSky",
    "PointSource",
    "PoissonNoise",
    "PolynomialSky",
    "Posterior",
    "Registration",
    "ScalablePSF",
    "Seeing",
    "Sersic",
    "Spergel",
    "Spline",
    "StudentTNoise",
    "Superellipse",
    "TangentFrame",
    "Trend",
    "Truncated",
    "VaryingPSF",
    "Verdict",
    "Warp",
    "Windowed",
    "add_sources",
    "airy_psf",
    "calibrate",
    "compare",
    "compiler_options",
    "enable_compilation_cache",
    "evidence",
    "find_sources",
    "fit_map",
    "gaussian_mixture_psf",
    "gaussian_psf",
    "joint_model",
    "moffat_psf",
    "noise_correlation",
    "observe",
    "parameters_are",
    "plot_images",
    "plot_model",
    "plot_program",
    "plot_residuals",
    "plot_rgb",
    "plot_sources",
    "plot_windows",
    "prune_sources",
    "read_image",
    "read_images",
    "render",
    "sample",
    "sample_brightness",
    "sample_bulge_disc",
    "sample_flux",
    "sample_groups",
    "sample_light_curve",
    "sample_noise_floor",
    "sample_noise_scale",
    "sample_outliers",
    "sample_psf_coefficients",
    "sample_registration",
    "sample_seeing",
    "sample_sky",
    "sample_structure",
    "sample_trend",
    "scene_model",
]

__version__ = "0.1.0"

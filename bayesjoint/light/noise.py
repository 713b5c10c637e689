"""How pixels scatter about the model, given to `observe` among the components; without any, by their inverse variances.

Some say how wide the scatter is (`NoiseScale`, `NoiseFloor`, `PoissonNoise`), some what form it has in units of that width
(`StudentTNoise`, `ContaminatedNoise`). Up to one of each kind go together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from bayesjoint.light.checks import check_plain, check_range
from bayesjoint.light.pytree import parameters_are


@parameters_are(static=())
@dataclass(frozen=True, eq=False)
class Noise:
    """Gaussian noise as wide as the image says: what the others change.

    A parameter may be a latent, and may carry a leading axis over the images (or bands) of the set.

    Attributes
    ----------
    is_form : bool
        Whether it says what form the noise has, rather than how wide it is.
    """

    amplitude: ClassVar[str] = ""
    is_form: ClassVar[bool] = False

    def widen(self, variance, model) -> Any:
        """The variance of pixels that show `model`, from what it would be without this."""
        return variance

    def log_density(self, u) -> jax.Array:
        """Of deviations u from the model, in units of the noise's width."""
        return -0.5 * (u**2 + math.log(2 * math.pi))

    def draw(self, key: Any, shape: tuple[int, ...]) -> jax.Array:
        """Simulated deviations u."""
        return jax.random.normal(key, shape)

    def tail(self, u: np.ndarray) -> np.ndarray:
        """Probability of deviations above u."""
        return special.ndtr(-u)


@parameters_are("factor", static=())
@dataclass(frozen=True, eq=False)
class NoiseScale(Noise):
    """Factor on all errors of an image: its noise is not quite what its inverse variances say.

    Parameters
    ----------
    factor : float

    Examples
    --------
    >>> NoiseScale(1.2).widen(4.0, 0.0)
    5.76
    """

    factor: Any

    positive: ClassVar[tuple[str, ...]] = ("factor",)

    def __post_init__(self):
        check_plain("NoiseScale", "factor", self.factor, "")
        check_range("NoiseScale", "factor", self.factor, 0, jnp.inf, open_below=True)

    def widen(self, variance, model) -> Any:
        """The variance times the factor squared."""
        return self.factor**2 * variance


@parameters_are("fraction", static=())
@dataclass(frozen=True, eq=False)
class NoiseFloor(Noise):
    """Systematic error of the model, a fraction of its pixels: variance = 1/invvar + (fraction * model)^2.

    A `NoiseScale` beside it scales 1/invvar, not the floor.

    Parameters
    ----------
    fraction : float

    Examples
    --------
    >>> NoiseFloor(0.1).widen(4.0, 20.0)
    8.0
    """

    fraction: Any

    limits: ClassVar[dict[str, tuple[float, float]]] = {"fraction": (0.0, np.inf)}

    def __post_init__(self):
        check_plain("NoiseFloor", "fraction", self.fraction, "")
        check_range("NoiseFloor", "fraction", self.fraction, 0, jnp.inf)

    def widen(self, variance, model) -> Any:
        """The variance, and the square of the fraction of the model."""
        return variance + (self.fraction * model) ** 2


@parameters_are("gain", "read_noise", static=())
@dataclass(frozen=True, eq=False)
class PoissonNoise(Noise):
    """Counted photons: data times `gain` are Poisson of model times `gain`; with `read_noise` also Gaussian.

    The sky must be in the data and in the model. Of an image whose inverse variances are not zero, these say only which
    pixels count. Without read noise the density is Poisson's, of counts that need not be whole (and is zero where
    data or model are negative). With it, the density is Normal of variance (model * gain + read_noise^2) / gain^2: not
    biased, and its errors right to 2 % from a read noise of 3 on, or 20 electrons in the model (docs/noise.md).

    Parameters
    ----------
    gain : float
        Electrons per nJy.
    read_noise : float, optional
        Electrons per pixel. Where the sky is subtracted from the data, its counts belong in here: the root of
        (sky + read_noise^2).

    Examples
    --------
    >>> PoissonNoise(2.0, 3.0).widen(None, 20.0)
    12.25
    """

    gain: Any
    read_noise: Any = None

    positive: ClassVar[tuple[str, ...]] = ("gain",)

    def __post_init__(self):
        check_plain("PoissonNoise", "gain", self.gain, "")
        check_range("PoissonNoise", "gain", self.gain, 0, jnp.inf, open_below=True)
        if isinstance(self.read_noise, int | float) and self.read_noise == 0:
            object.__setattr__(self, "read_noise", None)
        if self.read_noise is not None:
            check_plain("PoissonNoise", "read_noise", self.read_noise, "")
            check_range("PoissonNoise", "read_noise", self.read_noise, 0, jnp.inf, open_below=True)

    @property
    def is_exact(self) -> bool:
        """Whether there is no read noise, and the density is Poisson's own."""
        return self.read_noise is None

    def widen(self, variance, model) -> Any:
        """Of photons and read noise, whatever the image says."""
        read = 0.0 if self.read_noise is None else self.read_noise**2
        return (model * self.gain + read) / self.gain**2


@parameters_are("df", static=())
@dataclass(frozen=True, eq=False)
class StudentTNoise(Noise):
    """Heavy tails: each pixel's deviation over its sigma is Student's t. What is far off hardly counts.

    Parameters
    ----------
    df : float
        Degrees of freedom: at 4 a deviation of 10 sigma costs what one of 4.0 does in Gaussian noise.

    Examples
    --------
    >>> print(f"{-StudentTNoise(4.0).log_density(10.0) + StudentTNoise(4.0).log_density(0.0):.2f}")
    8.15
    """

    df: Any

    is_form: ClassVar[bool] = True

    positive: ClassVar[tuple[str, ...]] = ("df",)

    def __post_init__(self):
        check_plain("StudentTNoise", "df", self.df, "")
        check_range("StudentTNoise", "df", self.df, 0, jnp.inf, open_below=True)

    def log_density(self, u) -> jax.Array:
        """Student's t."""
        df = jnp.asarray(self.df, jnp.result_type(u))
        half = 0.5 * (df + 1)
        peak = jax.scipy.special.gammaln(half) - jax.scipy.special.gammaln(0.5 * df)
        return peak - 0.5 * jnp.log(math.pi * df) - half * jnp.log1p(u**2 / df)

    def draw(self, key: Any, shape: tuple[int, ...]) -> jax.Array:
        """Simulated deviations u."""
        return jax.random.t(key, jnp.broadcast_to(jnp.asarray(self.df, float), shape), shape)

    def tail(self, u: np.ndarray) -> np.ndarray:
        """Probability of deviations above u."""
        return special.stdtr(self.df, -u)


@parameters_are("fraction", "scale", static=())
@dataclass(frozen=True, eq=False)
class ContaminatedNoise(Noise):
    """A fraction of outliers: most pixels scatter by their sigma, some by `scale` times as much.

    Parameters
    ----------
    fraction : float
        Of pixels that are outliers; at most half.
    scale : float
        Above 1: how much wider these scatter.

    Examples
    --------
    >>> print(f"{jnp.exp(ContaminatedNoise(0.1, 10.0).log_density(0.0)) * jnp.sqrt(2 * jnp.pi):.2f}")
    0.91
    """

    fraction: Any
    scale: Any

    is_form: ClassVar[bool] = True

    positive: ClassVar[tuple[str, ...]] = ("scale",)
    limits: ClassVar[dict[str, tuple[float, float]]] = {"fraction": (0.0, 1.0)}

    def __post_init__(self):
        for name, low, high in (("fraction", 0, 0.5), ("scale", 1, jnp.inf)):
            check_plain("ContaminatedNoise", name, getattr(self, name), "")
            check_range("ContaminatedNoise", name, getattr(self, name), low, high, open_below=True)

    def log_density(self, u) -> jax.Array:
        """The sum of two Gaussians."""
        fraction, scale = (jnp.asarray(p, jnp.result_type(u)) for p in (self.fraction, self.scale))
        usual = jnp.log1p(-fraction) - 0.5 * u**2
        outlier = jnp.log(fraction) - jnp.log(scale) - 0.5 * (u / scale) ** 2
        return jnp.logaddexp(usual, outlier) - 0.5 * math.log(2 * math.pi)

    def draw(self, key: Any, shape: tuple[int, ...]) -> jax.Array:
        """Simulated deviations u."""
        which, size = jax.random.split(key)
        is_outlier = jax.random.uniform(which, shape) < self.fraction
        return jnp.where(is_outlier, self.scale, 1.0) * jax.random.normal(size, shape)

    def tail(self, u: np.ndarray) -> np.ndarray:
        """Probability of deviations above u."""
        return (1 - self.fraction) * special.ndtr(-u) + self.fraction * special.ndtr(-u / self.scale)


_IN_ORDER = (PoissonNoise, NoiseScale, NoiseFloor, StudentTNoise, ContaminatedNoise)


def noise_among(components: Any) -> tuple[Noise, ...]:
    """The noise among components, in the order in which it widens.

    Raises
    ------
    ValueError
        For two of one kind, two forms, or Poisson's own density with another beside it.
    """
    found = sorted(
        (c for c in components if isinstance(c, Noise)), key=lambda noise: _IN_ORDER.index(type(noise))
    )
    names = [type(noise).__name__ for noise in found]
    if len(set(names)) < len(names):
        raise ValueError(f"noise may be given once of each kind, got {', '.join(names)}: leave one out")
    if sum(noise.is_form for noise in found) > 1:
        raise ValueError("StudentTNoise and ContaminatedNoise are two forms of noise: give one of them")
    if len(found) > 1 and isinstance(found[0], PoissonNoise) and found[0].is_exact:
        raise ValueError(
            f"PoissonNoise without read noise is a density of its own, got {', '.join(names[1:])} beside it: "
            "give read_noise= (electrons per pixel), or leave the others out"
        )
    return tuple(found)

"""What all extended light shares: where it lies on the sky, and its form in the plane of its own axes.

A profile is a small file: a frozen dataclass names its parameters and says what its brightness is at points of a plane in
which its axes are the unit vectors (`plane_form`), what the Fourier transform of that is, and its total flux. Where it lies,
how it is turned, its lattice of copies and its derivatives follow. Forms and transforms are functions of the plane and of a
vector of shape parameters alone; they belong to the profile's `kind`, which compiled programs know as a constant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.light.blur import blurred_form, plane_derivatives
from bayesjoint.light.checks import take_numbers
from bayesjoint.light.geometry import ellipse_coordinates, semi_axes
from bayesjoint.light.ranges import all_inside
from bayesjoint.units import AB_ZEROPOINT_NJY

_LENGTHS, _INTENSITIES = (
    ("centre", "Re", "rs", "hs", "sigma", "radii", "scale"),
    ("Ie", "I0", "intensity", "values"),
)
UNITS = (
    {"pa": "deg", "flux": "nJy"}
    | dict.fromkeys(_LENGTHS, "arcsec")
    | dict.fromkeys(_INTENSITIES, "nJy/arcsec^2")
)


class Kind(Protocol):
    """The form of a profile: hashable, the same for all profiles of a class, or of a class with the same constants."""

    is_radial: bool

    def plane_form(self, x, shape) -> jax.Array:
        """Brightness at x (2, ...), in units of the semi-axes, for unit `brightness_scale`."""
        ...

    def plane_derivatives(self, x, shape) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """The form at x and its second derivatives xx, xy, yy.

        A kind that `is_radial` has `radial_derivatives(r2, shape)` instead: value, first and second by the squared radius.
        """
        ...

    def plane_transform(self, k1, k2, shape, table=None) -> tuple[jax.Array, jax.Array | None]:
        """Fourier transform of the form of unit flux: its real and imaginary part (None where it has none).

        Parameters
        ----------
        k1, k2 : array
            Wave numbers along the axes, radians per semi-axis.
        shape : array (parameters,)
            The profile's `shape_values`.
        table : array, optional
            From `transform_table`: the same values, quicker at many wave numbers.
        """
        ...

    def transform_table(self, shape, dtype) -> jax.Array | None:
        """What makes the transform quick at many wave numbers; None where nothing does."""
        ...


class Profile:
    """Base of extended light.

    Attributes
    ----------
    parameters : tuple of str
        All, from `parameters_are`.
    amplitude : str
        The parameter in which light is linear; empty where there is none.
    radius : str
        The parameter that is the unit of radius, a semi-major axis, arcsec; empty where `unit` says another.
    shape : tuple of str
        Parameters on which the form depends, in this unit.
    positive : tuple of str
        Parameters that must be positive, beside `q` and `radius`.
    limits : dict
        The range of parameters that have one.
    events : dict
        How many axes a parameter has of its own, where it has any.
    """

    parameters: ClassVar[tuple[str, ...]] = ()
    amplitude: ClassVar[str]
    radius: ClassVar[str]
    shape: ClassVar[tuple[str, ...]] = ()
    positive: ClassVar[tuple[str, ...]] = ()
    limits: ClassVar[dict[str, tuple[float, float]]] = {}
    events: ClassVar[Mapping[str, int]] = {"centre": 1}
    is_radial: ClassVar[bool] = False

    centre: Any
    q: Any
    pa: Any
    flux: Any

    def __post_init__(self):
        take_numbers(self, **{name: UNITS.get(name, "") for name in self.parameters})

    @property
    def kind(self) -> Any:
        """The `Kind` of this profile."""
        return type(self)

    @property
    def unit(self) -> Any:
        """Unit of radius, a semi-major axis, arcsec."""
        return getattr(self, self.radius)

    @property
    def axes(self) -> jax.Array:
        """Semi-axis vectors (2, 2), the unit vectors of the plane of the form, arcsec."""
        return semi_axes(self.q, self.pa, self.unit)

    @property
    def shape_parts(self) -> tuple:
        """The parameters on which the form depends."""
        return tuple(getattr(self, name) for name in self.shape)

    @property
    def axis_parts(self) -> tuple:
        """The parameters on which the lengths of the axes depend."""
        names = dict.fromkeys(("q", self.radius, *self.positive))
        return tuple(getattr(self, name) for name in names if name in vars(self))

    @property
    def shape_values(self) -> jax.Array:
        """What the form of a profile on one image depends on, (parameters,)."""
        return ravelled(self.shape_parts)

    def of_shape(self, function, *scalars) -> jax.Array:
        """`function(*scalars, shape)` where the shape's parameters, or the scalars, may have leading axes, of bands say."""
        given = [jnp.asarray(value, jnp.result_type(float)) for value in (*scalars, *self.shape_parts)]
        own = [0] * len(scalars) + [self.events.get(name, 0) for name in self.shape]
        split = [value.ndim - axes for value, axes in zip(given, own, strict=True)]
        leading = np.broadcast_shapes(*(value.shape[:n] for value, n in zip(given, split, strict=True)))
        each = [jnp.broadcast_to(v, leading + v.shape[n:]) for v, n in zip(given, split, strict=True)]

        def one(*parts):
            return function(*parts[: len(scalars)], ravelled(parts[len(scalars) :]))

        for _ in leading:
            one = jax.vmap(one)
        return one(*each)

    @property
    def in_range(self) -> jax.Array:
        """Whether all parameters are finite and lie in their ranges: for values in compiled programs.

        Profiles with a condition on several parameters at once add it to this.
        """
        return all_inside(self)

    @property
    def brightness_scale(self) -> Any:
        """Brightness where the form is 1, nJy/arcsec^2."""
        return getattr(self, self.amplitude)

    @property
    def drawn_flux(self) -> Any:
        """What the kind's transform is to be multiplied by, nJy."""
        return self.flux

    @property
    def magnitude(self) -> jax.Array:
        """Total AB magnitude; NaN for a flux that is not positive."""
        flux = jnp.asarray(self.flux)
        return AB_ZEROPOINT_NJY - 2.5 * jnp.log10(jnp.where(flux > 0, flux, jnp.nan))

    @classmethod
    def plane_derivatives(cls, x, shape) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """The form at x (2, ...) and its second derivatives xx, xy, yy."""
        return plane_derivatives(lambda x: cls.plane_form(x, shape), x)  # type: ignore[attr-defined]

    @classmethod
    def transform_table(cls, shape, dtype) -> jax.Array | None:
        """What makes the transform quick at many wave numbers; None where nothing does."""
        return None

    def transform(self, kx, ky) -> jax.Array:
        """Fourier transform of the profile of unit flux about its centre at angular frequencies (radians/arcsec; E, N).

        Complex for profiles that are not symmetric about their centre.
        """
        axes = self.axes
        k1, k2 = (kx * axis[0] + ky * axis[1] for axis in axes)
        real, imaginary = self.kind.plane_transform(k1, k2, self.shape_values)
        return real if imaginary is None else jax.lax.complex(real, imaginary)

    def brightness(self, east, north) -> jax.Array:
        """Surface brightness (nJy/arcsec^2) at offsets from the centre, arcsec."""
        x = ellipse_coordinates(east, north, self.axes)
        return self.brightness_scale * self.kind.plane_form(x, self.shape_values)

    def blurred_brightness(self, x, covariance) -> jax.Array:
        """Brightness convolved with a narrow kernel, as `blurred_form` has it."""
        return self.brightness_scale * blurred_form(self.kind, x, covariance, self.shape_values)


def ravelled(parts) -> jax.Array:
    """Scalars and vectors as one vector."""
    dtype = jnp.result_type(float)
    if not parts:
        return jnp.zeros(0, dtype)
    return jnp.concatenate([jnp.ravel(jnp.asarray(part, dtype)) for part in parts])

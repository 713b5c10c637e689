"""Profiles known by their radial form alone: flux, half-light radius and Fourier transform by quadrature (`panels.py`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from bayesjoint.light.blur import radial_derivatives
from bayesjoint.light.cells import evaluate, hermite_cubics, look_up
from bayesjoint.light.elliptical import Elliptical
from bayesjoint.light.panels import (
    CELLS,
    Panels,
    fraction_within,
    half_light,
    matrices,
    nodes,
    standard,
)

CORE2 = (
    4.0**-60
)  # squared radius inside which the brightness is held: cusps stay finite, in single precision too


@dataclass(frozen=True)
class NumericalKind:
    """The `Kind` of a radial form.

    Attributes
    ----------
    form : function (x, *shape)
        Brightness at radius x; elementwise in x, differentiable in the shape parameters, hashable.
    panels : Panels
        Between whose edges the form is smooth.
    has_end : bool
        Whether it ends at 1.
    """

    form: Callable[..., jax.Array]
    panels: Panels
    has_end: bool = False

    is_radial: ClassVar[bool] = True

    def radial_form(self, r2, shape) -> jax.Array:
        """Brightness for unit scale at squared radii in units of the profile's own."""
        return self.form(jnp.sqrt(jnp.where(r2 > CORE2, r2, CORE2)), *shape)

    def plane_form(self, x, shape) -> jax.Array:
        """The same at x (2, ...), in units of the semi-axes."""
        return self.radial_form(jnp.sum(x**2, axis=0), shape)

    def radial_derivatives(self, r2, shape) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The same and its first two derivatives by the squared radius."""
        return radial_derivatives(lambda r2: self.radial_form(r2, shape), r2)

    def radial_transform(self, k2, shape, table=None) -> jax.Array:
        """Fourier transform of the round profile of unit flux at squared wave numbers."""
        if table is not None:
            return look_up(CELLS, self.transform_table, k2, shape, table)
        # without a table of slopes by the parameters, which derivatives of derivatives would not see move
        both = self._at_cells(shape).reshape(2, -1)
        return evaluate(CELLS, k2, hermite_cubics(both[0], both[1], CELLS.nodes()).astype(k2.dtype))

    def plane_transform(self, k1, k2, shape, table=None) -> tuple[jax.Array, None]:
        """The same at wave numbers along both axes; real."""
        return self.radial_transform(k1**2 + k2**2, shape, table), None

    def transform_table(self, shape, dtype) -> jax.Array:
        """Cubics of the transform and of its derivatives by each parameter, (1 + parameters, cells, 4)."""
        found = [self._at_cells(shape)]
        if shape.size:
            found += list(jnp.moveaxis(jax.jacfwd(self._at_cells)(shape), -1, 0))
        both = jnp.stack(found).reshape(len(found), 2, -1)
        return hermite_cubics(both[:, 0], both[:, 1], CELLS.nodes()).astype(dtype)

    def flux_of_form(self, shape) -> jax.Array:
        """Flux of the round profile of unit scale."""
        return 2 * np.pi * self._light(self._values(shape))

    def fraction_within(self, x, shape) -> jax.Array:
        """Fraction of the flux inside radius x, a scalar."""
        return fraction_within(self.panels, self._values(shape), x)

    def half_light(self, shape) -> jax.Array:
        """Half-light radius in units of the profile's own."""
        return half_light(self.panels, self._values(shape))

    def _values(self, shape) -> jax.Array:
        return self.form(jnp.asarray(nodes(self.panels).x, jnp.result_type(float)), *shape)

    def _at_cells(self, shape) -> jax.Array:
        """The transform at the ends of all cells, then its slopes by kappa^2."""
        values = self._values(shape)
        to_cells = jnp.asarray(matrices(self.panels), values.dtype)
        return jnp.matmul(to_cells, values, precision="highest") / self._light(values)

    def _light(self, values) -> jax.Array:
        """Integral of x I(x) dx."""
        return jnp.dot(jnp.asarray(nodes(self.panels).weights, values.dtype), values, precision="highest")


class NumericalProfile(Elliptical):
    """Base of profiles that give `form`: their brightness at radius x, in units of `radius`, for unit amplitude.

    `form(x, *shape)` is elementwise in x and differentiable in the `shape` parameters.

    Attributes
    ----------
    has_end : bool
        Whether it is 0 from x = 1 on: modifiers look closely there.
    """

    has_end: ClassVar[bool] = False

    @staticmethod
    def form(x, *shape: Any) -> jax.Array:
        """Brightness for unit amplitude at radius x in units of the profile's own."""
        raise NotImplementedError

    @property
    def kind(self) -> NumericalKind:
        """The `Kind` of this profile."""
        return NumericalKind(self.form, standard(), self.has_end)

    @property
    def flux(self) -> jax.Array:
        """Total flux, nJy."""
        return self.brightness_scale * self.q * self.unit**2 * self.of_shape(self.kind.flux_of_form)

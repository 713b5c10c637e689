"""Sources that a fit has no use for: too faint, or one with a neighbour; and those whose size ran off."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from bayesjoint.data.source_checks import numbers, words
from bayesjoint.data.source_ties import components_of, entries, lasting
from bayesjoint.infer.covariance import within
from bayesjoint.infer.map_fit import MapFit
from bayesjoint.model.scene import flux_prior_width

if TYPE_CHECKING:
    from astropy.table import Table

FAR = 3.0  # standard deviations of its prior that a size may run from what was measured, in ln Re
ALIKE = (
    -0.9
)  # correlation of two sources' fluxes, in the band that tells them apart best, from which they are one
_TOLD = 0.5  # of the width of a flux's prior, under which the data say something of it


def prune_sources(fit: MapFit, sources: Table, *, name: str = "source", significance: float = 4.0) -> Table:
    """Which sources of a field its fit has no use for, and why: the same table with a column `dropped`.

    A source is merged with a neighbour where no band tells their fluxes apart (they correlate by -0.9 or more in all of
    them); it is dropped where its fluxes in all bands together are consistent with 0 (Wald's test, with all that
    the sources share marginalised over; the least significant goes first, and what it held is given to its neighbours
    before the next is judged, so that of two that blend one stays), and where they are negative. A galaxy whose size has run
    out of its window keeps the size that was found, with n = 1 (`fixed`); one whose size has run to nothing becomes a star.

    Parameters
    ----------
    fit : MapFit
        Of `scene_model(name)` on `images.with_sources(sources)`.
    sources : astropy.table.Table
    name : str
        That of the model.
    significance : float
        Of the fluxes of all bands together, in sigma of a Gaussian, under which a source is dropped.

    Returns
    -------
    astropy.table.Table
        A copy whose column `dropped` says why a source was left out, empty where it stays; `images.with_sources` leaves
        out what has a reason. A cell that is emptied brings its source back. What other sources held of one that is gone
        (`tied`), or a star of the galaxy that it was (`fixed`), is free.

    Raises
    ------
    ValueError
        For a fit of another program or of other sources.

    Examples
    --------
    ``fit = bj.fit_map(field, images.with_sources(bj.prune_sources(fit, sources)))``
    """
    table = sources.copy()
    reasons = np.array(words(table, "dropped"), "U160")
    rows = np.flatnonzero(reasons == "")
    own = [str(table["name"][row]) for row in rows]
    flux, covariance = _fluxes(fit, name, own)
    flux, covariance, found = _merge(fit, own, flux, covariance, _priors(table[rows], fit.bands))
    for i, sigma in insignificant(flux, covariance, significance, set(found)).items():
        found[i] = f"flux consistent with 0 in all bands ({sigma:.1f} sigma together)"
    for i in sorted(set(range(len(rows))) - set(found)):
        pulls = flux[i] / np.sqrt(np.diagonal(covariance[i, :, i]))
        if pulls.min() < -significance and pulls.max() < significance:
            found[i] = f"flux negative in {fit.bands[int(pulls.argmin())]} ({pulls.min():.1f} sigma)"
        elif _growth(fit, table[rows[i]]) < -FAR:
            table["kind"][rows[i]] = "star"
        elif _has_run_off(fit, table[rows[i]]):
            _hold_size(table, rows[i])
    for i, reason in found.items():
        reasons[rows[i]] = reason
    table["dropped"] = reasons
    _free_what_is_gone(table)
    return table


def _free_what_is_gone(table: Table) -> None:
    """Entries of `fixed` and `tied` go that name what their source, or the one that they name, no longer has."""
    stays = [reason == "" for reason in words(table, "dropped")]
    parts = [p for p in components_of(words(table, "name"), words(table, "kind")) if stays[p.row]]
    for column in sorted({"fixed", "tied"} & set(table.colnames)):
        cells = enumerate(words(table, column))
        table[column] = [lasting(column, cell, row, parts) if stays[row] else cell for row, cell in cells]


def _fluxes(fit: MapFit, name: str, own: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Fluxes (S, bands) of sources and their covariance (S, bands, S, bands), with all else marginalised over."""
    site, parents = f"{name}_total", fit.sources.parents if fit.sources is not None else ()
    if site not in fit.values or set(own) != set(parents):
        odd = sorted(set(own) ^ set(parents))
        raise ValueError(
            f"the fit knows no {site}: give a fit of bj.scene_model({name!r})"
            if site not in fit.values
            else f"the fit and the table differ in source {odd[0]!r}: give the fit to images.with_sources(...) of this table"
        )
    labels = [i for i, label in enumerate(fit.labels) if label.partition("[")[0] == site]
    total = np.asarray(fit.values[site])
    # the parts of each source, in the table's order whatever the fit's
    belongs = np.array([[parent == one for parent in parents] for one in own], float)
    covariance = within(fit.covariance, np.array(labels)).reshape(2 * total.shape)
    return belongs @ total.T, np.einsum("sp,apbq,tq->satb", belongs, covariance, belongs, optimize=True)


def _growth(fit: MapFit, row: Any) -> float:
    """ln of how much larger a galaxy was fitted than it was found; 0 for what has no size, or one that is held."""
    radius = f"{row['name']}_Re"
    if row["kind"] != "galaxy" or radius not in fit.values or not fit.errors[radius] > 0:
        return 0.0
    return float(np.log(fit.values[radius] / row["Re"]))


def _has_run_off(fit: MapFit, row: Any) -> bool:
    """Whether half of a galaxy's light lies outside the window that it is drawn in, or far from where it was found."""
    growth, radius = _growth(fit, row), float(fit.values.get(f"{row['name']}_Re", 0.0))
    return growth > FAR or (growth > 0 and radius > row["window"])


def _hold_size(table: Table, row: int) -> None:
    """Let a galaxy have the size that was found, and be a disc, but for what is said of it already."""
    known = entries(words(table, "fixed")[row]) | entries(words(table, "tied")[row])
    more = [entry for entry in ("n=1", "Re") if entry.partition("=")[0] not in known]
    cells = list(words(table, "fixed"))
    cells[row] = ", ".join([cells[row]] * bool(cells[row]) + more)
    table["fixed"] = cells


def _priors(table: Any, bands: Sequence[str]) -> np.ndarray:
    """How wide the priors of the fluxes (S, bands) were."""
    return np.stack(
        [flux_prior_width(numbers(table, f"flux_{b}"), numbers(table, f"flux_error_{b}")) for b in bands],
        axis=1,
    )


def _merge(
    fit: MapFit, own: list[str], flux: np.ndarray, covariance: np.ndarray, prior: np.ndarray
) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """The fainter of each pair that no band tells apart, its flux given to the brighter.

    A band says nothing of two whose errors in it are those of the prior (S, bands): it has no pixels of one.
    """
    place = np.array([[float(fit.values[f"{one}_{part}"]) for part in ("east", "north")] for one in own])
    flux, covariance, found = flux.copy(), covariance.copy(), {}
    spread = np.sqrt(np.einsum("sbsb->sb", covariance))
    alike, is_told = np.einsum("sbtb->stb", covariance) / (spread[:, None] * spread), spread < _TOLD * prior
    best = np.max(alike, axis=2, where=is_told[:, None] & is_told, initial=-1.0)
    best[~np.any(is_told[:, None] & is_told, axis=2)] = 0.0
    brightness = np.abs(flux / spread).max(axis=1)
    for i in np.argsort(brightness):
        if best[i].min() < ALIKE:
            j = int(best[i].argmin())
            apart = float(np.hypot(*(place[i] - place[j])))
            found[int(i)] = (
                f'merged with {own[j]}, {apart:.2g}" away: fluxes correlate by {best[i, j]:.2f} in every band'
            )
            flux[j] += flux[i]
            covariance[j] += covariance[i]
            covariance[:, :, j] += covariance[:, :, i]
            best[i], best[:, i] = 0.0, 0.0
    return flux, covariance, found


def insignificant(
    flux: np.ndarray, covariance: np.ndarray, significance: float, skip: Collection[int] = ()
) -> dict[int, float]:
    """Sources whose fluxes are consistent with 0 in all bands, and at how many sigma, one after the other.

    Parameters
    ----------
    flux : array (S, bands)
    covariance : array (S, bands, S, bands)
    significance : float
        Sigma of a Gaussian that chi2 of a source's fluxes must reach.
    skip : collection of int
        Sources that are not there.

    Examples
    --------
    Two that blend, of which neither is told from 0 alone, though their sum is: one goes.

    >>> flux = np.array([[60.0], [40.0]])
    >>> covariance = np.array([[400.0, -399.0], [-399.0, 400.0]]).reshape(2, 1, 2, 1)
    >>> {i: round(sigma, 3) for i, sigma in insignificant(flux, covariance, 4.0).items()}
    {1: 2.0}
    """
    flux, covariance, found = flux.copy(), covariance.copy(), {}
    left = [i for i in range(len(flux)) if i not in skip]
    while left:
        chi2 = [float(flux[i] @ np.linalg.solve(covariance[i, :, i], flux[i])) for i in left]
        least = int(np.argmin(chi2))
        sigma = float(stats.norm.isf(stats.chi2.sf(chi2[least], flux.shape[1]) / 2))
        if not sigma < significance:
            break
        i = left.pop(least)
        found[i] = sigma
        # what the others are, were this one not there
        gain = np.linalg.solve(covariance[i, :, i], covariance[i].reshape(flux.shape[1], -1)).T
        flux -= (gain @ flux[i]).reshape(flux.shape)
        covariance -= (gain @ covariance[i].reshape(flux.shape[1], -1)).reshape(covariance.shape)
    return found

"""Images, fits and provenance as plain arrays and text, and back: what makes a saved posterior complete.

Everything needed to redo a fit is here: pixels and weights, WCS, PSF, zero points, frame, windows and sources, starting
values.
Images come back with the very numbers they had.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import shlex
import sys
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from bayesjoint.data.frame import TangentFrame
from bayesjoint.data.image import AB_ZEROPOINT_NJY, Image
from bayesjoint.data.image_set import ImageSet
from bayesjoint.data.source_start import SourceStart
from bayesjoint.data.source_ties import Structure
from bayesjoint.infer.draws import Draws
from bayesjoint.infer.roads import in_words
from bayesjoint.report.psf_record import psf_record, psf_stamps, recorded_psf

PACKAGES = ("bayesjoint", "jax", "numpyro", "arviz", "astropy", "numpy", "scipy")
FIT_FIELDS = (
    *("values", "errors", "labels", "unconstrained", "covariance", "log_posterior"),
    *("chi2", "pixels", "chi2_per_dof", "iterations", "converged", "reason", "advice", "seconds"),
)
Archive = dict[str, tuple[tuple[str, ...], np.ndarray]]


def pack_images(
    images: ImageSet,
    models: Sequence[np.ndarray] | None,
    residuals: Sequence[tuple[np.ndarray, float]] | None = None,
) -> Archive:
    """An image set, and the model pixels and residuals of each image, as named arrays with the names of their axes.

    Arrays that differ in shape from image to image end in the image's number: data_0, invvar_0, psf_0,
    model_0, residual_0.
    """
    packed: Archive = {
        "band_of_image": (("image",), np.array([image.band for image in images], dtype=str)),
        "zeropoint": (("image",), np.array([image.zeropoint for image in images])),
        "time": (
            ("image",),
            np.array([np.nan if image.time is None else float(image.time) for image in images]),
        ),
        "noise_estimated": (("image",), np.array([image.noise_estimated for image in images], dtype=np.int8)),
        "wcs": (("image",), np.array([wcs_text(image.wcs) for image in images], dtype=str)),
        "psf": (("image",), np.array([json.dumps(psf_record(image.psf)) for image in images], dtype=str)),
        "frame": (("ra_dec",), np.array([images.frame.ra, images.frame.dec])),
    }
    for i, image in enumerate(images):
        pixels = (f"y_{i}", f"x_{i}")
        packed[f"data_{i}"] = (pixels, np.asarray(image.data))
        packed[f"invvar_{i}"] = (pixels, np.asarray(image.invvar))
        if image.noise_correlation is not None:
            axes = (f"lag_y_{i}", f"lag_x_{i}")
            packed[f"noise_correlation_{i}"] = (axes, image.noise_correlation)
        if (stamps := psf_stamps(image.psf)) is not None:
            axes = (f"psf_term_{i}", f"psf_y_{i}", f"psf_x_{i}")
            packed[f"psf_{i}"] = (axes[-stamps.ndim :], stamps)
        if models is not None:
            packed[f"model_{i}"] = (pixels, _model(models[i], image))
        if residuals is not None:
            packed[f"residual_{i}"] = (pixels, np.asarray(residuals[i][0], dtype=np.float32))
    if residuals is not None:
        packed["widened"] = (("image",), np.array([widened for _, widened in residuals]))
    for field in dataclasses.fields(images.start):
        array = np.asarray(getattr(images.start, field.name))
        packed[f"start_{field.name}"] = (tuple(f"start_{field.name}_{k}" for k in range(array.ndim)), array)
    widths = [list(image.window_widths) for image in images]
    packed["window_widths"] = (("image",), np.array([json.dumps(own) for own in widths], dtype=str))
    return packed | pack_sources(images.sources)


def pack_sources(sources: SourceStart | None) -> Archive:
    """What images know of their sources: arrays as they are, words as JSON."""
    if sources is None:
        return {}
    packed: Archive = {}
    for field in dataclasses.fields(sources):
        value = getattr(sources, field.name)
        if isinstance(value, tuple):
            packed[f"sources_{field.name}"] = ((), np.array(json.dumps(value), dtype=str))
        else:
            array = np.asarray(value)
            axes = tuple(f"sources_{field.name}_{k}" for k in range(array.ndim))
            packed[f"sources_{field.name}"] = (axes, array)
    return packed


def unpack_sources(packed: Mapping[str, np.ndarray]) -> SourceStart | None:
    """The inverse of `pack_sources`."""
    if "sources_names" not in packed:
        return None
    found: dict[str, Any] = {}
    for field in dataclasses.fields(SourceStart):
        value = np.asarray(packed[f"sources_{field.name}"])
        # of a file a single text may come as bytes, which JSON takes too
        found[field.name] = value if value.dtype.kind == "f" else _tuples(json.loads(value.item()))
    for name in ("owner", "held"):
        found[name] = Structure(*found[name])
    return SourceStart(**found)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _model(model: np.ndarray, image: Image) -> np.ndarray:
    model = np.asarray(model, dtype=np.float32)
    if model.shape != image.shape:
        raise ValueError(
            f"the model of image {image.name!r} has shape {model.shape}, its data {image.shape}: "
            "give one array of model pixels per image, in the images' order"
        )
    return model


def unpack_images(packed: Mapping[str, np.ndarray], names: Sequence[str]) -> ImageSet:
    """The image set that `pack_images` packed; `names` are the images' names."""
    frame = TangentFrame(*(float(x) for x in packed["frame"]))
    images = [_unpack_image(packed, i, name, frame) for i, name in enumerate(names)]
    starts = {key.removeprefix("start_"): value for key, value in packed.items() if key.startswith("start_")}
    position = frame.sky(*starts["position"]) if "position" in starts else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image_set = ImageSet(images, frame=frame, position=position)
    if set(starts) == {field.name for field in dataclasses.fields(image_set.start)}:
        measured = image_set.start  # whose shapes are right: a file has no numbers without an axis
        shaped = {key: np.reshape(value, np.shape(getattr(measured, key))) for key, value in starts.items()}
        image_set.start = type(measured)(**shaped)
    if "window_widths" in packed:
        widths = [json.loads(str(own)) for own in packed["window_widths"]]
        windowed = (image.with_windows(*own) for image, own in zip(image_set, widths, strict=True))
        image_set = image_set.with_images(tuple(windowed))
    image_set.sources = unpack_sources(packed)
    return image_set


def _unpack_image(packed: Mapping[str, np.ndarray], i: int, name: str, frame: TangentFrame) -> Image:
    """One image, whose data are in nJy already; old warnings are not given again."""
    time = float(packed["time"][i])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image(
            packed[f"data_{i}"],
            wcs=wcs_from_text(str(packed["wcs"][i])),
            zeropoint=AB_ZEROPOINT_NJY,
            psf=recorded_psf(json.loads(str(packed["psf"][i])), packed.get(f"psf_{i}")),
            invvar=packed[f"invvar_{i}"],
            name=name,
            band=str(packed["band_of_image"][i]),
            time=None if np.isnan(time) else time,
            frame=frame,
            noise_correlation=packed.get(f"noise_correlation_{i}"),
        )
    image.zeropoint = float(packed["zeropoint"][i])
    image.noise_estimated = bool(packed["noise_estimated"][i])
    return image


def wcs_text(wcs: WCS) -> str:
    """A WCS, SIP included, as the text of a FITS header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return wcs.to_header(relax=True).tostring(sep="\n")


def wcs_from_text(text: str) -> WCS:
    """The WCS of a FITS header's text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(fits.Header.fromstring(text, sep="\n"))


def fit_record(fit: Any) -> dict[str, Any]:
    """A MapFit as plain lists, numbers and text, ready for JSON; numbers that are not finite become None."""
    return {name: _plain(getattr(fit, name)) for name in FIT_FIELDS if hasattr(fit, name)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, str) or value is None:
        return value
    array = np.asarray(value)
    if array.ndim:
        return [_plain(item) for item in array]
    item = array.item()
    return item if not isinstance(item, float) or np.isfinite(item) else None


def run_record(
    draws: Draws, images: ImageSet, fit: Any = None, provenance: Mapping[str, Any] | None = None
) -> dict[str, str | int | float]:
    """How a posterior was made, as attributes of its file: settings, names, the fit, versions."""
    road, is_exact = in_words([draws]), draws.likelihood_errors is None and draws.road != "corrected"
    gaussian = None if draws.importance is None or draws.road else draws.importance._asdict()
    told = {"road": road} if road else {}
    return describe_run({**told, **(provenance or {})}) | {
        "seed": int(draws.seed),
        "warmup": int(draws.warmup),
        "interrupted": int(draws.interrupted),
        "seconds": json.dumps(_plain(draws.seconds)),
        "step_size": json.dumps(_plain(np.ravel(draws.step_size))),
        "likelihood": "exact" if is_exact else "compressed",
        "incompressible": draws.incompressible,
        "method": draws.method,
        "importance": json.dumps(_plain(gaussian)),
        "log_evidence": json.dumps(_plain(draws.log_evidence)),
        "likelihood_errors": json.dumps(_plain(draws.likelihood_errors)),
        "ends": json.dumps(_plain(draws.ends)),
        "bands": json.dumps(list(images.bands)),
        "images": json.dumps(list(images.names)),
        "map_fit": json.dumps(fit_record(fit)) if fit is not None else "",
    }


def describe_run(provenance: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Versions, command and date as attributes of a file; `provenance` adds to them or replaces them."""
    record: dict[str, Any] = {f"{name}_version": _version(name) for name in PACKAGES}
    record["python_version"] = platform.python_version()
    record["command"] = shlex.join(sys.argv)
    record["date"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for key, value in (provenance or {}).items():
        record[key] = value if isinstance(value, (str, int, float)) else json.dumps(_plain(value))
    return {key: int(value) if isinstance(value, bool) else value for key, value in record.items()}


def _version(name: str) -> str:
    module = sys.modules.get(name)
    if version := getattr(module, "__version__", None):
        return str(version)
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"

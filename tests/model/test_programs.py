"""Ready programs, and all programs as NumPyro models: handlers, graphs of relations."""

from __future__ import annotations

import importlib.util
import shutil

import jax.numpy as jnp
import numpyro
import pytest
from numpyro import handlers
from numpyro.infer.inspect import get_model_relations

import bayesjoint as bj
from bayesjoint.model.observe import RecordLight


def trace_of(program, *args):
    return handlers.trace(handlers.seed(RecordLight(program), 0)).get_trace(*args)


def latents(trace):
    return {name for name, site in trace.items() if site["type"] == "sample" and not site["is_observed"]}


BASE = {"galaxy_east", "galaxy_north", "galaxy_ellipticity", "galaxy_n", "galaxy_Re_circular", "galaxy_total"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, BASE | {"sky"}),
        ({"sky": False}, BASE),
        ({"nucleus": True}, BASE | {"sky", "galaxy_nucleus_total"}),
        ({"name": "m87", "sky": False}, {site.replace("galaxy", "m87") for site in BASE}),
    ],
)
def test_sites_of_the_ready_program(mixed, options, expected):
    trace = trace_of(bj.joint_model(**options), mixed)
    assert latents(trace) == expected
    observed = {name for name, site in trace.items() if site["type"] == "sample" and site["is_observed"]}
    assert observed == {f"pixels_{stack.name}" for stack in mixed.stacks}


def test_structure_per_band(mixed):
    trace = trace_of(bj.joint_model(per_band=("Re", "n")), mixed)
    assert trace["galaxy_Re"]["value"].shape == trace["galaxy_n"]["value"].shape == (2,)
    assert trace["galaxy_flux"]["value"].shape == (2,)
    galaxy = {part: trace[f"galaxy_{part}"]["value"] for part in ("q", "pa")}
    for band in range(2):
        one = {part: trace[f"galaxy_{part}"]["value"][band] for part in ("n", "Re", "Ie")}
        expected = bj.Sersic((0.0, 0.0), **galaxy, **one).flux
        assert float(trace["galaxy_flux"]["value"][band]) == pytest.approx(float(expected))


def test_same_options_same_program():
    assert bj.joint_model() == bj.joint_model() != bj.joint_model(sky=False)
    assert hash(bj.joint_model()) == hash(bj.joint_model())
    assert bj.joint_model(per_band=("n",)) == bj.joint_model(per_band=("n",))


def test_handlers_work_as_on_any_model(mixed):
    program = bj.joint_model()
    one, again, other = (
        handlers.trace(handlers.seed(RecordLight(program), seed)).get_trace(mixed) for seed in (0, 0, 1)
    )
    assert (
        float(one["galaxy_n"]["value"])
        == float(again["galaxy_n"]["value"])
        != float(other["galaxy_n"]["value"])
    )
    given = trace_of(handlers.substitute(program, {"galaxy_n": jnp.array(2.5)}), mixed)
    assert float(given["galaxy_n"]["value"]) == 2.5 and not given["galaxy_n"]["is_observed"]
    known = trace_of(handlers.condition(program, {"galaxy_n": jnp.array(2.5)}), mixed)
    assert known["galaxy_n"]["is_observed"] and latents(known) == BASE - {"galaxy_n"} | {"sky"}
    hidden = trace_of(handlers.block(program, hide=["galaxy_n"]), mixed)
    assert "galaxy_n" not in hidden and "galaxy_Re" in hidden


def test_conditioned_program_is_a_program_to_fit(mixed):
    from bayesjoint.infer.space import find_latents

    layout = find_latents(handlers.condition(bj.joint_model(), {"galaxy_n": jnp.array(1.0)}), (mixed,))
    assert "galaxy_n" not in layout.names and set(layout.names) == BASE - {"galaxy_n"} | {"sky"}


def test_relations_of_the_sites(mixed):
    relations = get_model_relations(bj.joint_model(), model_args=(mixed,))
    pixels = [f"pixels_{stack.name}" for stack in mixed.stacks]
    assert relations["observed"] == pixels
    assert set(relations["plate_sample"]["band"]) == {"galaxy_total"} and relations["plate_sample"][
        "image"
    ] == ["sky"]
    for site in pixels:
        through = {"galaxy_q", "galaxy_pa", "galaxy_Re", "galaxy_Ie"}  # deterministic: what the latents make
        assert BASE - {"galaxy_ellipticity", "galaxy_Re_circular", "galaxy_total"} | through | {"sky"} <= set(
            relations["sample_sample"][site]
        )


@pytest.mark.skipif(
    importlib.util.find_spec("graphviz") is None or shutil.which("dot") is None,
    reason="graphviz is not installed",
)
def test_graph(mixed):
    graph = numpyro.render_model(bj.joint_model(), model_args=(mixed,))
    assert "galaxy_Re" in graph.source and "pixels_" in graph.source

"""Fixtures for the tests of reports: one mock posterior, made once."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from bayesjoint.report.posterior import Posterior

spec = importlib.util.spec_from_file_location("report_mock", Path(__file__).with_name("mock.py"))
mock_module = importlib.util.module_from_spec(spec)
sys.modules["report_mock"] = mock_module
spec.loader.exec_module(mock_module)


@pytest.fixture(scope="session")
def mock():
    """The module that makes mock images and draws."""
    return mock_module


@pytest.fixture(scope="session")
def scene():
    """(images, models) in NUV, r and W1."""
    return mock_module.make_images()


@pytest.fixture(scope="session")
def posterior(scene):
    """A posterior of correlated Gaussian fluxes, everything detected."""
    images, models = scene
    return Posterior.from_draws(mock_module.make_draws(), images, model_images=models)


@pytest.fixture(scope="session")
def faint(scene):
    """The same with NUV undetected."""
    images, models = scene
    return Posterior.from_draws(mock_module.make_draws(undetected=("NUV",)), images, model_images=models)

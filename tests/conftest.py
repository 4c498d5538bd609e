"""Every test runs with all checkers on; hypothesis has a quick profile and a long one."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from functrace.config import config

_COMMON = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}
settings.register_profile("quick", max_examples=25, **_COMMON)
settings.register_profile("long", max_examples=1000, **{**_COMMON, "derandomize": False})
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(autouse=True)
def checks_on() -> Iterator[None]:
    """Check every jaxpr and plan that a transformation makes."""
    with config.override(checks=True):
        yield


def pytest_collection_finish() -> None:
    """Spare the garbage collector the thousands of tests: it would look at them all day."""
    gc.collect()
    gc.freeze()


# --- the histograms of the random programs, printed at the end of the run ------------------------

_histograms: list[str] = []


def _histogram_text() -> str:
    module = sys.modules.get("random_programs")
    return module.histogram_text() if module is not None else ""


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what this process counted to whoever prints it."""
    text = _histogram_text()
    if text and hasattr(session.config, "workeroutput"):
        session.config.workeroutput["histograms"] = text
    elif text:
        _histograms.append(text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the histograms."""
    for text in _histograms:
        terminalreporter.write_sep("-", "random programs")
        terminalreporter.write_line(text)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Collect the histograms of a worker of pytest-xdist."""
    text = getattr(node, "workeroutput", {}).get("histograms")
    if text:
        _histograms.append(text)

"""Every test runs with all checkers on; hypothesis has a quick profile and a long one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from functrace.config import config
from hypothesis import HealthCheck, settings

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

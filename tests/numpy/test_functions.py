"""Every function with a case: its value and dtype, its derivative, its batched form."""

from __future__ import annotations

import cases_whole_array  # noqa: F401 - it adds cases
import pytest
from cases import CASES, Case
from checks import check_batched, check_differentiated, check_traced, in_dtype


def _ids(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", CASES, ids=_ids)
def test_value(case: Case) -> None:
    """The traced program computes what NumPy computes."""
    check_traced(case)


@pytest.mark.parametrize("case", CASES, ids=_ids)
def test_dtypes(case: Case) -> None:
    """Result dtypes and values are NumPy's for every dtype of the operands."""
    for char in case.dtypes:
        try:
            check_traced(case, in_dtype(case.args, char))
        except AssertionError as error:
            raise AssertionError(f"for dtype {char!r}: {error}") from error


@pytest.mark.parametrize("case", [c for c in CASES if c.diff], ids=_ids)
def test_derivative(case: Case) -> None:
    """jvp agrees with central differences, vjp with jvp."""
    check_differentiated(case)


@pytest.mark.parametrize("case", [c for c in CASES if c.batch], ids=_ids)
def test_batched(case: Case) -> None:
    """vmap agrees with a loop."""
    check_batched(case)

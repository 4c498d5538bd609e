"""The list of NumPy's names that work, with a verdict each.

A name counts when all its cases are traced, batched and compiled with NumPy's result, and are
differentiated, or have no derivative by nature. An error, however clear, doesn't count. Write
the table with ``python tests/numpy/test_coverage_table.py``.
"""

from __future__ import annotations

from collections.abc import Callable

import cases_whole_array  # noqa: F401 - it adds cases
import numpy as np
import pytest
from cases import CASES, Case, names
from checks import (
    check_batched,
    check_compiled,
    check_differentiated,
    check_traced,
)

import functrace.numpy as fnp

LEAST = 250

CHECKS: dict[str, Callable[[Case], None]] = {
    "traced": check_traced,
    "batched": check_batched,
    "compiled": check_compiled,
    "differentiated": check_differentiated,
}


def _verdict(case: Case, step: str) -> str:
    """Return ``"yes"``, ``"-"`` (not by nature) or what went wrong."""
    if step == "batched" and not case.batch:
        return "-"
    if step == "differentiated" and not case.diff:
        return "-"
    try:
        with np.errstate(all="ignore"):
            CHECKS[step](case)
    except Exception as error:  # the table says what is missing, whatever it is
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return "yes"


def verdicts(name: str) -> dict[str, str]:
    """Return the verdict of each step over all cases of a name."""
    table = {}
    for step in CHECKS:
        found = {_verdict(case, step) for case in CASES if case.name == name}
        wrong = sorted(found - {"yes", "-"})
        table[step] = wrong[0] if wrong else "yes" if "yes" in found else "-"
    return table


def counts(table: dict[str, str]) -> bool:
    """Tell whether a name counts; only a derivative may be absent by nature."""
    steps = [table["traced"], table["batched"], table["compiled"]]
    return all(v == "yes" for v in steps) and table["differentiated"] in ("yes", "-")


@pytest.mark.parametrize("name", names())
def test_name_counts(name: str) -> None:
    """The name is traced, batched, compiled, and differentiated if that is possible."""
    table = verdicts(name)
    assert counts(table), table


def test_enough_names() -> None:
    """There are as many names as promised, and NumPy has each of them."""
    assert len(names()) >= LEAST
    for name in names():
        module, _, last = name.rpartition(".")
        assert hasattr(getattr(np, module) if module else np, last), name


def test_every_function_has_a_case() -> None:
    """No function of functrace.numpy is left out of the table."""
    constants = {n for n in fnp.__all__ if getattr(fnp, n) is getattr(np, n, None)}
    left_out = set(fnp.__all__) - constants - set(names()) - WITHOUT_CASES
    assert not left_out


WITHOUT_CASES = {
    "at",  # not a function of NumPy's; tests/numpy/test_indexing.py
    "einsum_path",  # it computes nothing
    "fill_diagonal",  # in place in NumPy; tests/numpy/test_indexing.py
    "linalg",
    "put_along_axis",  # in place in NumPy; tests/numpy/test_indexing.py
    # sizes depend on values; tests/numpy/test_sets.py
    "intersect1d",
    "setdiff1d",
    "setxor1d",
    "union1d",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
}


def main() -> None:
    """Print the table."""
    good = 0
    for name in names():
        table = verdicts(name)
        good += counts(table)
        print(f"{name:22}", "  ".join(f"{k} {v}" for k, v in table.items()))
    print(f"{good} of {len(names())} names count")


if __name__ == "__main__":
    main()

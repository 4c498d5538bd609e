"""The benchmarks' machinery: groups are well formed, wrong results are noticed, tables add up."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import limits, page, report, runner
from benchmarks.case import Case, Goal
from benchmarks.groups import NAMES
from benchmarks.groups.compile import PROGRAMS
from benchmarks.libraries import Functrace, Library
from benchmarks.worker import Job, error_of, find

needs_compiler = pytest.mark.skipif(not limits.available(), reason="no C compiler")


@pytest.mark.parametrize("name", NAMES)
def test_groups_are_well_formed(name: str) -> None:
    group = importlib.import_module(f"benchmarks.groups.{name}")
    assert group.TITLE
    assert all(isinstance(goal, Goal) for goal in group.GOALS.values())
    cases: list[Case] = getattr(group, "CASES", [])
    assert cases or hasattr(group, "run")
    assert len({case.name for case in cases}) == len(cases)
    assert all("functrace" in case.builders for case in cases)


@pytest.mark.parametrize("name", NAMES)
def test_cases_run_and_are_right(name: str) -> None:
    """In every way functrace is timed, at the smallest size; as NumPy has it, where it can."""
    for case in getattr(importlib.import_module(f"benchmarks.groups.{name}"), "CASES", []):
        for dtype in case.dtypes:
            job = Job(Functrace(), case, min(case.sizes), dtype)
            got = job.result()
            for call, args in job.ways:
                call(*args)
            assert all(np.all(np.isfinite(leaf)) for leaf in got), case.name
            if "numpy" in case.builders:
                want = Job(Library(), case, min(case.sizes), "float64").result()
                assert error_of(got, want) <= case.tolerance[dtype], case.name


def test_programs_that_are_compiled_exist() -> None:
    assert all(program.size in find(program.group, program.name).sizes for program in PROGRAMS)


def rows() -> list[runner.Row]:
    fast = runner.Row("g", "fast", {"functrace": 1.0, "jax": 4.0}, {"functrace": 1.0, "jax": 4.0})
    slow = runner.Row("g", "slow", {"functrace": 2.0, "jax": 2.0}, {"functrace": 1.0, "jax": 2.0})
    return [fast, slow]


def test_summary_and_noise() -> None:
    (line,) = report.summary(rows(), {"jax": Goal(0.6, 0.9)})
    assert "geometric mean 0.50 (goal 0.6) of 2" in line
    assert "worst 1.00 (goal 0.9, MISSED): slow; 1 above 0.9" in line
    assert [row.noisy() for row in rows()] == [[], ["functrace"]]


def test_results_are_kept_and_make_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "results.json")
    report.save(path, {"dispatch": rows()}, report.about())
    report.save(path, {"eager": rows()[:1]}, report.about())
    assert [len(found) for found in report.load(path)[1].values()] == [2, 1]
    monkeypatch.setattr(report, "PAGE", tmp_path / "README.md")
    page.write(path)
    text = report.PAGE.read_text()
    assert "| slow (noisy) | 2 s | 2 s | 1.00 |" in text
    assert str(tmp_path) not in text


def test_wrong_results_are_noticed() -> None:
    right = [np.array([1.0, 100.0])]
    assert error_of([np.array([1.0, 100.1])], right) == pytest.approx(1e-3)
    assert error_of([np.array([np.nan, 100.0])], right) == np.inf
    assert error_of([np.array([1, 2])], [np.array([1, 3])]) == np.inf
    with pytest.raises(ValueError, match="shapes"):
        error_of([np.zeros(3)], right)


def test_children_take_turns() -> None:
    options = runner.Options(peers=("numpy",), rounds=2, sample=1e-4, match="concatenate, 1e3")
    group: Any = importlib.import_module("benchmarks.groups.movement")
    found = list(runner.run_cases("movement", group.CASES, options))
    assert [row.failures for row in found] == [{}, {}]
    assert all(set(row.medians) == {"functrace", "numpy"} for row in found)


@needs_compiler
def test_hand_written_c_is_right() -> None:
    x = np.linspace(-3.0, 3.0, 2000).reshape(2, 1000)
    e = np.exp(x - x.max(axis=1, keepdims=True))
    want = e / e.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(limits.function("softmax")(x), want, rtol=1e-13)
    single = x.astype(np.float32)
    np.testing.assert_allclose(limits.function("softmax")(single), want, rtol=1e-5)

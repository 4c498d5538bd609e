"""Compile time of the sequential programs: cold, and none above two seconds."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.case import Goal
from benchmarks.groups.compile import Program, cold
from benchmarks.groups.sequential import CASES as PROGRAMS
from benchmarks.runner import Options, Row

TITLE = "Compile time of sequential programs"
GOALS = {"jax": Goal(None, 1.0)}


def run(options: Options) -> Iterator[Row]:
    for case in PROGRAMS:
        if options.match in case.name:
            yield cold("loops_compile", Program("sequential", case.name, case.sizes[-1]), options)

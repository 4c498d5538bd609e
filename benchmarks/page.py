"""benchmarks/README.md, made from results."""

from __future__ import annotations

import importlib

from benchmarks import report
from benchmarks.groups import NAMES

HEAD = """# Benchmarks

{about}.

Made by `python -m benchmarks --json FILE --write`. Each contender runs in a process of its own;
the processes take turns, and every result is first compared with a float64 reference. Times are
medians; ratios are functrace's over the peer's: below 1 functrace is faster. JAX and PyTorch are
given their own arrays, PyTorch runs eagerly. *noisy*: a median more than 1.3 times its minimum.
"""


def write(path: str) -> None:
    """Write the page from the JSON file at ``path``."""
    facts, groups = report.load(path)
    parts = [HEAD.format(about=report.about_text(facts))]
    for name in NAMES:
        if rows := groups.get(name):
            module = importlib.import_module(f"benchmarks.groups.{name}")
            parts.append(report.markdown(rows, module.TITLE, module.GOALS))
    report.PAGE.write_text("\n".join(parts))
    print(f"wrote {report.PAGE.name}")

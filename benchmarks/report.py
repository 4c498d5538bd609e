"""Tables of results: for the terminal, for benchmarks/README.md, and as JSON."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.case import Goal
from benchmarks.runner import OURS, Row

PAGE = Path(__file__).parent / "README.md"


def quantity(amount: float, unit: str) -> str:
    """``amount`` with three digits, in the unit's multiples."""
    if unit == "B":
        return f"{amount / 2**20:.3g} MiB"
    for name, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if amount >= scale:
            return f"{amount / scale:.3g} {name}"
    return f"{amount * 1e9:.3g} ns"


def peers_of(rows: Sequence[Row]) -> list[str]:
    return [n for n in dict.fromkeys(n for row in rows for n in row.medians) if n != OURS]


def ratios(rows: Sequence[Row], peer: str) -> list[tuple[float, Row]]:
    return [(ratio, row) for row in rows if (ratio := row.ratio(peer)) is not None]


def geometric_mean(numbers: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, numbers)) / len(numbers))


def verdict(value: float, goal: float | None) -> str:
    if goal is None:
        return ""
    return f" (goal {goal:g}{'' if value <= goal else ', MISSED'})"


def summary(rows: Sequence[Row], goals: dict[str, Goal]) -> list[str]:
    """One line a peer: the geometric mean, the worst case and how many rows are above the goal."""
    lines = []
    for peer in peers_of(rows):
        found = ratios(rows, peer)
        if not found:
            continue
        goal = goals.get(peer, Goal(None, None))
        mean = geometric_mean([ratio for ratio, _ in found])
        worst, row = max(found, key=lambda pair: pair[0])
        text = f"/ {peer}: geometric mean {mean:.2f}{verdict(mean, goal.mean)} of {len(found)}"
        text += f"; worst {worst:.2f}{verdict(worst, goal.worst)}: {row.name}"
        if goal.worst is not None:
            text += f"; {sum(r > goal.worst for r, _ in found)} above {goal.worst:g}"
        lines.append(text)
    return lines


def cells(rows: Sequence[Row], title: str) -> list[list[str]]:
    peers = peers_of(rows)
    out = [[title, OURS, *peers, *(f"/ {peer}" for peer in peers)]]
    for row in rows:
        times = [
            quantity(row.medians[n], row.unit)
            if n in row.medians
            else ("failed" if n in row.failures else "-")
            for n in (OURS, *peers)
        ]
        texts = [f"{r:.2f}" if (r := row.ratio(peer)) is not None else "-" for peer in peers]
        mark = " (noisy)" if row.noisy() else ""
        out.append([row.name + mark, *times, *texts])
    return out


def plain(rows: Sequence[Row], title: str, goals: dict[str, Goal]) -> str:
    """Columns for a terminal."""
    lines = cells(rows, title)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    out = []
    for line in lines:
        padded = [c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)]
        out.append("  ".join([line[0].ljust(widths[0]), *padded]).rstrip())
    out.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join([*out, *summary(rows, goals)])


def markdown(rows: Sequence[Row], title: str, goals: dict[str, Goal]) -> str:
    """A table and its summary for the page."""
    lines = ["| " + " | ".join(line) + " |" for line in cells(rows, "case")]
    lines.insert(1, "|" + " --- |" * len(cells(rows, "case")[0]))
    bullets = [f"- {line}" for line in summary(rows, goals)]
    return "\n".join([f"## {title}", "", *bullets, "", *lines, ""])


def cpu_model() -> str:
    """The processor's name and the widest vectors it has, as far as the system tells."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line]
    wide = "AVX-512" if "avx512f" in text else "AVX2" if "avx2" in text else "no AVX2"
    return f"{named[0] if named else platform.machine()}, {wide}"


def about() -> dict[str, Any]:
    """The class of machine and the versions that results belong to."""
    versions = {}
    for name in ("functrace", "numpy", "scipy", "numba", "jax", "torch", "autograd"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    if "functrace" not in versions:
        from functrace import __version__

        versions["functrace"] = __version__
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "cpu": cpu_model(),
        "cores": cores,
        "versions": dict(sorted(versions.items())),
    }


def about_text(facts: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"{facts['system']}, {facts['cpu']}, {facts['cores']} cores; "
        f"Python {facts['python']}, {versions}"
    )


def save(path: str, rows_of: dict[str, list[Row]], facts: dict[str, Any]) -> None:
    """Add the groups to a JSON file, replacing those it has already."""
    file = Path(path)
    old = json.loads(file.read_text()) if file.exists() else {"groups": {}}
    groups = old["groups"] | {g: [row.as_dict() for row in rows] for g, rows in rows_of.items()}
    file.write_text(json.dumps({"about": facts, "groups": groups}, indent=1) + "\n")


def load(path: str) -> tuple[dict[str, Any], dict[str, list[Row]]]:
    """What ``save`` wrote."""
    stored = json.loads(Path(path).read_text())
    groups = {
        name: [Row(**{k: v for k, v in row.items() if k != "noisy"}) for row in rows]
        for name, rows in stored["groups"].items()
    }
    return stored["about"], groups

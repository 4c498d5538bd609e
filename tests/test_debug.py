"""functrace.debug: profiles, reports of cache misses and compilations, pictures."""

from __future__ import annotations

import json
import re
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import functrace as ft
from functrace.debug import explain_cache_misses, profile, to_dot, to_svg

RNG = np.random.default_rng(5)
W, X = RNG.normal(size=(32, 48)), RNG.normal(size=(64, 32))


def model(w: Any, x: Any) -> Any:
    h = np.tanh(x @ w)
    return np.sum(h, axis=1), np.sort(x, axis=0)


# --- profile -----------------------------------------------------------------------------------


def test_profile_prints_and_returns_a_row_per_step(capsys: pytest.CaptureFixture[str]) -> None:
    f = ft.jit(model)
    rows = profile(f, W, X)
    text = capsys.readouterr().out
    assert len(rows) == len(f.lower(W, X).compile()._program.program.steps)
    assert rows[0].name.startswith("dgemm 64x48x32")
    assert rows[0].flops == 2 * 64 * 48 * 32 and rows[0].nbytes == 8 * (64 * 32 + 32 * 48 + 64 * 48)
    assert rows[1].transcendentals == 64 * 48
    assert all(row.seconds >= 0 for row in rows)
    assert sum(row.share for row in rows) == pytest.approx(1.0)
    assert all(row.place.startswith("test_debug.py:") for row in rows)
    assert rows[0].gigaflops == pytest.approx(rows[0].flops / rows[0].seconds / 1e9)
    assert len(text.splitlines()) == len(rows) + 2
    assert "GFLOP/s" in text and "a whole call takes" in text and "sort" in text


def test_profile_adds_up_to_the_cost_analysis() -> None:
    rows = profile(model, W, X)
    cost = ft.jit(model).lower(W, X).cost_analysis()
    assert sum(r.flops for r in rows) == cost["flops"]
    assert sum(r.nbytes for r in rows) == cost["bytes accessed"]


def test_profile_writes_a_trace(tmp_path: Path) -> None:
    rows = profile(lambda w, *, x: model(w, x), W, x=X, trace_file=tmp_path / "t.json")
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    spans = [e for e in events if e["ph"] == "X"]
    assert [e["name"] for e in spans] == [r.name for r in rows]
    assert all(e["dur"] >= 0 and e["pid"] == e["tid"] == 1 for e in spans)
    assert [e["ts"] for e in spans] == sorted(e["ts"] for e in spans)
    assert [p.name for p in tmp_path.iterdir()] == ["t.json"]


def test_profile_raises_what_the_program_raises() -> None:
    with pytest.raises(IndexError, match="index 100 is out of bounds"):
        profile(lambda x, i: x[i] + 1.0, X, np.array([100]))


def test_profile_of_other_backends_is_refused() -> None:
    with (
        ft.config.override(backend="python"),
        pytest.raises(ValueError, match="native programs only"),
    ):
        profile(lambda x: x + 1, X)
    with pytest.raises(ValueError, match="repeat=0"):
        profile(lambda x: x + 1, X, repeat=0)


# --- why it was traced -------------------------------------------------------------------------


def reported(capsys: pytest.CaptureFixture[str], f: Any, *args: Any, **kwargs: Any) -> str:
    capsys.readouterr()
    with explain_cache_misses():
        f(*args, **kwargs)
    return capsys.readouterr().out


def test_misses_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    def f(p: Any, x: Any, n: int = 1, *, k: Any = 1.0) -> Any:
        return p["w"] * x * n * k

    jitted = ft.jit(f, static_argnames="n")
    first = reported(capsys, jitted, {"w": X}, 2.0)
    assert re.fullmatch(
        r"functrace traces .*f \(.*test_debug.py:\d+\) for the first time.\n", first
    )
    assert reported(capsys, jitted, {"w": X}, 3.0) == ""
    text = reported(capsys, jitted, {"w": X[:3]}, 2.0)
    assert "  argument 0['w'] was f64[64,32] and is f64[3,32]" in text.splitlines()
    text = reported(capsys, jitted, {"w": X.astype(np.float32)}, 2.0)
    assert "argument 0['w'] was f64[64,32] and is f32[64,32]" in text
    text = reported(capsys, jitted, {"w": X}, np.float64(2.0))
    assert "argument 1 was f64[] (a Python number) and is f64[]" in text
    text = reported(capsys, jitted, {"w": X}, 2.0, n=3)
    assert "static argument 'n' was 'absent' and is 3" in text
    text = reported(capsys, jitted, {"w": X}, 2.0, n=4)
    assert "static argument 'n' was 3 and is 4" in text
    text = reported(capsys, jitted, {"w": X}, 2.0, k=2.0)
    assert "argument 'k' is new" in text
    text = reported(capsys, jitted, {"w": X, "unused": 1.0}, 2.0)
    assert "argument 0['unused'] is new" in text
    text = reported(capsys, ft.jit(lambda x: x[0]), [1.0])
    assert "for the first time" in text


def test_other_structures_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    f = ft.jit(lambda x: x[0])
    f([1.0, 2.0])
    assert "the structure was" in reported(capsys, f, (1.0, 2.0))


def test_captured_tracers_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    @ft.grad
    def loss(w: Any) -> Any:
        f = ft.jit(lambda x: x * w)
        return f(2.0) + f(3.0)

    text = reported(capsys, loss, 1.0)
    assert "captures a value that an outer transformation is tracing" in text


def test_the_flag_explains_too(capsys: pytest.CaptureFixture[str]) -> None:
    with ft.config.override(explain_cache_misses=True), explain_cache_misses(False):
        ft.jit(lambda x: x + 1)(X)
    assert capsys.readouterr().out == ""


def test_compilations_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    f = ft.jit(model)
    with ft.config.override(log_compiles=True):
        f(W, X)
        f(W, X)
    (line,) = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"functrace compiled model\(f64\[32,48\], f64\[64,32\]\): \d+ steps, \d+ kernels built, "
        r"\d+ loaded from disk, \d+ found in memory, \d+\.\d+ s",
        line,
    )


# --- pictures ----------------------------------------------------------------------------------


def test_a_picture_has_every_operation_in_its_group() -> None:
    text = to_dot(lambda w, x: model(w, x)[0] + w[0, 0], W, X)
    assert text.startswith("digraph {") and text.endswith("}")
    assert text.count("{") == text.count("}")
    nodes = set(re.findall(r"^\s*(\w+) \[label", text, re.M))
    edges = re.findall(r"(\w+) -> (\w+)", text)
    assert edges and {n for edge in edges for n in edge} <= nodes
    groups = ft.jit(lambda w, x: model(w, x)[0] + w[0, 0]).lower(W, X).as_text("fusion")
    assert text.count("subgraph cluster_") == groups.count("group ")
    assert 'label="tanh\\nfloat64[64,48]"' in text


def test_pictures_of_constants_and_plain_results() -> None:
    text = to_dot(lambda x: (x, x + W), W)
    assert 'c0 [label="constant 0' in text and "a0 -> r0" in text


def test_svg_needs_graphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(ImportError, match=r"pip install functrace\[viz\]"):
        to_svg(lambda x: x + 1, X)


def test_svg_is_what_graphviz_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    class Source:
        def __init__(self, text: str) -> None:
            self.text = text

        def pipe(self, format: str, encoding: str) -> str:
            return f"<{format} {encoding}>{self.text}"

    module = types.ModuleType("graphviz")
    module.Source = Source  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "graphviz", module)
    assert to_svg(lambda x: x + 1, X) == "<svg utf-8>" + to_dot(lambda x: x + 1, X)

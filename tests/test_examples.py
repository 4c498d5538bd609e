"""Every example runs, and its key numbers are the ones it promises."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name: str) -> ModuleType:
    """Import one example by its file: the folder is no package."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_tested() -> None:
    tested = {
        *("quadratic", "xor", "logistic_regression", "rosenbrock", "train_digits"),
        *("lotka_volterra", "kalman", "hmc", "implicit_newton", "mandelbrot", "char_lstm"),
        "digits_one_jit",
    }
    assert {path.stem for path in EXAMPLES.glob("*.py")} == tested


def test_quadratic() -> None:
    result = load("quadratic").main()
    assert result["value"] == 6.0
    assert result["dx"] == 2.0
    assert result["dw"] == result["dw_again"] == result["tangent"] == 5.0
    assert result["pulled_back"] == [2.0, 5.0]
    assert result["primitives"] == ["add", "add", "mul"]


def test_xor() -> None:
    result = load("xor").main()
    assert result["first_loss"] > 0.1
    assert result["last_loss"] < 1e-6
    np.testing.assert_allclose(result["outputs"], [0.0, 1.0, 1.0, 0.0], atol=1e-3)


def test_logistic_regression() -> None:
    example = load("logistic_regression")
    report = example.main()
    assert len(report) == sum(
        len(methods)
        for methods in (
            example.GRADIENT_METHODS,
            example.PRODUCT_METHODS,
            example.HESSIAN_METHODS,
        )
    )
    for method, numbers in report.items():
        assert numbers["loss"] == pytest.approx(0.4787551258, abs=1e-9), method
        assert numbers["gradient_norm"] < 1e-6, method


def test_scipy_gets_what_it_wants_without_a_cast() -> None:
    example = load("logistic_regression")
    value, gradient = example.value_and_grad(np.zeros(5))
    assert isinstance(value, np.float64)
    assert type(gradient) is np.ndarray
    assert gradient.dtype == np.float64
    assert gradient.flags.c_contiguous and gradient.flags.writeable


def test_rosenbrock() -> None:
    result = load("rosenbrock").main()
    np.testing.assert_allclose(result["x"], 1.0, rtol=1e-10)
    assert result["value"] < 1e-20
    assert result["steps"] < 40


def test_train_digits() -> None:
    result = load("train_digits").main()
    assert result["test_accuracy"] >= 0.97
    assert result["history"][-1]["loss"] < 0.1 * result["history"][0]["loss"]
    assert result["seconds"] < 60.0


def test_train_digits_repeats_to_the_bit() -> None:
    example = load("train_digits")
    first, second = example.main(epochs=2), example.main(epochs=2)
    assert first["history"] == second["history"]


def test_train_digits_runs_without_a_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    example = load("train_digits")
    monkeypatch.setattr(example, "tqdm", None)
    assert len(example.main(epochs=1)["history"]) == 1


def test_lotka_volterra() -> None:
    example = load("lotka_volterra")
    result = example.main()
    np.testing.assert_allclose(result["rates"], [0.540, 0.0272, 0.796, 0.0237], rtol=0.01)
    assert result["loss"] == pytest.approx(-42.74, abs=0.01)
    years, pelts = example.load_pelts()
    assert years.tolist() == list(range(1900, 1921)) and pelts.shape == (21, 2)


def test_kalman() -> None:
    example = load("kalman")
    assert example.FLOW.shape == (100,)
    result = example.main()
    # Durbin and Koopman's numbers; the likelihood is flat about them.
    np.testing.assert_allclose(result["variances"], [15099, 1469], rtol=0.01)
    assert result["log_likelihood"] == pytest.approx(-641.586, abs=0.001)


def test_hmc() -> None:
    result = load("hmc").main()
    assert result["taken"] > 0.8
    assert result["mu"] == pytest.approx(4.4, abs=0.2)
    assert result["tau"] == pytest.approx(3.6, abs=0.3)


def test_implicit_newton() -> None:
    result = load("implicit_newton").main()
    assert result["slope"] == pytest.approx(result["difference"], rel=1e-6)


def test_mandelbrot() -> None:
    result = load("mandelbrot").main()
    assert result["area"] == pytest.approx(1.5, abs=0.15)
    times = result["times"]
    np.testing.assert_array_equal(times, times[::-1])  # it is symmetric
    assert times.max() == 500


def test_char_lstm() -> None:
    example = load("char_lstm")
    result = example.main()
    assert result["losses"][-1] < 0.05
    assert result["said"] == example.TEXT


def test_digits_one_jit() -> None:
    result = load("digits_one_jit").main(epochs=12)
    assert result["test_accuracy"] >= 0.965
    assert result["losses"][-1] < 0.15 * result["losses"][0]


def test_data_file() -> None:
    with np.load(EXAMPLES / "data" / "digits.npz") as file:
        images, labels = file["images"], file["labels"]
    assert images.shape == (1797, 8, 8) and images.dtype == np.uint8 and images.max() == 16
    assert labels.shape == (1797,) and set(labels.tolist()) == set(range(10))

"""The core's own words: types, jaxprs and their checker, primitives, printers, trees, settings."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import functrace as ft
from functrace import dtypes, errors, source_info
from functrace.config import Config, config
from functrace.core.aval import ShapedArray, dtype_of, shape_of, typeof
from functrace.core.jaxpr import (
    ClosedJaxpr,
    Jaxpr,
    JaxprEqn,
    Literal,
    Var,
    check_jaxpr,
    eval_jaxpr,
    jaxpr_as_fun,
)
from functrace.core.placeholders import UndefPrimal, is_linear
from functrace.core.pretty import format_jaxpr
from functrace.core.trace import PRIMITIVES, Primitive
from functrace.ops.arithmetic import add_p, mul_p
from functrace.test_util import check_grads

X = np.array([1.0, 2.0, 3.0])
F64 = ShapedArray((), np.dtype(np.float64))
VECTOR = ShapedArray((3,), np.dtype(np.float64))


# --- types -------------------------------------------------------------------------------------


def test_types_are_values() -> None:
    assert ShapedArray((), np.dtype("f8")) == F64 and hash(F64) == hash(ShapedArray((), F64.dtype))
    assert F64 != VECTOR and F64 != "f64[]" and F64.update(shape=(3,)) == VECTOR
    assert repr(VECTOR) == "ShapedArray(f64[3])"
    assert repr(F64.update(weak_type=True)) == "ShapedArray(f64[], weak_type=True)"
    given = ft.ShapeDtypeStruct((2, 3), "float32")
    assert (given.ndim, given.size, len(given)) == (2, 6, 2)
    assert {given: 1}[ft.ShapeDtypeStruct((2, 3), np.float32)] == 1
    assert typeof(given) == ShapedArray((2, 3), np.dtype(np.float32))
    with pytest.raises(TypeError, match="without axes"):
        len(ft.ShapeDtypeStruct((), "int8"))
    with pytest.raises(errors.DTypeError, match="needs a dtype"):
        ft.ShapeDtypeStruct((2,), None)


def test_typeof_takes_subclasses_and_refuses_the_rest() -> None:
    class Degrees(float):
        pass

    assert typeof(Degrees(3.0)) == typeof(3.0) and typeof(3.0).weak_type
    assert typeof(np.zeros(2).view(np.recarray)).shape == (2,)
    assert dtype_of(2) == np.int64 and shape_of("text") == ()
    with pytest.raises(errors.DTypeError, match="'text' of type str is not an array"):
        typeof("text")
    with pytest.raises(errors.DTypeError, match="an array has dtype object"):
        typeof(np.array([None]))


def test_dtypes() -> None:
    assert dtypes.check_supported(np.dtype(">f8"), "x") == np.dtype("f8")
    assert dtypes.short_name(dtypes.float0) == "float0"
    assert dtypes.short_name(np.dtype(np.uint8)) == "u8"
    assert dtypes.real_dtype(np.dtype(np.complex64)) == np.float32
    assert dtypes.tangent_dtype(np.dtype(np.int8)) == dtypes.float0


@pytest.mark.parametrize("transform", [ft.jit, ft.grad, ft.vmap])
def test_arrays_of_the_other_byte_order_are_converted(transform: Callable[..., Any]) -> None:
    out = transform(lambda x: (x * x).sum())(
        X[None].astype(">f8") if transform is ft.vmap else X.astype(">f8")
    )
    assert out.dtype.isnative
    assert_array_equal(out, 2 * X if transform is ft.grad else np.sum(X * X))


class Column:
    """Something NumPy can read, as of another library."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        return X.astype(dtype or float)


def test_what_numpy_can_read_is_an_argument() -> None:
    assert_array_equal(ft.jit(lambda x: x * 2.0)(Column()), X * 2)
    assert_array_equal(ft.vmap(lambda x: x * 2.0)(Column()), X * 2)
    assert_array_equal(ft.grad(lambda x: np.sum(x * x))(Column()), X * 2)


def test_array_is_for_annotations() -> None:
    assert isinstance(X, ft.Array) and isinstance(np.float64(1.0), ft.Array)
    assert not isinstance(1.0, ft.Array)
    seen = []
    ft.jit(lambda x: seen.append(isinstance(x, ft.Array)) or x)(1.0)
    assert seen == [True]
    with pytest.raises(TypeError, match="for annotations"):
        ft.Array()


def test_linear_placeholders() -> None:
    hole = UndefPrimal(VECTOR)
    assert is_linear(hole) and not is_linear(X)
    assert (hole.shape, hole.dtype, hole.ndim) == ((3,), np.float64, 1)
    assert repr(hole) == "UndefPrimal(f64[3])"


# --- jaxprs ------------------------------------------------------------------------------------


def jaxpr(build: Callable[[Var, Var], Jaxpr]) -> Jaxpr:
    return build(Var(F64), Var(F64))


BROKEN: dict[str, tuple[Callable[[Var, Var], Jaxpr], str]] = {
    "unbound": (lambda a, b: Jaxpr([], [a], [b], []), "output uses an unbound variable"),
    "bound twice": (lambda a, b: Jaxpr([], [a, a], [a], []), "is bound twice"),
    "type of the result": (
        lambda a, b: Jaxpr([], [a], [a], [JaxprEqn(add_p, [a, a], [Var(VECTOR)], {})]),
        "gives f64\\[\\], its variable is f64\\[3\\]",
    ),
    "too many results": (
        lambda a, b: Jaxpr([], [a], [a], [JaxprEqn(add_p, [a, a], [b, Var(F64)], {})]),
        "has 2 outputs",
    ),
    "operands": (
        lambda a, b: Jaxpr(
            [], [a], [b], [JaxprEqn(add_p, [a, Literal(np.int8(1), typeof(np.int8(1)))], [b], {})]
        ),
        "equation 0 \\(add\\) doesn't type-check",
    ),
    "literal": (
        lambda a, b: Jaxpr([], [a], [b], [JaxprEqn(add_p, [a, Literal(np.int8(1), F64)], [b], {})]),
        "literal .* is not of type f64",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_checker_finds(name: str) -> None:
    build, text = BROKEN[name]
    with pytest.raises(errors.JaxprTypeError, match=text):
        check_jaxpr(jaxpr(build))


def test_jaxprs_can_be_taken_apart_and_run() -> None:
    closed = ft.make_jaxpr(lambda x: X * (x + 1.0))(X)
    assert closed.literals is closed.consts and len(closed.consts) == 1
    assert [e.primitive for e in closed.eqns] == [add_p, mul_p]
    assert_array_equal(jaxpr_as_fun(closed)(X)[0], X * (X + 1))
    with pytest.raises(TypeError, match="eval_jaxpr: 2 arguments for 1 inputs"):
        eval_jaxpr(closed.jaxpr, closed.consts, X, X)
    eqn = closed.eqns[0]
    doubled = eqn.replace(primitive=mul_p)
    assert doubled.primitive is mul_p and doubled.invars == eqn.invars and eqn.primitive is add_p
    assert repr(eqn.invars[1]) == "Literal(1.0)" and "f64[3]" in repr(eqn.invars[0])


def test_jaxprs_print_sources_and_every_kind_of_parameter() -> None:
    def square(x: Any) -> Any:
        return x * x

    closed = ft.make_jaxpr(square)(2.0)
    assert "mul a a    # " in format_jaxpr(closed.jaxpr, source=True)
    assert "test_core.py" in format_jaxpr(closed.jaxpr, source=True)
    holder_p = Primitive("holder_of_a_test")
    try:
        params = {"f": square, "dtype": np.dtype("f4"), "inner": closed.jaxpr, "none": None}
        eqn = JaxprEqn(holder_p, [], [Var(F64)], params)
        text = str(Jaxpr([], [], [], [eqn]))
        assert "f=square" in text and "dtype=float32" in text and "none" not in text
        assert "inner={ lambda ; a:f64[]" in text
        assert "[f=square]" in str(Jaxpr([], [], [], [eqn.replace(params={"f": square})]))
    finally:
        del PRIMITIVES["holder_of_a_test"]


def test_nested_jaxprs_are_checked_too() -> None:
    a, b = Var(F64), Var(F64)
    inner = ClosedJaxpr(Jaxpr([], [a], [b], []), [])
    closed = ft.make_jaxpr(ft.jit(lambda x: x * 2.0))(1.0)
    eqn = closed.eqns[0].replace(params={"jaxpr": inner, "name": "broken"})
    outer = Jaxpr([], closed.jaxpr.invars, closed.jaxpr.outvars, [eqn])
    with pytest.raises(errors.JaxprTypeError, match="unbound"):
        check_jaxpr(outer)
    wrong = closed.eqns[0].replace(invars=[Literal(np.float32(1.0), typeof(np.float32(1.0)))])
    with pytest.raises(errors.JaxprTypeError, match="got f32\\[\\] where its jaxpr has f64\\[\\]"):
        check_jaxpr(Jaxpr([], [], closed.jaxpr.outvars, [wrong]))


# --- primitives --------------------------------------------------------------------------------


@pytest.fixture
def bare() -> Iterator[Primitive]:
    yield Primitive("bare_of_core_tests")
    del PRIMITIVES["bare_of_core_tests"]


def test_primitives_are_defined_once(bare: Primitive) -> None:
    with pytest.raises(ValueError, match="already defined"):
        Primitive("bare_of_core_tests")
    assert bare.missing_rules() == [
        "impl", "abstract_eval", "batching", "lowering", "jvp", "transpose",
    ]  # fmt: skip
    bare.def_impl(lambda x: x)
    with pytest.raises(ValueError, match="impl rule of bare_of_core_tests is defined twice"):
        bare.def_impl(lambda x: x)
    assert "impl" not in bare.missing_rules()


# --- where a function and an error come from ---------------------------------------------------


def test_functions_are_described_by_their_place() -> None:
    def mine(x: Any) -> Any:
        return x

    assert source_info.describe_function(mine).startswith("mine (test_core.py:")
    assert source_info.describe_function(functools.partial(mine, 1)).startswith("mine (test_core")
    assert source_info.describe_function(np.sin) == "sin"
    assert source_info.describe_function(object()) == "object"


def test_tracebacks_show_the_users_frames_or_all() -> None:
    def depth() -> int:
        try:
            ft.grad(lambda x: np.array([x, x]).sum())(1.0)
        except errors.ConcretizationError:
            tb, n = sys.exc_info()[2], 0
            while tb is not None:
                tb, n = tb.tb_next, n + 1
            return n
        raise AssertionError

    short = depth()
    with config.override(full_tracebacks=True):
        assert depth() > short
        with pytest.raises(ZeroDivisionError):
            ft.grad(lambda x: x / 0 if 1 // 0 else x)(1.0)


# --- values without a tangent ------------------------------------------------------------------


@pytest.mark.parametrize("how", ["grad", "jvp"])
def test_fresh_arrays_in_a_trace_are_values(how: str) -> None:
    def f(x: Any) -> Any:
        fresh = ft.numpy.full((), 2)
        assert (int(fresh), float(fresh), complex(fresh)) == (2, 2.0, 2 + 0j)
        assert [10, 20, 30][fresh] == 30 and fresh.item() == 2 and fresh.tolist() == 2
        assert np.asarray(fresh) == 2 and f"{fresh:03d}" == "002"
        assert "with primal" in repr(x) and f"{x:.1f}" == "3.0"
        made = ft.numpy.full((1,), 2.5)
        assert bool(made[0]) and complex(made[0]) == 2.5 and int(made[0]) == 2
        assert np.asarray(made).tolist() == made.tolist() == [2.5] and made[0].item() == 2.5
        return x * fresh

    assert (ft.grad(f)(3.0) if how == "grad" else ft.jvp(f, (3.0,), (1.0,))[1]) == 2.0


def test_methods_of_traced_arrays() -> None:
    m = np.arange(6.0).reshape(2, 3)

    def f(x: Any) -> Any:
        assert len(x) == 2 and len(list(x)) == 2 and {x: 1}[x] == 1
        assert x.block_until_ready() is x and x.to_device("cpu") is x
        with pytest.raises(TypeError, match="without axes"):
            len(x[0, 0])
        with pytest.raises(TypeError, match="without axes"):
            iter(x[0, 0])
        for act in (lambda: x.fill(1.0), lambda: x.sort(), lambda: np.sin(m, out=x)):
            with pytest.raises(errors.InPlaceUpdateError, match="x = "):
                act()
        assert f"{x}" == repr(x)
        return round(x, 1).transpose() + x.transpose(1, 0) + x.transpose((1, 0)) + x.mT

    assert_array_equal(ft.jit(f)(m), 4 * m.T)


# --- settings ----------------------------------------------------------------------------------


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"CHECKS": "off", "DISABLE_JIT": "1", "THREADS": "3"}.items():
        monkeypatch.setenv(f"FUNCTRACE_{name}", value)
    made = Config.from_environment()
    assert (made.checks, made.disable_jit, made.threads) == (False, True, 3)
    config.update("jax_enable_x64", True)
    with pytest.raises(AttributeError, match="no setting 'colour'"):
        config.update("colour", "red")


def test_compiles_are_logged_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with config.override(log_compiles=True):
        ft.jit(lambda x: x * 3.0, inline=False)(X)
    assert "functrace compiled <lambda>" in capsys.readouterr().out


# --- trees -------------------------------------------------------------------------------------


def test_trees_that_differ_say_where() -> None:
    with pytest.raises(errors.StructureError, match="argument 2 has another structure"):
        ft.tree.map(lambda a, b: a, {"a": 1}, {"b": 1})
    with pytest.raises(errors.StructureError, match="at \\[0\\]\\['w'\\] it has"):
        ft.vmap(lambda p: p, in_axes=({"w": [0]},))({"w": (X,)})
    with pytest.raises(errors.StructureError, match="at its top"):
        ft.vmap(lambda p: p, out_axes=[0])(X)


def test_prefixes_and_containers_with_keys() -> None:
    assert ft.tree.broadcast_prefix([1, 2], [(0, 0), {"a": 0}]) == [1, 1, 2]

    class Box:
        def __init__(self, *items: Any) -> None:
            self.items = items

    ft.tree_util.register_pytree_with_keys(
        Box,
        lambda box: ([(ft.tree.DictKey(f"k{i}"), v) for i, v in enumerate(box.items)], None),
        lambda _, children: Box(*children),
    )
    assert ft.tree.leaves(Box()) == []
    assert ft.tree.map(lambda v: v + 1, Box(1, 2)).items == (2, 3)
    ((path, _),) = ft.tree.leaves_with_path([Box(5)])
    assert ft.tree.keystr(path).startswith("[0]")
    with pytest.raises(errors.DTypeError, match="k1"):
        ft.grad(lambda box: box.items[0])(Box(1.0, "text"))


# --- arguments of the transformations ----------------------------------------------------------


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda: ft.grad(np.sin, argnums="x")(1.0), TypeError, "argnums must be"),
        (lambda: ft.grad(np.sin, argnums=[0.5])(1.0), TypeError, "argnums must be"),
        (lambda: ft.jvp(np.sin, (1.0,), ("t",)), errors.DTypeError, "is 't', not an array of"),
        (lambda: ft.jacfwd(np.sin)(1), errors.DTypeError, "has dtype int64"),
        (lambda: ft.jacrev(np.sin, holomorphic=True)(1.0), errors.DTypeError, "wants complex"),
        (lambda: ft.jacrev(lambda x: x * 1j)(1.0), errors.DTypeError, "holomorphic=True if"),
        (lambda: ft.vmap(np.sin, in_axes=(0, 0))(X), errors.ShapeError, "has 2 entries"),
        (lambda: ft.vmap(np.sin, in_axes=0.5)(X), TypeError, "ints or None"),
        (lambda: ft.vmap(np.sin, out_axes=2)(X), errors.ShapeError, "doesn't fit an output"),
        (lambda: ft.vmap(np.sin, out_axes=None)(X), errors.ShapeError, "differs between"),
        (lambda: ft.jit(np.sin)(np.array(["a"])), errors.DTypeError, "argument 0 is"),
        (lambda: ft.jit(lambda *, k: k)(k={"a": "b"}), errors.DTypeError, "argument k"),
        (lambda: check_grads(np.sin, (1.0,), 0), ValueError, "order >= 1"),
    ],
)
def test_arguments_are_refused_with_reasons(
    call: Callable[[], Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        call()


def test_axes_may_be_a_list_and_statics_traced_is_an_error() -> None:
    assert_array_equal(ft.vmap(lambda x, y: x * y, in_axes=[0, None])(X, 2.0), X * 2)
    f = ft.jit(lambda x, n: x * n, static_argnums=1)
    with pytest.raises(errors.StaticArgumentError, match="static argument 1 is traced"):
        ft.grad(lambda n: f(1.0, n))(2.0)


def test_integers_have_float0_rows_in_a_jacobian() -> None:
    tree = {"i": np.arange(2), "x": X}
    out = ft.jacrev(lambda t: t["x"] * t["i"].sum(), allow_int=True)(tree)
    assert out["i"].dtype == dtypes.float0
    assert_array_equal(out["x"], np.eye(3))


def test_complex_derivatives_are_checked_in_complex_directions() -> None:
    check_grads(lambda z: np.abs(z * z), (np.array([1.0 + 2j, 0.5 - 1j]),), 1)


# --- the rarer paths of the transformations ----------------------------------------------------


def test_differences_are_linear() -> None:
    (ct,) = ft.linear_transpose(lambda x: 3.0 * x - x, X)(X)
    assert_array_equal(ct, 2 * X)
    pulled = ft.linear_transpose(lambda x, y: x - y, X, 1.0)(X)
    assert_array_equal(pulled[0], X)
    assert pulled[1] == -X.sum()
    with pytest.raises(errors.DTypeError, match="float or complex"):
        ft.linear_transpose(lambda x: x * 1.0, 1)(1.0)


def test_what_is_known_is_computed_before_it_is_transposed() -> None:
    scaled = ft.jit(lambda x, c: x * np.sin(c) + x * np.sort(c))
    (ct,) = ft.linear_transpose(lambda x: scaled(x, X), X)(np.ones(3))
    assert_array_equal(ct, np.sin(X) + X)


def test_pushforwards_print_what_was_recorded() -> None:
    out, push = ft.linearize(lambda x: np.sin(x) * 2.0, 0.0)
    assert (out, push(3.0)) == (0.0, 6.0)
    assert "mul" in str(push.jaxpr)


def test_losses_may_have_one_element_and_integers_may_stand_by() -> None:
    assert_array_equal(ft.jit(ft.grad(lambda x: x[:1] * x[1:2]))(X), [2.0, 1.0, 0.0])
    zero = np.zeros((), dtypes.float0)
    assert ft.jvp(lambda i, x: x * i, (2, 3.0), (zero, 1.0)) == (6.0, 2.0)
    with pytest.raises(errors.DTypeError, match="don't move"):
        ft.jvp(lambda i, x: x * i, (2, 3.0), (1, 1.0))
    with pytest.raises(errors.DTypeError, match="holomorphic=True, but the output"):
        ft.grad(lambda z: z.real, holomorphic=True)(1j)


def test_errors_name_the_leaf_of_the_argument() -> None:
    with pytest.raises(errors.DTypeError, match="argument 1\\['b'\\]"):
        ft.grad(lambda p, q: p, argnums=(0, 1))(1.0, {"a": 1.0, "b": "text"})


def test_tangents_have_no_python_values() -> None:
    asking_p = Primitive("asking_of_core_tests")
    try:
        asking_p.def_impl(lambda x: x)
        asking_p.def_jvp_each(lambda t, out, x: t if t > 0 else -t)
        with pytest.raises(errors.ConcretizationError, match="tangents are recorded, not computed"):
            ft.grad(asking_p.bind)(1.0)
    finally:
        del PRIMITIVES["asking_of_core_tests"]

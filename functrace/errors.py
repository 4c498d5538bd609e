"""Every public error of functrace; the docstring of a class is its manual page.

All of them subclass the built-in exception a NumPy user would expect, so existing ``except``
clauses keep working. A message says what happened (which function, which argument, its shape and
dtype), because of what, and what to try.
"""

from __future__ import annotations

__all__ = [
    "CapturedArrayChangedError",
    "CheckError",
    "ConcretizationError",
    "DTypeError",
    "InPlaceUpdateError",
    "JaxprTypeError",
    "MissingRuleError",
    "NonConcreteBooleanIndexError",
    "NonScalarLossError",
    "ShapeError",
    "StaticArgumentError",
    "StructureError",
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
    "UnexpectedTracerError",
    "compose",
]


def compose(what: str, because: str = "", then: str = "") -> str:
    """Return one message in the house form: what happened, because of what, what to try."""
    parts = [what]
    if because:
        parts.append(f"Because: {because}")
    if then:
        parts.append(f"Try: {then}")
    return "\n".join(parts)


class ConcretizationError(TypeError):
    """A Python number was asked of a value that has none.

    Under ``jit`` and ``vmap`` a traced array stands for many values; under ``grad``, ``vjp`` and
    ``jvp`` it has one value, but turning it into a Python ``float`` would silently drop its
    derivative. Fails::

        @jit
        def f(x):
            return math.sin(x)          # math needs a Python float

    Works: ``np.sin(x)``; or, when a constant is meant, ``float(lax.stop_gradient(x))`` outside of
    ``jit``; or mark the argument static: ``jit(f, static_argnums=0)``.
    """


class TracerBoolConversionError(ConcretizationError):
    """An ``if``, ``while``, ``and``, ``or`` or ``assert`` asked a traced array for its truth.

    Fails under ``jit`` and ``vmap`` (eager ``grad`` runs it)::

        @jit
        def relu(x):
            return x if x > 0 else 0.0

    Works: ``np.where(x > 0, x, 0.0)``; ``lax.cond``; or a static argument.
    """


class TracerIntegerConversionError(ConcretizationError):
    """A traced array was used where Python needs an integer: ``range(n)``, ``shape``, ``list[i]``.

    Works: mark ``n`` static (``jit(f, static_argnums=...)``), use ``x.shape``, or index a traced
    array (``x[i]``) instead of a list.
    """


class TracerArrayConversionError(ConcretizationError):
    """NumPy tried to turn a traced array into a plain one.

    Some NumPy functions never dispatch on their arguments (``np.array``, ``np.zeros_like`` of a
    list, ``np.ix_`` ...). An object array, or a gradient silently lost, is the worst outcome, so
    the conversion is refused. Works: call the function of the same name in ``functrace.numpy``.
    """


class NonConcreteBooleanIndexError(ConcretizationError, IndexError):
    """A boolean mask whose values are not known was used as an index.

    The shape of ``x[mask]`` depends on the values of ``mask``, which ``jit`` and ``vmap`` don't
    know. Works: ``np.where(mask, x, 0)``, or ``x.at[mask].set(v)``.
    """


class UnexpectedTracerError(TypeError):
    """A traced value was used outside of the transformation that made it.

    It leaked: through a global, an attribute, a generator resumed later, another thread, or a
    custom rule that closes over a value of its own level. Fails::

        saved = []
        def f(x):
            saved.append(x)
            return x ** 2
        grad(f)(2.0)
        saved[0] + 1

    Works: return the value (``has_aux=True``), or save ``lax.stop_gradient(x)``.
    """


class InPlaceUpdateError(TypeError):
    """An array was written to in place where the write could not be recorded.

    Either a traced array (``x[i] = v``), or a plain array that was given a traced value
    (``buffer[i] = x``). Works: ``x = x.at[i].set(v)``; for a plain array
    ``buffer = functrace.numpy.at(buffer)[i].set(x)``.
    """


class NonScalarLossError(TypeError):
    """``grad`` was asked for the gradient of a function that doesn't return one real number.

    Works: sum or average the output, or use ``vjp``, ``jacrev`` or ``jacfwd``.
    """


class StructureError(TypeError, ValueError):
    """Two pytrees that must have the same structure don't, at the path the message names."""


class ShapeError(TypeError, ValueError):
    """Shapes don't fit together; the message names the operation and each shape."""


class DTypeError(TypeError):
    """A dtype isn't supported here: object, string and datetime arrays, integers in ``grad``."""


class StaticArgumentError(TypeError, ValueError):
    """A static argument of ``jit`` can't be hashed, so it can't be part of the cache key."""


class CapturedArrayChangedError(RuntimeError):
    """An array captured by a jitted function was changed after it had been traced.

    ``jit`` compiles a captured array into the program as a constant. Works: pass the array as an
    argument, or call ``f.clear_cache()`` after the change.
    """


class CheckError(ValueError):
    """A condition given to ``functrace.debug.check`` didn't hold, in compiled code or not.

    The message is the one the check was given, with the values it names, and its line.
    """


class MissingRuleError(NotImplementedError):
    """A primitive lacks the rule a transformation needs; the message names both."""


class JaxprTypeError(TypeError):
    """A jaxpr is malformed: a bug in a rule or a transformation, found by ``check_jaxpr``."""

"""From a closed jaxpr to a callable program, in named stages; each can be checked and printed.

>>> import numpy as np
>>> from functrace.core.aval import ShapedArray
>>> from functrace.interpreters.staging import stage
>>> from functrace.ops.arithmetic import mul
>>> aval = ShapedArray((3,), np.dtype(np.float64))
>>> double = compile_jaxpr(stage(lambda x: [mul(x, 2.0)], [aval], "double"))
>>> double(np.arange(3.0))
[array([0., 2., 4.])]
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from functrace.compiler.bodies import grouped, not_in_place, scheduled
from functrace.compiler.codegen.kernels import StepCode
from functrace.compiler.codegen.nested import Code, NestedCode, all_codes, nested_step, step_codes
from functrace.compiler.costs import Work, group_work, kernel_work
from functrace.compiler.emit.llvm.kernels import kernel_module
from functrace.compiler.emit.numba.kernels import kernel_source
from functrace.compiler.ir.kernel_check import check_kernel
from functrace.compiler.ir.kernel_text import kernel_text
from functrace.compiler.plan import ArrayProgram, Group, Memory, Op, Output, Plan
from functrace.compiler.planning.fusion import check_groups
from functrace.compiler.planning.memory import check_memory, place_arrays
from functrace.compiler.planning.schedule import Schedule, check_schedule
from functrace.compiler.planning.views import resolve_views
from functrace.compiler.rewriting.simplify import simplify
from functrace.compiler.runtime.build import cache_info as kernel_counts
from functrace.compiler.runtime.cache import CacheInfo
from functrace.compiler.runtime.machine import assembly
from functrace.compiler.runtime.program import ErrorMaker, Program, default_error
from functrace.compiler.runtime.runner import PythonProgram, StepFunction, source_function
from functrace.compiler.runtime.steps import InputSpec, KernelCode, OutputSpec, Step, numbered
from functrace.config import config
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import ClosedJaxpr, JaxprEqn, check_jaxpr
from functrace.core.pretty import format_jaxpr

__all__ = ["STAGES", "Compiled", "Stage", "compile_jaxpr", "step_error"]

#: Stacks of threads have half a MiB on some platforms.
MOST_STACK = 1 << 18


@dataclass(eq=False, slots=True)
class Compilation:
    """Everything the stages have made so far."""

    jaxpr: ClosedJaxpr
    donated: tuple[tuple[int, int], ...] = ()
    name: str = ""
    backend: str = "llvm"
    threads: int | None = None
    error: ErrorMaker | None = None
    simplified: ClosedJaxpr = None  # type: ignore[assignment]
    as_steps: set[JaxprEqn] = field(default_factory=set)
    arrays: ArrayProgram = None  # type: ignore[assignment]
    groups: list[Group] = field(default_factory=list)
    schedules: dict[int, Schedule] = field(default_factory=dict)
    memory: Memory = None  # type: ignore[assignment]
    codes: list[Code] = field(default_factory=list)
    program: Any = None
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: ``run`` makes its part of the compilation, ``check`` and ``show`` look at it."""

    name: str
    run: Callable[[Compilation], None]
    check: Callable[[Compilation], None]
    show: Callable[[Compilation], str]


# --- the stages --------------------------------------------------------------------------------


def _simplify(c: Compilation) -> None:
    c.simplified = simplify(c.jaxpr)


def _views(c: Compilation) -> None:
    c.arrays = resolve_views(c.simplified, frozenset(c.as_steps))


def _fuse(c: Compilation) -> None:
    c.groups = grouped(c.arrays)
    refused = not_in_place(c.groups)
    if refused:
        c.as_steps.update(refused)
        _views(c)
        c.groups = grouped(c.arrays)


def _schedule(c: Compilation) -> None:
    c.schedules = scheduled(c.groups)


def _check_schedules(c: Compilation) -> None:
    for index, plan in c.schedules.items():
        check_schedule(c.groups[index], plan)


def _memory(c: Compilation) -> None:
    c.memory = place_arrays(c.arrays, c.groups, c.schedules, c.donated)


def _codegen(c: Compilation) -> None:
    outputs = {o.array for o in c.arrays.outputs}
    c.codes = step_codes(c.groups, c.schedules, c.memory, outputs)
    kernels = [code for code in all_codes(c.codes) if isinstance(code, StepCode)]
    deep = [op.eqn for code in kernels if _is_deep(code) for op in code.group.body]
    if deep:
        c.as_steps.update(eqn for eqn in deep if eqn is not None)
        for stage in (_views, _fuse, _schedule, _memory, _codegen):
            stage(c)


def _is_deep(code: StepCode) -> bool:
    """Whether a kernel that is a loop needs more of the stack than a thread may have left."""
    if code.group.kind != "sequence":
        return False
    return sum(x.length * x.dtype.itemsize for x in code.kernel.locals) > MOST_STACK


def _build(c: Compilation) -> None:
    m = c.memory
    # An input that a result is written over comes in as that result's array.
    over = {m.slots[o.array] for o in c.arrays.outputs if not o.copy}
    inputs = [
        InputSpec(a.shape, a.dtype, m.slots[a], _is_python_number(v.aval))
        for a, v in zip(c.arrays.inputs, c.simplified.jaxpr.invars)
        if m.slots[a] not in over
    ]
    outputs = [
        OutputSpec(o.shape, o.array.dtype, m.slots[o.array], o.copy) for o in c.arrays.outputs
    ]
    constants = {m.slots[a]: a.value for a in c.arrays.constants if a.value is not None}
    steps = [_step(code, c.backend) for code in c.codes]
    common: dict[str, Any] = {
        "constants": constants,
        "temporaries": sorted(m.offsets.items()),
        "arena_bytes": m.arena_bytes,
        "error": c.error or step_error,
    }
    if c.error is not None:
        steps = list(numbered(steps))
    if c.backend == "llvm":
        c.program = Program(inputs, outputs, m.n_slots, steps, threads=c.threads, **common)
    else:
        functions = _source_functions(c)
        c.program = PythonProgram(inputs, outputs, m.n_slots, steps, functions, **common)


def _is_python_number(aval: ShapedArray) -> bool:
    """Whether an input is a Python number rather than an array or a NumPy scalar."""
    wide = aval.dtype in (np.dtype(np.float64), np.dtype(np.complex128), np.dtype(np.int64))
    return aval.weak_type and not aval.shape and wide


def _step(code: Code, backend: str) -> Step:
    if isinstance(code, Step):
        return code
    if isinstance(code, NestedCode):
        return nested_step(code, lambda inner: _step(inner, backend))
    kernel = _printed(code) if backend == "llvm" else KernelCode("")
    label = "+".join(dict.fromkeys(op.name for op in code.ops))
    return Step(kernel, code.record, code.extent, code.grain, code, label, code.light)


def _printed(code: StepCode) -> KernelCode:
    if code.printed.code is None:
        code.printed.code = KernelCode(kernel_module(code.kernel))
    return code.printed.code


def _source_functions(c: Compilation) -> dict[object, StepFunction]:
    """Return what runs each kernel: its printed source, by its code."""
    known: dict[str, StepFunction] = {}
    functions: dict[object, StepFunction] = {}
    for code in all_codes(c.codes):
        if isinstance(code, StepCode):
            source = kernel_source(code.kernel)
            if source not in known:
                known[source] = source_function(source, c.backend == "numba")
            functions[code] = known[source]
    return functions


def step_error(step: Step, kind: str, site: int, details: tuple[int, ...]) -> BaseException:
    """Return NumPy's exception for a failed check, with the user's line as a note."""
    error = default_error(step, kind, site, details)
    code, op = step.eqn, None
    if isinstance(code, StepCode) and site < len(code.sites):
        op = code.sites[site]
    elif isinstance(code, Op):
        op = code
    if op is not None and "failure" in op.params:
        return op.params["failure"].of_words(details)  # type: ignore[no-any-return]
    if op is not None:
        source = op.eqn.source if op.eqn is not None else None
        where = f" at {source}" if source is not None else ""
        error.add_note(f"raised by the compiled {op.name}{where}")
    return error


def _kernel_texts(
    c: Compilation, show: Callable[[Any], str], show_text: Callable[[str], str] | None = None
) -> str:
    """Show each kernel once; those of libraries only exist as LLVM text."""
    parts: dict[str, list[int]] = {}
    for k, code in enumerate(all_codes(c.codes)):
        if isinstance(code, StepCode):
            text = show(code.kernel)
        else:
            text = f"# {code.label}"
            if show_text is not None and isinstance(code.kernel, KernelCode):
                text += f"\n{show_text(code.kernel.text)}"
        parts.setdefault(text, []).append(k)
    return "\n\n".join(
        f"# step {', '.join(map(str, steps))}\n{text}" for text, steps in parts.items()
    )


def _check_kernels(c: Compilation) -> None:
    for code in all_codes(c.codes):
        if isinstance(code, StepCode):
            check_kernel(code.kernel)
            if code.remake is not None:
                _check_template(code, code.remake())


def _check_template(code: StepCode, made: StepCode) -> None:
    """Check that a step by a template is what it would have been without one."""
    assert kernel_module(made.kernel) == _printed(code).text, f"another kernel:\n{code.group}"
    for name in ("record", "extent", "grain", "sites"):
        got, want = getattr(code, name), getattr(made, name)
        assert got == want, f"{name} {got} instead of {want} of\n{code.group}"


def _nothing(c: Compilation) -> None:
    """No check beyond those of the stage's own input."""


STAGES: tuple[Stage, ...] = (
    Stage(
        "simplified",
        _simplify,
        lambda c: check_jaxpr(c.simplified.jaxpr),
        lambda c: format_jaxpr(c.simplified.jaxpr),
    ),
    Stage("views", _views, _nothing, lambda c: str(c.arrays)),
    Stage(
        "fusion",
        _fuse,
        lambda c: check_groups(c.groups),
        lambda c: "\n".join(map(str, c.groups)),
    ),
    Stage(
        "schedule",
        _schedule,
        _check_schedules,
        lambda c: "\n".join(f"group {i}: {s}" for i, s in c.schedules.items()),
    ),
    Stage(
        "memory",
        _memory,
        lambda c: check_memory(c.groups, c.memory),
        lambda c: str(Plan(c.arrays, c.groups, c.memory)),
    ),
    Stage("kernels", _codegen, _check_kernels, lambda c: _kernel_texts(c, kernel_text)),
    Stage("program", _build, _nothing, lambda c: str(c.program.as_text())),
)


_PRINTERS: dict[str, Callable[[Compilation], str]] = {
    "jaxpr": lambda c: format_jaxpr(c.jaxpr.jaxpr),
    "plan": lambda c: str(Plan(c.arrays, c.groups, c.memory)),
    "numba": lambda c: _kernel_texts(c, kernel_source),
    "llvm": lambda c: _kernel_texts(c, kernel_module, str),
    "asm": lambda c: _kernel_texts(c, lambda k: assembly(kernel_module(k)), assembly),
} | {stage.name: stage.show for stage in STAGES}


# --- the result --------------------------------------------------------------------------------


class Compiled:
    """A compiled jaxpr, called with flat arrays of exactly its input types.

    Attributes:
        program: the step list that runs.
    """

    def __init__(self, compilation: Compilation) -> None:
        self.compilation = compilation
        self.program = compilation.program

    def __call__(self, *args: Any) -> Any:
        """Return the list of results for flat arguments."""
        return self.program(*args)

    def as_text(self, stage: str = "jaxpr") -> str:
        """Return what a stage made, as text.

        Args:
            stage: ``jaxpr``, ``simplified``, ``views``, ``fusion``, ``schedule``, ``memory`` (or
                ``plan``), ``kernels``, ``program``, ``numba``, ``llvm`` or ``asm``.
        """
        if stage not in _PRINTERS:
            raise ValueError(f"no stage is called {stage!r}. Try: one of {', '.join(_PRINTERS)}.")
        return _PRINTERS[stage](self.compilation)

    def step_work(self) -> list[Work]:
        """Return the work of each step; that of a fold in two steps counts with the first."""
        seen: set[int] = set()
        found = []
        for code, group in zip(self.compilation.codes, self.step_groups()):
            kernel = code if isinstance(code, StepCode) else None
            work = Work()
            for other in kernel.beside if kernel is not None else ():
                work = work.plus(group_work(other))
            if group is not None and group.index not in seen:
                work = work.plus(group_work(group, kernel))
                seen.add(group.index)
            elif kernel is not None and kernel.group.kind == "nest":
                work = kernel_work(kernel.kernel, kernel.record, kernel.extent)
            found.append(work)
        return found

    def step_groups(self) -> list[Group | None]:
        """Return the group of each step."""
        by_op = {op: group for group in self.compilation.groups for op in group.ops}
        return [
            code.group if isinstance(code, StepCode) else by_op.get(code.eqn)  # type: ignore[call-overload]
            for code in self.compilation.codes
        ]

    def cost_analysis(self) -> dict[str, float]:
        """Return counts of the whole program, by JAX's names.

        ``flops`` are floating-point operations, ``transcendentals`` calls of ``exp``, ``sin`` and
        the like, ``bytes accessed`` what steps read and write of arrays; see ``compiler.costs``.
        """
        total = Work()
        for work in self.step_work():
            total = total.plus(work)
        copied = sum(_output_bytes(o) for o in self.compilation.arrays.outputs if o.copy)
        return {
            "flops": float(total.flops),
            "transcendentals": float(total.transcendentals),
            "bytes accessed": float(total.nbytes + 2 * copied),
        }

    def memory_analysis(self) -> dict[str, int]:
        """Return sizes in bytes: of arguments, results, constants, temporaries, and at the peak.

        The peak counts all that is alive during a call whose arguments are contiguous; a strided
        argument adds a copy of itself.
        """
        arrays = self.compilation.arrays
        sizes = {
            "argument_size_in_bytes": sum(a.nbytes for a in arrays.inputs),
            "output_size_in_bytes": sum(map(_output_bytes, arrays.outputs)),
            "constant_size_in_bytes": sum(a.nbytes for a in arrays.constants),
            "temp_size_in_bytes": self.compilation.memory.arena_bytes,
        }
        return sizes | {"peak_memory_in_bytes": sum(sizes.values())}


def _output_bytes(output: Output) -> int:
    return output.array.dtype.itemsize * math.prod(output.shape)


def compile_jaxpr(
    closed: ClosedJaxpr,
    *,
    donated: Sequence[tuple[int, int]] = (),
    name: str = "",
    backend: str | None = None,
    threads: int | None = None,
    error: ErrorMaker | None = None,
) -> Compiled:
    """Return the compiled program of a closed jaxpr.

    Args:
        closed: the program; nested jaxprs are inlined.
        donated: numbers of inputs that may be written over, each with that of the result that
            takes its place. Where one does, the program has no such input: what it held is to be
            in the array that the result is written to (``Program.run_into``).
        name: what to call it in messages.
        backend: ``llvm``, ``numba`` or ``python``; ``config.backend`` without it.
        threads: most threads it may use; ``config.threads`` says so for all programs.
        error: makes the exceptions of failed steps; these then know nothing but their numbers.
    """
    c = Compilation(closed, tuple(donated), name, backend or config.backend, threads, error)
    before = kernel_counts() if config.log_compiles else None
    for stage in STAGES:
        start = time.perf_counter()
        stage.run(c)
        c.seconds[stage.name] = time.perf_counter() - start
        if config.checks:
            stage.check(c)
    if before is not None:
        print(_log_line(c, before))
    return Compiled(c)


def _log_line(c: Compilation, before: CacheInfo) -> str:
    """Say what was compiled, from how much, and where the kernels came from."""
    now = kernel_counts()
    types = ", ".join(map(str, c.jaxpr.in_avals))
    built, loaded = now.compiled - before.compiled, now.disk_hits - before.disk_hits
    return (
        f"functrace compiled {c.name or 'a program'}({types}): {len(c.codes)} steps, "
        f"{built} kernels built, {loaded} loaded from disk, {now.hits - before.hits} found in "
        f"memory, {sum(c.seconds.values()):.3f} s"
    )

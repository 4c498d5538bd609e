"""A compiled program as the text of a Python module of Numba functions, which needs no functrace.

    slots of the frame -> flat arrays;  kernels -> functions of arrays;  steps -> their calls;
    steps that hold steps -> loops and branches, in which names move over parts of arrays

Products of BLAS become `np.matmul` and factorisations by LAPACK `np.linalg` or plain loops: these
round as they do. All else is the same operations in the same order on the same types, so the same
bits.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from functrace.compiler.codegen.kernels import StepCode
from functrace.compiler.codegen.library import product_of
from functrace.compiler.codegen.nested import Code, NestedCode, all_codes
from functrace.compiler.emit.eject_kernels import EjectedKernel, runtime_source, scalar_functions
from functrace.compiler.emit.eject_linalg import FACTORISATIONS
from functrace.compiler.emit.numba.kernels import stored_dtype
from functrace.compiler.pipeline import Compiled
from functrace.compiler.plan import Group, Memory, Op, Read
from functrace.compiler.planning.loop_memory import LoopPlan
from functrace.compiler.planning.memory import scratch_arrays
from functrace.compiler.planning.schedule import Schedule
from functrace.compiler.runtime.lapack import routine_plan
from functrace.compiler.runtime.numpy_rows import RowCode
from functrace.compiler.runtime.steps import Copy, Loop, Step, Switch, Window
from functrace.core.lowering import LINALG_MESSAGES, Call, Routines

__all__ = ["Ejected", "eject_program"]

DType = np.dtype[Any]

#: Constants of up to so many elements are written out in the text.
_WRITTEN_OUT = 16
_HELPERS = '''
def _argument(value, shape, dtype, number, name):
    """A checked argument, flat; `number` says that it stands for a Python number."""
    array = np.asarray(value, dtype) if number else np.asarray(value)
    if array.shape != shape or array.dtype != dtype:
        raise TypeError(
            f"{name} has shape {array.shape} and dtype {array.dtype}; "
            f"this program is for shape {shape} and dtype {np.dtype(dtype)}"
        )
    return np.ascontiguousarray(array).reshape(-1)
'''
_VIEW = '''
def _view(flat, shape, strides, offset):
    """Elements of a flat array under a shape; strides and offset count elements."""
    steps = [stride * flat.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(flat[offset:], shape, steps, writeable=False)
'''
_CHECK = (
    f"""
_LINALG = {LINALG_MESSAGES!r}


"""
    + '''
def _check(status, error, what):
    """Raise what a kernel's status stands for."""
    kind = status >> 48
    if kind == 1:
        index, axis, size = error[:3]
        raise IndexError(f"index {index} is out of bounds for axis {axis} with size {size}")
    if kind == 3:
        raise FloatingPointError(f"invalid value (nan) produced by {what}")
    if kind == 5:
        raise np.linalg.LinAlgError(_LINALG[error[0]])
    if kind:
        raise RuntimeError(f"a check failed in {what}")
'''
)


@dataclass
class Ejected:
    """The parts of a module.

    Attributes:
        definitions: everything above the function, in order.
        lines: the function's steps, unindented; they start from flat arguments ``in_0``, ....
        outputs: the expression of each result.
        constants: what an ``.npz`` file beside the module must hold, by key.
    """

    definitions: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    constants: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)


def eject_program(compiled: Compiled) -> Ejected:
    """Return a compiled program as Python.

    Raises:
        NotImplementedError: a step has no form in NumPy and Numba.
    """
    return _Ejector(compiled).run()


class _Ejector:
    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled
        self.c = compiled.compilation
        self.program = compiled.program
        self.out = Ejected()
        self.names: dict[int, str] = {}
        self.kernels: dict[str, str] = {}
        self.dtypes: dict[int, DType] = {}
        self.sizes: dict[int, int] = {}
        self.groups = {op: group for group in self.c.groups for op in group.ops}
        self.fails = False
        self.factorisations: dict[str, None] = {}
        self.indent = ""
        #: Slots that look at a part of another one's memory.
        self.windows: set[int] = set()
        self.count = 0

    def run(self) -> Ejected:
        self.name_slots()
        self.allocate()
        self.steps(self.c.codes, self.program.steps)
        if self.fails:
            self.out.lines.insert(0, "error = np.zeros(8, np.int64)")
        self.return_results()
        self.define()
        return self.out

    def define(self) -> None:
        """Put the definitions in order: run time, vector mathematics, kernels, helpers."""
        kernels = [code.kernel for code in all_codes(self.c.codes) if isinstance(code, StepCode)]
        functions = scalar_functions(kernels)
        sources = [
            re.sub(r"^def \w+", f"def {name}", text, count=1, flags=re.MULTILINE)
            for text, name in self.kernels.items()
        ]
        runtime = runtime_source([*functions, *sources])
        helpers = [_HELPERS.strip()]
        helpers += [_VIEW.strip()] if any("_view(" in line for line in self.out.lines) else []
        helpers += [_CHECK.strip()] if self.fails else []
        helpers += [FACTORISATIONS[name].strip() for name in self.factorisations]
        self.out.definitions += [*runtime, *functions, *sources, *helpers]

    # --- slots ---------------------------------------------------------------------------------

    def name_slots(self) -> None:
        """Name every slot and note what its flat array is made of."""
        for k, spec in enumerate(self.program.inputs):
            self.note(spec.slot, f"in_{k}", spec.dtype, math.prod(spec.shape))
        for k, (slot, value) in enumerate(self.program.constants.items()):
            self.note(slot, f"const_{k}", value.dtype, value.size)
            self.constant(f"const_{k}", value)
        for k, output in enumerate(self.program.outputs):
            if not output.copy:
                self.note(output.slot, f"out_{k}", output.dtype, math.prod(output.shape))
        for array, slot in self.c.memory.slots.items():
            self.note(slot, f"tmp_{slot}", array.dtype, array.size)
        self.name_inner(self.c.groups, self.c.memory, self.c.schedules)

    def name_inner(
        self, groups: Sequence[Group], memory: Memory, schedules: dict[int, Schedule]
    ) -> None:
        """Name the slots that hold no array of the plan: scratch, and what loops add."""
        for group in groups:
            slots = memory.scratch.get(group.index, [])
            for slot, (shape, dtype) in zip(slots, _scratch(group, schedules)):
                self.note(slot, f"tmp_{slot}", np.dtype(dtype), math.prod(shape))
            for body in group.body[0].bodies if group.kind == "steps" else ():
                assert body.memory is not None
                self.groups |= {op: inner for inner in body.groups for op in inner.ops}
                self.name_inner(body.groups, body.memory, body.schedules)
            if group.kind == "steps":
                plan: LoopPlan = memory.loops[group.body[0]]
                self.name_added(plan)

    def name_added(self, plan: LoopPlan) -> None:
        """Name the second places of carried arrays, and windows that only a copy writes."""
        for first, second in plan.swaps:
            self.note(second, f"tmp_{second}", self.dtypes[first], self.sizes[first])
        for copies in plan.after.values(), plan.before.values():
            for copy in (copy for some in copies for copy in some):
                dtype = self.dtypes[copy.source]
                size = copy.nbytes // dtype.itemsize
                self.note(copy.target, f"tmp_{copy.target}", dtype, size)
        self.windows.update(window.slot for window in plan.windows)

    def note(self, slot: int, name: str, dtype: DType, size: int) -> None:
        if slot not in self.names:
            self.names[slot], self.dtypes[slot], self.sizes[slot] = name, dtype, size

    def constant(self, name: str, value: np.ndarray[Any, Any]) -> None:
        exact = value.dtype.kind in "iub" or (value.dtype.kind == "f" and np.isfinite(value).all())
        if exact and value.size <= _WRITTEN_OUT:
            text = f"{name} = np.array({value.ravel().tolist()}, {_dtype_text(value.dtype)})"
        else:
            # The key says what the array holds: a file of another program is noticed.
            digest = hashlib.sha256(value.tobytes()).hexdigest()[:12]
            key = f"{name}_{digest}"
            self.out.constants[key] = value.reshape(-1)
            text = f'{name} = _constants["{key}"]'
        self.out.definitions.append(f"{text}  # shape {value.shape}")

    def allocate(self) -> None:
        """Make results and temporaries; these don't share memory here, for the sake of reading."""
        for slot, name in self.names.items():
            if name.startswith(("out_", "tmp_")) and slot not in self.windows:
                dtype = _dtype_text(self.dtypes[slot])
                self.out.lines.append(f"{name} = np.empty({self.sizes[slot]}, {dtype})")

    def slot(self, slot: int, dtype: DType, label: str) -> str:
        """Return the expression of a slot's memory as elements of a dtype."""
        if slot not in self.names:
            _refuse(label, None)
        name = self.names[slot]
        return name if self.dtypes[slot] == dtype else f"{name}.view({_dtype_text(dtype)})"

    # --- steps ---------------------------------------------------------------------------------

    def line(self, text: str) -> None:
        """Add a line where the steps are."""
        self.out.lines.append(self.indent + text)

    def heading(self, what: str) -> None:
        """Add the comment above a step."""
        self.line(f"# step {self.count}: {what}")
        self.count += 1

    def steps(self, codes: Sequence[Code], steps: Sequence[Step]) -> None:
        """Add steps, given as their code and as what was built of it."""
        factorised = None
        for code, step in zip(codes, steps, strict=True):
            op = self.factorisation(code)
            if op is None:
                self.step(code, step)
            elif op is not factorised:
                self.factorisation_step(op)
            factorised = op
        if not codes:
            self.line("pass")

    def step(self, code: Code, step: Step) -> None:
        """Add one step."""
        group = self.groups.get(code.eqn) if isinstance(code, Step) else None  # type: ignore[call-overload]
        if isinstance(code, StepCode):
            self.kernel_step(code, step.label)
        elif isinstance(code, NestedCode):
            if isinstance(step.kernel, Switch):
                self.switch_step(code, step.kernel)
            else:
                assert isinstance(step.kernel, Loop)
                self.loop_step(code, step.kernel)
        elif isinstance(step.kernel, Copy):
            self.copy_step(step.kernel)
        elif group is not None and group.kind == "library":
            self.product_step(group, step.label)
        elif group is not None and isinstance(step.kernel, RowCode):
            self.row_step(group, step)
        else:
            _refuse(step.label, code.eqn)

    def block(self, head: str, codes: Sequence[Code], steps: Sequence[Step]) -> None:
        """Add a statement with steps inside of it."""
        self.line(head)
        self.indent += "    "
        self.steps(codes, steps)
        self.indent = self.indent[:-4]

    def loop_step(self, code: NestedCode, loop: Loop) -> None:
        """Add a loop: names of windows move with the rounds, those of swaps change places."""
        number = self.count
        *test, body = code.bodies
        self.heading(f"{code.label}, " + ("while it goes on" if test else f"{loop.trips} rounds"))
        self.line("while True:" if test else f"for i_{number} in range({loop.trips}):")
        self.indent += "    "
        if test:
            assert loop.test_slot is not None
            self.steps(test[0], loop.test)
            goes_on = self.slot(loop.test_slot, np.dtype(np.bool_), code.label)
            self.line(f"if not {goes_on}[0]:")
            self.line("    break")
        for window in loop.windows:
            self.window(window, f"i_{number}", code.label)
        self.steps(body, loop.body)
        for first, second in loop.swaps:
            a, b = self.names[first], self.names[second]
            self.line(f"{a}, {b} = {b}, {a}")
        self.indent = self.indent[:-4]

    def window(self, window: Window, round_: str, label: str) -> None:
        """Let a name stand for the part of an array that a round looks at."""
        dtype, size = self.dtypes[window.slot], self.sizes[window.slot]
        start, stride = window.start // dtype.itemsize, window.stride // dtype.itemsize
        base = self.slot(window.base, dtype, label)
        moved = round_ if stride == 1 else f"{stride} * {round_}"
        first = f"{start} + {moved}" if start else moved
        self.line(f"{self.names[window.slot]} = {base}[{first} :][:{size}]")

    def switch_step(self, code: NestedCode, switch: Switch) -> None:
        """Add a branch."""
        number, last = self.count, len(switch.branches) - 1
        self.heading(code.label)
        index = self.slot(switch.slot, np.dtype(f"i{switch.width}"), code.label)
        self.line(f"branch_{number} = min(max(int({index}[0]), 0), {last})")
        for k, (codes, steps) in enumerate(zip(code.bodies, switch.branches, strict=True)):
            word = "if" if k == 0 else "elif"
            head = f"{word} branch_{number} == {k}:" if k < last or not k else "else:"
            self.block(head, codes, steps)

    def copy_step(self, copy: Copy) -> None:
        """Add a copy of one slot's memory to another's."""
        dtype = self.dtypes[copy.source]
        size = copy.nbytes // dtype.itemsize
        target, source = (self.slot(s, dtype, "copy") for s in (copy.target, copy.source))
        whole = self.sizes[copy.source] == size
        self.line(f"{target}[:{size}] = {source}" + ("" if whole else f"[:{size}]"))

    def kernel_step(self, code: StepCode, label: str) -> None:
        """Add a kernel's call."""
        printer = EjectedKernel(code.kernel)
        text = printer.source("kernel")
        short = re.sub(r"\W+", "_", label)[:40].strip("_")
        name = self.kernels.setdefault(text, f"kernel_{len(self.kernels)}_{short}")
        arguments = ["error"] if printer.fails else []
        for entry, word in zip(code.kernel.record, code.record):
            if entry.buffer is not None:
                arguments.append(self.slot(word, stored_dtype(entry.buffer.dtype), label))
            elif entry.value is not None:
                arguments.append(str(word))
        self.heading(label)
        bounds, indent = f"0, {code.extent}", ""
        if 0 < code.grain < code.extent:
            self.line(f"for lo in range(0, {code.extent}, {code.grain}):")
            bounds, indent = f"lo, min(lo + {code.grain}, {code.extent})", "    "
        call = f"{name}({', '.join([bounds, *arguments])})"
        if printer.fails:
            call = f"_check({call}, error, {label!r})"
            self.fails = True
        self.line(indent + call)

    def product_step(self, group: Group, label: str) -> None:
        """Add a matrix product as `np.matmul` of the operands seen as batches of matrices."""
        (op,) = group.body
        product = product_of(op)
        lhs, rhs = op.reads
        batch, m, n, depth = product.sizes(lhs, rhs)
        batch_a, kept_a, contracted_a = product.lhs
        batch_b, kept_b, contracted_b = product.rhs
        a = self.operand(lhs, (*batch_a, *kept_a, *contracted_a), (batch, m, depth), label)
        b = self.operand(rhs, (*batch_b, *contracted_b, *kept_b), (batch, depth, n), label)
        target = self.slot(self.c.memory.slots[op.outs[0]], op.outs[0].dtype, label)
        self.heading(f"{label}, by NumPy's BLAS")
        self.line(f"{target}[:] = np.matmul({a}, {b}).reshape(-1)")

    def factorisation(self, code: Code) -> Op | None:
        """Return the operation that a step is a part of, if it is one that calls LAPACK."""
        if isinstance(code, StepCode):
            op: object = code.group.body[0] if code.group.kind == "nest" else None
        else:
            op = code.eqn if isinstance(code, Step) else None
        if not isinstance(op, Op) or not isinstance(op.lowering, Routines):
            return None
        calls = any(isinstance(stage, Call) for stage in routine_plan(op)[1])
        return op if calls else None

    def factorisation_step(self, op: Op) -> None:
        """Add a factorisation, all of its steps as one call."""
        if op.name not in FACTORISATIONS:
            _refuse(op.name, op)
        slots = self.c.memory.slots
        arguments = [
            f"{self.slot(slots[read.array], read.dtype, op.name)}.reshape({read.shape})"
            for read in op.reads
        ]
        arguments += [f"{name}={value!r}" for name, value in op.params.items()]
        self.factorisations[op.name] = None
        self.heading(f"{op.name}, which rounds as NumPy or plain loops do")
        result = f"results_{self.count - 1}"
        self.line(f"{result} = _{op.name}({', '.join(arguments)})")
        for k, array in enumerate(op.outs):
            target = self.slot(slots[array], array.dtype, op.name)
            self.line(f"{target}[:] = {result}[{k}].reshape(-1)")

    def row_step(self, group: Group, step: Step) -> None:
        """Add a loop over rows as the NumPy function it is."""
        (op,) = group.body
        assert isinstance(step.kernel, RowCode)
        source, target, length, _ = step.record
        read = self.slot(source, op.reads[0].dtype, step.label)
        rows = f"{read}[: {step.extent * length}].reshape({step.extent}, {length})"
        dtype = op.reads[0].dtype if step.kernel.function == "sort" else np.dtype(np.int64)
        written = self.slot(target, dtype, step.label)
        self.heading(step.label)
        self.line(f"{written}[:] = np.{step.kernel.function}({rows}, axis=1).reshape(-1)")

    def operand(
        self, read: Read, order: Sequence[int], shape: tuple[int, int, int], label: str
    ) -> str:
        flat = self.slot(self.c.memory.slots[read.array], read.dtype, label)
        if read.whole:
            text = f"{flat}.reshape({read.shape})"
        else:
            text = f"_view({flat}, {read.shape}, {read.strides}, {read.offset})"
        if tuple(order) != tuple(range(len(order))):
            text += f".transpose({tuple(order)})"
        wanted = shape[1:] if shape[0] == 1 else shape
        seen = tuple(read.shape[i] for i in order)
        return text if seen == wanted else f"{text}.reshape({wanted})"

    def return_results(self) -> None:
        for output in self.program.outputs:
            name = self.slot(output.slot, output.dtype, "a result")
            size = math.prod(output.shape)
            if output.copy:
                name = f"{name}[:{size}].copy()"
            text = f"{name}.reshape({output.shape})" if output.shape else f"{name}[0]"
            self.out.outputs.append(text)


def _scratch(group: Group, schedules: dict[int, Schedule]) -> list[tuple[tuple[int, ...], Any]]:
    """Return shape and dtype of the temporaries that a group wants for itself."""
    if group.kind != "loop":
        return scratch_arrays(group)
    extent = schedules[group.index].extent
    return [((extent,), op.outs[0].dtype) for op in group.folds]


def _refuse(label: str, eqn: object) -> NoReturn:
    op = eqn if isinstance(eqn, Op) else None
    source = op.eqn.source if op is not None and op.eqn is not None else None
    where = f" at {source}" if source is not None else ""
    raise NotImplementedError(
        f"eject: {op.name if op is not None else label}{where} has no form in NumPy and Numba "
        "alone.\nBecause: it calls Python.\n"
        "Try: ejecting the parts before and after it."
    )


def _dtype_text(dtype: DType) -> str:
    return "np.bool_" if dtype.kind == "b" else f"np.{dtype.name}"

"""Prints a kernel as a Numba function of arrays, for a module that stands on its own.

The same statements as `numba.kernels` prints; but where that source takes addresses, this takes
flat arrays and integers: one parameter for each position of the record.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from functrace.compiler.emit.numba.kernels import FunctionPrinter, KernelPrinter, stored_dtype
from functrace.compiler.ir.kernel import Fail, Kernel, Poll, Region, Stmt, regions_of
from functrace.compiler.ir.vecmath import EXTERNS, used_functions

__all__ = ["EjectedKernel", "runtime_source", "scalar_functions"]

_INLINE = '@numba.njit(error_model="numpy", forceinline=True)'
_KERNEL = '@numba.njit(error_model="numpy")'
_RUNTIME = re.compile(r"\brt_(\w+)\(")
_FMA = '''
@numba.extending.intrinsic
def rt_fma(typingctx, x, y, z):
    """x * y + z, rounded once."""
    return x(x, y, z), lambda context, builder, signature, args: builder.fma(*args)
'''.strip()


class EjectedKernel(KernelPrinter):
    """The printer of one kernel.

    Attributes:
        fails: whether the function returns a status and takes an array for the details.
    """

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.fails = _has_fail(kernel.body)

    def source(self, name: str) -> str:
        """Return the function's definition."""
        self.declare_locals()
        self.region(self.kernel.body)
        if self.fails:
            self.emit("return 0")
        elif not self.lines:
            self.emit("pass")
        parameters = ["lo", "hi", *(["error"] if self.fails else [])]
        notes = []
        for entry in self.kernel.record:
            if entry.buffer is not None:
                parameters.append(f"buffer{entry.buffer.index}")
                dtype, access = entry.buffer.dtype.name, entry.buffer.access
                notes.append(f"    # buffer{entry.buffer.index}: {dtype}, {access}")
            elif entry.value is not None:
                parameters.append(f"v{entry.value.id}")
        head = f"def {name}({', '.join(parameters)}):"
        return _standalone("\n".join([_KERNEL, head, *notes, *self.lines]))

    def declare_locals(self) -> None:
        """Print the arrays of the entry block."""
        for local in self.kernel.locals:
            count = local.length * (2 if local.dtype.kind == "c" else 1)
            self.emit(f"local{local.index} = np.empty({count}, np.{stored_dtype(local.dtype)})")

    def stmt(self, stmt: Stmt) -> None:
        """Print a statement; nothing interrupts an ejected kernel."""
        if isinstance(stmt, Poll):
            self.emit(f"v{stmt.result.id} = 0")
        else:
            super().stmt(stmt)

    def error_cell(self) -> None:
        """Print nothing: the array for the details is a parameter."""


def _has_fail(region: Region) -> bool:
    return any(isinstance(s, Fail) or any(map(_has_fail, regions_of(s))) for s in region.stmts)


def scalar_functions(kernels: list[Kernel]) -> list[str]:
    """Return the definitions of the vector mathematics that kernels use, each after its own."""
    functions, _ = used_functions([k.body for k in kernels])
    return [_standalone(FunctionPrinter(f).text()) for f in functions]


def _standalone(source: str) -> str:
    return source.replace("@rt.function", _INLINE).replace("rt.", "rt_")


def runtime_source(parts: list[str]) -> list[str]:
    """Return definitions of what printed functions call beyond NumPy: halves and C functions."""
    used = {name for part in parts for name in _RUNTIME.findall(part)}
    if "half_round" in used:
        used |= {"half_load", "half_store"}
    found = []
    for name in sorted(used & EXTERNS.keys()):
        arguments = ", ".join(["types.float64"] * EXTERNS[name])
        signature = f"types.float64({arguments})"
        found.append(f'rt_{name} = types.ExternalFunction("{name}", {signature})')
    if "fma" in used:
        found.append(_FMA)
    return [*found, *(f for name, f in _half_functions() if name in used)]


def _half_functions() -> list[tuple[str, str]]:
    """Take the conversions of float16 from the run time of printed kernels, as text."""
    text = (Path(__file__).parent / "numba" / "native.py").read_text(encoding="utf-8")
    found = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("half_"):
            source = ast.get_source_segment(text, node) or ""
            source = re.sub(r": Any\b|-> Any\b", "", source).replace(") :", "):")
            source = re.sub(r"\bhalf_(load|store|round)\b", r"rt_half_\1", source)
            found.append((node.name, f"{_INLINE}\n{source}"))
    return found

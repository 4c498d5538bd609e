"""The stages of a jitted function, to look at: Traced, Lowered, Compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from functrace.control.buffers import check_buffers
from functrace.control.jit_primitive import compiled
from functrace.core.aval import ShapeDtypeStruct
from functrace.core.jaxpr import ClosedJaxpr
from functrace.errors import StructureError, compose

if TYPE_CHECKING:
    from functrace.compiler.pipeline import Compiled

__all__ = ["CompiledFunction", "Lowered", "Traced"]


class Traced:
    """A jitted function's jaxpr for one signature."""

    def __init__(self, closed: ClosedJaxpr, out_tree: Any, key: Any, name: str, owner: Any) -> None:
        self.jaxpr = closed
        self.fun_name = name
        self._out_tree = out_tree
        self._key = key
        self._owner = owner
        self.threads: int | None = owner._threads

    @property
    def out_info(self) -> Any:
        """The tree of output types."""
        return self._out_tree.unflatten(
            [ShapeDtypeStruct(a.shape, a.dtype) for a in self.jaxpr.out_avals]
        )

    def lower(self) -> Lowered:
        """Return the lowered form."""
        return Lowered(self)


class Lowered:
    """A traced function on its way to machine code."""

    def __init__(self, traced: Traced) -> None:
        self._traced = traced

    @property
    def out_info(self) -> Any:
        """The tree of output types."""
        return self._traced.out_info

    def _program(self) -> Compiled:
        return compiled(self._traced.jaxpr, self._traced.fun_name, self._traced.threads)

    def as_text(self, stage: str = "jaxpr") -> str:
        """Return one stage of the pipeline as text.

        Args:
            stage: ``jaxpr``, ``simplified``, ``views``, ``fusion``, ``schedule``, ``memory`` (or
                ``plan``), ``kernels``, ``program``, ``numba``, ``llvm`` or ``asm``.

        Raises:
            ValueError: there is no such stage; the message lists them.
        """
        return self._program().as_text(stage)

    def cost_analysis(self) -> dict[str, Any]:
        """Return counts by name: ``flops``, ``transcendentals``, ``bytes accessed``."""
        return self._program().cost_analysis()

    def compile(self) -> CompiledFunction:
        """Return the compiled function."""
        return CompiledFunction(self._traced, self._program())


class CompiledFunction:
    """Machine code for one signature; calling it with another one is an error."""

    def __init__(self, traced: Traced, program: Compiled) -> None:
        self._traced = traced
        self._program = program

    def as_text(self, stage: str = "kernels") -> str:
        """Return one stage of the pipeline as text; see ``Lowered.as_text``."""
        return self._program.as_text(stage)

    def cost_analysis(self) -> dict[str, Any]:
        """Return counts by name: ``flops``, ``transcendentals``, ``bytes accessed``."""
        return self._program.cost_analysis()

    def memory_analysis(self) -> dict[str, Any]:
        """Return sizes in bytes: argument, output, constant, temp, and their sum at the peak."""
        return self._program.memory_analysis()

    @property
    def out_info(self) -> Any:
        """The tree of output types."""
        return self._traced.out_info

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it; with ``out=``, as the jitted function.

        Raises:
            StructureError: the call has another signature than the one it was compiled for.
        """
        owner = self._traced._owner
        out = kwargs.pop("out", None) if owner._takes_out else None
        call = owner._read(args, kwargs)
        if call.key != self._traced._key:
            wanted = ", ".join(map(str, self._traced.jaxpr.in_avals))
            given = ", ".join(map(str, call.avals))
            raise StructureError(
                compose(
                    f"{self._traced.fun_name} was compiled for ({wanted}); it got ({given}) "
                    f"with structure {call.key.treedef}.",
                    "a compiled function has one signature.",
                    "the jitted function itself, which compiles for each.",
                )
            )
        if out is not None:
            out_tree, avals = self._traced._out_tree, self._traced.jaxpr.out_avals
            buffers = check_buffers(out, out_tree, avals, self._traced.fun_name)
            self._program.program.run_into(call.leaves, buffers)
            return out
        outs = self._program(*call.leaves)
        return self._traced._out_tree.unflatten(outs)

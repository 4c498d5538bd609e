"""Control flow: choices and loops that are part of the compiled program."""

from __future__ import annotations

from functrace.control.conditionals import cond as cond
from functrace.control.conditionals import switch as switch
from functrace.control.scan import scan as scan
from functrace.control.while_loops import fori_loop as fori_loop
from functrace.control.while_loops import while_loop as while_loop

__all__ = ["cond", "fori_loop", "scan", "switch", "while_loop"]

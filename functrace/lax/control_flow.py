"""Control flow: choices and loops that are part of the compiled program."""

from __future__ import annotations

import functrace.control.loops.scan_linearize
import functrace.control.loops.scan_transpose
import functrace.control.loops.while_second  # noqa: F401
from functrace.control.loops.associative import associative_scan as associative_scan
from functrace.control.loops.conditionals import cond as cond
from functrace.control.loops.conditionals import switch as switch
from functrace.control.loops.mapping import map as map
from functrace.control.loops.scan import scan as scan
from functrace.control.loops.while_loops import fori_loop as fori_loop
from functrace.control.loops.while_loops import while_loop as while_loop

__all__ = [
    "associative_scan",
    "cond",
    "fori_loop",
    "map",
    "scan",
    "switch",
    "while_loop",
]

"""From a jaxpr to machine code: one stage a file, in the order ``pipeline.py`` lists.

``rewriting`` simplifies the jaxpr, ``planning`` makes groups of it and gives them places,
``codegen`` (``sequential`` for loops) builds kernels in the typed IR of ``ir``, ``emit`` prints
them, ``runtime`` builds, keeps and runs native code. ``kept`` is the door: it finds a program on
disk or runs the stages. These are loaded when somebody first names them, so a process that finds
all of its programs loads none.
"""

import importlib
from typing import Any

_LOADED_LATER = ("codegen", "emit", "pipeline")


def __getattr__(name: str) -> Any:
    if name not in _LOADED_LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")

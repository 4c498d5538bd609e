"""The groups of benchmarks: in each file ``CASES`` or ``run``, ``TITLE`` and ``GOALS``."""

NAMES = (
    "elementwise",
    "reductions",
    "movement",
    "derivatives",
    "limits",
    "products",
    "gaussian",
    "graphs",
    "training",
    "compile",
    "memory",
    "sequential",
)

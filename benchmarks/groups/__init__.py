"""The groups of benchmarks: in each file ``CASES`` or ``run``, ``TITLE`` and ``GOALS``."""

NAMES = (
    "eager",
    "dispatch",
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
    "jits",
    "sequential",
    "loops_compile",
    "loops_costs",
)

"""functrace.scipy.sparse: iterative solvers of linear systems, under ``linalg``."""

from functrace.scipy.sparse import linalg as linalg

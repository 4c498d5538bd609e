"""The transformations users call, one kind a file."""

from functrace.api.gradient import grad as grad
from functrace.api.gradient import value_and_grad as value_and_grad
from functrace.api.inspection import disable_jit as disable_jit
from functrace.api.inspection import eval_shape as eval_shape
from functrace.api.inspection import make_jaxpr as make_jaxpr
from functrace.api.jacobians import hessian as hessian
from functrace.api.jacobians import jacfwd as jacfwd
from functrace.api.jacobians import jacrev as jacrev
from functrace.api.mapping import vmap as vmap
from functrace.api.pullback import linear_transpose as linear_transpose
from functrace.api.pullback import vjp as vjp
from functrace.api.pushforward import jvp as jvp
from functrace.api.pushforward import linearize as linearize

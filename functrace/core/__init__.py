"""The idea in a thousand lines: avals, primitives, traces and jaxprs. No primitive lives here."""

from functrace.core.aval import ShapedArray as ShapedArray
from functrace.core.aval import ShapeDtypeStruct as ShapeDtypeStruct
from functrace.core.aval import typeof as typeof
from functrace.core.jaxpr import ClosedJaxpr as ClosedJaxpr
from functrace.core.jaxpr import Jaxpr as Jaxpr
from functrace.core.jaxpr import JaxprEqn as JaxprEqn
from functrace.core.jaxpr import Literal as Literal
from functrace.core.jaxpr import Var as Var
from functrace.core.jaxpr import check_jaxpr as check_jaxpr
from functrace.core.jaxpr import eval_jaxpr as eval_jaxpr
from functrace.core.jaxpr import jaxpr_as_fun as jaxpr_as_fun
from functrace.core.pretty import format_jaxpr as format_jaxpr
from functrace.core.trace import PRIMITIVES as PRIMITIVES
from functrace.core.trace import Primitive as Primitive
from functrace.core.trace import Trace as Trace
from functrace.core.trace import Tracer as Tracer

"""Functions with derivative rules of their own, by JAX's names."""

from functrace.control.rules.closures import closure_convert as closure_convert
from functrace.control.rules.custom_gradient import custom_gradient as custom_gradient
from functrace.control.rules.custom_jvp import custom_jvp as custom_jvp
from functrace.control.rules.custom_vjp import custom_vjp as custom_vjp
from functrace.control.rules.symbolic_zeros import CustomVJPPrimal as CustomVJPPrimal
from functrace.control.rules.symbolic_zeros import SymbolicZero as SymbolicZero
from functrace.control.rules.symbolic_zeros import zero_from_primal as zero_from_primal

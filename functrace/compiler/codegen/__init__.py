"""Groups -> kernels and the steps that run them."""

from functrace.compiler.codegen.kernels import rule_cost as rule_cost

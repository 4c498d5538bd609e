"""functrace.lax: the primitives as functions, with JAX's names and signatures.

They are strict: operands have one dtype, and one shape or none. A Python number takes the dtype of
the arrays beside it.

Example:
    >>> import numpy as np
    >>> from functrace import lax
    >>> lax.add(np.float32([1.0, 2.0]), 1.0)
    array([2., 3.], dtype=float32)
"""

from functrace.control.rules.barrier import optimization_barrier as optimization_barrier
from functrace.control.rules.implicit import custom_linear_solve as custom_linear_solve
from functrace.control.rules.implicit import custom_root as custom_root
from functrace.lax import linalg as linalg
from functrace.lax.contractions import ConvDimensionNumbers as ConvDimensionNumbers
from functrace.lax.contractions import batch_matmul as batch_matmul
from functrace.lax.contractions import conv as conv
from functrace.lax.contractions import conv_dimension_numbers as conv_dimension_numbers
from functrace.lax.contractions import conv_general_dilated as conv_general_dilated
from functrace.lax.contractions import conv_transpose as conv_transpose
from functrace.lax.contractions import conv_with_general_padding as conv_with_general_padding
from functrace.lax.contractions import dot as dot
from functrace.lax.contractions import dot_general as dot_general
from functrace.lax.control_flow import associative_scan as associative_scan
from functrace.lax.control_flow import cond as cond
from functrace.lax.control_flow import fori_loop as fori_loop
from functrace.lax.control_flow import map as map
from functrace.lax.control_flow import scan as scan
from functrace.lax.control_flow import switch as switch
from functrace.lax.control_flow import while_loop as while_loop
from functrace.lax.elementwise import abs as abs
from functrace.lax.elementwise import acos as acos
from functrace.lax.elementwise import acosh as acosh
from functrace.lax.elementwise import add as add
from functrace.lax.elementwise import asin as asin
from functrace.lax.elementwise import asinh as asinh
from functrace.lax.elementwise import atan as atan
from functrace.lax.elementwise import atan2 as atan2
from functrace.lax.elementwise import atanh as atanh
from functrace.lax.elementwise import bitwise_and as bitwise_and
from functrace.lax.elementwise import bitwise_not as bitwise_not
from functrace.lax.elementwise import bitwise_or as bitwise_or
from functrace.lax.elementwise import bitwise_xor as bitwise_xor
from functrace.lax.elementwise import cbrt as cbrt
from functrace.lax.elementwise import ceil as ceil
from functrace.lax.elementwise import clamp as clamp
from functrace.lax.elementwise import clz as clz
from functrace.lax.elementwise import complex as complex
from functrace.lax.elementwise import conj as conj
from functrace.lax.elementwise import cos as cos
from functrace.lax.elementwise import cosh as cosh
from functrace.lax.elementwise import digamma as digamma
from functrace.lax.elementwise import div as div
from functrace.lax.elementwise import eq as eq
from functrace.lax.elementwise import erf as erf
from functrace.lax.elementwise import erf_inv as erf_inv
from functrace.lax.elementwise import erfc as erfc
from functrace.lax.elementwise import exp as exp
from functrace.lax.elementwise import exp2 as exp2
from functrace.lax.elementwise import expm1 as expm1
from functrace.lax.elementwise import floor as floor
from functrace.lax.elementwise import ge as ge
from functrace.lax.elementwise import gt as gt
from functrace.lax.elementwise import imag as imag
from functrace.lax.elementwise import integer_pow as integer_pow
from functrace.lax.elementwise import is_finite as is_finite
from functrace.lax.elementwise import le as le
from functrace.lax.elementwise import lgamma as lgamma
from functrace.lax.elementwise import log as log
from functrace.lax.elementwise import log1p as log1p
from functrace.lax.elementwise import log2 as log2
from functrace.lax.elementwise import logistic as logistic
from functrace.lax.elementwise import lt as lt
from functrace.lax.elementwise import max as max
from functrace.lax.elementwise import min as min
from functrace.lax.elementwise import mul as mul
from functrace.lax.elementwise import ne as ne
from functrace.lax.elementwise import neg as neg
from functrace.lax.elementwise import nextafter as nextafter
from functrace.lax.elementwise import polygamma as polygamma
from functrace.lax.elementwise import population_count as population_count
from functrace.lax.elementwise import pow as pow
from functrace.lax.elementwise import real as real
from functrace.lax.elementwise import reciprocal as reciprocal
from functrace.lax.elementwise import rem as rem
from functrace.lax.elementwise import round as round
from functrace.lax.elementwise import rsqrt as rsqrt
from functrace.lax.elementwise import select as select
from functrace.lax.elementwise import select_n as select_n
from functrace.lax.elementwise import shift_left as shift_left
from functrace.lax.elementwise import shift_right_arithmetic as shift_right_arithmetic
from functrace.lax.elementwise import shift_right_logical as shift_right_logical
from functrace.lax.elementwise import sign as sign
from functrace.lax.elementwise import sin as sin
from functrace.lax.elementwise import sinh as sinh
from functrace.lax.elementwise import sqrt as sqrt
from functrace.lax.elementwise import square as square
from functrace.lax.elementwise import sub as sub
from functrace.lax.elementwise import tan as tan
from functrace.lax.elementwise import tanh as tanh
from functrace.lax.indexing import GatherDimensionNumbers as GatherDimensionNumbers
from functrace.lax.indexing import GatherScatterMode as GatherScatterMode
from functrace.lax.indexing import ScatterDimensionNumbers as ScatterDimensionNumbers
from functrace.lax.indexing import dynamic_index_in_dim as dynamic_index_in_dim
from functrace.lax.indexing import dynamic_slice as dynamic_slice
from functrace.lax.indexing import dynamic_slice_in_dim as dynamic_slice_in_dim
from functrace.lax.indexing import dynamic_update_index_in_dim as dynamic_update_index_in_dim
from functrace.lax.indexing import dynamic_update_slice as dynamic_update_slice
from functrace.lax.indexing import dynamic_update_slice_in_dim as dynamic_update_slice_in_dim
from functrace.lax.indexing import gather as gather
from functrace.lax.indexing import index_take as index_take
from functrace.lax.indexing import scatter as scatter
from functrace.lax.indexing import scatter_add as scatter_add
from functrace.lax.indexing import scatter_max as scatter_max
from functrace.lax.indexing import scatter_min as scatter_min
from functrace.lax.indexing import scatter_mul as scatter_mul
from functrace.lax.indexing import scatter_sub as scatter_sub
from functrace.lax.operands import Precision as Precision
from functrace.lax.reductions import argmax as argmax
from functrace.lax.reductions import argmin as argmin
from functrace.lax.reductions import cumlogsumexp as cumlogsumexp
from functrace.lax.reductions import cummax as cummax
from functrace.lax.reductions import cummin as cummin
from functrace.lax.reductions import cumprod as cumprod
from functrace.lax.reductions import cumsum as cumsum
from functrace.lax.reductions import reduce as reduce
from functrace.lax.reductions import reduce_and as reduce_and
from functrace.lax.reductions import reduce_max as reduce_max
from functrace.lax.reductions import reduce_min as reduce_min
from functrace.lax.reductions import reduce_or as reduce_or
from functrace.lax.reductions import reduce_prod as reduce_prod
from functrace.lax.reductions import reduce_sum as reduce_sum
from functrace.lax.reductions import reduce_xor as reduce_xor
from functrace.lax.reductions import sort as sort
from functrace.lax.reductions import sort_key_val as sort_key_val
from functrace.lax.reductions import top_k as top_k
from functrace.lax.structure import bitcast_convert_type as bitcast_convert_type
from functrace.lax.structure import broadcast as broadcast
from functrace.lax.structure import broadcast_in_dim as broadcast_in_dim
from functrace.lax.structure import broadcast_shapes as broadcast_shapes
from functrace.lax.structure import broadcast_to_rank as broadcast_to_rank
from functrace.lax.structure import broadcasted_iota as broadcasted_iota
from functrace.lax.structure import collapse as collapse
from functrace.lax.structure import concatenate as concatenate
from functrace.lax.structure import convert_element_type as convert_element_type
from functrace.lax.structure import expand_dims as expand_dims
from functrace.lax.structure import full as full
from functrace.lax.structure import full_like as full_like
from functrace.lax.structure import index_in_dim as index_in_dim
from functrace.lax.structure import iota as iota
from functrace.lax.structure import pad as pad
from functrace.lax.structure import reshape as reshape
from functrace.lax.structure import rev as rev
from functrace.lax.structure import slice as slice
from functrace.lax.structure import slice_in_dim as slice_in_dim
from functrace.lax.structure import split as split
from functrace.lax.structure import squeeze as squeeze
from functrace.lax.structure import stack as stack
from functrace.lax.structure import stop_gradient as stop_gradient
from functrace.lax.structure import tile as tile
from functrace.lax.structure import transpose as transpose
from functrace.lax.structure import unstack as unstack
from functrace.lax.structure import zeros_like_array as zeros_like_array
from functrace.lax.windows import padtype_to_pads as padtype_to_pads
from functrace.lax.windows import reduce_window as reduce_window
from functrace.ops.rounding import RoundingMethod as RoundingMethod

__all__ = [
    "ConvDimensionNumbers",
    "GatherDimensionNumbers",
    "GatherScatterMode",
    "Precision",
    "RoundingMethod",
    "ScatterDimensionNumbers",
    "abs",
    "acos",
    "acosh",
    "add",
    "argmax",
    "argmin",
    "asin",
    "asinh",
    "associative_scan",
    "atan",
    "atan2",
    "atanh",
    "batch_matmul",
    "bitcast_convert_type",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "broadcast",
    "broadcast_in_dim",
    "broadcast_shapes",
    "broadcast_to_rank",
    "broadcasted_iota",
    "cbrt",
    "ceil",
    "clamp",
    "clz",
    "collapse",
    "complex",
    "concatenate",
    "cond",
    "conj",
    "conv",
    "conv_dimension_numbers",
    "conv_general_dilated",
    "conv_transpose",
    "conv_with_general_padding",
    "convert_element_type",
    "cos",
    "cosh",
    "cumlogsumexp",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "custom_linear_solve",
    "custom_root",
    "digamma",
    "div",
    "dot",
    "dot_general",
    "dynamic_index_in_dim",
    "dynamic_slice",
    "dynamic_slice_in_dim",
    "dynamic_update_index_in_dim",
    "dynamic_update_slice",
    "dynamic_update_slice_in_dim",
    "eq",
    "erf",
    "erf_inv",
    "erfc",
    "exp",
    "exp2",
    "expand_dims",
    "expm1",
    "floor",
    "fori_loop",
    "full",
    "full_like",
    "gather",
    "ge",
    "gt",
    "imag",
    "index_in_dim",
    "index_take",
    "integer_pow",
    "iota",
    "is_finite",
    "le",
    "lgamma",
    "log",
    "log1p",
    "log2",
    "logistic",
    "lt",
    "map",
    "max",
    "min",
    "mul",
    "ne",
    "neg",
    "nextafter",
    "optimization_barrier",
    "pad",
    "padtype_to_pads",
    "polygamma",
    "population_count",
    "pow",
    "real",
    "reciprocal",
    "reduce",
    "reduce_and",
    "reduce_max",
    "reduce_min",
    "reduce_or",
    "reduce_prod",
    "reduce_sum",
    "reduce_window",
    "reduce_xor",
    "rem",
    "reshape",
    "rev",
    "round",
    "rsqrt",
    "scan",
    "scatter",
    "scatter_add",
    "scatter_max",
    "scatter_min",
    "scatter_mul",
    "scatter_sub",
    "select",
    "select_n",
    "shift_left",
    "shift_right_arithmetic",
    "shift_right_logical",
    "sign",
    "sin",
    "sinh",
    "slice",
    "slice_in_dim",
    "sort",
    "sort_key_val",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "stop_gradient",
    "sub",
    "switch",
    "tan",
    "tanh",
    "tile",
    "top_k",
    "transpose",
    "unstack",
    "while_loop",
    "zeros_like_array",
]

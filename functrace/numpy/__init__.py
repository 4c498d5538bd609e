"""NumPy's functions on plain and on traced arrays: ``import functrace.numpy as np``.

A function without a traced argument is NumPy's own. ``array``, ``zeros``, ``ones``, ``empty``,
``full`` and ``copy`` inside of a transformation give arrays that belong to it, and have ``.at``.

Example:
    >>> import functrace.numpy as np
    >>> np.sum(np.sin(np.zeros(3)))
    np.float64(0.0)
"""

from __future__ import annotations

import sys

from numpy import array2string as array2string
from numpy import array_repr as array_repr
from numpy import array_str as array_str
from numpy import bartlett as bartlett
from numpy import blackman as blackman
from numpy import bool as bool
from numpy import bool_ as bool_
from numpy import broadcast as broadcast
from numpy import cdouble as cdouble
from numpy import clongdouble as clongdouble
from numpy import complex64 as complex64
from numpy import complex128 as complex128
from numpy import complexfloating as complexfloating
from numpy import csingle as csingle
from numpy import double as double
from numpy import dtype as dtype
from numpy import e as e
from numpy import errstate as errstate
from numpy import euler_gamma as euler_gamma
from numpy import finfo as finfo
from numpy import float16 as float16
from numpy import float32 as float32
from numpy import float64 as float64
from numpy import floating as floating
from numpy import generic as generic
from numpy import get_printoptions as get_printoptions
from numpy import half as half
from numpy import hamming as hamming
from numpy import hanning as hanning
from numpy import iinfo as iinfo
from numpy import index_exp as index_exp
from numpy import inexact as inexact
from numpy import inf as inf
from numpy import int8 as int8
from numpy import int16 as int16
from numpy import int32 as int32
from numpy import int64 as int64
from numpy import int_ as int_
from numpy import intc as intc
from numpy import integer as integer
from numpy import intp as intp
from numpy import isdtype as isdtype
from numpy import isscalar as isscalar
from numpy import issubdtype as issubdtype
from numpy import iterable as iterable
from numpy import kaiser as kaiser
from numpy import load as load
from numpy import long as long
from numpy import longdouble as longdouble
from numpy import longlong as longlong
from numpy import mgrid as mgrid
from numpy import nan as nan
from numpy import ndarray as ndarray
from numpy import ndindex as ndindex
from numpy import newaxis as newaxis
from numpy import number as number
from numpy import ogrid as ogrid
from numpy import pi as pi
from numpy import printoptions as printoptions
from numpy import promote_types as promote_types
from numpy import s_ as s_
from numpy import save as save
from numpy import savez as savez
from numpy import set_printoptions as set_printoptions
from numpy import signedinteger as signedinteger
from numpy import single as single
from numpy import ufunc as ufunc
from numpy import uint as uint
from numpy import uint8 as uint8
from numpy import uint16 as uint16
from numpy import uint32 as uint32
from numpy import uint64 as uint64
from numpy import uintc as uintc
from numpy import uintp as uintp
from numpy import ulong as ulong
from numpy import ulonglong as ulonglong
from numpy import unsignedinteger as unsignedinteger

from functrace.numpy import linalg as linalg
from functrace.numpy import protocols
from functrace.numpy.accumulations import cumprod as cumprod
from functrace.numpy.accumulations import cumsum as cumsum
from functrace.numpy.accumulations import cumulative_prod as cumulative_prod
from functrace.numpy.accumulations import cumulative_sum as cumulative_sum
from functrace.numpy.applying import apply_along_axis as apply_along_axis
from functrace.numpy.applying import apply_over_axes as apply_over_axes
from functrace.numpy.applying import isin as isin
from functrace.numpy.at import at as at
from functrace.numpy.creation import arange as arange
from functrace.numpy.creation import array as array
from functrace.numpy.creation import asanyarray as asanyarray
from functrace.numpy.creation import asarray as asarray
from functrace.numpy.creation import ascontiguousarray as ascontiguousarray
from functrace.numpy.creation import asfortranarray as asfortranarray
from functrace.numpy.creation import copy as copy
from functrace.numpy.creation import empty as empty
from functrace.numpy.creation import empty_like as empty_like
from functrace.numpy.creation import eye as eye
from functrace.numpy.creation import from_dlpack as from_dlpack
from functrace.numpy.creation import frombuffer as frombuffer
from functrace.numpy.creation import fromfunction as fromfunction
from functrace.numpy.creation import fromiter as fromiter
from functrace.numpy.creation import fromstring as fromstring
from functrace.numpy.creation import full as full
from functrace.numpy.creation import full_like as full_like
from functrace.numpy.creation import geomspace as geomspace
from functrace.numpy.creation import identity as identity
from functrace.numpy.creation import linspace as linspace
from functrace.numpy.creation import logspace as logspace
from functrace.numpy.creation import ones as ones
from functrace.numpy.creation import ones_like as ones_like
from functrace.numpy.creation import tri as tri
from functrace.numpy.creation import zeros as zeros
from functrace.numpy.creation import zeros_like as zeros_like
from functrace.numpy.einsum import einsum as einsum
from functrace.numpy.einsum import einsum_path as einsum_path
from functrace.numpy.elementwise_arithmetic import abs as abs
from functrace.numpy.elementwise_arithmetic import absolute as absolute
from functrace.numpy.elementwise_arithmetic import add as add
from functrace.numpy.elementwise_arithmetic import cbrt as cbrt
from functrace.numpy.elementwise_arithmetic import copysign as copysign
from functrace.numpy.elementwise_arithmetic import divide as divide
from functrace.numpy.elementwise_arithmetic import divmod as divmod
from functrace.numpy.elementwise_arithmetic import fabs as fabs
from functrace.numpy.elementwise_arithmetic import float_power as float_power
from functrace.numpy.elementwise_arithmetic import floor_divide as floor_divide
from functrace.numpy.elementwise_arithmetic import fmax as fmax
from functrace.numpy.elementwise_arithmetic import fmin as fmin
from functrace.numpy.elementwise_arithmetic import fmod as fmod
from functrace.numpy.elementwise_arithmetic import frexp as frexp
from functrace.numpy.elementwise_arithmetic import heaviside as heaviside
from functrace.numpy.elementwise_arithmetic import hypot as hypot
from functrace.numpy.elementwise_arithmetic import ldexp as ldexp
from functrace.numpy.elementwise_arithmetic import maximum as maximum
from functrace.numpy.elementwise_arithmetic import minimum as minimum
from functrace.numpy.elementwise_arithmetic import mod as mod
from functrace.numpy.elementwise_arithmetic import modf as modf
from functrace.numpy.elementwise_arithmetic import multiply as multiply
from functrace.numpy.elementwise_arithmetic import negative as negative
from functrace.numpy.elementwise_arithmetic import nextafter as nextafter
from functrace.numpy.elementwise_arithmetic import positive as positive
from functrace.numpy.elementwise_arithmetic import pow as pow
from functrace.numpy.elementwise_arithmetic import power as power
from functrace.numpy.elementwise_arithmetic import reciprocal as reciprocal
from functrace.numpy.elementwise_arithmetic import remainder as remainder
from functrace.numpy.elementwise_arithmetic import sign as sign
from functrace.numpy.elementwise_arithmetic import spacing as spacing
from functrace.numpy.elementwise_arithmetic import sqrt as sqrt
from functrace.numpy.elementwise_arithmetic import square as square
from functrace.numpy.elementwise_arithmetic import subtract as subtract
from functrace.numpy.elementwise_arithmetic import true_divide as true_divide
from functrace.numpy.elementwise_logic import allclose as allclose
from functrace.numpy.elementwise_logic import array_equal as array_equal
from functrace.numpy.elementwise_logic import array_equiv as array_equiv
from functrace.numpy.elementwise_logic import bitwise_and as bitwise_and
from functrace.numpy.elementwise_logic import bitwise_count as bitwise_count
from functrace.numpy.elementwise_logic import bitwise_invert as bitwise_invert
from functrace.numpy.elementwise_logic import bitwise_left_shift as bitwise_left_shift
from functrace.numpy.elementwise_logic import bitwise_not as bitwise_not
from functrace.numpy.elementwise_logic import bitwise_or as bitwise_or
from functrace.numpy.elementwise_logic import bitwise_right_shift as bitwise_right_shift
from functrace.numpy.elementwise_logic import bitwise_xor as bitwise_xor
from functrace.numpy.elementwise_logic import equal as equal
from functrace.numpy.elementwise_logic import greater as greater
from functrace.numpy.elementwise_logic import greater_equal as greater_equal
from functrace.numpy.elementwise_logic import invert as invert
from functrace.numpy.elementwise_logic import isclose as isclose
from functrace.numpy.elementwise_logic import iscomplex as iscomplex
from functrace.numpy.elementwise_logic import isfinite as isfinite
from functrace.numpy.elementwise_logic import isinf as isinf
from functrace.numpy.elementwise_logic import isnan as isnan
from functrace.numpy.elementwise_logic import isneginf as isneginf
from functrace.numpy.elementwise_logic import isposinf as isposinf
from functrace.numpy.elementwise_logic import isreal as isreal
from functrace.numpy.elementwise_logic import left_shift as left_shift
from functrace.numpy.elementwise_logic import less as less
from functrace.numpy.elementwise_logic import less_equal as less_equal
from functrace.numpy.elementwise_logic import logical_and as logical_and
from functrace.numpy.elementwise_logic import logical_not as logical_not
from functrace.numpy.elementwise_logic import logical_or as logical_or
from functrace.numpy.elementwise_logic import logical_xor as logical_xor
from functrace.numpy.elementwise_logic import not_equal as not_equal
from functrace.numpy.elementwise_logic import right_shift as right_shift
from functrace.numpy.elementwise_logic import signbit as signbit
from functrace.numpy.elementwise_selection import angle as angle
from functrace.numpy.elementwise_selection import around as around
from functrace.numpy.elementwise_selection import astype as astype
from functrace.numpy.elementwise_selection import ceil as ceil
from functrace.numpy.elementwise_selection import clip as clip
from functrace.numpy.elementwise_selection import conj as conj
from functrace.numpy.elementwise_selection import conjugate as conjugate
from functrace.numpy.elementwise_selection import fix as fix
from functrace.numpy.elementwise_selection import floor as floor
from functrace.numpy.elementwise_selection import imag as imag
from functrace.numpy.elementwise_selection import nan_to_num as nan_to_num
from functrace.numpy.elementwise_selection import piecewise as piecewise
from functrace.numpy.elementwise_selection import real as real
from functrace.numpy.elementwise_selection import real_if_close as real_if_close
from functrace.numpy.elementwise_selection import rint as rint
from functrace.numpy.elementwise_selection import round as round
from functrace.numpy.elementwise_selection import select as select
from functrace.numpy.elementwise_selection import trunc as trunc
from functrace.numpy.elementwise_selection import unwrap as unwrap
from functrace.numpy.elementwise_selection import where as where
from functrace.numpy.elementwise_transcendental import acos as acos
from functrace.numpy.elementwise_transcendental import acosh as acosh
from functrace.numpy.elementwise_transcendental import arccos as arccos
from functrace.numpy.elementwise_transcendental import arccosh as arccosh
from functrace.numpy.elementwise_transcendental import arcsin as arcsin
from functrace.numpy.elementwise_transcendental import arcsinh as arcsinh
from functrace.numpy.elementwise_transcendental import arctan as arctan
from functrace.numpy.elementwise_transcendental import arctan2 as arctan2
from functrace.numpy.elementwise_transcendental import arctanh as arctanh
from functrace.numpy.elementwise_transcendental import asin as asin
from functrace.numpy.elementwise_transcendental import asinh as asinh
from functrace.numpy.elementwise_transcendental import atan as atan
from functrace.numpy.elementwise_transcendental import atan2 as atan2
from functrace.numpy.elementwise_transcendental import atanh as atanh
from functrace.numpy.elementwise_transcendental import cos as cos
from functrace.numpy.elementwise_transcendental import cosh as cosh
from functrace.numpy.elementwise_transcendental import deg2rad as deg2rad
from functrace.numpy.elementwise_transcendental import degrees as degrees
from functrace.numpy.elementwise_transcendental import exp as exp
from functrace.numpy.elementwise_transcendental import exp2 as exp2
from functrace.numpy.elementwise_transcendental import expm1 as expm1
from functrace.numpy.elementwise_transcendental import i0 as i0
from functrace.numpy.elementwise_transcendental import log as log
from functrace.numpy.elementwise_transcendental import log1p as log1p
from functrace.numpy.elementwise_transcendental import log2 as log2
from functrace.numpy.elementwise_transcendental import log10 as log10
from functrace.numpy.elementwise_transcendental import logaddexp as logaddexp
from functrace.numpy.elementwise_transcendental import logaddexp2 as logaddexp2
from functrace.numpy.elementwise_transcendental import rad2deg as rad2deg
from functrace.numpy.elementwise_transcendental import radians as radians
from functrace.numpy.elementwise_transcendental import sin as sin
from functrace.numpy.elementwise_transcendental import sinc as sinc
from functrace.numpy.elementwise_transcendental import sinh as sinh
from functrace.numpy.elementwise_transcendental import tan as tan
from functrace.numpy.elementwise_transcendental import tanh as tanh
from functrace.numpy.matrices import diag as diag
from functrace.numpy.matrices import diagflat as diagflat
from functrace.numpy.matrices import indices as indices
from functrace.numpy.matrices import ix_ as ix_
from functrace.numpy.matrices import meshgrid as meshgrid
from functrace.numpy.matrices import tril as tril
from functrace.numpy.matrices import triu as triu
from functrace.numpy.matrices import vander as vander
from functrace.numpy.metadata import can_cast as can_cast
from functrace.numpy.metadata import common_type as common_type
from functrace.numpy.metadata import iscomplexobj as iscomplexobj
from functrace.numpy.metadata import isrealobj as isrealobj
from functrace.numpy.metadata import may_share_memory as may_share_memory
from functrace.numpy.metadata import min_scalar_type as min_scalar_type
from functrace.numpy.metadata import result_type as result_type
from functrace.numpy.metadata import shares_memory as shares_memory
from functrace.numpy.nanfunctions import nanargmax as nanargmax
from functrace.numpy.nanfunctions import nanargmin as nanargmin
from functrace.numpy.nanfunctions import nancumprod as nancumprod
from functrace.numpy.nanfunctions import nancumsum as nancumsum
from functrace.numpy.nanfunctions import nanmax as nanmax
from functrace.numpy.nanfunctions import nanmean as nanmean
from functrace.numpy.nanfunctions import nanmin as nanmin
from functrace.numpy.nanfunctions import nanprod as nanprod
from functrace.numpy.nanfunctions import nanstd as nanstd
from functrace.numpy.nanfunctions import nansum as nansum
from functrace.numpy.nanfunctions import nanvar as nanvar
from functrace.numpy.padding import pad as pad
from functrace.numpy.products import cross as cross
from functrace.numpy.products import dot as dot
from functrace.numpy.products import inner as inner
from functrace.numpy.products import kron as kron
from functrace.numpy.products import matmul as matmul
from functrace.numpy.products import matvec as matvec
from functrace.numpy.products import outer as outer
from functrace.numpy.products import tensordot as tensordot
from functrace.numpy.products import trace as trace
from functrace.numpy.products import vdot as vdot
from functrace.numpy.products import vecdot as vecdot
from functrace.numpy.products import vecmat as vecmat
from functrace.numpy.quantiles import median as median
from functrace.numpy.quantiles import nanmedian as nanmedian
from functrace.numpy.quantiles import nanpercentile as nanpercentile
from functrace.numpy.quantiles import nanquantile as nanquantile
from functrace.numpy.quantiles import percentile as percentile
from functrace.numpy.quantiles import quantile as quantile
from functrace.numpy.reductions import all as all
from functrace.numpy.reductions import amax as amax
from functrace.numpy.reductions import amin as amin
from functrace.numpy.reductions import any as any
from functrace.numpy.reductions import argmax as argmax
from functrace.numpy.reductions import argmin as argmin
from functrace.numpy.reductions import average as average
from functrace.numpy.reductions import count_nonzero as count_nonzero
from functrace.numpy.reductions import max as max
from functrace.numpy.reductions import mean as mean
from functrace.numpy.reductions import min as min
from functrace.numpy.reductions import prod as prod
from functrace.numpy.reductions import ptp as ptp
from functrace.numpy.reductions import std as std
from functrace.numpy.reductions import sum as sum
from functrace.numpy.reductions import var as var
from functrace.numpy.searching import argwhere as argwhere
from functrace.numpy.searching import digitize as digitize
from functrace.numpy.searching import flatnonzero as flatnonzero
from functrace.numpy.searching import interp as interp
from functrace.numpy.searching import nonzero as nonzero
from functrace.numpy.searching import searchsorted as searchsorted
from functrace.numpy.sequences import convolve as convolve
from functrace.numpy.sequences import correlate as correlate
from functrace.numpy.sequences import diff as diff
from functrace.numpy.sequences import ediff1d as ediff1d
from functrace.numpy.sequences import gradient as gradient
from functrace.numpy.sequences import poly as poly
from functrace.numpy.sequences import polyadd as polyadd
from functrace.numpy.sequences import polyder as polyder
from functrace.numpy.sequences import polyint as polyint
from functrace.numpy.sequences import polymul as polymul
from functrace.numpy.sequences import polysub as polysub
from functrace.numpy.sequences import polyval as polyval
from functrace.numpy.sequences import trapezoid as trapezoid
from functrace.numpy.sets import intersect1d as intersect1d
from functrace.numpy.sets import setdiff1d as setdiff1d
from functrace.numpy.sets import setxor1d as setxor1d
from functrace.numpy.sets import union1d as union1d
from functrace.numpy.sets import unique as unique
from functrace.numpy.sets import unique_all as unique_all
from functrace.numpy.sets import unique_counts as unique_counts
from functrace.numpy.sets import unique_inverse as unique_inverse
from functrace.numpy.sets import unique_values as unique_values
from functrace.numpy.shaping import atleast_1d as atleast_1d
from functrace.numpy.shaping import atleast_2d as atleast_2d
from functrace.numpy.shaping import atleast_3d as atleast_3d
from functrace.numpy.shaping import broadcast_arrays as broadcast_arrays
from functrace.numpy.shaping import broadcast_shapes as broadcast_shapes
from functrace.numpy.shaping import broadcast_to as broadcast_to
from functrace.numpy.shaping import expand_dims as expand_dims
from functrace.numpy.shaping import flip as flip
from functrace.numpy.shaping import fliplr as fliplr
from functrace.numpy.shaping import flipud as flipud
from functrace.numpy.shaping import matrix_transpose as matrix_transpose
from functrace.numpy.shaping import moveaxis as moveaxis
from functrace.numpy.shaping import ndim as ndim
from functrace.numpy.shaping import permute_dims as permute_dims
from functrace.numpy.shaping import ravel as ravel
from functrace.numpy.shaping import reshape as reshape
from functrace.numpy.shaping import roll as roll
from functrace.numpy.shaping import rollaxis as rollaxis
from functrace.numpy.shaping import rot90 as rot90
from functrace.numpy.shaping import shape as shape
from functrace.numpy.shaping import size as size
from functrace.numpy.shaping import squeeze as squeeze
from functrace.numpy.shaping import swapaxes as swapaxes
from functrace.numpy.shaping import transpose as transpose
from functrace.numpy.sorting import argpartition as argpartition
from functrace.numpy.sorting import argsort as argsort
from functrace.numpy.sorting import lexsort as lexsort
from functrace.numpy.sorting import partition as partition
from functrace.numpy.sorting import sort as sort
from functrace.numpy.sorting import sort_complex as sort_complex
from functrace.numpy.stacking import append as append
from functrace.numpy.stacking import array_split as array_split
from functrace.numpy.stacking import block as block
from functrace.numpy.stacking import column_stack as column_stack
from functrace.numpy.stacking import concat as concat
from functrace.numpy.stacking import concatenate as concatenate
from functrace.numpy.stacking import delete as delete
from functrace.numpy.stacking import dsplit as dsplit
from functrace.numpy.stacking import dstack as dstack
from functrace.numpy.stacking import hsplit as hsplit
from functrace.numpy.stacking import hstack as hstack
from functrace.numpy.stacking import insert as insert
from functrace.numpy.stacking import repeat as repeat
from functrace.numpy.stacking import resize as resize
from functrace.numpy.stacking import split as split
from functrace.numpy.stacking import stack as stack
from functrace.numpy.stacking import tile as tile
from functrace.numpy.stacking import unstack as unstack
from functrace.numpy.stacking import vsplit as vsplit
from functrace.numpy.stacking import vstack as vstack
from functrace.numpy.statistics import bincount as bincount
from functrace.numpy.statistics import corrcoef as corrcoef
from functrace.numpy.statistics import cov as cov
from functrace.numpy.statistics import histogram as histogram
from functrace.numpy.statistics import histogram2d as histogram2d
from functrace.numpy.statistics import histogram_bin_edges as histogram_bin_edges
from functrace.numpy.statistics import histogramdd as histogramdd
from functrace.numpy.taking import choose as choose
from functrace.numpy.taking import compress as compress
from functrace.numpy.taking import diag_indices as diag_indices
from functrace.numpy.taking import diag_indices_from as diag_indices_from
from functrace.numpy.taking import diagonal as diagonal
from functrace.numpy.taking import extract as extract
from functrace.numpy.taking import fill_diagonal as fill_diagonal
from functrace.numpy.taking import mask_indices as mask_indices
from functrace.numpy.taking import put_along_axis as put_along_axis
from functrace.numpy.taking import ravel_multi_index as ravel_multi_index
from functrace.numpy.taking import take as take
from functrace.numpy.taking import take_along_axis as take_along_axis
from functrace.numpy.taking import tril_indices as tril_indices
from functrace.numpy.taking import tril_indices_from as tril_indices_from
from functrace.numpy.taking import triu_indices as triu_indices
from functrace.numpy.taking import triu_indices_from as triu_indices_from
from functrace.numpy.taking import unravel_index as unravel_index

__all__ = [
    "abs", "absolute", "acos", "acosh", "add", "all", "allclose", "amax", "amin", "angle",
    "any", "append", "apply_along_axis", "apply_over_axes", "arange", "arccos", "arccosh",
    "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "argmax", "argmin", "argpartition",
    "argsort", "argwhere", "around", "array", "array2string", "array_equal", "array_equiv",
    "array_repr", "array_split", "array_str", "asanyarray", "asarray", "ascontiguousarray",
    "asfortranarray", "asin", "asinh", "astype", "at", "atan", "atan2", "atanh", "atleast_1d",
    "atleast_2d", "atleast_3d", "average", "bartlett", "bincount", "bitwise_and",
    "bitwise_count", "bitwise_invert", "bitwise_left_shift", "bitwise_not", "bitwise_or",
    "bitwise_right_shift", "bitwise_xor", "blackman", "block", "bool", "bool_", "broadcast",
    "broadcast_arrays", "broadcast_shapes", "broadcast_to", "can_cast", "cbrt", "cdouble",
    "ceil", "choose", "clip", "clongdouble", "column_stack", "common_type", "complex64",
    "complex128", "complexfloating", "compress", "concat", "concatenate", "conj", "conjugate",
    "convolve", "copy", "copysign", "corrcoef", "correlate", "cos", "cosh", "count_nonzero",
    "cov", "cross", "csingle", "cumprod", "cumsum", "cumulative_prod", "cumulative_sum",
    "deg2rad", "degrees", "delete", "diag", "diag_indices", "diag_indices_from", "diagflat",
    "diagonal", "diff", "digitize", "divide", "divmod", "dot", "double", "dsplit", "dstack",
    "dtype", "e", "ediff1d", "einsum", "einsum_path", "empty", "empty_like", "equal",
    "errstate", "euler_gamma", "exp", "exp2", "expand_dims", "expm1", "extract", "eye", "fabs",
    "fill_diagonal", "finfo", "fix", "flatnonzero", "flip", "fliplr", "flipud", "float16",
    "float32", "float64", "float_power", "floating", "floor", "floor_divide", "fmax", "fmin",
    "fmod", "frexp", "from_dlpack", "frombuffer", "fromfunction", "fromiter", "fromstring",
    "full", "full_like", "generic", "geomspace", "get_printoptions", "gradient", "greater",
    "greater_equal", "half", "hamming", "hanning", "heaviside", "histogram", "histogram2d",
    "histogram_bin_edges", "histogramdd", "hsplit", "hstack", "hypot", "i0", "identity",
    "iinfo", "imag", "index_exp", "indices", "inexact", "inf", "inner", "insert", "int8",
    "int16", "int32", "int64", "int_", "intc", "integer", "interp", "intersect1d", "intp",
    "invert", "isclose", "iscomplex", "iscomplexobj", "isdtype", "isfinite", "isin", "isinf",
    "isnan", "isneginf", "isposinf", "isreal", "isrealobj", "isscalar", "issubdtype",
    "iterable", "ix_", "kaiser", "kron", "ldexp", "left_shift", "less", "less_equal", "lexsort",
    "linalg", "linspace", "load", "log", "log1p", "log2", "log10", "logaddexp", "logaddexp2",
    "logical_and", "logical_not", "logical_or", "logical_xor", "logspace", "long", "longdouble",
    "longlong", "mask_indices", "matmul", "matrix_transpose", "matvec", "max", "maximum",
    "may_share_memory", "mean", "median", "meshgrid", "mgrid", "min", "min_scalar_type",
    "minimum", "mod", "modf", "moveaxis", "multiply", "nan", "nan_to_num", "nanargmax",
    "nanargmin", "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmedian", "nanmin",
    "nanpercentile", "nanprod", "nanquantile", "nanstd", "nansum", "nanvar", "ndarray", "ndim",
    "ndindex", "negative", "newaxis", "nextafter", "nonzero", "not_equal", "number", "ogrid",
    "ones", "ones_like", "outer", "pad", "partition", "percentile", "permute_dims", "pi",
    "piecewise", "poly", "polyadd", "polyder", "polyint", "polymul", "polysub", "polyval",
    "positive", "pow", "power", "printoptions", "prod", "promote_types", "ptp",
    "put_along_axis", "quantile", "rad2deg", "radians", "ravel", "ravel_multi_index", "real",
    "real_if_close", "reciprocal", "remainder", "repeat", "reshape", "resize", "result_type",
    "right_shift", "rint", "roll", "rollaxis", "rot90", "round", "s_", "save", "savez",
    "searchsorted", "select", "set_printoptions", "setdiff1d", "setxor1d", "shape",
    "shares_memory", "sign", "signbit", "signedinteger", "sin", "sinc", "single", "sinh",
    "size", "sort", "sort_complex", "spacing", "split", "sqrt", "square", "squeeze", "stack",
    "std", "subtract", "sum", "swapaxes", "take", "take_along_axis", "tan", "tanh", "tensordot",
    "tile", "trace", "transpose", "trapezoid", "tri", "tril", "tril_indices",
    "tril_indices_from", "triu", "triu_indices", "triu_indices_from", "true_divide", "trunc",
    "ufunc", "uint", "uint8", "uint16", "uint32", "uint64", "uintc", "uintp", "ulong",
    "ulonglong", "union1d", "unique", "unique_all", "unique_counts", "unique_inverse",
    "unique_values", "unravel_index", "unsignedinteger", "unstack", "unwrap", "vander", "var",
    "vdot", "vecdot", "vecmat", "vsplit", "vstack", "where", "zeros", "zeros_like",
]  # fmt: skip

protocols.install(sys.modules[__name__])

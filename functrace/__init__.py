"""Composable grad, vjp, jvp, vmap and jit over plain NumPy, compiled to native kernels."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING
from typing import Any as _Any

from functrace import ad_checkpoint as ad_checkpoint
from functrace import core as core
from functrace import custom_derivatives as custom_derivatives
from functrace import errors as errors
from functrace import experimental as experimental
from functrace import lax as lax
from functrace import numpy as numpy
from functrace import tree as tree
from functrace import tree_util as tree_util
from functrace.api import disable_jit as disable_jit
from functrace.api import eval_shape as eval_shape
from functrace.api import grad as grad
from functrace.api import hessian as hessian
from functrace.api import jacfwd as jacfwd
from functrace.api import jacrev as jacrev
from functrace.api import jvp as jvp
from functrace.api import linear_transpose as linear_transpose
from functrace.api import linearize as linearize
from functrace.api import make_jaxpr as make_jaxpr
from functrace.api import value_and_grad as value_and_grad
from functrace.api import vjp as vjp
from functrace.api import vmap as vmap
from functrace.array import Array as Array
from functrace.caches import cache_info as cache_info
from functrace.caches import clear_caches as clear_caches
from functrace.config import config as config
from functrace.control.host.callbacks import io_callback as io_callback
from functrace.control.host.callbacks import pure_callback as pure_callback
from functrace.control.jit import jit as jit
from functrace.control.jit import named_call as named_call
from functrace.control.rules import checkpoint_policies as checkpoint_policies
from functrace.control.rules.checkpointing import checkpoint as checkpoint
from functrace.control.rules.closures import closure_convert as closure_convert
from functrace.control.rules.custom_gradient import custom_gradient as custom_gradient
from functrace.control.rules.custom_jvp import custom_jvp as custom_jvp
from functrace.control.rules.custom_vjp import custom_vjp as custom_vjp
from functrace.core.aval import ShapeDtypeStruct as ShapeDtypeStruct
from functrace.core.trace import Tracer as Tracer
from functrace.devices import block_until_ready as block_until_ready
from functrace.devices import device_get as device_get
from functrace.devices import device_put as device_put
from functrace.devices import devices as devices

if TYPE_CHECKING:
    from functrace import debug as debug
    from functrace import nn as nn
    from functrace import random as random
    from functrace import scipy as scipy

remat = checkpoint

__version__ = "0.1.0"


def __getattr__(name: str) -> _Any:
    # Loaded when somebody first names them: few programs use them all.
    if name not in ("debug", "nn", "random", "scipy"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _import_module(f"functrace.{name}")

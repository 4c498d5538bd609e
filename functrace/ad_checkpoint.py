"""Checkpointing by JAX's names: ``from functrace.ad_checkpoint import checkpoint_name``."""

from functrace.api.residuals import print_saved_residuals as print_saved_residuals
from functrace.api.residuals import saved_residuals as saved_residuals
from functrace.control.rules.checkpoint_policies import checkpoint_name as checkpoint_name
from functrace.control.rules.checkpointing import checkpoint as checkpoint

remat = checkpoint

"""Tensor operations with interchangeable bodies: a definition, plain torch, and native kernels."""

from .bidirectional_mamba import bidirectional_mamba
from .causal_conv1d import causal_conv1d
from .linear import linear
from .mamba_block import mamba_block
from .merge import bipartite_match, merge_tokens, slot_sum
from .rms_norm import add_rms_norm, rms_norm
from .selective_scan import selective_scan

__all__ = [
    "add_rms_norm",
    "bidirectional_mamba",
    "bipartite_match",
    "causal_conv1d",
    "linear",
    "mamba_block",
    "merge_tokens",
    "rms_norm",
    "selective_scan",
    "slot_sum",
]

"""Backbones with published weights: Vision Mamba, VideoMamba for images, DeiT as the control."""

from .base import Backbone
from .checkpoint import load_model, save_model, weights_fingerprint
from .config import BackboneConfig
from .registry import BACKBONES, create_model, list_models
from .upstream_args import read_rmeeto_args
from .weights import LoadReport, load_weights

__all__ = [
    "BACKBONES",
    "Backbone",
    "BackboneConfig",
    "LoadReport",
    "create_model",
    "list_models",
    "load_model",
    "load_weights",
    "read_rmeeto_args",
    "save_model",
    "weights_fingerprint",
]

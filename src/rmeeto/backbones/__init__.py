"""Backbones with published weights: Vision Mamba, VideoMamba for images, and DeiT as the control."""

from .base import Backbone
from .config import BackboneConfig
from .registry import BACKBONES, create_model, list_models

__all__ = ["BACKBONES", "Backbone", "BackboneConfig", "create_model", "list_models"]

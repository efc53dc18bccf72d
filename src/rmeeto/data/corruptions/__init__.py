"""Common corruptions of uint8 images, five severities each, made when an image is read."""

from .base import CORRUPTIONS, SEVERITIES, Corruption, corrupt, corruption_names
from .source import Corrupted

__all__ = [
    "CORRUPTIONS",
    "SEVERITIES",
    "Corrupted",
    "Corruption",
    "corrupt",
    "corruption_names",
]

"""Encoded image bytes → uint8 array."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .preprocessing import from_pillow

# named, because Pillow would hand some others (EPS, for one) to outside programs
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM", "JPEG2000")
_GREY = {"1", "L", "LA", "La"}


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """Decode an image file: uint8 (H, W, 1) if it is grey, else (H, W, 3) in RGB.

    Sixteen-bit grey keeps its upper eight bits; transparency is dropped; EXIF orientation is
    ignored, as in the published recipes. Raises whatever Pillow raises on damaged bytes.
    """
    with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
        picture.load()
        if picture.mode.startswith("I"):
            grey = np.asarray(picture).astype(np.int64) >> 8
            return grey.clip(0, 255).astype(np.uint8)[..., None]
        mode = "L" if picture.mode in _GREY else "RGB"
        return from_pillow(picture if picture.mode == mode else picture.convert(mode)).copy()

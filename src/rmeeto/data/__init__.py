"""Image sets, preprocessing, augmentation and batches; knows no model."""

from .augment import AUGMENTS, Augment, RandAugment, get_augment
from .backgrounds import BACKGROUNDS, BackgroundEdited, masks_of
from .corruptions import (
    CORRUPTIONS,
    SEVERITIES,
    Corrupted,
    Corruption,
    corrupt,
    corruption_names,
)
from .decode import decode_image
from .loader import (
    Batch,
    TrainBatch,
    batches_per_epoch,
    epoch_order,
    eval_batches,
    train_batches,
)
from .low_level import LOW_LEVEL, low_level
from .mixing import mix, soft_targets
from .moebius import Moebius, moebius, perspective
from .outliers import ID_OUTLIERS, DerivedOutliers, blend, fractal, id_outliers, jigsaw, noise
from .preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, as_image
from .reading import SOURCES, Reader, available_splits, open_source
from .renumbered import Renumbered
from .skipping import SkipReport
from .sources import ArraySource, EncodedSource, ImageSource
from .subsets import Subset, cache, hold_out_last, of_classes, split_validation, take
from .views import make_views

__all__ = [
    "AUGMENTS",
    "BACKGROUNDS",
    "CORRUPTIONS",
    "ID_OUTLIERS",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "LOW_LEVEL",
    "SEVERITIES",
    "SOURCES",
    "ArraySource",
    "Augment",
    "BackgroundEdited",
    "Batch",
    "Corrupted",
    "Corruption",
    "DerivedOutliers",
    "EncodedSource",
    "ImageSource",
    "Moebius",
    "Preprocessing",
    "RandAugment",
    "Reader",
    "Renumbered",
    "SkipReport",
    "Subset",
    "TrainBatch",
    "as_image",
    "available_splits",
    "batches_per_epoch",
    "blend",
    "cache",
    "corrupt",
    "corruption_names",
    "decode_image",
    "epoch_order",
    "eval_batches",
    "fractal",
    "get_augment",
    "hold_out_last",
    "id_outliers",
    "jigsaw",
    "low_level",
    "make_views",
    "masks_of",
    "mix",
    "moebius",
    "noise",
    "of_classes",
    "open_source",
    "perspective",
    "soft_targets",
    "split_validation",
    "take",
    "train_batches",
]

"""What a model costs: FLOPs, time, memory; and whether a smaller sibling would do as well."""

from .flops import (
    FlopCount,
    PublishedFlops,
    count_flops,
    matmul_macs,
    published_flops_table,
    record_tokens,
)
from .inputs import ImageInput, NoiseInput
from .latency import compare_speed, estimate_cost
from .machine import describe_machine
from .memory import PeakMemory, peak_memory
from .size_line import (
    DEIT_IMAGENET,
    VIM_IMAGENET,
    SizeLineGain,
    gain_over_size_line,
    paired_gain,
)
from .speed import CostEstimate, SpeedResult, Speedup, Stop, Timing

__all__ = [
    "DEIT_IMAGENET",
    "VIM_IMAGENET",
    "CostEstimate",
    "FlopCount",
    "ImageInput",
    "NoiseInput",
    "PeakMemory",
    "PublishedFlops",
    "SizeLineGain",
    "SpeedResult",
    "Speedup",
    "Stop",
    "Timing",
    "compare_speed",
    "count_flops",
    "describe_machine",
    "estimate_cost",
    "gain_over_size_line",
    "matmul_macs",
    "paired_gain",
    "peak_memory",
    "published_flops_table",
    "record_tokens",
]

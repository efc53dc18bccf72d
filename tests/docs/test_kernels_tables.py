"""docs/kernels.md holds the tables of the committed results, no older ones."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import document


def test_the_tables_are_those_of_the_results():
    text = document.DOCUMENT.read_text()
    assert (
        document.with_block(
            text, document.BEGIN, document.END, document.block(document.committed())
        )
        == text
    ), "run `python -m benchmarks.document`"


def test_a_target_that_only_one_machine_has_leaves_the_other_empty():
    limits = {
        "isa": "avx512",
        "clock_ghz": 4.0,
        "fma_gflops": 256.0,
        "composite_ns": 0.1,
        "read_gbs": {"L3": 30.0},
    }
    ratios = {"ratios": [{"label": "2 threads", "ratio": {"value": 1.5}}]}
    machine = {"machine": {"cpu": "one"}, "limits": limits, "results": {}}
    other = {
        **machine,
        "results": {"threads/scan": ratios, "processes/scan": {"facts": {"ratio": 1.6}}},
    }
    text = document.block([machine, other])
    assert "| two threads, scan | ≥ 1.8× |  | 1.50× |" in text
    assert "| scan | 1.50× | 1.60× |" in text

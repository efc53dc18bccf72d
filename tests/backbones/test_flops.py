"""The two FLOP conventions give the published numbers, to both decimals."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from rmeeto import RMeeTo, create_model, reduce_
from rmeeto.errors import ConfigError
from rmeeto.ops.bidirectional_mamba.op import projection_flops
from rmeeto.ops.mamba_block.op import product_flops
from rmeeto.tokens.planner import cost

PUBLISHED = [
    # model, r, dense and reduced GFLOPs: paper, then full
    ("vim_tiny_patch16_224", 5, (1.45, 1.28), (1.82, 1.61)),
    ("vim_small_patch16_224", 11, (5.08, 3.58), (5.91, 4.16)),
    ("vim_base_patch16_224", 11, (18.87, 13.21), (20.89, 14.61)),
]
# Vim-Ti / S / B at r = 5, 10, 11, 15, 20, as the published counter gives them (rounded).
SWEEP = {
    "tiny": (1.28, 1.08, 1.04, 0.87, 0.70),
    "small": (4.44, 3.73, 3.58, 3.02, 2.40),
    "base": (16.39, 13.74, 13.21, 11.10, 8.81),
}


def meta(name):
    with torch.device("meta"):
        return create_model(name)


def gflops(model, r, convention="paper"):
    reduce_(model, RMeeTo(r=r))
    return cost(model.reduction.config, model.reduction.schedule, model, convention) / 1e9


@pytest.mark.parametrize(("name", "r", "paper", "full"), PUBLISHED)
def test_published(name, r, paper, full):
    model = meta(name)
    for convention, (dense, reduced) in {"paper": paper, "full": full}.items():
        assert round(model.flops([197] * 24, (), convention) / 1e9, 2) == dense
        assert round(gflops(model, r, convention), 2) == reduced


@pytest.mark.parametrize("size", sorted(SWEEP))
def test_published_sweep(size):
    model = meta(f"vim_{size}_patch16_224")
    assert [gflops(model, r) for r in (5, 10, 11, 15, 20)] == pytest.approx(SWEEP[size], abs=0.006)


def test_terms_by_hand():
    """One layer of width 32, 8 states, 17 tokens, 12 image values a patch of 2, 10 classes."""
    model = create_model("vim_test", patch_size=2, stride=2, img_size=8, depth=1)
    way = 20 * 64 * 4 + 17 * 64 * (2 + 16) + 17 * 2 * 64 + 9 * 17 * 64 * 8 + 2 * 17 * 64
    rest = 6 * 17 * 32**2 + 17 * 32 * 12 + 32 * 10
    assert model.flops([17]) == rest + way
    assert model.flops([17], convention="full") == rest + 2 * way
    step = 6 * 17 * 32 + 2 * 32 * 8.5**2 + 3 * 32
    assert model.flops([14], [(17, 3, 32)]) == model.flops([14]) + step


@pytest.mark.parametrize("name", ["vim_test", "vit_test"])
def test_matrix_products_agree_with_torchs_counter(name):
    """Torch counts 2 a multiply-add and sees the products only: ours must hold no other ones."""
    model = create_model(name).eval()
    c = model.config
    math = sdpa_kernel(SDPBackend.MATH)  # the other kernels of attention are not counted
    # The products of fused ops by their formulas, checked against torch's counter elsewhere.
    fused = {
        torch.ops.rmeeto.bidirectional_mamba: projection_flops,
        torch.ops.rmeeto.mamba_block: product_flops,
    }
    with FlopCounterMode(display=False, custom_mapping=fused) as counter, torch.no_grad(), math:
        model(torch.zeros(1, c.in_chans, *c.image_hw))
    counts = counter.get_flop_counts()["Global"]
    kernels = "rmeeto.selective_scan", "rmeeto.causal_conv1d"
    products = sum(count for op, count in counts.items() if not str(op).startswith(kernels)) / 2
    n, width = model.num_tokens, c.embed_dim
    ours = model.flops([n] * len(model.block_list()), convention="full")
    ours -= width * 3 * c.patch_size**2  # the convention charges the class token an embedding
    if name == "vim_test":  # take out what is not a product: convolution, scan, skip and gate
        inner = 2 * width
        ours -= c.depth * 2 * ((n + 3) * inner * 4 + 9 * n * inner * c.d_state + 2 * n * inner)
    assert ours == products


def test_refuses_an_unknown_convention_and_a_wrong_count():
    model = create_model("vim_test")
    with pytest.raises(ConfigError, match="paper or full"):
        model.flops([17] * 4, convention="papers")
    with pytest.raises(ConfigError, match="4 token counts"):
        model.flops([17] * 3)

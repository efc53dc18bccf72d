"""FLOPs: published tables to two decimals, counts that ran, PyTorch's counter as second opinion."""

import pytest
import torch

from rmeeto import RMeeTo, create_model, reduce_
from rmeeto.profiling import count_flops, matmul_macs, published_flops_table, record_tokens

PAPER = {
    "vim_tiny": {0: 1.45, 5: 1.28, 10: 1.08, 11: 1.04, 15: 0.87, 20: 0.70},
    "vim_small": {0: 5.08, 5: 4.44, 10: 3.73, 11: 3.58, 20: 2.40},
    "vim_base": {0: 18.87, 5: 16.39, 10: 13.74, 11: 13.21, 20: 8.81},
}
FULL = {
    "vim_tiny": {0: 1.82, 5: 1.61},
    "vim_small": {0: 5.91, 11: 4.16},
    "vim_base": {0: 20.89, 11: 14.61},
}
RATIOS = {0: 0.0, 5: 0.14, 10: 0.279, 11: 0.307, 15: 0.419, 20: 0.54}


@pytest.fixture(scope="module")
def table():
    return {(row.model.rsplit("_", 2)[0], row.r): row for row in published_flops_table()}


@pytest.mark.parametrize("family", ["vim", "videomamba"])
@pytest.mark.parametrize("size", ["tiny", "small", "base"])
def test_published_table_is_exact_to_two_decimals(table, family, size):
    for r, gflops in PAPER[f"vim_{size}"].items():
        assert round(table[f"{family}_{size}", r].paper, 2) == gflops
    for r, gflops in FULL[f"vim_{size}"].items():
        assert round(table[f"{family}_{size}", r].full, 2) == gflops


def test_published_reduction_ratios(table):
    for r, ratio in RATIOS.items():
        assert round(table["vim_small", r].ratio, 3) == ratio


@pytest.mark.parametrize("name", ["vim_test", "videomamba_test", "vit_test"])
def test_counts_what_ran_without_and_with_a_reduction(name):
    model = create_model(name)
    blocks = len(model.block_list())
    plain = count_flops(model)
    assert plain.tokens == (17,) * blocks
    assert plain.merges == ()
    reduce_(model, RMeeTo(r=3))
    reduced = count_flops(model)
    assert reduced.tokens == model.reduction.schedule.tokens()
    assert reduced.merges == model.reduction.schedule.merges(model.config.embed_dim)
    assert reduced.gflops * 1e9 == reduced.macs < plain.macs


def test_counts_the_run_and_not_the_schedule():
    class Half(torch.nn.Module):
        """A reduction without a schedule: half of the tokens before the third block."""

        config = RMeeTo(r=1)

        def taps_for(self, block, start):
            return frozenset({"update"})

        def forward(self, site, state):
            if site != 2:
                return state
            keep = slice(0, 9)
            return type(state).begin(state.tokens[:, keep], state.protected[:, keep])

    model = create_model("vim_test")
    model.reduction = Half()
    tokens, merges = record_tokens(model)
    assert tokens == (17, 17, 9, 9)
    assert merges == ((17, 8, 32),)
    assert count_flops(model, "full").macs == model.flops((17, 17, 9, 9), ((17, 8, 32),), "full")


def test_merges_note_the_width_that_was_matched():
    model = reduce_(create_model("vim_test"), RMeeTo(r=2, metric="b"))
    _, merges = record_tokens(model)
    assert {width for before, _, width in merges if before < 17} == {8}


def test_measuring_leaves_the_model_as_it_was():
    model = reduce_(create_model("vim_test"), RMeeTo(r=2)).train()
    model.layers[1].eval()
    reduction, before = model.reduction, torch.get_rng_state()
    names = list(model.state_dict())
    count_flops(model)
    assert model.reduction is reduction
    assert (model.training, model.layers[0].training, model.layers[1].training) == (
        True,
        True,
        False,
    )
    assert list(model.state_dict()) == names
    assert torch.equal(torch.get_rng_state(), before)


def test_measuring_leaves_the_model_as_it_was_after_an_error():
    model = reduce_(create_model("vim_test"), RMeeTo(r=2)).train()
    reduction = model.reduction
    with pytest.raises(Exception, match="images"):
        count_flops(model, images=torch.zeros(1, 3, 5, 5))
    assert model.reduction is reduction
    assert model.training


@pytest.mark.parametrize("r", [0, 3])
@pytest.mark.parametrize("name", ["vim_test", "videomamba_test"])
def test_linear_terms_equal_pytorchs_counter(name, r):
    model = reduce_(create_model(name), RMeeTo(r=r))
    c, state, rank = 32, 8, model.layers[0].mixer.dt_rank
    tokens, _ = record_tokens(model)
    blocks = sum(6 * n * c**2 + 2 * n * 2 * c * (rank + 2 * state + rank) for n in tokens)
    assert matmul_macs(model) == blocks + 16 * 8 * 8 * 3 * c + c * 10


def test_everything_in_a_vit_equals_pytorchs_counter():
    model = create_model("vit_test")
    class_slot = 8 * 8 * 3 * 32  # the published formula embeds the class token too
    assert count_flops(model, "full").macs == matmul_macs(model) + class_slot

"""Position embeddings and patch kernels for other grids and channels."""

import pytest
import torch

from rmeeto import create_model
from rmeeto.backbones import load_weights
from rmeeto.backbones.embed import convert_channels, resize_pos_embed


def smooth(rows, columns, slot):
    """A position embedding that is a smooth function of the place, class row 9 at ``slot``."""
    y, x = torch.meshgrid(torch.linspace(0, 1, rows), torch.linspace(0, 1, columns), indexing="ij")
    patches = torch.stack([y, x, torch.sin(3 * x + 2 * y)], dim=-1).reshape(1, -1, 3)
    return torch.cat([patches[:, :slot], torch.full((1, 1, 3), 9.0), patches[:, slot:]], dim=1)


@pytest.mark.parametrize("slots", [(98, 364), (0, 0)])
def test_round_trip_with_the_class_row(slots):
    start = smooth(14, 14, slots[0])
    larger = resize_pos_embed(start, slots, ((14, 14), (27, 27)))
    assert larger.shape == (1, 730, 3)
    assert torch.equal(larger[0, slots[1]], torch.full((3,), 9.0))
    rest = torch.cat([larger[0, : slots[1]], larger[0, slots[1] + 1 :]])
    assert rest.abs().max() < 1.2  # the class row has not leaked into any patch
    back = resize_pos_embed(larger, slots[::-1], ((27, 27), (14, 14)))
    assert torch.equal(back[0, slots[0]], start[0, slots[0]])
    assert (back - start).abs().max() < 0.05
    assert (back - start).abs().mean() < 0.01


def test_same_grid_is_untouched():
    start = smooth(5, 7, 17)
    assert torch.equal(resize_pos_embed(start, (17, 17), ((5, 7), (5, 7))), start)
    moved = resize_pos_embed(start, (17, 0), ((5, 7), (5, 7)))
    assert torch.equal(moved[0, 0], start[0, 17])
    assert torch.equal(moved[0, 1:18], start[0, :17])


def test_non_square_grids_keep_rows_and_columns_apart():
    found = resize_pos_embed(smooth(4, 8, 0), (0, 0), ((4, 8), (8, 4)))[0, 1:].reshape(8, 4, 3)
    assert (found[:, :, 0].diff(dim=0) > 0).all()  # first channel grows down the rows only
    assert found[:, :, 0].std(dim=1).max() < 1e-5
    assert (found[:, :, 1].diff(dim=1) > 0).all()


@pytest.mark.parametrize("channels", [(3, 1), (1, 3), (3, 3), (1, 2), (3, 6)])
def test_channels_keep_the_response_to_a_grey_image(channels):
    old, new = channels
    kernel = torch.randn(5, old, 4, 4, generator=torch.Generator().manual_seed(0))
    found = convert_channels(kernel, new)
    assert found.shape == (5, new, 4, 4)
    torch.testing.assert_close(found.sum(1), kernel.sum(1))


def test_a_checkpoint_of_another_size_and_colour_is_adapted_and_said_so(tmp_path):
    source = create_model("vim_test", img_size=(32, 48), num_classes=4)
    torch.save(source.state_dict(), tmp_path / "x.pth")
    square = create_model("vim_test", num_classes=4, seed=1)
    torch.save(square.state_dict(), tmp_path / "y.pth")
    model = create_model("vim_test", img_size=(64, 40), in_chans=1, num_classes=4, seed=2)
    report = load_weights(model, tmp_path / "y.pth")
    assert report.resized == (
        "pos_embed resampled from 4×4 to 8×5 patches",
        "patch_embed converted from 3 to 1 image channels",
    )
    slots = (square.config.class_slot, model.config.class_slot)
    assert slots == (8, 20)
    torch.testing.assert_close(model.pos_embed[:, 20], square.pos_embed[:, 8])
    torch.testing.assert_close(
        model.patch_embed.proj.weight, square.patch_embed.proj.weight.sum(1, keepdim=True)
    )
    same = create_model("vim_test", img_size=(32, 48), num_classes=4, seed=3)
    assert load_weights(same, tmp_path / "x.pth").warnings() == []
    assert torch.equal(same.pos_embed, source.pos_embed)

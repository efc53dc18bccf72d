import pytest
import torch
from toys import PREPROCESSING, RECIPE, TRAIN, Toy

from rmeeto.retrain.feed import Feed, Views
from rmeeto.retrain.teacher import Teacher
from rmeeto.retrain.world import World


def feed(**settings):
    recipe = RECIPE.changed(**settings)
    return Feed(TRAIN, recipe, PREPROCESSING, torch.device("cpu"), World())


def first(count, **settings):
    batches = feed(**settings).batches(0)
    return [next(batches) for _ in range(count)]


def with_key(views, column, value):
    keys = views.keys.clone()
    keys[0, column] = value
    return Views(views.images, views.targets, keys)


def test_the_teacher_is_frozen_and_in_evaluation_mode():
    noisy = Toy(noise=1.0).train()
    teacher, (views,) = Teacher(noisy), first(1)
    logits = teacher(views)
    assert not logits.requires_grad
    torch.testing.assert_close(logits, Toy()(views.images).detach())


def test_without_memory_every_call_computes():
    teacher, (views,) = Teacher(Toy()), first(1)
    teacher(views)
    teacher(views)
    assert teacher.computed == 2 * len(views)


def test_a_remembered_view_is_not_computed_again():
    teacher, (views,) = Teacher(Toy(), remember=True), first(1)
    new = teacher(views)
    again = teacher(views)
    assert teacher.computed == len(views)
    assert torch.equal(new, again)  # rounded to fp16 when new as well
    torch.testing.assert_close(new, Toy()(views.images).detach(), rtol=1e-3, atol=1e-3)


def test_rows_are_found_in_any_order():
    teacher, (views,) = Teacher(Toy(), remember=True), first(1)
    logits = teacher(views)
    turned = Views(views.images.flip(0), views.targets.flip(0), views.keys.flip(0))
    assert torch.equal(teacher(turned), logits.flip(0))
    assert teacher.computed == len(views)


@pytest.mark.parametrize("column", [0, 1, 2], ids=["image", "view seed", "mix seed"])
def test_another_image_view_or_mixture_is_not_a_hit(column):
    teacher, (views,) = Teacher(Toy(), remember=True), first(1)
    teacher(views)
    teacher(with_key(views, column, 123456))
    assert teacher.computed == 2 * len(views)


@pytest.mark.parametrize("augment", ["light", "rmeeto"])
def test_equal_keys_are_equal_images_when_views_cycle(augment):
    per_epoch = feed(augment=augment, batch_size=20).steps_per_epoch
    batches = first(4 * per_epoch, augment=augment, batch_size=20, views=2)
    for early, late in zip(batches, batches[2 * per_epoch :], strict=False):
        assert torch.equal(early.keys, late.keys)
        assert torch.equal(early.images, late.images)
        assert torch.equal(early.targets, late.targets)
    keys = [tuple(k) for b in batches[: 2 * per_epoch] for k in b.keys.tolist()]
    assert len(set(keys)) == len(keys) == 2 * 80 or augment == "rmeeto"  # repeats differ in view


def test_views_do_not_repeat_by_default():
    per_epoch = feed().steps_per_epoch
    seeds = [s for views in first(3 * per_epoch) for s in views.keys[:, 1].tolist()]
    assert len(set(seeds)) == len(seeds)


def test_the_feed_can_be_entered_at_any_step():
    whole = first(12)
    for step in (1, 4, 5, 7, 11):
        late = next(feed().batches(step))
        assert torch.equal(late.images, whole[step].images)
        assert torch.equal(late.keys, whole[step].keys)


def test_chunks_are_the_whole():
    (views,) = first(1, augment="rmeeto")
    parts = list(views.chunks(4))
    assert [len(part) for part in parts] == [4, 4, 4, 4]
    assert torch.equal(torch.cat([p.images for p in parts]), views.images)
    assert torch.equal(torch.cat([p.keys for p in parts]), views.keys)
    assert views.targets.shape == (16, 4)


def test_processes_share_an_epoch():
    recipe, cpu = RECIPE.changed(batch_size=20), torch.device("cpu")
    ids = []
    for rank in range(2):
        part = Feed(TRAIN, recipe, PREPROCESSING, cpu, World(rank, 2))
        assert part.steps_per_epoch == 4
        batches = part.batches(0)
        ids.append([next(batches).images for _ in range(4)])
    assert all(len(images) == 10 for rank in ids for images in rank)
    assert not torch.equal(ids[0][0], ids[1][0])


def test_remembered_rows_are_read_under_bf16():
    teacher, (views,) = Teacher(Toy(), remember=True), first(1)
    with torch.autocast("cpu", torch.bfloat16):
        new, again = teacher(views), teacher(views)
    assert new.dtype == torch.float32
    assert torch.equal(new, again)

"""Scales tell the truth, drawings are well-formed, and labels keep out of each other's way."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from rmeeto.reporting import LayerTokens, Point, Series
from rmeeto.reporting.bars import bars, tokens
from rmeeto.reporting.charts import Chart, assign_colours, plot
from rmeeto.reporting.labels import apart, overlap, room
from rmeeto.reporting.scales import NARROW, WIDE, Scale, nice_ticks, scale, shorten, tag, text

RANGES = [(0, 1), (-3, 7), (68, 76), (0.001, 0.0012), (1e5, 9e6), (-1e-6, 1e-6), (99.2, 100)]


@pytest.mark.parametrize(("low", "high"), RANGES)
@pytest.mark.parametrize("count", [3, 5, 8])
def test_ticks_are_even_round_and_inside(low, high, count):
    ticks = nice_ticks(low, high, count)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1
    assert all(low - 1e-9 * abs(high) <= t <= high + 1e-9 * abs(high) for t in ticks)
    assert all(b - a == pytest.approx(step) for a, b in pairwise(ticks))
    assert 1 <= len(ticks) <= 2 * count
    assert float(f"{step:.2g}") == pytest.approx(step)  # at most two digits


def test_whole_ticks():
    assert nice_ticks(0, 20, 8, whole=True) == (0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20)
    assert nice_ticks(0, 3, 8, whole=True) == (0, 1, 2, 3)


def test_scale_maps_ends_and_middle():
    s = Scale(10, 20, 300, 100, ())
    assert (s(10), s(15), s(20)) == (300, 200, 100)


def test_scale_has_air_and_keeps_to_bounds():
    s = scale([50, 60])
    assert s.low < 50
    assert s.high > 60
    s = scale([1, 99.9], bounds=(0, 100))
    assert (s.low, s.high) == (0, 100)
    assert scale([101, 120], bounds=(0, 100)).high > 120  # data beyond them wins
    assert scale([3, 5], zero=True).low == 0
    assert scale([5, 5]).low < 5 < scale([5, 5]).high
    assert scale([]).low < scale([]).high


def test_tick_texts_have_the_decimals_of_the_step():
    assert Scale(0, 1, 0, 1, (0.0, 0.25, 0.5)).texts() == ["0.00", "0.25", "0.50"]
    assert Scale(0, 1, 0, 1, (60.0, 70.0)).texts() == ["60", "70"]
    assert Scale(-1, 1, 0, 1, (-0.5, 0.0, 0.5)).texts() == ["−0.5", "0.0", "0.5"]


def drawn(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def classes(svg: str, name: str) -> list[ElementTree.Element]:
    return [e for e in drawn(svg).iter() if name in e.get("class", "").split()]


def line(name="ours", points=((0, 50), (5, 60), (10, 40)), kind="line", y="Top-1, %"):
    return Series(name, "r", y, points, kind)


def test_points_stand_where_their_values_are():
    svg = plot(Chart("t", (line(),)))
    marks = classes(svg, "mark")
    x = [float(m.get("cx")) for m in marks]
    y = [float(m.get("cy")) for m in marks]
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2)
    assert y[2] - y[0] == pytest.approx(y[0] - y[1], abs=0.2)
    grid = {float(g.get("y1")) for g in classes(svg, "grid")}
    labels = {
        e.text: float(e.get("y")) - 4 for e in classes(svg, "tick") if e.get("text-anchor") == "end"
    }
    assert y[0] == pytest.approx(labels["50"], abs=0.2)
    assert any(abs(labels["50"] - g) < 0.2 for g in grid)


def test_whiskers_span_the_interval():
    svg = plot(Chart("t", (line(points=((0, 50, 40, 60), (1, 50, 50, 70), (2, 50))),)))
    (a, b) = classes(svg, "whisker")
    lengths = [float(w.get("y1")) - float(w.get("y2")) for w in (a, b)]
    assert lengths[0] == pytest.approx(lengths[1], abs=0.2)
    assert lengths[0] > 0


def test_unknown_values_are_left_out():
    nan = float("nan")
    svg = plot(Chart("t", (line(points=((0, 50), (1, nan), (2, 40))), line("none", [(0, nan)]))))
    assert len(classes(svg, "mark")) == 2
    assert "none" not in svg
    assert "nan" not in svg.lower()
    assert plot(Chart("t", (line("none", [(0, nan)]),))) == ""
    assert plot(Chart("t", ())) == ""


def test_one_point_and_equal_points_draw():
    for points in ([(3, 50)], [(3, 50), (3, 50)], [(0, 0), (1, 0)]):
        drawn(plot(Chart("t", (line(points=points, kind="scatter"),))))


def test_lines_that_end_right_are_named_there_and_others_in_a_legend():
    both = (line("first"), line("second", ((0, 51), (10, 41))))
    svg = plot(Chart("t", both))
    named = classes(svg, "name")
    assert [n.text for n in named] == ["first", "second"]
    assert abs(float(named[0].get("y")) - float(named[1].get("y"))) >= 15.9
    svg = plot(Chart("t", (*both, line("third", [(0, 50)], "scatter"))))
    assert {n.get("y") for n in classes(svg, "name")} == {"28"}


def test_long_curves_have_a_band_and_few_tooltips():
    points = [(i, i % 7, i % 7 - 1, i % 7 + 1) for i in range(1000)]
    svg = plot(Chart("t", (line(points=points),)))
    assert len(classes(svg, "band")) == 1
    assert not classes(svg, "mark")
    assert len(classes(svg, "hover")) <= 130


def test_every_drawing_has_a_title_and_stays_inside():
    chart = Chart(
        "Accuracy <against> r", (line(), line("other", ((0, 10), (10, 90)))), (("base", 55),)
    )
    for size in (NARROW, WIDE):
        root = drawn(plot(chart, size))
        assert root.get("role") == "img"
        assert root[0].text == "Accuracy <against> r"
        for e in root.iter():
            for key in ("x", "x1", "x2", "cx"):
                assert -1 <= float(e.get(key, 0)) <= size.width + 1
            for key in ("y", "y1", "y2", "cy"):
                assert -1 <= float(e.get(key, 0)) <= size.height + 1


def test_text_can_not_leave_its_place():
    element = drawn(tag("g", text(0, 0, "<b>&"), class_='"><script>'))
    assert element.get("class") == '"><script>'
    assert element[0].text == "<b>&"
    assert text(0, 0, "") == ""


def test_long_words_are_cut():
    assert shorten("short", 100) == "short"
    cut = shorten("a" * 99, 100)
    assert cut.endswith("…")
    assert len(cut) < 20


def test_categories_replace_ticks():
    chart = Chart("t", (line(points=((0, 1), (1, 2))),), categories=("before", "after"))
    words = [e.text for e in classes(plot(chart), "tick") if e.get("text-anchor") == "middle"]
    assert words == ["before", "after"]


def test_point_labels_never_cover_each_other():
    points = [Point(x, 50 + x, label=f"r = {x}") for x in range(8)]
    svg = plot(
        Chart(
            "t",
            (
                line(points=points),
                line("two", [Point(p.x, p.y - 0.4, label=p.label) for p in points]),
            ),
        ),
        NARROW,
    )
    boxes = [
        (float(e.get("x")) - 15, float(e.get("y")) - 10, float(e.get("x")) + 15, float(e.get("y")))
        for e in classes(svg, "note")
    ]
    assert boxes
    assert not any(overlap(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


def test_room_gives_up_where_all_is_taken():
    frame = (0.0, 0.0, 100.0, 100.0)
    assert room(50, 50, 20, frame, []) is not None
    assert room(50, 50, 20, frame, [frame]) is None


def test_apart():
    assert apart([10, 50], 16, 0, 100) == [10, 50]
    moved = apart([50, 50, 50], 16, 0, 100)
    assert sorted(b - a for a, b in pairwise(sorted(moved))) == pytest.approx([16, 16])
    assert min(apart([0, 1, 2], 16, 0, 100)) >= 0
    assert max(apart([99, 100, 98], 16, 0, 100)) <= 100
    moved = apart([30, 10, 20], 16, 0, 100)
    assert moved[1] < moved[2] < moved[0]  # the order stays


def test_colours_follow_names():
    assert assign_colours(["a", "Baseline 32", "b"]) == {"a": 0, "Baseline 32": -1, "b": 1}
    assert assign_colours(["c", "b"], {"a": 0, "b": 1})["b"] == 1
    assert assign_colours(["c", "b"], {"a": 0, "b": 1})["c"] == 0
    assert len(set(assign_colours([str(i) for i in range(6)]).values())) == 6
    assert set(assign_colours([str(i) for i in range(20)]).values()) <= set(range(6))


def test_bars_are_as_long_as_their_values():
    points = [
        Point(i, v, label=n) for i, (n, v) in enumerate((("a", 10), ("b", 20), ("none", None)))
    ]
    svg = bars(Chart("t", (line(points=points, kind="bar"),)))
    a, b = (float(r.get("width")) for r in classes(svg, "bar"))
    assert b == pytest.approx(2 * a, abs=0.2)
    (zero,) = classes(svg, "base")
    assert {r.get("x") for r in classes(svg, "bar")} == {zero.get("x1")}
    assert bars(Chart("t", (line(points=(), kind="bar"),))) == ""


def test_bars_of_two_series_and_negative_values():
    two = [line(n, [Point(0, v, v - 1, v + 1, "a")], "bar") for n, v in (("one", -5), ("two", 5))]
    svg = bars(Chart("t", tuple(two)), NARROW)
    a, b = (float(r.get("width")) for r in classes(svg, "bar")[2:])  # two are the legend's
    assert a == pytest.approx(b, abs=0.2)
    assert len(classes(svg, "whisker")) == 2


def test_tokens_draw_a_bar_for_each_block():
    layers = [LayerTokens("reduced", [20, 15, 10]), LayerTokens("baseline", [20, 20, 20])]
    svg = tokens(layers, "Tokens")
    heights = [float(r.get("height")) for r in classes(svg, "bar")]
    assert heights == pytest.approx([heights[0], heights[0] * 0.75, heights[0] * 0.5], abs=0.3)
    assert len(classes(svg, "ghost")) == 1
    assert re.search("10 reduced.*", svg)
    assert tokens([], "Tokens") == ""
    assert tokens([LayerTokens("baseline", [])], "Tokens") == ""


@pytest.mark.parametrize("blocks", [1, 2, 24, 64, 400])
def test_tokens_of_any_depth(blocks):
    for size in (NARROW, WIDE):
        svg = tokens([LayerTokens("baseline", [7] * blocks)], "Tokens", size)
        words = [e for e in classes(svg, "tick") if e.get("text-anchor") == "middle"]
        assert 1 <= len(words) <= 20

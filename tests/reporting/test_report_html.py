"""The page is well-formed, whole in one file, and shows what there is and nothing else."""

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from rmeeto.reporting import MergeView, Metric, RunRecord, Series, Table, Verdict, write_report
from rmeeto.reporting.html import report_html

VOID = {"meta", "link", "img", "br", "hr", "wbr"}
HOSTILE = "<script>alert(1)</script>\"'&{{ 7*7 }}<img src=x onerror=alert(1)>"
SECTIONS = {
    "before-after": {"metrics": ()},
    "verdicts": {"verdicts": ()},
    "charts": {"series": ()},
    "training": {"history": ()},
    "pictures": {"pictures": ()},
    "layers": {"tokens_per_layer": ()},
    "warnings": {"warnings": ()},
    "timings": {"timings": {}},
    "skipped": {"skipped": {}},
    "config": {"config": {}},
}


class Page(HTMLParser):
    """Checks that tags nest, and collects ids, text and every address the page would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for key, value in attrs:
            if key == "id":
                self.ids.append(value)
            if key in ("src", "href", "srcset", "data", "action", "xlink:href"):
                self.loads.append(value)
            if key.startswith("on"):
                self.handlers.append(key)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def page(full_record) -> Page:
    return Page(report_html(full_record))


def test_tags_nest_and_ids_are_unique(page):
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("h1") == 1


def test_nothing_is_loaded(page, full_record):
    assert page.loads
    assert all(address.startswith("data:") for address in page.loads)
    assert "script" not in page.tags
    assert page.handlers == []
    text = report_html(full_record)
    assert not re.search(r"https?://|url\(|@import|//cdn", text)


def test_every_section_is_there(page):
    assert set(SECTIONS) <= set(page.ids)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_without_data_is_gone(section, full_record):
    page = Page(report_html(dataclasses.replace(full_record, **SECTIONS[section])))
    assert section not in page.ids
    gone = {section, "provenance"}
    assert set(SECTIONS) - gone <= set(page.ids)


def test_tokens_show_without_stages(full_record):
    page = Page(report_html(dataclasses.replace(full_record, metrics=())))
    assert page.ids.count("layers") == 1


def test_smallest_record_makes_a_page():
    page = Page(report_html(RunRecord("bench")))
    assert not set(SECTIONS) & set(page.ids)
    assert "table" not in page.tags
    assert "img" not in page.tags


def test_partial_records_make_pages():
    for record in (
        RunRecord("x", metrics=[Metric("top1", None, "%", group="reduced")]),
        RunRecord("x", history=[{"epoch": 1, "lr": 0.1}, {"step": 4, "loss": 2.0}]),
        RunRecord("x", history=[{"step": 1, "loss": 2.0}, {"step": 2, "loss": "?"}]),
        RunRecord("x", series=[Series("empty", "x", "y")]),
        RunRecord("x", tables=[Table("t", ["a"])]),
        RunRecord("x", created="yesterday"),
        RunRecord("x", verdicts=[Verdict("n", "fails")]),
    ):
        Page(report_html(record))


@pytest.mark.parametrize(
    ("created", "shown"),
    [
        ("2025-03-14T09:26:53+00:00", "2025-03-14 09:26 UTC"),
        ("2025-03-14T09:26:53.5+05:30", "2025-03-14 09:26 +0530"),
        ("2025-03-14T09:26:53", "2025-03-14 09:26"),
        ("yesterday", "yesterday"),
    ],
)
def test_time_as_people_write_it(created, shown):
    assert f">{shown}</time>" in report_html(RunRecord("x", created=created))


def hostile(record: RunRecord) -> RunRecord:
    """The record with every free text replaced by one that tries to break out."""
    picture = record.pictures[0]
    view = MergeView(HOSTILE, picture.views[0].source)
    return dataclasses.replace(
        record,
        command=HOSTILE,
        created=HOSTILE,
        code_version=HOSTILE,
        fingerprint=HOSTILE,
        headline=HOSTILE,
        config={HOSTILE: {HOSTILE: [HOSTILE]}, "model": HOSTILE},
        machine={HOSTILE: HOSTILE},
        seeds={HOSTILE: HOSTILE},
        timings={HOSTILE: 1.0},
        skipped={HOSTILE: [HOSTILE]},
        warnings=[HOSTILE],
        verdicts=[Verdict(HOSTILE, "holds", HOSTILE)],
        tables=[Table(HOSTILE, [HOSTILE], [[HOSTILE]], HOSTILE)],
        history=[{"epoch": e, f"{HOSTILE} loss": 1.0} for e in range(3)],
        series=[
            dataclasses.replace(s, name=f"{HOSTILE}{i}", group=f"{HOSTILE}{s.group}")
            for i, s in enumerate(record.series)
        ],
        tokens_per_layer=[dataclasses.replace(t, name=HOSTILE) for t in record.tokens_per_layer],
        pictures=[dataclasses.replace(picture, title=HOSTILE, caption=HOSTILE, views=[view])],
        metrics=[
            *(dataclasses.replace(m, note=HOSTILE) for m in record.metrics),
            Metric(HOSTILE, 1.0, HOSTILE, group=HOSTILE),
        ],
    )


def test_hostile_names_stay_text(full_record):
    text = report_html(hostile(full_record))
    page = Page(text)
    assert "script" not in page.tags
    assert page.handlers == []
    assert all(address.startswith("data:") for address in page.loads)
    assert "{{ 7*7 }}" in "".join(page.words)
    assert len(re.findall("&lt;script&gt;", text)) > 30


def test_pictures_are_embedded(page, full_record):
    images = sum(1 + len(p.views) for p in full_record.pictures)
    assert page.tags.count("img") == images
    assert sum(a.startswith("data:image/png;base64,") for a in page.loads) == images


def test_every_chart_has_both_sizes(full_record):
    text = report_html(full_record)
    narrow, wide = text.count('class="chart narrow"'), text.count('class="chart wide"')
    assert narrow == wide == 3 + 2 + 2  # series groups, stages and tokens, loss and accuracy


def test_a_colour_stays_with_its_name(full_record):
    text = report_html(full_record)
    found = re.findall(r'<g class="(s-?\d)"[^>]*><[^>]*><title>merge \+ re-train, ', text)
    assert len(set(found)) <= 1


def test_nested_settings_are_flat_and_name_the_run():
    config = {"model": {"model": "vim_tiny"}, "data": {"data": "demo", "limit": 64}, "none": {}}
    text = report_html(RunRecord("rebuild", config=config))
    assert "vim_tiny on demo" in text
    assert "<dt>data.<wbr>limit</dt><dd>64</dd>" in text


def test_notes_stand_below_the_table(full_record):
    text = report_html(full_record)
    assert "<li>Top-1, paired change: same images, bootstrap</li>" in text


def test_long_tables_are_folded():
    rows = [[i] for i in range(41)]
    assert "41 rows</summary>" in report_html(RunRecord("x", tables=[Table("t", ["n"], rows)]))
    assert "<summary>" not in report_html(RunRecord("x", tables=[Table("t", ["n"], rows[:40])]))


def test_written_file_is_the_page(full_record, tmp_path):
    path = write_report(full_record, tmp_path / "out" / "report.html")
    assert path.read_text("utf-8") == report_html(full_record)
    assert path.stat().st_size < 1_000_000


def luminance(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_colours_can_be_read(mode, full_record):
    style = re.findall(r":root \{(.*?)\n\s*\}", report_html(full_record), re.S)[mode]
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", style))
    page = luminance(colours["page"])
    for name in ("ink", "soft", "good", "bad", "s0", "s1", "s2", "s3", "s4", "s5", "neutral"):
        light, dark = sorted((luminance(colours[name]), page), reverse=True)
        contrast = (light + 0.05) / (dark + 0.05)
        assert contrast >= (3 if name == "neutral" else 4.5), f"{name}: {contrast:.2f}"

"""One self-contained HTML page of a record: no network, no scripts, no fonts to load."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..storage import write_atomic
from .bars import bars, tokens
from .charts import Chart, assign_colours, both_sizes, plot
from .curves import stage_chart, training_charts
from .headline import headline, merged_share
from .measures import PAIR, STAGES, before_after, other_groups
from .numbers import THIN, duration, number, plain_text
from .record import LayerTokens, MergePicture, MergeView, RunRecord, Series
from .scales import Size

_BUCKETS = (
    (1, 1, "1 patch"),
    (2, 3, "2–3 patches"),
    (4, 7, "4–7 patches"),
    (8, None, "8 patches or more"),
)


def write_report(record: RunRecord, path: str | Path) -> Path:
    """Write the record as one HTML file that opens anywhere, without a network.

    Raises:
        StorageError: the file can't be written.
    """
    return write_atomic(path, report_html(record))


def report_html(record: RunRecord) -> str:
    """The page as text; sections without data are left out."""
    import jinja2

    source = files("rmeeto.reporting").joinpath("report.html.j2").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(plain=plain_text, number=number, breakable=_breakable)
    return environment.from_string(source).render(
        record=record,
        headline=headline(record),
        created=_when(record.created),
        subtitle=_subtitle(record),
        stages=before_after(record),
        stage_chart=_plotted(stage_chart(record)),
        groups=other_groups(record),
        charts=_charts(record),
        training=[_plotted(chart) for chart in training_charts(record)],
        layers=_layers(record),
        pictures=[_picture(p) for p in record.pictures],
        timings={k.replace("_", " "): duration(s) for k, s in record.timings.items()},
        facts=_facts(record),
        settings=_flat(record.config),
    )


def _subtitle(record: RunRecord) -> str:
    """Model and data where the configuration names them in words."""
    settings = _flat(record.config)
    model, data = (settings.get(key, settings.get(f"{key}.{key}")) for key in ("model", "data"))
    return " on ".join(name for name in (model, data) if isinstance(name, str))


def _flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested settings as one table with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{above}{key}.")
        else:
            flat[above + key] = value
    return flat


def _when(created: str) -> str:
    """ISO time to the minute, its zone in letters where it is UTC."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return created
    zone = "UTC" if moment.utcoffset() == timedelta(0) else f"{moment:%z}"  # "" where none
    return f"{moment:%Y-%m-%d %H:%M} {zone}".rstrip()


def _breakable(name: str) -> Any:
    """A setting's name that may break where its parts meet."""
    import markupsafe

    broken = str(markupsafe.escape(name)).replace("_", "_<wbr>").replace(".", ".<wbr>")
    return markupsafe.Markup(broken)


def _facts(record: RunRecord) -> dict[str, dict[str, Any]]:
    run = {
        "Command": f"rmeeto {record.command}",
        "Made": _when(record.created),
        "Version": record.code_version,
        "Fingerprint": record.fingerprint,
    }
    groups = {"Run": run, "Machine": _flat(record.machine), "Seeds": record.seeds}
    kept = {name: {k: v for k, v in facts.items() if v != ""} for name, facts in groups.items()}
    return {name: facts for name, facts in kept.items() if facts}


def _plotted(chart: Chart | None) -> dict[str, Any] | None:
    return chart and _figure(chart.title, lambda size: plot(chart, size))


def _figure(title: str, draw: Callable[[Size], str], note: str = "") -> dict[str, Any] | None:
    import markupsafe

    drawn = both_sizes(draw)  # our own markup: every text in it went through scales.tag
    if not drawn:
        return None
    return {"title": title, "svg": markupsafe.Markup(drawn), "note": note, "series": ()}


def _charts(record: RunRecord) -> list[dict[str, Any]]:
    """One chart for each group of series; a name has one colour through the page."""
    groups: dict[str, list[Series]] = {}
    for series in record.series:
        groups.setdefault(series.group or series.name, []).append(series)
    colours: dict[str, int] = {}
    built = []
    for title, grouped in groups.items():
        colours = assign_colours([s.name for s in grouped], colours)
        built.append(_chart(title, grouped, colours))
    return [chart for chart in built if chart]


def _chart(title: str, series: Sequence[Series], colours: Mapping[str, int]) -> dict | None:
    chart = Chart(title, tuple(series), colours=colours)
    draw = bars if all(s.kind == "bar" for s in series) else plot
    figure = _figure(title, lambda size: draw(chart, size))
    return figure and figure | {"series": series}


def _layers(record: RunRecord) -> dict[str, Any] | None:
    share = merged_share(record)
    note = f"{number(100 * share, 0)}{THIN}% fewer, on average over the blocks." if share else ""
    title = "Tokens in each block"
    stages = [(_layer_name(s.name), s.tokens) for s in record.tokens_per_layer]
    named = [LayerTokens(name, counts) for name, counts in stages]
    return _figure(title, lambda size: tokens(named, title, size), note)


def _layer_name(name: str) -> str:
    return name if name in PAIR else STAGES.get(name, name).lower()


def _picture(picture: MergePicture) -> dict[str, Any]:
    from .figures import decode, png, upscale

    image, grid = decode(picture.image), (picture.grid[0], picture.grid[1])
    original = png(upscale(image, grid, max(6, round(280 / grid[1]))))
    views = [_view(view, image, grid) for view in picture.views]
    return {
        "title": picture.title,
        "caption": picture.caption,
        "original": _uri(original),
        "patches": grid[0] * grid[1],
        "views": views,
    }


def _view(view: MergeView, image: Any, grid: tuple[int, int]) -> dict[str, Any]:
    from .figures import DROPPED, draw_merged, png, token_sizes

    sizes = token_sizes(view.source).tolist()
    counts = [(_in_bucket(sizes, low, high), name) for low, high, name in _BUCKETS]
    return {
        "label": view.label,
        "uri": _uri(png(draw_merged(image, view.source, grid))),
        "tokens": len(sizes),
        "dropped": sum(slot == DROPPED for slot in view.source),
        "sizes": [(count, name) for count, name in counts if count],
    }


def _in_bucket(sizes: Sequence[int], low: int, high: int | None) -> int:
    return sum(low <= size and (high is None or size <= high) for size in sizes)


def _uri(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"

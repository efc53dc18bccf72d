"""A real browser opens the page without a complaint, on a phone and on a wide screen."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rmeeto.reporting import write_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--enable-logging=stderr",
    "--hide-scrollbars",
)
PROBE = """<script>
addEventListener("load", () => {
  const all = (query, root = document) => [...root.querySelectorAll(query)];
  const shown = e => e.getClientRects().length > 0;
  const open = all("main *").filter(e => !e.closest(".scroll"));
  const stages = document.querySelector("table.stages");
  parent.postMessage(JSON.stringify({
    images: [...document.images].map(i => i.naturalWidth),
    width: innerWidth, page: document.documentElement.scrollWidth,
    widest: Math.max(...open.map(e => e.getBoundingClientRect().right)),
    charts: all("svg.chart").filter(shown).length,
    text: Math.min(...all("svg.chart text").filter(shown)
      .map(t => t.getBoundingClientRect().height)),
    hidden: stages.scrollWidth - stages.parentElement.clientWidth,
  }), "*");
});
</script></body>"""
FRAME = """<!doctype html><body><script>
onmessage = e => { document.body.dataset.probe = e.data; console.log("probe done"); };
</script><iframe src="report.html" style="width:%dpx;height:900px;border:0"></iframe></body>"""


def probe(folder: Path, width: int) -> tuple[dict, list[str]]:
    """What the page in a frame of ``width`` px reports of itself, and the lines on the console.

    A frame, because a headless window can't be as narrow as a phone.
    """
    report, frame = folder / "report.html", folder / "frame.html"
    report.write_text(report.read_text("utf-8").replace("</body>", PROBE), "utf-8")
    frame.write_text(FRAME % width, "utf-8")
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [BROWSER, *FLAGS, profile, "--window-size=1500,1000", "--dump-dom", frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    found = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert found, done.stderr[-2000:]
    console = re.findall(r"CONSOLE[^\]]*\] (.*)", done.stderr)
    return json.loads(found.group(1).replace("&quot;", '"')), console


@pytest.mark.parametrize("width", [390, 1280])
def test_page_in_a_browser(width, full_record, tmp_path):
    write_report(full_record, tmp_path / "report.html")
    seen, console = probe(tmp_path, width)
    assert len(console) == 1, console
    assert "probe done" in console[0]
    assert seen["width"] == width
    assert len(seen["images"]) == 8
    assert all(natural > 0 for natural in seen["images"])
    assert seen["page"] <= width  # no sideways scrolling
    assert seen["widest"] <= width
    assert seen["hidden"] <= 0  # all three stages are in view
    assert seen["charts"] == 7  # each in one of its two sizes
    assert seen["text"] >= 10  # px high

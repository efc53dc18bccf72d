"""Turn finished cells into the claims ledger, the README's table, the FLOPs table and a report.

    python experiments/claims.py            # from whatever cells there are; costs seconds

Writes results/claims.json, results/flops.json, results/report.html and the block between
`<!-- claims -->` and `<!-- /claims -->` in README.md. The same cells give the same files.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.marks import with_block

from experiments.charts import build_record
from experiments.data import ROOT
from experiments.evidence import Evidence
from experiments.grid import all_cells
from experiments.lab import Lab
from experiments.ledger import CIFAR, FASHION, all_questions
from experiments.ledger.elsewhere import elsewhere_questions
from experiments.ledger.outliers import NAME, outlier_questions
from experiments.store import load_results
from rmeeto.config import to_dict
from rmeeto.profiling import published_flops_table
from rmeeto.reporting import Claim, claims_markdown, save_claims, write_report
from rmeeto.storage import write_atomic

NOTES = Path(__file__).with_name("explanations.toml")
BEGIN, END = "<!-- claims -->", "<!-- /claims -->"


def main() -> int:
    """Write all of it."""
    lab = Lab()
    evidence = Evidence(load_results(lab, all_cells()))
    claims = answers(evidence)
    save_claims(claims, lab.results / "claims.json")
    write_flops(lab.results / "flops.json")
    write_report(build_record(evidence, claims), lab.results / "report.html")
    readme = ROOT / "README.md"
    write_atomic(readme, with_block(readme.read_text(), BEGIN, END, claims_block(claims)))
    print(f"{len(evidence.results)} of {len(all_cells())} cells; {tally(claims)}")
    return 0


def answers(evidence: Evidence) -> list[Claim]:
    """Every claim with its verdict."""
    notes = tomllib.loads(NOTES.read_text())
    return [question.answer(evidence, notes) for question in all_questions()]


def tally(claims: Sequence[Claim]) -> str:
    """ "12 hold, 3 fail, 8 not verified"."""
    verdicts = [claim.verdict for claim in claims]
    words = {"holds": "hold", "fails": "fail", "not verified": "not verified"}
    return ", ".join(f"{verdicts.count(k)} {word}" for k, word in words.items())


def claims_block(claims: Sequence[Claim]) -> str:
    """The main data set's table in the open; folded: the reasons, the other data set, what is open."""
    own = {question.id: "outliers" for question in outlier_questions()}
    own |= {question.id: "elsewhere" for question in elsewhere_questions()}
    groups: dict[str, list[Claim]] = {"main": [], "second": [], "outliers": [], "elsewhere": []}
    for claim in claims:
        by_data = "second" if claim.id.endswith(CIFAR.key) else "main"
        groups[own.get(claim.id, by_data)].append(claim)
    table, _, reasons = claims_markdown(groups["main"]).partition("\n\n")
    folded = {
        "How each of these was measured, and what is behind it": reasons,
        f"The same on {CIFAR}: {tally(groups['second'])}": claims_markdown(groups["second"]),
        f"Images of none of the classes, {NAME}: {tally(groups['outliers'])}": claims_markdown(groups["outliers"]),
        f"Without ImageNet, Kinetics and GPUs: {tally(groups['elsewhere'])}, with the commands that would verify":
            claims_markdown(groups["elsewhere"]),
    }  # fmt: skip
    below = "".join(
        f"<details><summary>{title}</summary>\n\n{text.strip()}\n\n</details>\n"
        for title, text in folded.items()
    )
    return f"On {FASHION}: {tally(groups['main'])}.\n\n{table}\n\n{below}"


def write_flops(path: Path) -> None:
    """GFLOPs of the published models over r, in both conventions."""
    about = "GFLOPs (multiply-adds) of one 224×224 image; paper: one scan direction, as published; full: both"
    rows = [to_dict(row) for row in published_flops_table()]
    rows = [{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    write_atomic(
        path, json.dumps({"about": about, "rows": rows}, indent=1, ensure_ascii=False) + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())

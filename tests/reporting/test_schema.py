"""The schema of records: what the dataclasses say, what is committed, what it refuses."""

import json
from pathlib import Path

import pytest

from rmeeto.reporting import LayerTokens, Metric, RunRecord, Series, Table, Verdict
from rmeeto.reporting.schema import record_schema, violations

FILE = Path(__file__).parents[2] / "docs" / "record.schema.json"
SCHEMA = record_schema()
RECORD = RunRecord(
    "audit",
    metrics=(Metric("top1", 91.0, "%", low=90.0, high=92.0, group="A"), Metric("nll", float("nan"), "nats")),
    tables=(Table("All measures", ("set", "A"), (("far: x", 3.0), ("far: y", None)), note="n", folded=True),),
    series=(Series("a", "x", "y", ((1, 2.0), (2, 3.0, 2.5, 3.5, "r = 2"))),),
    tokens_per_layer=(LayerTokens("A", (197, 186)),),
    verdicts=(Verdict("gap", "holds"),),
    history=({"kind": "trained", "parts": {"loss": 1.0}},),
    timings={"s": 3},
    skipped={"A": {"count": 1, "names": ["x"]}},
    warnings=("w",),
)


def written(record=RECORD):
    return json.loads(record.to_json())


def test_the_committed_file_is_the_schema():
    made = json.dumps(SCHEMA, indent=1) + "\n"
    assert FILE.read_text() == made, "write record_schema() to docs/record.schema.json, indent 1"


def test_a_full_record_and_an_empty_one_keep_to_it():
    assert not list(violations(written(), SCHEMA))
    assert not list(violations(written(RunRecord("list")), SCHEMA))


@pytest.mark.parametrize(("change", "fault"), [
    (lambda r: r["metrics"][0].update(unit=7), "record.metrics[0].unit: 7 is no string"),
    (lambda r: r["metrics"][0].update(direction="up"), "record.metrics[0].direction: 'up' is none of"),
    (lambda r: r["metrics"][0].update(value="91"), "record.metrics[0].value: '91' is no number"),
    (lambda r: r["metrics"][0].update(value=True), "record.metrics[0].value: True is no number"),
    (lambda r: r["metrics"][0].pop("name"), "record.metrics[0]: no name"),
    (lambda r: r.update(verdict=[]), "record: verdict is no key of it"),
    (lambda r: r.pop("command"), "record: no command"),
    (lambda r: r["tables"][0].update(rows={}), "record.tables[0].rows: {} is no array"),
    (lambda r: r["tokens_per_layer"][0].update(tokens=[1.5]), "record.tokens_per_layer[0].tokens[0]: 1.5"),
    (lambda r: r["timings"].update(s="long"), "record.timings.s: 'long' is no number"),
    (lambda r: r["verdicts"][0].update(verdict="maybe"), "record.verdicts[0].verdict: 'maybe' is none of"),
])  # fmt: skip
def test_faults_are_found_and_named(change, fault):
    values = written()
    change(values)
    (found,) = violations(values, SCHEMA)
    assert found.startswith(fault)


def test_what_the_schema_accepts_can_be_loaded(tmp_path):
    """What is written validates and can be read back."""
    path = tmp_path / "record.json"
    path.write_text(json.dumps(written()))
    assert RunRecord.load(path).metric("top1").value == 91.0

"""Claims keep their evidence and can't break their table."""

import json

import pytest

from rmeeto.errors import ConfigError
from rmeeto.reporting import Claim, claims_markdown, load_claims, save_claims

CLAIMS = [
    Claim(
        "order-matters",
        "Order matters for Mamba",
        "R-MeeTo, table 4",
        "rmeeto claims order",
        "interval of the gap above 0",
        8.4,
        7.1,
        9.8,
        "points",
        "holds",
        "Three seeds.",
        {"seeds": [0, 1, 2]},
    ),
    Claim(
        "minutes", "Rebuilt in minutes", "R-MeeTo", "", "3 epochs on 8 H100", verdict="not verified"
    ),
]


def test_round_trip(tmp_path):
    path = save_claims(CLAIMS, tmp_path / "claims.json")
    assert load_claims(path) == CLAIMS
    assert json.loads(path.read_text())["version"] == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "no list of claims"),
        ({"version": 2, "claims": []}, "version 2"),
        ({"version": 1, "claims": [3]}, "a claim"),
        ({"version": 1, "claims": [{"id": "a"}]}, "claims[0].claim"),
        (
            {
                "version": 1,
                "claims": [
                    dict.fromkeys(("id", "claim", "source", "command", "threshold"), "a")
                    | {"verdict": "yes"}
                ],
            },
            "claims[0].verdict",
        ),
    ],
)
def test_strict_load(values, words, tmp_path):
    path = tmp_path / "claims.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ConfigError) as caught:
        load_claims(path)
    assert words in str(caught.value)


def test_one_id_twice_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="minutes"):
        save_claims([CLAIMS[1], CLAIMS[1]], tmp_path / "claims.json")


def test_markdown():
    text = claims_markdown(CLAIMS)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert "| **holds** | Order matters for Mamba |" in text
    assert "8.40 points (7.10 to 9.80)" in text
    assert "| – |" in text
    assert "`rmeeto claims order`" in text


def test_markdown_of_hostile_text():
    claim = Claim("x", "a | b\n<script>", "s", "echo `id`", "t", verdict="fails")
    text = claims_markdown([claim])
    assert "a \\| b &lt;script>" in text
    assert "<script>" not in text
    assert "``echo `id```" not in text
    assert "`` echo `id` ``" in text

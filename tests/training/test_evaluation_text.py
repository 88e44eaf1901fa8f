import re
from typing import Any

import pytest

from training.evaluation_text import as_markdown, band_name, show


def test_a_figure_is_shown_with_its_interval_and_a_dash_where_there_is_none() -> None:
    assert show({"value": 0.25, "low": 0.2, "high": 0.3}) == "0.250 (0.200–0.300)"
    assert show({"value": None, "low": None, "high": None}) == "–"
    assert show({"value": 0.25, "low": None, "high": None}) == "0.250"


def test_a_difference_is_shown_with_its_sign() -> None:
    found = {"value": 0.25, "low": -0.2, "high": 0.3, "above_zero": 0.9, "one": "a", "other": "b"}
    assert show(found) == "+0.250 (-0.200 to +0.300)"


def test_a_band_says_how_many_ruptures() -> None:
    assert band_name({"least": 0, "most": 0}) == "none"
    assert band_name({"least": 3, "most": 5}) == "3–5"
    assert band_name({"least": 11, "most": None}) == "11 or more"


def test_the_page_says_first_whose_labels_these_are(record: dict[str, Any]) -> None:
    text = as_markdown(record)
    assert text.startswith("# Evaluation of the scorers\n")
    assert text.index("not from clinicians") < text.index("## ")


def test_every_table_has_as_many_cells_in_each_row_as_in_its_head(record: dict[str, Any]) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", as_markdown(record), re.MULTILINE)
    assert len(tables) >= 9
    for table in tables:
        assert len({row.count("|") for row in table.splitlines()}) == 1
        assert len(table.splitlines()) > 2


@pytest.mark.parametrize("part", ["turns", "agreed", "dev"])
def test_every_scorers_average_precision_stands_in_the_text(
    record: dict[str, Any], part: str
) -> None:
    text = as_markdown(record)
    n_shown = 0
    for table in record[part].values():
        for found in table.values():
            assert show(found["average_precision"]) in text
            n_shown += 1
    assert n_shown >= 8


def test_what_was_not_asked_for_is_named(record: dict[str, Any]) -> None:
    changed = {**record, "how": {**record["how"], "left_out": ["network (--run)"]}}
    assert "Not asked for in this run: network (--run)." in as_markdown(changed)

import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from training.evaluation_page import as_html, dot_plots, reliability_plots
from training.evaluation_text import show


@pytest.fixture(scope="module")
def names(record: dict[str, Any]) -> dict[str, str]:
    return {scorer["id"]: scorer["name"] for scorer in record["scorers"]}


@pytest.fixture(scope="module")
def page(record: dict[str, Any]) -> str:
    return as_html(record)


def test_the_page_says_first_whose_labels_these_are(page: str) -> None:
    assert page.index("not from clinicians") < page.index("<main>")


def test_the_page_fetches_nothing_and_runs_nothing(page: str) -> None:
    assert re.findall(r"https?://|//[a-z]|@import|url\(|<script|<img|<link|\bon[a-z]+=", page) == []
    assert "default-src 'none'" in page


def test_every_tag_is_closed_where_it_was_opened(page: str) -> None:
    open_tags: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            if tag not in ("meta", "br"):
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Reader().feed(
        re.sub(r"<(line|circle|polyline)[^>]*/>", "", page.replace("<!doctype html>", ""))
    )
    assert open_tags == []


def test_every_link_within_the_page_leads_to_a_part_of_it(page: str) -> None:
    links = re.findall(r'href="#([^"]+)"', page)
    assert len(links) >= 8
    assert set(links) <= set(re.findall(r'id="([^"]+)"', page))


def test_every_plot_is_sound_svg_with_words_for_who_cannot_see_it(page: str) -> None:
    plots = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(plots) == 12
    for plot in plots:
        root = ElementTree.fromstring(plot)  # noqa: S314  (our own page)
        assert root.get("role") == "img"
        assert root.get("aria-label")


def test_every_figure_of_the_turns_stands_on_the_page(page: str, record: dict[str, Any]) -> None:
    for table in record["turns"].values():
        for found in table.values():
            for metric in ("average_precision", "auroc"):
                assert show(found[metric]) in page


def test_a_scorers_name_is_shown_as_text_whatever_it_holds(record: dict[str, Any]) -> None:
    first, *rest = record["scorers"]
    odd = {**record, "scorers": [{**first, "name": "<b>run</b> & co"}, *rest]}
    page = as_html(odd)
    assert "<b>run" not in page
    assert "&lt;b&gt;run&lt;/b&gt; &amp; co" in page


def test_a_dot_stands_inside_its_interval_and_on_the_axis(
    record: dict[str, Any], names: dict[str, str]
) -> None:
    for metric in ("average_precision", "auroc"):
        plots = list(dot_plots(record, names, metric))
        assert len(plots) == 4
        for plot in plots:
            assert len(plot.dots) == len(names)
            for dot in plot.dots:
                assert plot.x(dot.low) <= plot.x(dot.value) <= plot.x(dot.high)
                assert plot.x(plot.least) <= plot.x(dot.low)
                assert plot.x(dot.high) <= plot.x(plot.most)
            assert plot.ticks[0] == plot.least
            assert plot.ticks[-1] == plot.most


def test_an_auroc_below_chance_widens_the_axis(
    record: dict[str, Any], names: dict[str, str]
) -> None:
    first = next(iter(names))
    found = record["turns"][first]
    worse = {**found["withdrawal"], "auroc": {"value": 0.4, "low": 0.3, "high": 0.5}}
    turns = {**record["turns"], first: {**found, "withdrawal": worse}}
    plot = next(dot_plots({**record, "turns": turns}, names, "auroc"))
    assert plot.least == 0.0


def test_a_figure_that_is_not_defined_has_no_dot(
    record: dict[str, Any], names: dict[str, str]
) -> None:
    first = next(iter(names))
    found = record["turns"][first]
    nothing = {"value": None, "low": None, "high": None}
    changed = {**found["withdrawal"], "average_precision": nothing, "auroc": nothing}
    turns = {**record["turns"], first: {**found, "withdrawal": changed}}
    odd = {**record, "turns": turns}
    plot = next(dot_plots(odd, names, "auroc"))
    assert [dot.name for dot in plot.dots] == list(names.values())[1:]
    assert as_html(odd)


def test_reliability_is_drawn_of_the_scorers_of_whole_sessions(
    record: dict[str, Any], names: dict[str, str]
) -> None:
    for plot in reliability_plots(record, names):
        assert [curve.name for curve in plot.curves] == [names[i] for i in record["moments"]]
        for curve in plot.curves:
            for score, share, _ in curve.points:
                assert 0 <= score <= plot.most
                assert 0 <= share <= plot.most

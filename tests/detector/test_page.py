"""The report's page as text: whole, self-contained, escaped, linked, and in plain words."""

import base64
import dataclasses
import hashlib
import html
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from detector.page import render, render_for_notebook
from detector.report import Evidence, MarkerFinding, Report, Roles, Span
from detector.timing import MEASURES
from detector.transcript import Role, TimingQuality

_VOID = {"meta", "br", "input", "wbr", "link", "img", "hr"}
_HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{7*7}}&lt;"


class _Page(HTMLParser):
    """Tags, attributes and text of a page, and whether its tags nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.crossed: list[str] = []
        self.texts: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.crossed.append(tag)

    def handle_data(self, data: str) -> None:
        where = self.open[-1] if self.open else ""
        self.texts[where] = self.texts.get(where, "") + data

    def values(self, attribute: str) -> list[str]:
        return [found[attribute] for _, found in self.tags if attribute in found]


def _with(report: Report, **values: object) -> Report:
    return dataclasses.replace(report, **values)  # type: ignore[arg-type]


def _without_clock(report: Report) -> Report:
    turns = tuple(
        dataclasses.replace(turn, start_s=None, end_s=None, timing={}) for turn in report.turns
    )
    moments = tuple(dataclasses.replace(m, start_s=None, end_s=None) for m in report.moments)
    segments = tuple(dataclasses.replace(s, start_s=None, end_s=None) for s in report.segments)
    return _with(
        report,
        turns=turns,
        moments=moments,
        segments=segments,
        timing_quality=TimingQuality.NONE,
        features_unavailable=tuple(m.name for m in MEASURES if m.needs != "text"),
    )


def _hostile(report: Report) -> Report:
    """The report with markup wherever a text can come from outside."""
    turns = tuple(
        dataclasses.replace(
            turn,
            text=_HOSTILE,
            speaker=_HOSTILE,
            role=Role.OTHER if turn.index % 3 == 0 else turn.role,
            abstained=_HOSTILE if turn.index == 3 else None,
            markers=(MarkerFinding(_HOSTILE, 0.5, None, (Span(2, 30), Span(9, 40)), _HOSTILE),),
            evidence=(Evidence("withdrawal", _HOSTILE, 1.0, 1.0),),
        )
        for turn in report.turns
    )
    moments = tuple(
        dataclasses.replace(m, markers=(_HOSTILE,), summary=_HOSTILE) for m in report.moments
    )
    made = dataclasses.replace(
        report.provenance, checkpoint=_HOSTILE, code=_HOSTILE, format=_HOSTILE, codebook=_HOSTILE
    )
    return _with(
        report,
        turns=turns,
        moments=moments,
        provenance=made,
        roles=Roles({_HOSTILE: Role.CLIENT}, _HOSTILE, 0.5),
        notes=(_HOSTILE,),
        limits=(_HOSTILE,),
        features_unavailable=(_HOSTILE,),
    )


def test_the_page_nests(invented_report: Report) -> None:
    page = _Page(render(invented_report))
    assert page.crossed == []
    assert page.open == []


def test_the_same_report_gives_the_same_page(invented_report: Report) -> None:
    assert render(invented_report) == render(invented_report)


def test_nothing_is_loaded_from_outside(invented_report: Report) -> None:
    text = render(invented_report)
    page = _Page(text)
    assert not page.values("src")
    assert all(link.startswith("#") for link in page.values("href"))
    assert not {"link", "iframe", "img", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttp|WebSocket|sendBeacon", text)


def test_the_policy_admits_our_style_and_script_and_nothing_else(invented_report: Report) -> None:
    page = _Page(render(invented_report))
    policy = next(found["content"] for _, found in page.tags if "http-equiv" in found)
    for name, content in (("style", page.texts["style"]), ("script", page.texts["script"])):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_no_tag_carries_its_own_style_or_script(invented_report: Report) -> None:
    names = {name for _, found in _Page(render(invented_report)).tags for name in found}
    assert "style" not in names
    assert not [name for name in names if name.startswith("on")]


def test_markup_from_outside_stays_text(invented_report: Report) -> None:
    plain = _Page(render(invented_report))
    page = _Page(render(_hostile(invented_report), title=_HOSTILE))
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in plain.tags}
    assert Counter(tag for tag, _ in page.tags)["script"] == 1
    assert page.crossed == []
    assert page.texts["h1"] == _HOSTILE
    assert page.texts["title"].startswith(_HOSTILE)
    assert not [value for value in page.values("href") if not re.fullmatch(r"#[a-z0-9-]+", value)]


def test_every_word_of_every_turn_is_on_the_page(invented_report: Report) -> None:
    text = render(invented_report)
    said = re.findall(r'<p class="said" dir="auto">(.*?)</p>', text, flags=re.DOTALL)
    found = [html.unescape(re.sub(r"<[^>]*>", "", one)) for one in said]
    assert found == [turn.text for turn in invented_report.turns]


def test_every_link_has_a_target_and_every_target_one_name(invented_report: Report) -> None:
    for report in (invented_report, _without_clock(invented_report)):
        page = _Page(render(report))
        names = page.values("id")
        assert len(names) == len(set(names))
        assert {link.removeprefix("#") for link in page.values("href")} <= set(names)
        assert {name for value in page.values("aria-labelledby") for name in value.split()} <= set(
            names
        )


def test_moments_and_the_turns_that_answer_them_link_to_each_other(invented_report: Report) -> None:
    text = render(invented_report)
    turns = dict(re.findall(r'<li class="turn [^>]*id="turn-(\d+)"(.*?)</li>', text, re.DOTALL))
    answered = 0
    for number, moment in enumerate(invented_report.moments, start=1):
        for index in moment.turn_indexes:
            assert f'href="#moment-{number}"' in turns[str(index)]
        for index in moment.repair_turn_indexes:
            assert f'href="#moment-{number}"' in turns[str(index)]
            assert f'href="#turn-{index}"' in turns[str(moment.turn_indexes[0])]
            answered += 1
    assert answered


@pytest.mark.parametrize(
    "said",
    [
        "may be worth a look",
        "not monitored for crisis",
        "does not diagnose, does not detect emotions",
        "come from a language model under our codebook, adjudicated; no clinician has checked",
        "must not be used to judge staff",
        "Directness, deference and silence",
    ],
)
def test_every_page_says_what_it_cannot_tell(invented_report: Report, said: str) -> None:
    for report in (invented_report, _with(invented_report, moments=(), limits=(), notes=())):
        plain = " ".join(html.unescape(re.sub(r"<[^>]*>", "", render(report))).split())
        assert said in plain


def test_where_nothing_was_scored_nothing_is_called_calm(invented_report: Report) -> None:
    turns = tuple(
        dataclasses.replace(t, abstained="not English", scores={}, markers=(), evidence=())
        for t in invented_report.turns
    )
    page = render(_with(invented_report, turns=turns, moments=(), strengths=()))
    assert "Nothing was looked for" in page
    assert "No sign was found" not in page
    assert "No turn reached" not in page


def test_a_turn_without_scores_says_why(invented_report: Report) -> None:
    assert "Not scored: the recogniser heard no words" in render(invented_report)


def test_a_file_without_times_is_told_in_turns_and_words(invented_report: Report) -> None:
    text = render(_without_clock(invented_report))
    assert "No times in the file" in text
    assert "each bar is as long as its turn has words" in text
    assert "<dt>Length</dt>" not in text
    assert ">turn 5</a>" in text
    assert "<li>Time before an answer</li>" in text
    assert "Answered after" not in text


def test_roles_that_were_inferred_say_how_sure(invented_report: Report) -> None:
    assert "Inferred from the talk itself, 97 in 100 sure" in render(invented_report)
    given_ = _with(invented_report, roles=Roles({"T": Role.THERAPIST}, "given"))
    assert "As given with the session." in render(given_)


def test_a_half_surrogate_does_not_break_the_page(invented_report: Report) -> None:
    turn = dataclasses.replace(invented_report.turns[0], text="well \ud83d then", markers=())
    text = render(_with(invented_report, turns=(turn, *invented_report.turns[1:])))
    assert "well ? then" in text
    assert text.encode("utf-8")


def test_a_notebook_gets_the_whole_page_in_a_closed_frame(invented_report: Report) -> None:
    (tag, found), *rest = _Page(render_for_notebook(invented_report)).tags
    assert (tag, rest) == ("iframe", [])
    assert found["srcdoc"] == render(invented_report)
    assert found["sandbox"] == "allow-scripts"


def test_a_page_of_four_hundred_turns_is_small(make_longer: Callable[[int], Report]) -> None:
    assert len(render(make_longer(400)).encode()) < 1_500_000


def test_what_the_network_alone_found_is_marked_and_said_in_plain_words(
    invented_report: Report,
) -> None:
    moment = invented_report.moments[0]
    index = max(moment.turn_indexes, key=lambda i: invented_report.turns[i].scores["rupture"] or 0)
    turn = invented_report.turns[index]
    kind = "withdrawal" if moment.kind == "mixed" else moment.kind
    marker = "denial" if kind == "withdrawal" else "rejects_intervention"
    found = MarkerFinding(marker, 0.6, "bond", (Span(0, 3),), "network")
    heard = dataclasses.replace(
        turn, markers=(found,), evidence=(Evidence(kind, f"network.{kind}", 0.4, 1.3),)
    )
    turns = tuple(heard if one.index == index else one for one in invented_report.turns)
    moments = (dataclasses.replace(moment, markers=(marker,)), *invented_report.moments[1:])
    text = html.unescape(render(_with(invented_report, turns=turns, moments=moments)))
    assert f"the network reads this turn as {kind}" in text.replace("The network", "the network")
    assert "Found by the network alone." in text
    assert re.search(rf"<mark[^>]*>{re.escape(turn.text[:3])}</mark>", text)


def test_the_page_says_whether_a_network_had_a_part(invented_report: Report) -> None:
    assert "network, on" not in render(invented_report)
    made = dataclasses.replace(invented_report.provenance, backend="cpu")
    assert "network, on cpu" in render(_with(invented_report, provenance=made))

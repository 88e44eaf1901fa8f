"""What a card shows, and in which order."""

import dataclasses

from detector.codebook import load_codebook
from detector.page import render
from detector.page.view import View
from detector.page.words import words_in
from detector.report import Report
from detector.transcript import Role


def test_a_card_quotes_the_turn_and_what_it_answered(invented_report: Report) -> None:
    view = View(invented_report, load_codebook(), words_in("en"))
    lines = {line.turn.index: line for line in view.moments[0].before}
    first = invented_report.moments[0].turn_indexes[0]
    assert lines[first].turn.role is Role.CLIENT
    assert lines[first - 1].turn.role is Role.THERAPIST
    assert lines[first - 1].is_context


def test_an_answer_inside_the_moment_is_not_quoted_twice(invented_report: Report) -> None:
    first = invented_report.moments[0]
    within = first.turn_indexes[1] - 1
    moment = dataclasses.replace(first, resolution="partly", repair_turn_indexes=(within,))
    view = View(
        dataclasses.replace(invented_report, moments=(moment,)), load_codebook(), words_in("en")
    )
    assert [line.is_above for line in view.moments[0].after] == [True]


def test_a_long_moment_goes_on_in_the_transcript(invented_report: Report) -> None:
    clients = [turn.index for turn in invented_report.turns if turn.role is Role.CLIENT]
    moment = dataclasses.replace(invented_report.moments[0], turn_indexes=tuple(clients))
    view = View(
        dataclasses.replace(invented_report, moments=(moment,)), load_codebook(), words_in("en")
    )
    (card,) = view.moments
    assert len(card.before) == 8
    assert card.n_more == len(invented_report.turns) - 1 - 8
    page = render(dataclasses.replace(invented_report, moments=(moment,)))
    assert "more turns of this moment in the transcript" in page


def test_a_long_moment_quotes_its_highest_turn_however_late(invented_report: Report) -> None:
    clients = [turn for turn in invented_report.turns if turn.role is Role.CLIENT]
    highest = max(clients, key=lambda turn: turn.scores["rupture"] or 0.0)
    late = dataclasses.replace(clients[-1], scores={**highest.scores, "rupture": 0.99})
    turns = tuple(late if turn.index == late.index else turn for turn in invented_report.turns)
    moment = dataclasses.replace(
        invented_report.moments[0], turn_indexes=tuple(turn.index for turn in clients)
    )
    view = View(
        dataclasses.replace(invented_report, turns=turns, moments=(moment,)),
        load_codebook(),
        words_in("en"),
    )
    assert late.index in [line.turn.index for line in view.moments[0].before]


def test_a_card_underlines_only_what_belongs_to_its_part(invented_report: Report) -> None:
    for card in View(invented_report, load_codebook(), words_in("en")).moments:
        strained = {m.kind for line in card.before if not line.is_context for m in line.markers}
        asked = {m.kind for line in card.before if line.is_context for m in line.markers}
        assert strained <= {"withdrawal", "confrontation"}
        assert asked <= {"contribution"}
        assert {m.kind for line in card.after for m in line.markers} <= {
            "repair",
            "resolution",
            "contribution",
        }


def test_a_mixed_moment_names_the_kind_of_each_turn(invented_report: Report) -> None:
    clients = [turn for turn in invented_report.turns if turn.role is Role.CLIENT][:3]
    scores = ((0.9, 0.1), (0.1, 0.8), (0.6, 0.5))
    changed = {
        turn.index: dataclasses.replace(
            turn, scores={**turn.scores, "withdrawal": away, "confrontation": against}
        )
        for turn, (away, against) in zip(clients, scores, strict=True)
    }
    moment = dataclasses.replace(
        invented_report.moments[0], kind="mixed", turn_indexes=tuple(changed)
    )
    turns = tuple(changed.get(turn.index, turn) for turn in invented_report.turns)
    report = dataclasses.replace(invented_report, turns=turns, moments=(moment,))
    (card,) = View(report, load_codebook(), words_in("en")).moments
    kinds = {line.turn.index: line.kind for line in card.before if not line.is_context}
    assert list(kinds.values()) == ["withdrawal", "confrontation", "mixed"]
    assert '<span class="kind">Confrontation</span>' in render(report)


def test_how_sure_names_the_surest_of_several_turns(invented_report: Report) -> None:
    card = next(
        one
        for one in View(invented_report, load_codebook(), words_in("en")).moments
        if len(one.moment.turn_indexes) > 1
    )
    assert card.surest.turn.scores["rupture"] == card.moment.score
    assert "that is its surest turn" in render(invented_report)


def test_answers_that_a_card_does_not_quote_are_counted(invented_report: Report) -> None:
    therapists = [t.index for t in invented_report.turns if t.role is Role.THERAPIST]
    moment = dataclasses.replace(
        invented_report.moments[0], repair_turn_indexes=tuple(therapists[-7:])
    )
    page = render(dataclasses.replace(invented_report, moments=(moment,)))
    assert "2 more answers in the transcript" in page


def test_turns_just_below_the_mark_are_named_but_not_marked(invented_report: Report) -> None:
    client = next(turn for turn in invented_report.turns if turn.role is Role.CLIENT)
    near = dataclasses.replace(client, scores={**client.scores, "rupture": 0.29})
    turns = tuple(near if turn.index == near.index else turn for turn in invented_report.turns)
    report = dataclasses.replace(invented_report, turns=turns, moments=())
    assert (near.index, 0.29) in [
        (line.turn.index, score)
        for line, score in View(report, load_codebook(), words_in("en")).near
        if line.turn.index == near.index
    ]
    calm = tuple(
        dataclasses.replace(turn, scores={**turn.scores, "rupture": 0.1}) for turn in turns
    )
    assert View(dataclasses.replace(report, turns=calm), load_codebook(), words_in("en")).near == ()


def test_what_a_moment_or_its_answer_tells_is_not_told_again_below(invented_report: Report) -> None:
    first, last = (t.index for t in (invented_report.turns[3], invented_report.turns[9]))
    clients = [t for t in invented_report.turns if t.role is Role.CLIENT]
    near = {
        t.index: dataclasses.replace(t, scores={**t.scores, "rupture": 0.28}) for t in clients[:8]
    }
    turns = tuple(near.get(t.index, t) for t in invented_report.turns)
    moment = dataclasses.replace(
        invented_report.moments[0], turn_indexes=(first, last), repair_turn_indexes=(last + 2,)
    )
    report = dataclasses.replace(invented_report, turns=turns, moments=(moment,))
    named = {line.turn.index for line, _ in View(report, load_codebook(), words_in("en")).near}
    assert named == {index for index in near if index < first or index > last + 2}

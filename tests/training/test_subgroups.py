from pathlib import Path

import pytest

from training.corpus import AnnomiAbsent
from training.rules import Example
from training.subgroups import LEAST_SESSIONS, median_words, session_facts, subgroups


@pytest.fixture(scope="module")
def facts(examples: list[Example]) -> dict[str, dict[str, str]]:
    """Six sessions of one topic in several spellings, one of another, two without."""
    topics = ["smoking cessation", "Smoking cessation ", "smoking cessation; diet"] * 2 + ["diet"]
    ids = [ex.session.session_id for ex in examples]
    return {
        session_id: {"topic": topic, "mi_quality": "low" if place == 0 else "high"}
        for place, (session_id, topic) in enumerate(zip(ids, topics, strict=False))
    }


def test_every_parting_holds_every_session_once(
    examples: list[Example], facts: dict[str, dict[str, str]]
) -> None:
    found = subgroups(examples, facts)
    for by in ("topic", "therapy quality", "client", "session"):
        places = [place for group in found if group.by == by for place in group.places]
        assert sorted(places) == list(range(len(examples)))


def test_a_topic_has_one_spelling_and_a_rare_one_is_counted_among_the_others(
    examples: list[Example], facts: dict[str, dict[str, str]]
) -> None:
    assert LEAST_SESSIONS == 5
    found = {g.name: g.places for g in subgroups(examples, facts) if g.by == "topic"}
    assert found == {"smoking cessation": (0, 1, 2, 3, 4, 5), "other topics": (6, 7, 8)}


def test_what_is_not_known_of_a_session_is_said(
    examples: list[Example], facts: dict[str, dict[str, str]]
) -> None:
    found = {g.name: g.places for g in subgroups(examples, facts) if g.by == "therapy quality"}
    assert found == {"high": (1, 2, 3, 4, 5, 6), "low": (0,), "unknown": (7, 8)}


def test_terse_clients_say_fewer_words_a_turn_than_talkative_ones(
    examples: list[Example],
) -> None:
    groups = {g.name.split()[0]: g.places for g in subgroups(examples, {}) if g.by == "client"}
    words = {
        name: [median_words(examples[place]) for place in places] for name, places in groups.items()
    }
    assert max(words["terse"]) < min(words["talkative"])


def test_short_sessions_have_no_more_turns_than_long_ones(examples: list[Example]) -> None:
    groups = {g.name.split()[0]: g.places for g in subgroups(examples, {}) if g.by == "session"}
    lengths = {
        name: [len(examples[place].read.turns) for place in places]
        for name, places in groups.items()
    }
    assert max(lengths["short"]) < min(lengths["long"])


def test_facts_are_read_once_a_session_from_the_release(tmp_path: Path) -> None:
    path = tmp_path / "annomi.csv"
    path.write_text(
        "transcript_id,mi_quality,topic,utterance_id\n3,high,diet,0\n3,high,diet,1\n5,low,,0\n"
    )
    assert session_facts(path) == {
        "annomi-3": {"topic": "diet", "mi_quality": "high"},
        "annomi-5": {"topic": "", "mi_quality": "low"},
    }


def test_facts_of_a_release_without_the_columns_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "annomi.csv"
    path.write_text("transcript_id,utterance_id\n3,0\n")
    assert session_facts(path) == {"annomi-3": {"topic": "", "mi_quality": ""}}


def test_without_the_release_the_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUPTURE_ANNOMI", raising=False)
    with pytest.raises(AnnomiAbsent, match="RUPTURE_ANNOMI"):
        session_facts()

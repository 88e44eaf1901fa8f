from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from detector.scoring import FITTED
from training.card import MOST_FAILURES, Failure, card, find_failures
from training.card_views import Section, as_markdown, as_xml
from training.rules import Example

F = {"value": 0.5, "low": 0.4, "high": 0.6}
LABEL = {"n": 9, "n_true": 3, "average_precision": F, "auroc": F, "calibration_error": F}
RECORD: dict[str, Any] = {
    "how": {"n_sessions": 103, "n_invented": 220},
    "turns": {"fused": dict.fromkeys(FITTED, LABEL), "rules": dict.fromkeys(FITTED, LABEL)},
    "ratings": {"fused": {"withdrawal": {"n": 103, "spearman": F}}},
    "subgroups": [
        {
            "by": "topic",
            "name": "smoking",
            "n_sessions": 8,
            "scorers": {"fused": {"withdrawal": LABEL}},
        }
    ],
    "serving": {
        "name": "trial",
        "published": "2026-01-02",
        "predictions_sha256": "ab" * 32,
        "scorer": "fused",
        "precision": "int8",
        "cost": [{"precision": "int8", "worst": 0.0031}],
    },
}
CONFIG = {
    "seed": 4,
    "encoder": {"base": "some-folder/small-encoder"},
    "schedule": {"pretrain_epochs": 3, "epochs": 4},
}
MISSED = Failure("invented-9", 12, "withdrawal", 0.02, True, "Fine | <whatever> & so on.")


@pytest.fixture(scope="module")
def sections() -> tuple[Section, ...]:
    return card(RECORD, CONFIG, [MISSED])


@pytest.fixture(scope="module")
def markdown(sections: tuple[Section, ...]) -> str:
    return as_markdown(sections)


@pytest.fixture(scope="module")
def xml(sections: tuple[Section, ...]) -> Any:
    return etree.fromstring(as_xml(sections))


def test_the_card_says_who_set_the_labels_in_plain_words(markdown: str) -> None:
    assert "Who set the labels: a large language model" in markdown
    assert "No clinician has checked them" in markdown


def test_every_figure_is_given_with_its_interval(markdown: str) -> None:
    row = next(line for line in markdown.splitlines() if line.startswith("| withdrawal | 9 |"))
    assert row.count("0.500 (0.400–0.600)") == 4


@pytest.mark.parametrize(
    "said",
    ["trial", "2026-01-02", "ab" * 32, "int8", "+0.0031", "small-encoder", "Seed 4", "smoking"],
)
def test_the_card_names_what_this_checkpoint_is(markdown: str, said: str) -> None:
    assert said in markdown


def test_the_card_names_no_folder_of_the_machine_it_was_trained_on(markdown: str) -> None:
    assert "some-folder" not in markdown


@pytest.mark.parametrize("said", ["Diagnosis", "crisis", "Emotion", "ranking", "languages"])
def test_the_card_says_what_it_is_not_for(markdown: str, said: str) -> None:
    assert said in markdown.partition("### Not for")[2].partition("##")[0]


def test_failures_are_said_to_be_of_sessions_that_training_saw(markdown: str) -> None:
    part = markdown.partition("Where it fails")[2].partition("\n## ")[0]
    assert "part of the training" in " ".join(part.split())
    assert "invented-9, turn 12" in part


def test_speech_in_a_table_cannot_break_it(markdown: str) -> None:
    assert "Fine \\| <whatever> & so on." in markdown


def test_the_xml_says_the_same_and_escapes_it(xml: Any) -> None:
    (said,) = xml.xpath("//FailureExamples/Entry/Value[@name='said']")
    assert said.text == MISSED.text


@pytest.mark.parametrize(
    "path",
    [
        "BasicInfo",
        "ReleaseInfo",
        "UsesAndDirections/IntendedUseAndWorkflow",
        "UsesAndDirections/CautionedOutOfScopeSettings",
        "Warnings/KnownRisksAndLimitations",
        "TrustIngredients/BiasMitigation",
        "KeyMetrics/Entry",
        "FairnessEquity/Entry",
    ],
)
def test_the_xml_has_the_sections_of_an_applied_model_card(xml: Any, path: str) -> None:
    assert xml.xpath(path)


def test_the_xml_does_not_claim_to_conform(xml: Any) -> None:
    (comment,) = xml.xpath("comment()")
    assert "not held to its schema" in comment.text


def test_markdown_and_xml_have_the_same_titles(sections: Any, markdown: str, xml: Any) -> None:
    titles = [line.lstrip("# ") for line in markdown.splitlines() if line.startswith("##")]
    assert titles == xml.xpath("//@title")


def test_a_card_without_a_run_s_configuration_or_subgroups_is_still_a_card() -> None:
    few = {name: part for name, part in RECORD.items() if name not in ("ratings", "subgroups")}
    assert "Key metrics" in as_markdown(card(few, {}, []))


def test_failures_are_the_turns_on_which_score_and_label_are_furthest_apart(
    tiny_checkpoint: Path, examples: list[Example]
) -> None:
    invented = [ex for ex in examples if not ex.is_real]
    found = find_failures(tiny_checkpoint, invented)
    assert found
    assert {one.session_id for one in found} <= {ex.session.session_id for ex in invented}
    for label in FITTED:
        own = [one for one in found if one.label == label]
        assert len([one for one in own if one.is_labelled]) <= MOST_FAILURES
        flagged = [one.score for one in own if not one.is_labelled]
        assert flagged == sorted(flagged, reverse=True)


def test_a_failure_shows_no_speech_where_it_is_printed() -> None:
    assert "whatever" not in repr(MISSED)


def test_no_text_of_a_real_session_can_stand_in_the_card(
    tiny_checkpoint: Path, examples: list[Example]
) -> None:
    real = [ex for ex in examples if ex.is_real]
    with pytest.raises(ValueError, match="invented"):
        find_failures(tiny_checkpoint, real)

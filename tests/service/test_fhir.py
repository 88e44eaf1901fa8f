"""A session's Bundle is valid FHIR, says who made what, and says nothing that was said."""

import dataclasses
import html
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from detector import Detector, Role, read_transcript
from detector.report import RATINGS
from service.errors import Invalid, NotPermitted
from service.fhir import REPORT_SCHEMA, BundleFacts, bundle
from service.policy import PART2_NOTICE

EXAMPLE = Path(__file__).parents[2] / "examples" / "session.vtt"
CANARY = "zyxcanary"
AT = datetime(2026, 3, 4, 15, 0, tzinfo=UTC)
FACTS = BundleFacts(
    session_id="s-1",
    analysed_at=AT,
    client_ref="c-77",
    session_number=3,
    modality="video",
    started_at=AT - timedelta(hours=2),
    ended_at=AT - timedelta(hours=1),
    card_url="https://clinic.example/v1/models/rules-1/card",
)
PART2 = dataclasses.replace(FACTS, sensitivity="part2", consent_id="consent-9")
CONFIRMED = dataclasses.replace(FACTS, confirmed_by="account-5", confirmed_at=AT + timedelta(1))


@pytest.fixture(scope="module")
def rules_detector() -> Detector:
    return Detector.load("rules")


@pytest.fixture(scope="module")
def report(rules_detector: Detector) -> dict[str, Any]:
    made = rules_detector.analyze(read_transcript(EXAMPLE))
    return dict(json.loads(made.to_json()))


@pytest.fixture(scope="module")
def canary_report(rules_detector: Detector, dialogue: tuple[str, ...]) -> dict[str, Any]:
    """The canary is in every text, name and cue id; a third speaker is abstained from."""
    lines = ["WEBVTT", ""]
    for place, line in enumerate([*dialogue, "O: Sorry, wrong room."]):
        start = f"00:{place // 6:02}:{place % 6 * 10:02}.000"
        end = f"00:{place // 6:02}:{place % 6 * 10 + 6:02}.000"
        lines += [f"{CANARY}-{place}", f"{start} --> {end}"]
        lines += [f"<v {CANARY} {line[0]}>{CANARY}, {line[3:]} {CANARY}.</v>", ""]
    transcript = read_transcript("\n".join(lines).encode(), filename="a.vtt")
    roles = {f"{CANARY} {role.name[0]}": role for role in (Role.THERAPIST, Role.CLIENT, Role.OTHER)}
    made = rules_detector.analyze(transcript, roles=roles)
    return dict(json.loads(made.to_json()))


@pytest.fixture(scope="module")
def silent_report(rules_detector: Detector) -> dict[str, Any]:
    """Every turn is abstained from: it is not English."""
    said = ("Guten Morgen, wie geht es Ihnen heute", "Es geht mir nicht so gut, danke") * 6
    lines = [f"{'TC'[n % 2]}: {text} {n}." for n, text in enumerate(said)]
    transcript = read_transcript("\n".join(lines).encode(), filename="a.txt")
    made = rules_detector.analyze(transcript, therapist="T")
    return dict(json.loads(made.to_json()))


def kinds(made: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    resources = [entry["resource"] for entry in made["entry"]]
    return [one for one in resources if one["resourceType"] == kind]


def segments(made: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in kinds(made, "Observation") if "component" in one]


def codes(resource: dict[str, Any]) -> set[str]:
    return {label["code"] for label in resource["meta"]["security"]}


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def valid(made: dict[str, Any]) -> None:
    """Raises where the Bundle is not R4B. What went in comes out: nothing was passed over."""
    from fhir.resources.R4B.bundle import Bundle

    read = Bundle.model_validate_json(json.dumps(made))
    assert json.loads(read.model_dump_json()) == made


@pytest.mark.parametrize(
    "about",
    [FACTS, PART2, CONFIRMED, BundleFacts("s", AT)],
    ids=["all known", "part 2", "confirmed", "nothing known"],
)
def test_a_bundle_is_valid_r4b_and_its_validation_changes_nothing(
    report: dict[str, Any], about: BundleFacts
) -> None:
    valid(bundle(report, about))


def test_bundles_of_abstained_and_odd_sessions_are_valid(
    canary_report: dict[str, Any], silent_report: dict[str, Any]
) -> None:
    valid(bundle(canary_report, PART2))
    valid(bundle(silent_report, FACTS))


def test_the_validator_would_see_a_mistake(report: dict[str, Any]) -> None:
    made = bundle(report, FACTS)
    kinds(made, "Observation")[0]["status"] = ["not a code"]
    with pytest.raises(ValueError, match="status"):
        valid(made)


def test_nothing_that_was_said_or_who_said_it_is_in_the_bundle(
    canary_report: dict[str, Any],
) -> None:
    assert json.dumps(canary_report).count(CANARY) > 40
    for about in (FACTS, PART2, CONFIRMED):
        assert CANARY not in json.dumps(bundle(canary_report, about))


def test_no_string_of_the_bundle_is_a_turns_text_or_a_speakers_name(
    report: dict[str, Any],
) -> None:
    said = {turn["text"] for turn in report["turns"]} | set(report["roles"]["assigned"])
    assert len(said) > 30
    everything = "\n".join(strings(bundle(report, CONFIRMED)))
    assert [text for text in said if text in everything] == []


def test_the_session_is_virtual_where_the_modality_says_so(report: dict[str, Any]) -> None:
    found = {
        modality: kinds(bundle(report, dataclasses.replace(FACTS, modality=modality)), "Encounter")
        for modality in ("video", "phone", "chat", "in_person", None)
    }
    assert [one[0]["class"]["code"] for one in found.values()] == ["VR", "VR", "VR", "AMB", "UNK"]


@pytest.mark.parametrize(
    ("attendance", "status"),
    [(None, "finished"), ("late", "finished"), ("no_show", "cancelled"), ("cancelled",) * 2],
)
def test_the_encounters_status_follows_attendance(
    report: dict[str, Any], attendance: str | None, status: str
) -> None:
    changed = {**report, "session": {**report["session"], "attendance": attendance}}
    [encounter] = kinds(bundle(changed, FACTS), "Encounter")
    assert encounter["status"] == status
    assert (attendance is not None) == ("urn:rupture:fhir:attendance" in json.dumps(encounter))


def test_every_score_of_a_segment_is_a_component(report: dict[str, Any]) -> None:
    made = segments(bundle(report, FACTS))
    assert len(made) == len(report["segments"]) > 0
    for observation, segment in zip(made, report["segments"], strict=True):
        values = {
            part["code"]["coding"][0]["code"]: part["valueQuantity"]["value"]
            for part in observation["component"]
        }
        expected = {f"{name}-chance": score for name, score in segment["scores"].items()}
        expected |= {f"{k}-significance": v for k, v in segment["significance"].items()}
        assert values == expected


def test_the_session_has_one_observation_for_each_of_its_four_ratings(
    report: dict[str, Any],
) -> None:
    made = [one for one in kinds(bundle(report, FACTS), "Observation") if "component" not in one]
    assert {one["code"]["coding"][0]["code"]: one["valueQuantity"]["value"] for one in made} == {
        f"{name}-session": report["session"][name] for name in RATINGS
    }


def test_what_was_abstained_from_has_a_reason_and_no_value(silent_report: dict[str, Any]) -> None:
    made = kinds(bundle(silent_report, FACTS), "Observation")
    assert len(made) == len(silent_report["segments"]) + len(RATINGS)
    for observation in made:
        assert "valueQuantity" not in json.dumps(observation)
        reason = observation["dataAbsentReason"]
        assert reason["coding"][0]["code"] == "not-performed"
        assert "12 of 12 turns were abstained from" in reason["text"]
        assert all("dataAbsentReason" in part for part in observation.get("component", ()))


def test_a_segment_that_is_heard_in_part_keeps_what_was_heard(
    canary_report: dict[str, Any],
) -> None:
    part = json.loads(json.dumps(canary_report))
    part["segments"][0]["scores"]["resolution"] = None
    [observation] = segments(bundle(part, FACTS))
    assert "dataAbsentReason" not in observation
    by_code = {one["code"]["coding"][0]["code"]: one for one in observation["component"]}
    assert "dataAbsentReason" in by_code["resolution-chance"]
    assert "1 of 13" in by_code["resolution-chance"]["dataAbsentReason"]["text"]
    assert "valueQuantity" in by_code["withdrawal-chance"]


def test_markers_have_their_places_and_not_their_words(report: dict[str, Any]) -> None:
    found = [
        {part["url"].rpartition(":")[2]: value for part in one["extension"]
         for key, value in part.items() if key != "url"}
        for observation in segments(bundle(report, FACTS))
        for one in observation["extension"] if one["url"] == "urn:rupture:fhir:marker"
    ]  # fmt: skip
    expected = [
        (turn["index"], marker["marker"], span["start"], span["end"])
        for turn in report["turns"] for marker in turn["markers"] for span in marker["spans"]
    ]  # fmt: skip
    spanned = [one for one in found if "start" in one]
    assert len(expected) > 0
    assert sorted(expected) == sorted(
        (one["turn"], one["marker"], one["start"], one["end"]) for one in spanned
    )


def test_observations_point_at_encounter_transcript_and_model(report: dict[str, Any]) -> None:
    made = bundle(report, FACTS)
    there = {entry["fullUrl"]: entry["resource"] for entry in made["entry"]}
    assert len(there) == len(made["entry"])
    for observation in kinds(made, "Observation"):
        assert there[observation["encounter"]["reference"]]["resourceType"] == "Encounter"
        [source] = observation["derivedFrom"]
        assert "masterIdentifier" in there[source["reference"]]
        assert there[observation["device"]["reference"]]["resourceType"] == "Device"
        assert observation["method"]["text"].startswith("Codebook 1.")
        assert observation["subject"]["identifier"]["value"] == "c-77"


def test_every_reference_in_the_bundle_is_answered_in_it(report: dict[str, Any]) -> None:
    made = bundle(report, CONFIRMED)
    there = {entry["fullUrl"] for entry in made["entry"]}
    assert {text for text in strings(made) if text.startswith("urn:uuid:")} == there


def test_the_transcript_is_known_by_its_hash_and_its_text_is_withheld(
    report: dict[str, Any],
) -> None:
    [transcript] = [
        one for one in kinds(bundle(report, FACTS), "DocumentReference") if "context" in one
    ]
    wanted = report["provenance"]["transcript_sha256"]
    assert transcript["masterIdentifier"]["value"] == wanted
    [content] = transcript["content"]
    assert set(content["attachment"]) == {"_url"}
    assert content["attachment"]["_url"]["extension"][0]["valueCode"] == "masked"


def test_the_model_refers_to_its_card(report: dict[str, Any]) -> None:
    made = bundle(report, FACTS)
    [device] = kinds(made, "Device")
    there = {entry["fullUrl"]: entry["resource"] for entry in made["entry"]}
    card = there[device["extension"][0]["valueReference"]["reference"]]
    assert card["content"][0]["attachment"]["url"] == FACTS.card_url
    assert device["identifier"][0]["value"] == report["provenance"]["checkpoint_sha256"]


def test_what_the_model_made_is_labelled_and_what_it_did_not_make_is_not(
    report: dict[str, Any],
) -> None:
    for entry in bundle(report, CONFIRMED)["entry"]:
        resource = entry["resource"]
        labelled = "AIAST" in json.dumps(resource.get("meta", {}))
        by_model = resource["resourceType"] == "Observation" or "reason" in resource
        assert labelled == by_model


def test_provenance_names_the_model_its_source_and_every_observation(
    report: dict[str, Any],
) -> None:
    made = bundle(report, FACTS)
    [provenance] = kinds(made, "Provenance")
    observed = {f"urn:uuid:{one['id']}" for one in kinds(made, "Observation")}
    assert {one["reference"] for one in provenance["target"]} == observed
    there = {entry["fullUrl"]: entry["resource"] for entry in made["entry"]}
    [agent] = provenance["agent"]
    assert there[agent["who"]["reference"]]["resourceType"] == "Device"
    what = {one["role"]: there[one["what"]["reference"]] for one in provenance["entity"]}
    assert "masterIdentifier" in what["source"]
    assert what["derivation"]["type"]["coding"][0]["code"] == "AIModelCard"


def test_observations_are_preliminary_until_a_clinician_confirmed(report: dict[str, Any]) -> None:
    before, after = bundle(report, FACTS), bundle(report, CONFIRMED)
    assert {one["status"] for one in kinds(before, "Observation")} == {"preliminary"}
    assert {one["status"] for one in kinds(after, "Observation")} == {"final"}
    verifier = kinds(after, "Provenance")[1]
    assert verifier["agent"][0]["type"]["coding"][0]["code"] == "verifier"
    assert verifier["agent"][0]["who"]["identifier"]["value"] == "account-5"
    assert [one["id"] for one in kinds(before, "Observation")] == [
        one["id"] for one in kinds(after, "Observation")
    ]


def test_part_2_labels_and_the_notice_are_on_every_resource_of_the_session(
    report: dict[str, Any],
) -> None:
    made = bundle(report, PART2)
    about_client = [entry["resource"] for entry in made["entry"] if "meta" in entry["resource"]]
    assert {"R", "42CFRPart2", "NORDSCLCD"} <= codes(made)
    assert len(about_client) == len(made["entry"]) - 2  # all but the model and its card
    for resource in about_client:
        assert {"R", "42CFRPart2", "NORDSCLCD"} <= codes(resource)
        assert html.escape(PART2_NOTICE) in resource["text"]["div"]
    assert "consent-9" in json.dumps(kinds(made, "Provenance"))


def test_the_notices_of_the_policys_decision_stand_in_place_of_our_own(
    report: dict[str, Any],
) -> None:
    told = ("Counsel's <own> words & more.", "A second one.")
    made = bundle(report, dataclasses.replace(PART2, notices=told))
    valid(made)
    [encounter] = kinds(made, "Encounter")
    wanted = "".join(f"<p>{html.escape(one)}</p>" for one in told)
    assert encounter["text"]["div"] == f'<div xmlns="http://www.w3.org/1999/xhtml">{wanted}</div>'


def test_an_ordinary_session_is_restricted_and_has_no_part_2_notice(
    report: dict[str, Any],
) -> None:
    made = bundle(report, FACTS)
    assert codes(made) == {"R"}
    assert not any("text" in entry["resource"] for entry in made["entry"])
    assert "42CFRPart2" not in json.dumps(made)


def test_part_2_does_not_leave_without_a_consent(report: dict[str, Any]) -> None:
    for consent in (None, ""):
        with pytest.raises(NotPermitted) as caught:
            bundle(report, dataclasses.replace(PART2, consent_id=consent))
        assert caught.value.code == "part2_consent_required"


def test_there_is_never_a_risk_assessment(report: dict[str, Any]) -> None:
    assert kinds(bundle(report, CONFIRMED), "RiskAssessment") == []


def test_the_same_report_gives_the_same_bytes_whatever_zone_the_times_are_in(
    report: dict[str, Any],
) -> None:
    east = timezone(timedelta(hours=9))
    moved = dataclasses.replace(
        FACTS,
        analysed_at=FACTS.analysed_at.astimezone(east),
        started_at=(FACTS.started_at or AT).astimezone(east),
    )
    once = json.dumps(bundle(json.loads(json.dumps(report)), FACTS))
    assert json.dumps(bundle(report, moved)) == once


def test_a_second_reading_stands_beside_the_first_and_shares_the_session(
    report: dict[str, Any],
) -> None:
    again = {
        **report,
        "provenance": {**report["provenance"], "checkpoint": "n", "checkpoint_sha256": "f" * 64},
    }
    ids = [{one["id"] for one in kinds(bundle(r, FACTS), "Observation")} for r in (report, again)]
    assert ids[0].isdisjoint(ids[1])
    [[first], [second]] = [kinds(bundle(r, FACTS), "Encounter") for r in (report, again)]
    assert first["id"] == second["id"]


def test_two_sessions_share_the_model_and_nothing_else(report: dict[str, Any]) -> None:
    other = dataclasses.replace(FACTS, session_id="s-2")
    one, two = (
        {entry["fullUrl"]: entry["resource"]["resourceType"] for entry in made["entry"]}
        for made in (bundle(report, FACTS), bundle(report, other))
    )
    assert sorted(one[url] for url in one.keys() & two.keys()) == ["Device", "DocumentReference"]


def test_making_a_bundle_does_not_change_the_report(report: dict[str, Any]) -> None:
    before = json.dumps(report)
    bundle(report, PART2)
    assert json.dumps(report) == before


def test_the_form_of_report_read_here_is_the_detectors() -> None:
    from detector.report import SCHEMA

    assert REPORT_SCHEMA == SCHEMA


@pytest.mark.parametrize(
    "broken", [{}, {"schema": REPORT_SCHEMA}, {"schema": "rupture-report/2"}, {"error": "x"}]
)
def test_what_is_no_report_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        bundle(broken, FACTS)
    assert caught.value.code == "unknown_report"


@pytest.mark.parametrize(
    ("changed", "pointer", "code"),
    [
        ({"sensitivity": "part 2"}, "/sensitivity", "unknown"),
        ({"modality": "hologram"}, "/modality", "unknown"),
        ({"session_number": 0}, "/session_number", "too_small"),
        ({"analysed_at": datetime(2026, 3, 4)}, "/analysed_at", "no_zone"),
        ({"ended_at": AT - timedelta(hours=3)}, "/ended_at", "ends_before_start"),
        ({"confirmed_by": "account-5"}, "/confirmed_at", "half_confirmed"),
        ({"confirmed_at": AT}, "/confirmed_at", "half_confirmed"),
    ],
)
def test_facts_that_contradict_themselves_are_refused_with_their_place(
    report: dict[str, Any], changed: dict[str, Any], pointer: str, code: str
) -> None:
    with pytest.raises(Invalid) as caught:
        bundle(report, dataclasses.replace(FACTS, **changed))
    assert [(fault.pointer, fault.code) for fault in caught.value.errors] == [(pointer, code)]


def test_the_clients_reference_is_in_no_repr() -> None:
    assert "c-77" not in repr(FACTS)

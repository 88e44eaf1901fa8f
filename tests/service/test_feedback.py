"""What people said of moments teaches what they said, and nothing more; training reads it."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detector import Detector, read_transcript
from detector.report import Report
from detector.transcript import Role
from service import export, tables
from service.deeds import Actor
from service.feedback import Label, labels
from service.judgements import NO_REPAIR, Review, judge

EXAMPLE = Path(__file__).parents[2] / "examples" / "session.vtt"
AT = "2026-03-02T09:00:00+00:00"


@pytest.fixture(scope="module")
def report(rules_detector: Detector) -> Report:
    return rules_detector.analyze(read_transcript(EXAMPLE.read_bytes()), therapist="Dr. Rivera")


def said(report: Report, *judgements: tuple[str, dict[str, Any]]) -> dict[int, Label]:
    review = Review()
    for item, given in judgements:
        review = judge(review, report, item, given, by="ada", at=AT)
    return labels(report, review)


def strain_of(report: Report) -> list[int]:
    """The client's turns of the first moment."""
    return [n for n in report.moments[0].turn_indexes if report.turns[n].role is Role.CLIENT]


def test_what_is_agreed_teaches_the_tools_marker_and_what_was_changed_the_new_one(
    report: Report,
) -> None:
    as_marked = said(report, ("moment-1", {"verdict": "agree"}))
    assert as_marked
    assert set(as_marked) <= set(strain_of(report))
    for index, label in as_marked.items():
        named = {one.marker for one in report.turns[index].markers}
        assert label.markers
        assert set(label.markers) <= named
        assert (label.intensity, label.sure) == (1, True)
    changed = {"verdict": "agree", "marker": "denial", "pillar": "bond", "intensity": 5}
    found = said(report, ("moment-1", changed))
    assert found == dict.fromkeys(strain_of(report), Label(("denial",), 3, "bond"))


def test_what_is_disagreed_with_teaches_that_there_is_nothing(report: Report) -> None:
    found = said(report, ("moment-1", {"verdict": "disagree"}))
    assert found == dict.fromkeys(strain_of(report), Label())


@pytest.mark.parametrize("given", [{"verdict": "unsure"}, {"intensity": 3}, {"marker": "denial"}])
def test_without_a_clear_verdict_nothing_is_taught(report: Report, given: dict[str, Any]) -> None:
    assert said(report, ("moment-1", given)) == {}


def test_a_moment_that_was_added_teaches_the_marker_it_was_given(report: Report) -> None:
    index = next(turn.index for turn in report.turns if turn.role is Role.CLIENT)
    item = f"turn-{index}"
    assert said(report, (item, {"verdict": "agree"})) == {}
    added = said(report, (item, {"verdict": "agree", "marker": "denial"}))
    assert added == {index: Label(("denial",), 1)}


def test_a_repair_that_was_linked_teaches_its_strategies_and_one_taken_out_none(
    report: Report,
) -> None:
    (number, moment) = next(
        (n, one) for n, one in enumerate(report.moments, 1) if one.repair_turn_indexes
    )
    own = moment.repair_turn_indexes
    index = next(n for n in own if report.turns[n].markers)
    linked = said(report, (f"moment-{number}", {"verdict": "agree", "repair": index}))
    assert set(linked[index].markers) <= {one.marker for one in report.turns[index].markers}
    none = said(report, (f"moment-{number}", {"verdict": "agree", "repair": NO_REPAIR}))
    assert {n: none[n] for n in own} == dict.fromkeys(own, Label(sure=False))


# -- from the review page to a network ---------------------------------------------------------


TALK = (
    "Dr. Umbra: How have you been feeling about the work?",
    "Lux: We went to the lake on Sunday, and it rained.",
    "Dr. Umbra: You have to do the exercises every evening, as I said.",
    "Lux: You're not listening to me. You never listen.",
    "Dr. Umbra: I'm sorry. I think I pushed you too hard.",
    "Lux: It is a relief to tell you.",
)


def whole(number: int) -> str:
    """An invented session with every label, without which nothing is trained."""
    lines = (
        ("client", "Fine, I guess.", "minimal_response"),
        ("therapist", "You have to do the exercises.", "contributes"),
        ("client", "You are not listening to me.", "complaint_therapist"),
        ("therapist", "I am sorry, I pushed you.", "acknowledges_contribution"),
        ("client", "I felt hurt when you said it.", "repair_disclosure"),
    )
    turns = [
        {"role": role, "text": f"{text} {number}", "markers": [marker]}
        for role, text, marker in lines
    ]
    return json.dumps({"session_id": f"w{number}", "client": f"w{number}", "turns": turns})


def reviewed(desk: Any, client: str, number: int, consent: Any) -> str:
    """A scored session whose first moment somebody agreed with, on the page."""
    talk = (*TALK, f"Lux: It has been {number + 2} weeks.")
    session_id = desk.front.scored(
        client=client, transcript="\n".join(talk), therapist="Dr. Umbra", consent=consent
    )
    client_id = desk.house.client_id(desk.front.tenant_id, client)
    with desk.house.store.transaction(desk.front.tenant_id) as tx:
        tx.add(
            tables.care,
            id=f"car_{number}",
            client_id=client_id,
            person_id=desk.ids["ada"],
            role="clinician",
            given_by="test",
            created_at=desk.clock(),
        )
    return str(session_id)


def test_from_the_review_page_to_training_with_the_consents_yes_alone(
    desk: Any,
    make_consent: Callable[..., Any],
    tmp_path: Path,
    tiny_checkpoint: Path,
    make_spec: Callable[..., Any],
    make_model: Callable[..., Any],
) -> None:
    sources = pytest.importorskip(
        "training.sources",
        reason="THE REVIEWS WERE NOT READ BY TRAINING: datasets is not here",
        exc_type=ImportError,
    )
    desk.person("ada")
    browser = desk.signed_in("ada")
    of = desk.house
    names = [f"client-{n}-long" for n in range(99)]
    kept = [
        name
        for name in names
        if export.split_of(of.client_id(desk.front.tenant_id, name)) == "train"
    ][:3]
    for number, name in enumerate(kept):
        scopes = {"analyse": True, "human_review": True, "train": number < 2}
        consent = make_consent(id=f"con-{number}", scopes=scopes)
        session_id = reviewed(desk, name, number, consent)
        with of.store.system() as tx:
            [row] = tx.select(tables.reports, tables.reports.c.session_id == session_id)
        answer = browser.patch(
            f"/review/sessions/{session_id}/review/{row['id']}",
            json={"report": row["id"], "given": {"item": "moment-1", "verdict": "agree"}},
            headers={
                "Accept": "application/json",
                "X-CSRF-Token": desk.csrf(browser),
                "If-Match": '"0"',
            },
        )
        assert answer.is_success, answer.text
    made = export.export_sessions(of, Actor(desk.front.tenant_id), "train", tmp_path / "out")
    assert (made.n_sessions, dict(made.left_out)) == (2, {"not_in_scope": 1})
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    assert manifest["labelled"]
    assert "no blind coding" in manifest["labels"]
    out = str(tmp_path / "out" / "export.jsonl")
    read = sources.load_sessions(sources.DataConfig(False, "", False, exports=(out,)))
    assert len(read) == 2
    for one in read:
        coded = [label for label in one.labels.values() if label.coded]
        assert coded
        assert len(coded) < len(one.labels)
        assert all(label.markers for label in coded)
        assert desk.ids["ada"] not in repr(one)
    beside = tmp_path / "whole.jsonl"
    beside.write_text("\n".join(map(whole, range(4))), "utf-8")
    tokenizer = tiny_checkpoint / "tokenizer.json"
    _trains_on((out, str(beside)), tmp_path, tokenizer, make_model(make_spec()))


def _trains_on(exports: tuple[str, ...], folder: Path, tokenizer: Path, model: Any) -> None:
    """A tiny `rupture train` comes to its end, and every session has its logits."""
    from safetensors.numpy import load_file

    from training.config import TrainConfig
    from training.train import train

    base = folder / "base"
    model.encoder.base.save_pretrained(base)
    shutil.copy(tokenizer, base)
    plain = TrainConfig(n_folds=2)
    changed = {
        "data": {"annomi": False, "synthetic": False, "exports": exports},
        "encoder": {"max_tokens": 48, "context_tokens": 8, "frozen_layers": 1},
        "network": {"session_size": 8, "feature_size": 4, "n_members": 1},
        "schedule": {"pretrain_epochs": 0, "epochs": 1, "bf16": False},
    }
    sections = {
        name: dataclasses.replace(getattr(plain, name), **of) for name, of in changed.items()
    }
    train(dataclasses.replace(plain, **sections), folder / "run", base=str(base))
    scored = load_file(folder / "run" / "predictions.safetensors")
    lines = [line for path in exports for line in Path(path).read_text("utf-8").splitlines()]
    written = {json.loads(line)["session_id"] for line in lines}
    assert {name.split("/")[0] for name in scored} == written

"""A report with tags in the place of names, for a researcher whom the client agreed to.

The names go as `service.pseudonyms` takes them out: by rules that miss some. Nothing of the map
back is kept.
"""

import dataclasses
from typing import Any

from detector import Transcript
from detector.errors import DetectorError
from detector.report import Report, Span, TurnReport
from service import tables
from service.deeds import Actor
from service.endings import is_quoting
from service.errors import Gone
from service.pseudonyms import ExportKey, HeldApart, pseudonymise
from service.records import Records, as_scored


def transcript_of(records: Records, actor: Actor, session_id: str) -> Transcript:
    """A session's transcript with its roles, as it was said.

    Raises: NotFound. Gone: the text was erased, or can no longer be read.
    """
    with records.house.store.transaction(actor.tenant_id) as tx:
        row = tx.get(tables.sessions, session_id)
        data, options = records.read_for_scoring(tx, row)
    try:
        return as_scored(data, options)
    except DetectorError:
        raise Gone("the transcript can no longer be read") from None


def with_tags(records: Records, actor: Actor, session_id: str) -> tuple[Transcript, HeldApart]:
    """A session's transcript with tags for names, and what leads back, which goes nowhere.

    Raises: NotFound. Gone: the text was erased, or can no longer be read.
    """
    transcript = transcript_of(records, actor, session_id)
    client_id = records.session(actor, session_id)["client_id"]
    made, held = pseudonymise(transcript, client=client_id, session=session_id, key=ExportKey.new())
    return made.transcript, held


def pseudonymised(records: Records, actor: Actor, session_id: str, report: Report) -> Report:
    """The report as a researcher reads it: tags for names, no speaker's label, no word as evidence.

    Raises: Gone: the text was erased, or can no longer be read as it was.
    """
    transcript, held = with_tags(records, actor, session_id)
    said = {turn.index: turn.text for turn in transcript.turns}
    if len(said) != len(report.turns):
        raise Gone("the transcript is read otherwise than when it was scored")
    turns = tuple(_turn(turn, said[turn.index], held) for turn in report.turns)
    strengths = tuple(
        dataclasses.replace(one, spans=_moved(one.spans, one.turn_index, held))
        for one in report.strengths
    )
    named = {role.value: role for role in report.roles.assigned.values()}
    assigned = dataclasses.replace(report.roles, assigned=named)
    # Its hash would link this to every other place that has it, and notes may name somebody.
    made_by = dataclasses.replace(report.provenance, transcript_sha256="")
    parts: dict[str, Any] = {"turns": turns, "strengths": strengths, "roles": assigned}
    return dataclasses.replace(report, **parts, notes=(), provenance=made_by)


def _turn(turn: TurnReport, text: str, held: HeldApart) -> TurnReport:
    markers = tuple(
        dataclasses.replace(one, spans=_moved(one.spans, turn.index, held)) for one in turn.markers
    )
    evidence = tuple(one for one in turn.evidence if not is_quoting(one.feature))
    return dataclasses.replace(
        turn, text=text, speaker=None, cue_ids=(), markers=markers, evidence=evidence
    )


def _moved(spans: Any, turn_index: int, held: HeldApart) -> tuple[Span, ...]:
    return tuple(Span(*held.place(turn_index, one.start, one.end)) for one in spans)

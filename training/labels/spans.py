"""doccano and Prodigy: a session is one text, a mark is a stretch of it.

The text has a line a turn, `client: …`; a mark is the whole line. A record is one coder's coding
of one session and says whose, and where the turns stand, in keys of our own, which both tools
hand back. doccano keeps only code and stretch; Prodigy keeps what is said of a mark beside it.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from detector.annotation import SEEN, STAGES, Annotation, Labels, known_codes
from detector.codebook import load_codebook
from detector.errors import AnnotationError
from detector.transcript import Transcript
from training.labels.codings import (
    DETAILS,
    SHARED,
    Coding,
    context_of,
    details_of,
    shared_of,
    transcript_of,
    whole_codings,
)
from training.labels.long import json_object, text_of
from training.labels.records import made

Found = Iterator[tuple[Annotation, str]]
_CONTEXT = ("turn_id", "start_ms", "end_ms", "speaker_role")


def write_doccano(
    labels: Labels, path: Path, transcripts: Mapping[str, Transcript]
) -> tuple[str, ...]:
    """Writes one record a coding, `label` as [start, end, code]. Returns: what is not carried."""
    codings, lost = whole_codings(labels)
    return _write(codings, lost, path, transcripts, _doccano)


def write_prodigy(
    labels: Labels, path: Path, transcripts: Mapping[str, Transcript]
) -> tuple[str, ...]:
    """Writes one record a coding, `spans` with their label. Returns: what is not carried."""
    codings, lost = whole_codings(labels, details=DETAILS)
    return _write(codings, lost, path, transcripts, _prodigy)


def _write(
    codings: Sequence[Coding],
    lost: tuple[str, ...],
    path: Path,
    transcripts: Mapping[str, Transcript],
    record: Any,
) -> tuple[str, ...]:
    lines = []
    for coding in codings:
        transcript = transcript_of(transcripts, coding.session_id)
        text, places = document_of(transcript)
        turns = [
            {"start": start, "end": end, **context_of(turn)}
            for (start, end), turn in zip(places, transcript, strict=True)
        ]
        meta = {
            "session_id": coding.session_id,
            "coder": coding.seen.coder,
            "pass": coding.seen.stage,
            "lead_time_s": coding.seen.lead_time_s,
            **shared_of(coding.seen),
            "turns": turns,
        }
        said = {"text": text, **record(coding, places), **meta}
        lines.append(json.dumps(said, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8", newline="\n")
    return lost


def document_of(transcript: Transcript) -> tuple[str, list[tuple[int, int]]]:
    """A session as one text, and where each turn's line stands in it, `[start, end)`."""
    lines = [f"{turn.role}: {' '.join(turn.text.splitlines())}" for turn in transcript]
    places, start = [], 0
    for line in lines:
        places.append((start, start + len(line)))
        start += len(line) + 1
    return "\n".join(lines), places


def _doccano(coding: Coding, places: Sequence[tuple[int, int]]) -> dict[str, Any]:
    return {"label": [[*places[one.unit_index], one.code] for one in coding.marks]}


def _prodigy(coding: Coding, places: Sequence[tuple[int, int]]) -> dict[str, Any]:
    spans = []
    for one in coding.marks:
        start, end = places[one.unit_index]
        details = dict(details_of(one, DETAILS))
        spans.append({"start": start, "end": end, "label": one.code, **details})
    return {"spans": spans, "answer": "accept", "_annotator_id": coding.seen.coder}


def read_doccano(path: Path) -> Labels:
    """What coders said in a doccano file of JSON lines.

    Raises: AnnotationError: a record is not of that form or has an unknown label; by its line.
    """
    return _read(path, lambda record: record["label"])


def read_prodigy(path: Path) -> Labels:
    """What coders said in a Prodigy file of JSON lines; what was not accepted is not seen.

    Raises: AnnotationError: a record is not of that form or has an unknown label; by its line.
    """
    return _read(path, _spans_of)


def _spans_of(record: Mapping[str, Any]) -> list[tuple[int, int, str, Mapping[str, Any]]] | None:
    if record.get("answer", "accept") != "accept":
        return None
    return [
        (one["start"], one["end"], one["label"], {n: one[n] for n in DETAILS if n in one})
        for one in record.get("spans", [])
    ]


def _read(path: Path, spans_of: Any) -> Labels:
    found: list[tuple[Annotation, str]] = []
    skipped: Counter[str] = Counter()
    for number, line in enumerate(text_of(path).split("\n"), start=1):
        if line.strip():
            where = f"{path.name}, line {number}"
            record = json_object(line, where)
            try:
                found += _read_record(record, spans_of(record), where, skipped)
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                # The value at fault may be what was said, so only the kind of error is told.
                raise AnnotationError(
                    f"not a coding as this tool writes it of our tasks ({type(error).__name__}); "
                    "session_id, coder and turns are needed",
                    where=where,
                ) from None
    notes = tuple(f"{path.name}: {what}: {n}" for what, n in skipped.items())
    return Labels(tuple(one for one, _ in found), tuple(at for _, at in found), notes=notes)


def _read_record(record: Mapping[str, Any], spans: Any, where: str, skipped: Counter[str]) -> Found:
    if spans is None:
        skipped["not accepted by their coder, and so not seen"] += 1
        return
    turns = [(int(one["start"]), int(one["end"]), one) for one in record["turns"]]
    coder = record.get("_annotator_id") or record["coder"]
    head = {
        "session_id": str(record["session_id"]),
        "coder": str(coder),
        "stage": str(record.get("pass", STAGES[0])),
        **{name: str(record[name]) for name in SHARED if record.get(name)},
    }
    lead = record.get("lead_time_s")
    seen = {"unit_type": "session", "unit_index": 0, "code": SEEN, "value": 1}
    yield made({**head, **seen, "lead_time_s": None if lead is None else float(lead)}, where), where
    marked: dict[tuple[int, str], dict[str, Any]] = {}
    for start, end, code, *details in spans:
        if code not in known_codes(load_codebook()):
            raise AnnotationError("a label that the codebook does not have", where=where)
        held = [i for i, (first, last, _) in enumerate(turns) if first < end and start < last]
        if not held:
            raise AnnotationError("a label outside every turn", where=where)
        if (start, end) != turns[held[0]][:2]:
            skipped["stretches other than one turn: each turn they touch has the code"] += 1
        for index in held:
            marked.setdefault((index, code), {}).update(*details)
    for (index, code), own in marked.items():
        unit = {"unit_type": "turn", "unit_index": index, "code": code, "value": 1}
        context = {name: turns[index][2][name] for name in _CONTEXT}
        yield made({**head, **unit, **context, **own}, where), where

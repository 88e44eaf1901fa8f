"""Label Studio: a session is a task, a turn a paragraph, a coder's marks an annotation.

What Label Studio has no place for stands in controls of its own: the coder's pseudonym and pass
in fields of the whole task, intensity, pillar and the like by region. `CONFIG` shows them all. A
model's marks are predictions, with their score by region. Speakers' names are never written.

Read are also exports of other projects with paragraph labels: `start` and `end` as text or
number, `completed_by` as number or object (its e-mail is not kept), regions over several turns,
authors by name where `data.roles` says what each is. Training reads the tasks with what was said.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from detector.annotation import CODED_KINDS, SEEN, STAGES, Annotation, Labels, known_codes
from detector.codebook import PILLARS, load_codebook
from detector.errors import AnnotationError
from detector.report import RATINGS
from detector.transcript import Role, Transcript, Turn
from training.labels.codings import (
    DETAILS,
    SHARED,
    Coding,
    by_session,
    details_of,
    milliseconds,
    shared_of,
    transcript_of,
    whole_codings,
)
from training.labels.long import text_of
from training.labels.records import made
from training.labels.voices import joined

_REGION = {"start", "end", "startOffset", "endOffset"}
_NUMBERS = {"intensity": "intensity", "mended": "resolution"}
"""Controls by region that hold a number. `resolution` alone is the session's rating."""

_CHOSEN = ("pillar", "sure")


def config() -> str:
    """The labelling interface that these tasks are made for, with the codebook's markers."""
    markers = load_codebook().markers
    coded = [markers[code] for code in load_codebook().of_kind(*CODED_KINDS)]
    labels = "\n".join(
        f"      <Label value={quoteattr(one.id)} hint={quoteattr(one.definition)}/>"
        for one in coded
    )
    ratings = "\n".join(
        f'  <Header value="{name}, the whole session, 1 to 5"/>\n'
        f'  <Rating name="{name}" toName="dialogue" maxRating="5"/>'
        for name in RATINGS
    )
    choices = "\n".join(
        f'  <Choices name="{name}" toName="dialogue" perRegion="true" choice="single">'
        + "".join(f'<Choice value="{value}"/>' for value in values)
        + "</Choices>"
        for name, values in (("pillar", PILLARS), ("sure", ("yes", "no")))
    )
    numbers = "\n".join(
        f'  <Rating name="{name}" toName="dialogue" perRegion="true" maxRating="5"/>'
        for name in _NUMBERS
    )
    stages = "".join(f'<Choice value="{stage}"/>' for stage in STAGES)
    return f"""<View>
  <ParagraphLabels name="label" toName="dialogue">
{labels}
  </ParagraphLabels>
  <Paragraphs name="dialogue" value="$dialogue" layout="dialogue" nameKey="author" textKey="text"/>
{numbers}
{choices}
{ratings}
  <TextArea name="coder" toName="dialogue" placeholder="your pseudonym" maxSubmissions="1"/>
  <Choices name="pass" toName="dialogue" choice="single">{stages}</Choices>
</View>
"""


def write_tasks(
    labels: Labels, path: Path, transcripts: Mapping[str, Transcript]
) -> tuple[str, ...]:
    """Writes one task a session. Returns: what is not carried.

    Raises: AnnotationError: no transcript of a session, or not whole codings.
    """
    codings, lost = whole_codings(labels, details=DETAILS, ratings=True)
    tasks = [
        task_of(transcript_of(transcripts, session_id), session_id, own)
        for session_id, own in by_session(codings).items()
    ]
    path.write_text(json.dumps(tasks, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return lost


def task_of(transcript: Transcript, session_id: str, codings: Sequence[Coding]) -> dict[str, Any]:
    """A session as a task, with what coders and models said of it."""
    data = {
        "session_id": session_id,
        **(shared_of(codings[0].seen) if codings else {}),
        "dialogue": [_paragraph(turn) for turn in transcript],
    }
    annotations, predictions = [], []
    for number, coding in enumerate(codings):
        result = list(_result(coding, number, transcript.turns))
        if coding.seen.stage == "model":
            predictions.append({"model_version": coding.seen.coder, "result": result})
        else:
            lead = coding.seen.lead_time_s
            own = {"was_cancelled": False, "lead_time": lead, "result": result}
            annotations.append(own)
    return {"data": data, "annotations": annotations, "predictions": predictions}


def _paragraph(turn: Turn) -> dict[str, Any]:
    said = {"author": str(turn.role), "text": turn.text, "turn_id": turn.cue_ids[0]}
    times = {"start": turn.start_s, "end": turn.end_s}
    return said | {name: value for name, value in times.items() if value is not None}


def _result(coding: Coding, number: int, turns: Sequence[Turn]) -> Iterator[dict[str, Any]]:
    yield _control(f"a{number}-coder", "coder", "textarea", {"text": [coding.seen.coder]})
    yield _control(f"a{number}-pass", "pass", "choices", {"choices": [coding.seen.stage]})
    for one in coding.ratings:
        yield _control(f"a{number}-{one.code}", one.code, "rating", {"rating": one.value})
    for place, one in enumerate(coding.marks):
        region = f"a{number}-r{place}"
        length = len(turns[one.unit_index].text)
        # The editor itself writes the paragraphs' numbers as text.
        at = {"start": str(one.unit_index), "end": str(one.unit_index)}
        at |= {"startOffset": 0, "endOffset": length}  # type: ignore[dict-item]
        mark = _control(region, "label", "paragraphlabels", {**at, "paragraphlabels": [one.code]})
        yield mark | ({} if one.confidence is None else {"score": one.confidence})
        for control, detail in _NUMBERS.items():
            if (value := getattr(one, detail)) is not None:
                yield _control(region, control, "rating", {**at, "rating": value})
        for name, value in details_of(one, _CHOSEN):
            chosen = {True: "yes", False: "no"}.get(value, value)
            yield _control(region, name, "choices", {**at, "choices": [chosen]})


def _control(id_: str, name: str, type_: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": id_,
        "from_name": name,
        "to_name": "dialogue",
        "type": type_,
        "origin": "manual",
        "value": dict(value),
    }


@dataclass(frozen=True)
class Task:
    """A session as a file has it, with what coders and models said of it.

    `where` is the file, the task's number and its id. `about` is its data beside the dialogue.
    `paragraphs` are what was said: an annotation of turn 3 is of the paragraph 3, from 0.
    """

    where: str
    session_id: str
    about: Mapping[str, Any] = field(repr=False)
    paragraphs: tuple[Mapping[str, Any], ...] = field(repr=False)
    labels: Labels = field(repr=False)


def read_tasks(path: Path) -> Labels:
    """What coders and models said in a Label Studio export (JSON) or in tasks of ours.

    Raises: AnnotationError: not such a file, or a label that is none of ours; by task and place.
    """
    skipped: Counter[str] = Counter()
    found = joined([task.labels for task in tasks_of(path, skipped)])
    return replace(found, notes=notes_of(path, skipped))


def notes_of(path: Path, skipped: Mapping[str, int]) -> tuple[str, ...]:
    """What of a file was passed over, as sentences."""
    return tuple(f"{path.name}: {what}: {n}" for what, n in skipped.items())


def tasks_of(path: Path, skipped: Counter[str]) -> Iterator[Task]:
    """The tasks of a file, one after the other; what is passed over is counted in `skipped`.

    Raises: AnnotationError: as `read_tasks`.
    """
    try:
        tasks = json.loads(text_of(path))
    except json.JSONDecodeError as error:
        where = f"{path.name}, line {error.lineno}"
        raise AnnotationError("not JSON; is the file whole?", where=where) from None
    except (ValueError, RecursionError):
        raise AnnotationError("not JSON; is the file whole?", where=path.name) from None
    if not isinstance(tasks, list):
        raise AnnotationError("not a list of tasks; export as JSON", where=path.name)
    for number, task in enumerate(tasks, start=1):
        where = f"{path.name}, task {number}"
        try:
            if isinstance(task.get("id"), int):
                where += f" (id {task['id']})"
            yield _read_task(task, where, path.stem, skipped)
        except (KeyError, TypeError, AttributeError, ArithmeticError, ValueError, IndexError) as e:
            # The value at fault may be what was said, so only the kind of error is told.
            raise AnnotationError(
                f"not a task with paragraph labels ({type(e).__name__})", where=where
            ) from None


def _read_task(task: Mapping[str, Any], where: str, stem: str, skipped: Counter[str]) -> Task:
    data = task["data"]
    said = data["dialogue"] if "dialogue" in data else data["text"]
    roles = {str(author): str(role) for author, role in (data.get("roles") or {}).items()}
    turns = [_context(one, roles) for one in said]
    session_id = str(data.get("session_id") or f"{stem}-{task.get('id', 0)}")
    shared = {name: str(data[name]) for name in SHARED if data.get(name)}
    given = [one for one in task.get("annotations", []) if not one.get("was_cancelled")]
    if n := len(task.get("annotations", [])) - len(given):
        skipped["skipped by their coder, and so not seen"] += n
    predictions = [one for one in task.get("predictions", []) if isinstance(one, Mapping)]
    if n := len(task.get("predictions", [])) - len(predictions):
        skipped["predictions that the export has by number alone"] += n
    if not given and not predictions:
        skipped["tasks that nobody has coded"] += 1
    found: list[tuple[Annotation, str]] = []
    for number, one in enumerate([*given, *predictions], start=1):
        head = {**shared, "session_id": session_id, **_who(one)}
        found += _read_result(one, head, turns, f"{where}, annotation {number}", skipped)
    labels = Labels(tuple(one for one, _ in found), tuple(at for _, at in found))
    return Task(where, session_id, data, tuple(map(_paragraph_of, said, turns)), labels)


def _context(said: Mapping[str, Any], roles: Mapping[str, str]) -> dict[str, Any]:
    author = str(said["author"])
    role = roles.get(author, author).strip().lower()
    return {
        "turn_id": str(said.get("turn_id", "")),
        "start_ms": milliseconds(said.get("start")),
        "end_ms": milliseconds(said.get("end")),
        "speaker_role": role if role in map(str, Role) else "",
    }


def _paragraph_of(said: Mapping[str, Any], turn: Mapping[str, Any]) -> dict[str, Any]:
    """What was said, as our own JSON has it; a role that is none of ours is empty."""
    times = {"start_s": said.get("start"), "end_s": said.get("end")}
    speaker = {"speaker": str(said["author"]), "role": turn["speaker_role"]}
    return {**speaker, **times, **({"text": said["text"]} if "text" in said else {})}


def _who(one: Mapping[str, Any]) -> dict[str, Any]:
    """Coder and pass: from the controls, else from who completed it, else the model's version."""
    said = {
        x["from_name"]: x["value"] for x in one["result"] if x["from_name"] in ("coder", "pass")
    }
    if "model_version" in one and "completed_by" not in one:
        return {"coder": str(one["model_version"]), "stage": "model"}
    by = one.get("completed_by", 0)
    coder = f"label-studio-{by['id'] if isinstance(by, Mapping) else by}"
    if "coder" in said:
        text = said["coder"]["text"]
        coder = str(text[0] if isinstance(text, list) else text)
    stage = str(said["pass"]["choices"][0]) if "pass" in said else "blind"
    return {"coder": coder, "stage": stage}


def _read_result(
    one: Mapping[str, Any],
    head: Mapping[str, Any],
    turns: Sequence[Mapping[str, Any]],
    where: str,
    skipped: Counter[str],
) -> Iterator[tuple[Annotation, str]]:
    whole = {"unit_type": "session", "unit_index": 0}
    lead = one.get("lead_time")
    seen = {**head, **whole, "code": SEEN, "value": 1}
    yield made(seen | ({} if lead is None else {"lead_time_s": float(lead)}), where), where
    by_region: dict[str, dict[str, Any]] = {}
    marks: dict[tuple[int, str], dict[str, Any]] = {}
    for place, item in enumerate(one["result"], start=1):
        at, value, name = f"{where}, result {place}", item["value"], item["from_name"]
        if item["type"] in ("paragraphlabels", "labels"):
            for index in _turns_of(value, len(turns), at, skipped):
                for code in value[item["type"]]:
                    _check_code(code, at)
                    mark = marks.setdefault((index, str(code)), {"where": at, "regions": []})
                    mark["regions"].append(item.get("id", ""))
                    mark["confidence"] = item.get("score")
        elif name in _NUMBERS:
            by_region.setdefault(item["id"], {})[_NUMBERS[name]] = int(value["rating"])
        elif name in _CHOSEN:
            by_region.setdefault(item["id"], {})[name] = _chosen(name, value)
        elif name in RATINGS and item["type"] == "rating":
            yield made({**head, **whole, "code": name, "value": int(value["rating"])}, at), at
        elif name not in ("coder", "pass"):
            skipped["results of controls that are not ours"] += 1
    for (index, code), mark in marks.items():
        unit = {"unit_type": "turn", "unit_index": index, "code": code, "value": 1}
        details = {k: v for region in mark["regions"] for k, v in by_region.get(region, {}).items()}
        score = {"confidence": mark["confidence"]}
        yield (
            made({**head, **unit, **turns[index], **score, **details}, mark["where"]),
            mark["where"],
        )


def _turns_of(value: Mapping[str, Any], n_turns: int, where: str, skipped: Counter[str]) -> range:
    first, last = int(value["start"]), int(value["end"])
    if not 0 <= first <= last < n_turns:
        raise AnnotationError(
            f"a label on turns {first} to {last}: the dialogue has {n_turns}, counted from 0",
            where=where,
        )
    if first != last:
        skipped["regions over several turns, each of which has the code"] += 1
    return range(first, last + 1)


def _check_code(code: Any, where: str) -> None:
    known = known_codes(load_codebook())
    if code not in known:
        raise AnnotationError(
            f"a label that the codebook does not have; it has {', '.join(known)}", where=where
        )


def _chosen(name: str, value: Mapping[str, Any]) -> Any:
    chosen = value["choices"][0]
    return {"yes": True, "no": False}[chosen] if name == "sure" else str(chosen)

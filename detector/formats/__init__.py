"""Any transcript file in, one `Transcript` out. The format is told by content, never by name.

A reader is one small file: it recognises a `Source` and reads it into a `Reading`. What every
reader must keep, `read_transcript` checks: cues understood + cues dropped with a stated reason
= cues in the file.
"""

import dataclasses
import hashlib
import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from detector.errors import (
    EmptyTranscript,
    MalformedTranscript,
    TranscriptError,
    TranscriptTooLarge,
    UnknownFormat,
)
from detector.formats.source import MAX_CUES, Reader, Reading, Source, open_source
from detector.transcript import Cue, TimingQuality, Transcript

MAX_BYTES = 25 * 1024 * 1024
"""Largest accepted file. The longest word-timed session we know of is below 10 MB."""

MAX_TURN_CHARACTERS = 300_000
"""Longest accepted turn: some 50,000 words, more than five hours in which nobody else speaks. A
whole book in one turn is no talk, and would cost gigabytes to read for its rules."""


def readers() -> tuple[Reader, ...]:
    """Every reader, in the order in which they are asked: the most particular first."""
    from detector.formats import (
        assemblyai,
        aws_call_analytics,
        aws_healthscribe,
        aws_transcribe,
        azure,
        canonical,
        chat,
        deepgram,
        elan,
        google,
        meet,
        otter,
        plain,
        revai,
        session_text,
        srt,
        tabular,
        teams,
        textgrid,
        twilio,
        vonage,
        vtt,
        whisper,
        zoom_text,
    )

    return (
        *canonical.READERS,
        *whisper.READERS,
        *aws_transcribe.READERS,
        *aws_call_analytics.READERS,
        *aws_healthscribe.READERS,
        *google.READERS,
        *azure.READERS,
        *deepgram.READERS,
        *assemblyai.READERS,
        *revai.READERS,
        *twilio.READERS,
        *vonage.READERS,
        *elan.READERS,
        *chat.READERS,
        *textgrid.READERS,
        *vtt.READERS,
        *teams.READERS,
        *meet.READERS,
        *srt.READERS,
        *tabular.READERS,
        *session_text.READERS,
        *otter.READERS,
        *zoom_text.CHAT_READERS,
        *plain.READERS,
        # Any text with a clock in front looks like these; they come after everything else.
        *zoom_text.SAVED_READERS,
    )


def read_transcript(data: bytes | str | Path, *, filename: str | None = None) -> Transcript:
    """Reads one session from bytes, a path, or text that is already decoded.

    Args:
        data: the file's bytes; a path to read them from, as `Path` or as text that names an
            existing file; or the transcript's own text.
        filename: only a name to show. The format is told by content.

    Returns: the transcript, cues in the order of the talk, roles UNKNOWN where the file
        does not say them.

    Raises: UnknownFormat, MalformedTranscript, TranscriptTooLarge, EmptyTranscript.
        OSError where a path cannot be read. Nothing else, whatever the bytes.
    """
    raw = _raw_bytes(data)
    if len(raw) > MAX_BYTES:
        raise TranscriptTooLarge(len(raw), MAX_BYTES, "bytes")
    source = open_source(raw, filename=filename)
    reader = _find_reader(source)
    try:
        reading = reader.read(source)
    except TranscriptError:
        raise
    except RecursionError as error:
        raise MalformedTranscript("nested too deeply") from error
    return _finish(reader, reading, source)


def _raw_bytes(data: bytes | str | Path) -> bytes:
    if isinstance(data, str) and _names_a_file(data):
        data = Path(data)
    if isinstance(data, Path):
        size = data.stat().st_size
        if size > MAX_BYTES:
            raise TranscriptTooLarge(size, MAX_BYTES, "bytes")
        with data.open("rb") as file:
            # A pipe or a device states no size, and some never end.
            return file.read(MAX_BYTES + 1)
    return data.encode("utf-8", errors="surrogatepass") if isinstance(data, str) else data


def _names_a_file(text: str) -> bool:
    """Whether one short line is the name of a file that is there."""
    try:
        return len(text) < 1024 and "\n" not in text and Path(text).is_file()
    except (OSError, ValueError):  # a name that no file system takes
        return False


def _find_reader(source: Source) -> Reader:
    known = readers()
    for reader in known:
        if reader.recognises(source):
            return reader
    raise UnknownFormat([reader.name for reader in known], reason=source.complaint)


def _finish(reader: Reader, reading: Reading, source: Source) -> Transcript:
    """Checks the count of cues, puts them in order and builds the transcript."""
    if len(reading.cues) > MAX_CUES:
        raise TranscriptTooLarge(len(reading.cues), MAX_CUES, "cues")
    missing = reading.n_found - reading.n_understood - len(reading.dropped)
    if missing:
        raise MalformedTranscript(f"{missing} of {reading.n_found} cues were not understood")
    if not reading.cues:
        raise EmptyTranscript(len(reading.dropped))
    cues, notes = _with_unique_ids(reading.cues)
    cues, more_notes = _without_copied_times(cues)
    transcript = Transcript(
        format=reader.name,
        cues=cues,
        dropped=tuple(reading.dropped),
        notes=(*source.notes, *reading.notes, *reading.mended, *notes, *more_notes),
        sha256=hashlib.sha256(source.data).hexdigest(),
        speech_ends=reading.speech_ends,
    )
    transcript = _in_order(transcript)
    _check_turns(transcript.cues)
    return transcript


def _check_turns(cues: Sequence[Cue]) -> None:
    """Raises: TranscriptTooLarge: one speaker has more to say than anyone has."""
    for _, own in itertools.groupby(cues, key=lambda cue: (cue.speaker, cue.role)):
        size = sum(len(cue.text) for cue in own)
        if size > MAX_TURN_CHARACTERS:
            raise TranscriptTooLarge(size, MAX_TURN_CHARACTERS, "characters in one turn")


def _with_unique_ids(cues: list[Cue]) -> tuple[tuple[Cue, ...], tuple[str, ...]]:
    """Of cues that share an id the first keeps it, and the others become `x#2`, `x#3`.

    An id that the file gives to another cue is skipped, so that given ids stay what they are.
    """
    taken = {cue.cue_id for cue in cues}
    if len(taken) == len(cues):
        return tuple(cues), ()
    seen: Counter[str] = Counter()
    unique: list[Cue] = []
    for cue in cues:
        name = cue.cue_id
        seen[cue.cue_id] += 1
        if seen[cue.cue_id] > 1:
            while (name := f"{cue.cue_id}#{seen[cue.cue_id]}") in taken:
                seen[cue.cue_id] += 1
            taken.add(name)
        unique.append(cue if name == cue.cue_id else dataclasses.replace(cue, cue_id=name))
    n_renamed = sum(old is not new for old, new in zip(cues, unique, strict=True))
    said = "cues repeat an id; the first keeps it, the others are named x#2, x#3 …"
    return tuple(unique), (f"{n_renamed} {said}",)


def _without_copied_times(cues: tuple[Cue, ...]) -> tuple[tuple[Cue, ...], tuple[str, ...]]:
    """Word times that only repeat their cue's are no word times: such cues keep none."""
    copied = {cue.cue_id for cue in cues if _has_copied_times(cue)}
    if not copied:
        return cues, ()
    kept = (dataclasses.replace(c, words=()) if c.cue_id in copied else c for c in cues)
    return tuple(kept), (f"In {len(copied)} cues every word has the cue's times; left out.",)


def _has_copied_times(cue: Cue) -> bool:
    spans = {(word.start_s, word.end_s) for word in cue.words if word.end_s is not None}
    return len(cue.words) > 1 and spans == {(cue.start_s, cue.end_s)}


def _in_order(transcript: Transcript) -> Transcript:
    """Sorts cues by a machine's clock; a typed clock that jumps back does not move speech.

    Recognisers write channels one after another, so their starts are the order of the talk.
    Typed start times carry slips, and there the order of the lines is the better witness.
    """
    starts = [cue.start_s for cue in transcript.cues if cue.start_s is not None]
    n_back = sum(later < earlier for earlier, later in itertools.pairwise(starts))
    if not n_back:
        return transcript
    if transcript.timing_quality is TimingQuality.START_ONLY or len(starts) < len(transcript.cues):
        return transcript.with_notes(f"{n_back} cues start before the one above; order kept.")
    ordered = sorted(transcript.cues, key=lambda cue: cue.start_s or 0.0)
    note = f"{n_back} cues were out of order and were sorted by start."
    return dataclasses.replace(transcript, cues=tuple(ordered)).with_notes(note)

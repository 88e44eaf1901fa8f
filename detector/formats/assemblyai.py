"""AssemblyAI transcripts: whole milliseconds, beside an `audio_duration` in seconds.

`utterances` is null unless speaker labels were asked for; then there are `words`, and if not
even those, the whole text. A transcript that is not completed yet is refused.
"""

from detector.errors import MalformedTranscript
from detector.formats.element import Element, is_object, spoken
from detector.formats.source import Reader, Reading, Source, labelled_role
from detector.formats.words import ASSEMBLED, LabelledWord, assemble
from detector.transcript import Cue, Word

_MS = 1000.0
ONE_CUE = "The file has no utterances and no words; the whole text is one cue without times."


def recognises(source: Source) -> bool:
    """A `text` at the top beside `utterances` or `audio_duration`."""
    document = source.document
    return is_object(document, "text", "utterances") or is_object(
        document, "text", "audio_duration"
    )


def read(source: Source) -> Reading:
    """Reads utterances as cues, else words, else the whole text as one cue.

    Raises: MalformedTranscript: its status is not `completed`.
    """
    document = Element(source.document)
    status = document.label("status")
    if status not in (None, "completed"):
        raise MalformedTranscript("the transcript is not completed", element="status")
    reading = Reading()
    if document.elements("utterances"):
        _read_utterances(reading, document.elements("utterances"))
    elif document.elements("words"):
        _read_words(reading, document.elements("words"))
    elif document.has("text"):
        reading.notes.append(ONE_CUE)
        for place, _, text in spoken(reading, [document], "text"):
            reading.add(Cue(place, None, text))
    return reading


def _read_utterances(reading: Reading, utterances: list[Element]) -> None:
    for place, utterance, text in spoken(reading, utterances, "text"):
        start, end = reading.span(
            utterance.seconds("start", per_second=_MS),
            utterance.seconds("end", per_second=_MS),
            utterance,
        )
        words = tuple(_word(reading, word) for word in utterance.elements("words"))
        cue_id, speaker = utterance.label("id") or place, utterance.label("speaker")
        reading.add(Cue(cue_id, speaker, text, start, end, words, labelled_role(speaker)))


def _read_words(reading: Reading, elements: list[Element]) -> None:
    words = [
        LabelledWord(_word(reading, word), word.label("speaker"))
        for _, word, _ in spoken(reading, elements, "text")
    ]
    reading.n_understood += len(words)
    reading.cues.extend(assemble(words))
    reading.notes.append(ASSEMBLED)


def _word(reading: Reading, word: Element) -> Word:
    return word.word(reading, ("text",), "start", "end", _MS)


READERS = (
    Reader(
        name="assemblyai",
        title="AssemblyAI transcript JSON",
        recognises=recognises,
        read=read,
        example='{"status": "completed", "text": "…", "utterances": '
        '[{"speaker": "A", "start": 1000, "end": 2500, "text": "…"}]}',
    ),
)

"""Deepgram results, and Daily's, which have the same shape: float seconds, speakers from 0.

`results.utterances[]` come only when asked for; else there are words, paragraphs, or no more
than one text a channel. Without `diarize=true` there are no speakers.
"""

from detector.formats.element import Element, peek, spoken
from detector.formats.source import Reader, Reading, Source
from detector.formats.words import ASSEMBLED, LabelledWord, assemble, assemble_channels, voice
from detector.transcript import Cue

_WORD = ("punctuated_word", "word")
UNTIMED = "The file has no utterances, words or paragraphs; each channel is one cue without times."


def recognises(source: Source) -> bool:
    """`results` with `channels` or `utterances`, each a list."""
    results = peek(source.document, "results")
    return isinstance(peek(results, "channels"), list) or isinstance(
        peek(results, "utterances"), list
    )


def read(source: Source) -> Reading:
    """Reads utterances as cues, else words, else sentences of paragraphs, else whole texts."""
    results = Element(source.document).child("results")
    reading = Reading()
    utterances = results.elements("utterances")
    best = [channel.elements("alternatives")[:1] for channel in results.elements("channels")]
    texts = [alternative for alternatives in best for alternative in alternatives]
    if utterances:
        _read_utterances(reading, utterances)
    elif any(alternative.elements("words") for alternative in texts):
        _read_words(reading, texts)
    elif any(alternative.has("paragraphs") for alternative in texts):
        _read_paragraphs(reading, texts)
    else:
        _read_texts(reading, texts)
    return reading


def _read_utterances(reading: Reading, utterances: list[Element]) -> None:
    n_channels = len({utterance.label("channel") for utterance in utterances})
    for place, utterance, text in spoken(reading, utterances, "transcript"):
        start, end = utterance.seconds("start"), utterance.seconds("end")
        speaker = voice(utterance.label("speaker"), utterance.label("channel"), n_channels)
        words = tuple(
            word.word(reading, _WORD, "start", "end") for word in utterance.elements("words")
        )
        cue_id = utterance.label("id") or place
        reading.add(Cue(cue_id, speaker, text, *reading.span(start, end, utterance), words=words))


def _read_words(reading: Reading, texts: list[Element]) -> None:
    channels = []
    for channel, alternative in enumerate(texts):
        channels.append(
            [
                LabelledWord(
                    word.word(reading, _WORD, "start", "end"),
                    voice(word.label("speaker"), str(channel), len(texts)),
                )
                for _, word, _ in spoken(reading, alternative.elements("words"), "word")
            ]
        )
    reading.n_understood += sum(len(words) for words in channels)
    reading.cues.extend(
        assemble(channels[0]) if len(channels) == 1 else assemble_channels(channels)
    )
    reading.notes.append(ASSEMBLED)


def _read_paragraphs(reading: Reading, texts: list[Element]) -> None:
    for channel, alternative in enumerate(texts):
        paragraphs = alternative.child("paragraphs")
        if paragraphs.value is None:
            continue
        for number, paragraph in enumerate(paragraphs.elements("paragraphs"), start=1):
            speaker = voice(paragraph.label("speaker"), str(channel), len(texts))
            for place, sentence, text in spoken(reading, paragraph.elements("sentences"), "text"):
                span = reading.span(sentence.seconds("start"), sentence.seconds("end"), sentence)
                reading.add(Cue(f"{channel}.{number}.{place}", speaker, text, *span))
    reading.cues.sort(key=lambda cue: cue.start_s or 0.0)


def _read_texts(reading: Reading, texts: list[Element]) -> None:
    reading.notes.append(UNTIMED)
    for place, _, text in spoken(reading, texts, "transcript"):
        speaker = voice(None, str(int(place) - 1), len(texts))
        reading.add(Cue(place, speaker, text))


READERS = (
    Reader(
        name="deepgram",
        title="Deepgram results JSON (Daily's batch JSON too)",
        recognises=recognises,
        read=read,
        example='{"results": {"utterances": [{"id": "…", "speaker": 0, "start": 1.0, "end": 2.5, '
        '"transcript": "…"}]}}',
    ),
)

"""Cues put together from single words, for files that hold no larger piece of speech.

Here the file's unit is the word: `n_found` and `n_understood` count words, not cues.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from detector.transcript import Cue, Word

PAUSE_S = 1.0
"""Silence that ends a cue within one channel, in seconds. A judgement: it is long enough to
keep a sentence whole and short enough that answers on the other channel fall in between."""

ASSEMBLED = "The file holds words only; they were put together into cues."


@dataclass(frozen=True, slots=True)
class LabelledWord:
    """One word and who said it. Words of different `part`s never share a cue."""

    word: Word
    speaker: str | None
    part: str | None = None

    def with_mark(self, mark: str) -> "LabelledWord":
        """The same word with a punctuation mark put to its end."""
        word = dataclasses.replace(self.word, text=self.word.text + mark)
        return dataclasses.replace(self, word=word)


def assemble(words: Sequence[LabelledWord]) -> list[Cue]:
    """Cues from words that follow each other: a new one where the speaker or part changes."""
    groups = itertools.groupby(words, key=lambda word: (word.speaker, word.part))
    return number_cues(_cue(speaker, group) for (speaker, _), group in groups)


def assemble_channels(channels: Iterable[Sequence[LabelledWord]]) -> list[Cue]:
    """Cues from channels recorded side by side: a new one after a pause, then all by start."""
    cues = [_cue(phrase[0].speaker, phrase) for channel in channels for phrase in _phrases(channel)]
    return number_cues(sorted(cues, key=lambda cue: cue.start_s or 0.0))


def number_cues(cues: Iterable[Cue]) -> list[Cue]:
    """The cues with their 1-based places as ids."""
    return [dataclasses.replace(cue, cue_id=str(n)) for n, cue in enumerate(cues, start=1)]


def fits(words: Sequence[Word], text: str) -> bool:
    """Whether these are the words of the text, letter by letter, whatever the punctuation."""
    return _letters(" ".join(word.text for word in words)) == _letters(text)


def voice(speaker: str | None, channel: str | None, n_channels: int) -> str | None:
    """The label of a voice where a file has speakers, channels or both.

    Diarisation counts from 0 in every channel anew: speaker 0 of two channels is two people.
    With one channel the channel says nothing. None where the file tells no voices apart.
    """
    if n_channels < 2 or channel is None:
        return speaker
    return channel if speaker is None else f"{channel}/{speaker}"


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()


def _phrases(words: Sequence[LabelledWord]) -> list[list[LabelledWord]]:
    phrases: list[list[LabelledWord]] = []
    end = None
    for word in words:
        start = word.word.start_s
        paused = start is not None and end is not None and start - end >= PAUSE_S
        if not phrases or paused or phrases[-1][-1].speaker != word.speaker:
            phrases.append([])
        phrases[-1].append(word)
        end = word.word.end_s if word.word.end_s is not None else end
    return phrases


def _cue(speaker: str | None, labelled: Iterable[LabelledWord]) -> Cue:
    words = tuple(one.word for one in labelled)
    start = next((word.start_s for word in words if word.start_s is not None), None)
    ends = [word.end_s for word in words if word.end_s is not None]
    timed = start is not None and ends and max(ends) >= start
    text = " ".join(word.text for word in words)
    return Cue("0", speaker, text, start, max(ends) if timed else None, words)

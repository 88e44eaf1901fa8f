"""Sessions as a recogniser might have written them: fillers lost, words wrong, speakers split.

Text is changed before the rules read it, so that features and text tell the same story, as they
will in use. A cue keeps its id, so that labels stay with it; a labelled cue is never dropped.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from detector.transcript import Cue
from training.corpus import LabelledSession

FILLERS = frozenset({"um", "uh", "er", "erm", "ah", "hmm", "mm"})
BACKCHANNELS = frozenset(
    {"yeah", "yes", "okay", "ok", "right", "mm-hmm", "mhm", "mm-hm", "uh-huh", "hmm", "mm", "sure"}
)
"""What recognisers tend to leave out; English, our own lists."""

_WORD = re.compile(r"\[[^\]]*\]|[^\W_]+(?:['’-][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """How much noise there is, and how often; none where `copies` is 0.

    The rates are judgements: transcripts by machine have some 5 to 20 wrong words in a hundred.

    Args:
        copies: noisy copies made of each session.
        share: how often an epoch takes a noisy copy instead of the session as it is, 0..1.
        lost_filler: share of fillers that are left out, 0..1.
        lost_backchannel: share of unlabelled cues of backchannels alone that are left out, 0..1.
        plain_text: share of copies without case and punctuation, 0..1.
        wrong_word: share of words that are left out, doubled or taken for another, 0..1.
        split_speaker: share of copies in which one speaker is taken for two, 0..1.
    """

    copies: int = 0
    share: float = 0.5
    lost_filler: float = 0.7
    lost_backchannel: float = 0.3
    plain_text: float = 0.5
    wrong_word: float = 0.08
    split_speaker: float = 0.3


def noisy_copies(
    session: LabelledSession, config: AugmentConfig, *, seed: int
) -> list[LabelledSession]:
    """`config.copies` noisy versions of a session, under its own id; the same for one seed."""
    # The hash of the text makes two sessions differ; Python's own hash is not stable.
    own = int(session.transcript.sha256[:8], 16)
    return [
        _noisy(session, config, np.random.default_rng([seed, own, number]))
        for number in range(config.copies)
    ]


def _noisy(
    session: LabelledSession, config: AugmentConfig, rng: np.random.Generator
) -> LabelledSession:
    whole = session.transcript.cues
    cues = [cue for cue in whole if not _is_lost(cue, session, config, rng)] or list(whole)
    vocabulary = sorted({word for cue in cues for word in cue.text.split()})
    is_plain = rng.random() < config.plain_text
    heard = [_misheard(cue, vocabulary, config, rng, is_plain=is_plain) for cue in cues]
    if rng.random() < config.split_speaker:
        heard = _split_speaker(heard, rng)
    transcript = replace(session.transcript, cues=tuple(heard), sha256="")
    return replace(session, transcript=transcript)


def _is_lost(
    cue: Cue, session: LabelledSession, config: AugmentConfig, rng: np.random.Generator
) -> bool:
    """Whether an unlabelled cue of backchannels alone is left out."""
    label = session.labels.get(cue.cue_id)
    words = _WORD.findall(cue.text.lower())
    if (label is not None and label.markers) or not set(words) <= BACKCHANNELS:
        return False
    return bool(rng.random() < config.lost_backchannel)


def _misheard(
    cue: Cue,
    vocabulary: Sequence[str],
    config: AugmentConfig,
    rng: np.random.Generator,
    *,
    is_plain: bool,
) -> Cue:
    """The cue's words with fillers lost and words wrong; as it was where nothing would be left."""
    kept: list[str] = []
    for word in cue.text.split():
        is_filler = word.strip(".,!?…-").lower() in FILLERS
        if is_filler and rng.random() < config.lost_filler:
            continue
        kept += _wrong(word, vocabulary, rng) if rng.random() < config.wrong_word else [word]
    text = " ".join(kept)
    if is_plain:
        text = " ".join(_WORD.findall(text.lower()))
    return replace(cue, text=text, words=()) if text.strip() else cue


def _wrong(word: str, vocabulary: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Left out, doubled, or taken for another word of the session, each as often."""
    other = vocabulary[int(rng.integers(len(vocabulary)))]
    return [list[str](), [word, word], [other]][int(rng.integers(3))]


def _split_speaker(cues: Sequence[Cue], rng: np.random.Generator) -> list[Cue]:
    """One speaker's cues under two names; whoever checked the roles gave both the same one."""
    names = sorted({cue.speaker for cue in cues if cue.speaker is not None})
    if not names:
        return list(cues)
    name = names[int(rng.integers(len(names)))]
    share = rng.uniform(0.1, 0.4)  # a judgement: the second name is the rarer one
    return [
        replace(cue, speaker=f"{name} (2)") if cue.speaker == name and rng.random() < share else cue
        for cue in cues
    ]

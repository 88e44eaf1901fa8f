"""The floors that a scorer must stand on: length alone, words alone, frozen vectors alone.

All see one turn at a time and know nothing of the codebook. A scorer that is not well above
them has learned that ruptures are short, which words are rare, or nothing that the base encoder
did not know.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from detector.features import as_matrix
from detector.scoring import FITTED
from detector.weights import Array
from training.corpus import TrainingDataError
from training.rules import Example

Scores = Mapping[str, Array]
"""By label, shape (n_turns,): 0..1, and 0 where the label is not the speaker's."""

WORD = r"(?u)\b\w+\b"
"""scikit-learn's own pattern drops one-letter words, and "I" is one."""

LENGTH_AND_TIMING = ("said.log_words", "said.words_vs_own", "before.log_words", "after.log_words")

FROZEN_C = 0.01
"""Inverse penalty on standardised vectors: the best of .001, .003, .01, .03 and .1."""

_TEXTS_AT_ONCE = 64
_MOST_TOKENS = 128


def fit_length(examples: Sequence[Example]) -> Callable[[Example], Scores]:
    """Floor: a logistic regression on lengths of the turn and its neighbours, and the clock."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    models: dict[str, Any] = {}
    for label in FITTED:
        x, y = _length_rows(examples, label), _targets(examples, label)
        models[label] = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x, y)
    return lambda ex: _spread(ex, lambda la: models[la].predict_proba(_length_rows([ex], la))[:, 1])


def _length_rows(examples: Sequence[Example], label: str) -> Array:
    names = [*LENGTH_AND_TIMING, "time.into_session"]
    rows = [ex.read.features[i] for ex in examples for i in ex.mine(label)]
    known: Array = np.nan_to_num(as_matrix(rows, names))
    return known


def fit_tfidf(examples: Sequence[Example]) -> Callable[[Example], Scores]:
    """Floor: a logistic regression on TF-IDF of words and word pairs of the turn alone."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    models: dict[str, Any] = {}
    for label in FITTED:
        words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=WORD)
        model = LogisticRegression(C=10.0, class_weight="balanced", max_iter=1000)
        models[label] = make_pipeline(words, model).fit(
            _texts(examples, label), _targets(examples, label)
        )
    return lambda ex: _spread(ex, lambda la: models[la].predict_proba(_texts([ex], la))[:, 1])


def _texts(examples: Sequence[Example], label: str) -> list[str]:
    return [ex.read.turns[i].text for ex in examples for i in ex.mine(label)]


def _targets(examples: Sequence[Example], label: str) -> Array:
    return np.concatenate([ex.targets[label][ex.mine(label)] for ex in examples])


def _spread(ex: Example, predict: Callable[[str], Array]) -> Scores:
    """A prediction for this label's turns, laid out over all turns."""
    scores = {}
    for label in FITTED:
        scores[label] = np.zeros(len(ex.roles))
        if len(mine := ex.mine(label)):
            scores[label][mine] = predict(label)
    return scores


Vectors = Mapping[str, Array]
"""Of each session by id, what a base encoder makes of each turn: shape (n_turns, size)."""


def fit_frozen(vectors: Vectors) -> Callable[[Sequence[Example]], Callable[[Example], Scores]]:
    """Floor: a logistic regression on the vectors of a base encoder that is not trained further.

    The penalty was chosen on the very folds it is measured on, which flatters this floor.
    """

    def fit(examples: Sequence[Example]) -> Callable[[Example], Scores]:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        def rows(ex: Example, label: str) -> Array:
            return vectors[ex.session.session_id][ex.mine(label)]

        models: dict[str, Any] = {}
        for label in FITTED:
            x = np.concatenate([rows(ex, label) for ex in examples])
            model = make_pipeline(StandardScaler(), LogisticRegression(C=FROZEN_C, max_iter=1000))
            models[label] = model.fit(x, _targets(examples, label))
        return lambda ex: _spread(ex, lambda la: models[la].predict_proba(rows(ex, la))[:, 1])

    return fit


def embed(examples: Sequence[Example], base: str) -> dict[str, Array]:
    """Every turn as the mean of a base encoder's last layer over the turn's tokens.

    Args:
        examples: the sessions.
        base: folder of the encoder, or a name that is on this machine; nothing is downloaded.

    Raises: TrainingDataError: there is no encoder.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging as library

    library.set_verbosity_error()
    library.disable_progress_bar()
    local = {"local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(base, **local)
        model = AutoModel.from_pretrained(base, use_safetensors=True, **local).eval()
    except (OSError, ValueError) as error:
        raise TrainingDataError(
            f"{base}: no encoder on this machine; name a folder by --base"
        ) from error
    texts = [turn.text for ex in examples for turn in ex.read.turns]
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    vectors = np.zeros((len(texts), model.config.hidden_size))
    for start in range(0, len(order), _TEXTS_AT_ONCE):
        places = order[start : start + _TEXTS_AT_ONCE]
        batch = tokenizer(
            [texts[place] for place in places],
            padding=True,
            truncation=True,
            max_length=_MOST_TOKENS,
            return_tensors="pt",
        )
        with torch.inference_mode():
            hidden = model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            vectors[places] = ((hidden * mask).sum(dim=1) / mask.sum(dim=1)).double().numpy()
    ends = np.cumsum([len(ex.read.turns) for ex in examples])[:-1]
    parts = np.split(vectors, ends)
    return {ex.session.session_id: part for ex, part in zip(examples, parts, strict=True)}

"""The floors that a scorer must stand on: length alone, and words alone.

Both see one turn at a time and know nothing of the codebook. A scorer that is not well above
them has learned that ruptures are short, or which words are rare.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from detector.features import as_matrix
from detector.scoring import FITTED
from detector.weights import Array
from training.rules import Example

Scores = Mapping[str, Array]
"""By label, shape (n_turns,): 0..1, and 0 where the label is not the speaker's."""

WORD = r"(?u)\b\w+\b"
"""scikit-learn's own pattern drops one-letter words, and "I" is one."""

LENGTH_AND_TIMING = ("said.log_words", "said.words_vs_own", "before.log_words", "after.log_words")


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

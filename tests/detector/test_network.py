import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.features import ReadSession, as_matrix, read_session
from detector.markers import MarkerRules
from detector.network import NETWORK_LABELS, NetworkReader, check, moving_words, session_inputs
from detector.report import RATINGS, Span
from models import IncompatibleCheckpoint, load_checkpoint
from models.runtime import Prediction, WordEffect
from models.spec import ModelSpec


@pytest.fixture(scope="module")
def spec(tiny_checkpoint: Path) -> ModelSpec:
    return load_checkpoint(str(tiny_checkpoint)).spec


@pytest.fixture(scope="module")
def reader(tiny_checkpoint: Path, rules: MarkerRules) -> NetworkReader:
    """A network of random weights that runs as a published one does."""
    return NetworkReader(load_checkpoint(str(tiny_checkpoint)).network, rules.codebook)


@pytest.fixture(scope="module")
def read(make_transcript: Any, rules: MarkerRules, dialogue: tuple[str, ...]) -> ReadSession:
    return read_session(make_transcript(*dialogue), rules)


class Stub:
    """A network whose every column is its place, plus the turn's place in hundreds."""

    backend = "stub"

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.asked: list[tuple[Sequence[str], int]] = []

    def predict(self, texts: Sequence[str], roles: Sequence[str], features: Any) -> Prediction:
        def head(names: Sequence[str]) -> Any:
            turns = 100.0 * np.arange(len(texts), dtype=np.float32)[:, None]
            return turns + np.arange(len(names), dtype=np.float32)

        spec, count = self.spec, len(self.spec.ratings)
        return Prediction(
            labels=head(spec.labels),
            markers=head(spec.markers),
            strategies=head(spec.strategies),
            pillars=head(spec.pillars),
            intensity=head("1"),
            ratings=np.arange(count, dtype=np.float32),
            vectors=np.arange(len(texts), dtype=np.float32)[:, None],
        )

    def word_effects(
        self,
        texts: Sequence[str],
        roles: Sequence[str],
        features: Any,
        index: int,
        label: str,
        *,
        vectors: Any = None,
    ) -> Sequence[WordEffect]:
        assert len(texts) == len(roles) == len(features) == len(vectors)
        self.asked.append((texts, int(vectors[index, 0])))
        return [WordEffect(0, 3, 1.0)]


def test_columns_get_the_names_that_the_contract_gives_them(
    spec: ModelSpec, rules: MarkerRules, read: ReadSession
) -> None:
    said = NetworkReader(Stub(spec), rules.codebook).read(read)
    assert tuple(said.labels) == NETWORK_LABELS
    for names in (spec.labels, spec.markers, spec.strategies):
        for place, name in enumerate(names):
            found = said.labels.get(name, said.markers.get(name))
            assert found is not None
            assert found.tolist() == [100.0 * turn + place for turn in range(len(read.turns))]
    assert said.ratings == {name: float(place) for place, name in enumerate(RATINGS)}


def test_the_network_gets_the_turns_the_roles_and_the_features_of_its_contract(
    spec: ModelSpec, read: ReadSession
) -> None:
    texts, roles, features = session_inputs(read, spec.features)
    assert texts == [turn.text for turn in read.turns]
    assert roles[:2] == ["therapist", "client"]
    np.testing.assert_array_equal(features, as_matrix(read.features, spec.features))
    assert features.shape == (len(read.turns), len(spec.features))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("codebook", "0.0"),
        ("labels", ("withdrawal", "confrontation")),
        ("markers", ("denial",)),
        ("strategies", ()),
        ("pillars", ("bond", "goal", "task")),
        ("ratings", ()),
        ("features", ("hit.no_such_marker",)),
        ("features", ("word.fine",)),
        ("features", ("time.no_such_measure",)),
    ],
)
def test_a_network_made_for_something_else_is_refused_by_the_field_that_differs(
    spec: ModelSpec, rules: MarkerRules, field: str, value: object
) -> None:
    other = dataclasses.replace(spec, **{field: value})  # type: ignore[arg-type]
    with pytest.raises(IncompatibleCheckpoint, match=f"checkpoint's {field} is"):
        NetworkReader(Stub(other), rules.codebook)


def test_every_feature_that_training_may_take_is_one_that_scoring_makes(
    spec: ModelSpec, rules: MarkerRules, read: ReadSession
) -> None:
    rooms = ("hit.", "said.", "before.", "after.", "time.")
    seen = sorted({name for row in read.features for name in row if name.startswith(rooms)})
    assert len(seen) > 40
    check(dataclasses.replace(spec, features=tuple(seen)), rules.codebook)


def test_a_real_network_reads_a_session_in_finite_numbers(
    reader: NetworkReader, read: ReadSession
) -> None:
    said = reader.read(read)
    columns = np.array([*said.labels.values(), *said.markers.values()])
    assert columns.shape == (5 + len(said.markers), len(read.turns))
    assert np.isfinite(columns).all()
    assert np.ptp(said.labels["withdrawal"]) > 0.01
    assert all(math.isfinite(value) for value in said.ratings.values())


def without(text: str, word: WordEffect) -> str:
    return text[: word.start] + text[word.end :]


@pytest.mark.parametrize("label", ["withdrawal", "confrontation"])
def test_without_its_top_word_the_turn_scores_lower_by_what_was_said(
    reader: NetworkReader,
    rules: MarkerRules,
    make_transcript: Any,
    dialogue: tuple[str, ...],
    label: str,
) -> None:
    # The last turn: after another one the next turn's context would lose the word as well. The
    # features are held, as they are where words are weighed: only the network's reading differs.
    lines = [*dialogue, "T: Shall we stop?", "C: You never listen to me, and I am not fine."]
    whole = read_session(make_transcript(*lines), rules)
    said = reader.read(whole)
    top, *others = reader.word_effects(whole, said, len(lines) - 1, label)
    text = whole.turns[-1].text
    assert all(other.effect <= top.effect for other in others)
    cut = read_session(make_transcript(*lines[:-1], f"C: {without(text, top)}"), rules)
    held = dataclasses.replace(cut, features=whole.features)
    fall = said.labels[label][-1] - reader.read(held).labels[label][-1]
    assert fall == pytest.approx(top.effect, abs=1e-4)


def test_the_words_of_a_turn_are_weighed_the_same_alone_and_in_a_long_session(
    spec: ModelSpec, rules: MarkerRules, make_transcript: Any
) -> None:
    stub = Stub(spec)
    read = read_session(make_transcript(*["T: So?", "C: Yes."] * 300), rules)
    reader = NetworkReader(stub, rules.codebook)
    said = reader.read(read)
    for index in (1, 301, 599):
        reader.word_effects(read, said, index, "withdrawal")
    assert [place for _, place in stub.asked] == [1, 301, 599]
    assert max(len(texts) for texts, _ in stub.asked) < 200


def test_a_finding_of_the_network_is_its_likeliest_marker_of_the_kind_and_the_words(
    spec: ModelSpec, rules: MarkerRules, read: ReadSession
) -> None:
    reader = NetworkReader(Stub(spec), rules.codebook)
    for label in ("withdrawal", "confrontation"):
        found = reader.finding(read, reader.read(read), 1, label, 0.7)
        # The stub's columns rise, so the last marker of each kind is its likeliest.
        assert found.marker == rules.codebook.of_kind(label)[-1]
        assert found.pillar == rules.codebook.markers[found.marker].pillar
        assert (found.score, found.source, found.pattern_ids) == (0.7, "network", ())
        assert found.spans == (Span(0, 3),)


WORDS = "one two three four five six seven eight nine ten"


def effects(**by_word: float) -> list[WordEffect]:
    """Effects of some of the words, largest first."""
    found = [
        WordEffect(WORDS.index(word), WORDS.index(word) + len(word), effect)
        for word, effect in by_word.items()
    ]
    return sorted(found, key=lambda one: -one.effect)


def marked(found: Sequence[WordEffect]) -> list[str]:
    return [WORDS[span.start : span.end] for span in moving_words(WORDS, found)]


def test_neighbouring_words_are_one_place_and_places_are_in_order() -> None:
    assert marked(effects(seven=1.0, two=0.9, three=0.8)) == ["two three", "seven"]


def test_words_that_move_the_label_half_as_much_as_the_first_are_not_marked() -> None:
    assert marked(effects(one=1.0, five=0.51, nine=0.49, ten=-3.0)) == ["one", "five"]


def test_words_that_hardly_move_the_label_are_not_marked() -> None:
    assert marked(effects(one=0.04, five=0.03)) == []
    assert marked(effects(one=-1.0)) == []
    assert marked([]) == []


def test_at_most_six_words_are_marked() -> None:
    every = {word: 1.0 - place / 100 for place, word in enumerate(WORDS.split())}
    assert marked(effects(**every)) == ["one two three four five six"]


def test_a_checkpoint_of_another_codebook_is_refused_when_the_detector_is_loaded(
    make_checkpoint: Callable[..., Path],
) -> None:
    from detector import Detector

    folder = make_checkpoint("old", codebook="0.9")
    with pytest.raises(IncompatibleCheckpoint, match=r"codebook is '0\.9', this code needs"):
        Detector.load(str(folder))

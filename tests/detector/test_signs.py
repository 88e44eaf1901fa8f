import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import CodebookError
from detector.signs import (
    MOST_SURE,
    Tally,
    differences,
    is_english,
    load_signs,
    probability,
    read_signs,
    tally,
    therapist_probability,
)
from detector.transcript import Cue, Transcript

SIGNS = load_signs()

texts = st.lists(
    st.sampled_from(
        ["how did it go?", "so", "you", "i don't know", "my mother said", "mm", "today", "we"]
    ),
    min_size=1,
    max_size=6,
).map(" ".join)


def count(text: str, sign: str) -> int:
    return tally(text, SIGNS).counts[SIGNS.places[sign]]


@pytest.mark.parametrize(
    ("text", "sign", "n"),
    [
        ("You said you’d try, didn't you", "second_person", 3),
        ("I told my boss that I'M done", "first_person", 3),
        ("How did it go? How was it?", "open_question", 2),
        ("Somehow did it", "open_question", 0),
        ("So you left. So what", "opens_so", 1),
        ("And so you left", "opens_so", 0),
        ("Is it far?", "question_turn", 1),
        ("Is it far", "question_turn", 0),
        ("Mm-hmm.", "short_turn", 1),
        ("...", "short_turn", 0),
        ("That is quite a long turn", "short_turn", 0),
    ],
)
def test_a_sign_is_counted_where_its_words_stand(text: str, sign: str, n: int) -> None:
    assert count(text, sign) == n


def test_tallies_add_up() -> None:
    one, other = tally("So you left?", SIGNS), tally("I did.", SIGNS)
    both = one + other
    assert (both.n_words, both.n_turns) == (5, 2)
    assert both.counts == tuple(a + b for a, b in zip(one.counts, other.counts, strict=True))


def test_no_talk_at_all_gives_no_difference_but_who_spoke_first() -> None:
    nothing = Tally(0, 0, (0,) * len(SIGNS.signs))
    found = differences(nothing, nothing, True, SIGNS)
    assert [value for sign, value in zip(SIGNS.signs, found, strict=True) if value] == [1.0]


def test_more_talk_of_the_same_kind_makes_more_sure() -> None:
    faint = replace(
        SIGNS, signs=tuple(replace(sign, weight=sign.weight / 9) for sign in SIGNS.signs)
    )
    therapist, client = tally("Do you want to?", faint), tally("I don't know.", faint)
    once = probability(differences(therapist, client, True, faint), faint)
    twice = probability(differences(therapist + therapist, client + client, True, faint), faint)
    assert 0.5 < once < twice < MOST_SURE


def make(parts: list[tuple[str, str]]) -> Transcript:
    return Transcript(
        "test", tuple(Cue(str(i), speaker, text) for i, (speaker, text) in enumerate(parts))
    )


@given(st.lists(st.tuples(st.sampled_from("AB"), texts), min_size=1, max_size=12))
def test_swapping_the_speakers_gives_one_minus_p_exactly(parts: list[tuple[str, str]]) -> None:
    transcript = make(parts)
    mine = therapist_probability(transcript, "A", "B")
    theirs = therapist_probability(transcript, "B", "A")
    assert min(mine, theirs) == 1 - max(mine, theirs)
    assert 1 - MOST_SURE <= mine <= MOST_SURE


@given(st.lists(st.tuples(st.sampled_from("AB"), texts), min_size=1, max_size=12))
def test_case_and_curly_apostrophes_change_nothing(parts: list[tuple[str, str]]) -> None:
    loud = [(speaker, text.upper().replace("'", "’")) for speaker, text in parts]
    assert therapist_probability(make(parts), "A", "B") == therapist_probability(
        make(loud), "A", "B"
    )


def test_a_third_speakers_words_do_not_count() -> None:
    parts = [("A", "How are you?"), ("B", "I am well.")]
    alone = therapist_probability(make(parts), "A", "B")
    assert therapist_probability(make([*parts, ("C", "How did it go?")]), "A", "B") == alone


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hi.",
        "Yeah, I guess so. It was fine.",
        "I just don't know what you want me to say about that, and I think that's the thing really",
    ],
)
def test_english_and_too_little_to_tell_pass_as_english(text: str) -> None:
    assert is_english([text])


@pytest.mark.parametrize(
    "text",
    [
        "Vorige week hebben we afgesproken dat je het schema zou proberen. Hoe ging het? Goed, "
        "denk ik. Het was een drukke week en of ik het nu doe of niet, het is altijd hetzelfde.",
        "La semana pasada quedamos en que ibas a probar el registro. Sí. ¿Cómo te fue? Bien, "
        "supongo. No sé, no veo para qué sirve. Siempre me das tareas y no me escuchas.",
        "Förra veckan kom vi överens om att du skulle prova dagboken. Ja. Hur gick det? Bra, "
        "antar jag. Jag vet inte, jag ser inte poängen. Du lyssnar inte på mig.",
        "上周我们说好你会试试。怎么样？",
        "كيف كان أسبوعك",
    ],
)
def test_other_languages_are_told(text: str) -> None:
    assert not is_english([text])


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"sign": []},
        {"sign": [{"id": "x", "per": "word", "rate": 0.1, "weight": 1.0}]},
        {"pseudo_count": 2.0, "sign": [{"id": "x", "per": "word", "rate": 0.1}]},
        {"pseudo_count": 2.0, "sign": [{"id": "x", "per": "day", "rate": 0.1, "weight": 1.0}]},
        {"pseudo_count": 2.0, "sign": [{"id": "x", "per": "word", "rate": 0.0, "weight": 1.0}]},
    ],
)
def test_a_broken_weight_file_is_a_codebook_error(document: dict[str, object]) -> None:
    with pytest.raises(CodebookError):
        read_signs(document)


def test_telling_roles_loads_neither_spacy_nor_numpy() -> None:
    code = "import sys, detector.roles; print({'spacy', 'numpy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

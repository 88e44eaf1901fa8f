import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.codebook import Spoken
from detector.speech import SENTENCE_ENDS, SpeechReader, SpokenTurn, is_word

SPOKEN = Spoken(
    fillers=frozenset({"um", "uh", "hmm"}),
    forms={"gonna": ("going", "to"), "'s": ("is",), "nope": ("no",)},
    events={"laughs": "[laughs]", "laughter": "[laughs]", "pause": "[silence]"},
    negations=frozenset({"not"}),
    reporting=frozenset(),
    narrators=frozenset(),
    replies=frozenset(),
    backchannels=frozenset(),
)


@pytest.fixture(scope="module")
def reader() -> SpeechReader:
    return SpeechReader(SPOKEN)


def words(reader: SpeechReader, text: str) -> list[str]:
    return [word.text for word in reader.read(text).words]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("I don't know", "i do not know"),
        ("I don’t know", "i do not know"),
        ("can't", "can not"),
        ("we'll see", "we will see"),
        ("it's gonna rain", "it is going to rain"),
        ("Nope.", "no ."),
    ],
)
def test_contractions_and_spoken_forms_open(reader: SpeechReader, text: str, read: str) -> None:
    assert words(reader, text) == read.split()


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("I, um, I-I don't-- don't think so", "i do not think so"),
        ("do you do you mean", "do you mean"),
        ("that was that was that was odd", "that was odd"),
        ("I– I want", "i want"),
        ("no no no", "no"),
    ],
)
def test_stutters_and_false_starts_are_read_once(
    reader: SpeechReader, text: str, read: str
) -> None:
    assert words(reader, text) == read.split()


def test_the_later_of_two_repeated_words_keeps_its_place(reader: SpeechReader) -> None:
    (word,) = reader.read("so so").words
    assert (word.start, word.end) == (3, 5)


def test_fillers_go(reader: SpeechReader) -> None:
    assert words(reader, "Um, well, uh, fine") == ["well", "fine"]


@pytest.mark.parametrize(("text", "read"), [("Um.", ["um", "."]), ("Hmm", ["hmm"])])
def test_a_turn_of_only_fillers_keeps_them(
    reader: SpeechReader, text: str, read: list[str]
) -> None:
    assert words(reader, text) == read


def test_fillers_stay_where_beside_them_stands_only_an_event(reader: SpeechReader) -> None:
    assert words(reader, "[laughs] um") == ["[laughs]", "um"]


@pytest.mark.parametrize(
    "text", ["[laughs] fine", "(laughter) fine", "[Laughs nervously] fine", "[ LAUGHS ] fine"]
)
def test_a_remark_in_brackets_becomes_one_event_word(reader: SpeechReader, text: str) -> None:
    assert words(reader, text) == ["[laughs]", "fine"]


def test_an_event_keeps_the_place_of_the_whole_remark(reader: SpeechReader) -> None:
    text = "yes [laughs softly] no"
    event = reader.read(text).words[1]
    assert text[event.start : event.end] == "[laughs softly]"


def test_an_unknown_remark_is_no_speech(reader: SpeechReader) -> None:
    assert words(reader, "[door closes] fine") == ["fine"]


def test_events_and_sentence_ends_are_no_words(reader: SpeechReader) -> None:
    assert reader.read("[pause] Fine. Really?").n_words == 2
    assert not is_word("?")
    assert not is_word("[laughs]")
    assert is_word("fine")


def test_only_sentence_ends_stay_of_the_punctuation(reader: SpeechReader) -> None:
    assert words(reader, "“Well, yes; so…” — fine?!") == ["well", "yes", "so", ".", "fine", "?"]


@pytest.mark.parametrize("text", ["", "...", "?!", "—", "🙂"])
def test_text_without_words_gives_none(reader: SpeechReader, text: str) -> None:
    assert reader.read(text).n_words == 0
    assert reader.read(text).words == ()


@pytest.mark.parametrize("before", ["🙂👩‍👩‍👧 ", "e\u0301e\u0301 ", "שלום, ", "مرحبا ", "İİ "])
def test_offsets_count_code_points_after_emoji_accents_and_rtl(
    reader: SpeechReader, before: str
) -> None:
    text = before + "whatever"
    last = reader.read(text).words[-1]
    assert text[last.start : last.end] == "whatever"


@given(
    st.text(
        alphabet=st.one_of(
            st.sampled_from("aiu 'n t.?!-—’[](),\n🙂\u0301אبİß"),
            st.characters(exclude_categories=("Cs",)),
        ),
        max_size=80,
    )
)
def test_every_word_has_its_place_inside_the_text(reader: SpeechReader, text: str) -> None:
    turn = reader.read(text)
    for word in turn.words:
        assert 0 <= word.start < word.end <= len(text)
        assert text[word.start : word.end].strip()
    starts = [word.start for word in turn.words]
    assert starts == sorted(starts)


@given(st.lists(st.text("aiu 'nt.?[]", max_size=30), max_size=5))
def test_many_turns_are_read_as_one_by_one(reader: SpeechReader, texts: list[str]) -> None:
    assert list(reader.read_all(texts)) == [reader.read(text) for text in texts]


def test_a_sentence_is_bounded_by_sentence_ends(reader: SpeechReader) -> None:
    turn = reader.read("It rained. I stayed home! Did you?")
    home = [word.text for word in turn.words].index("home")
    assert [turn.words[place].text for place in turn.sentence(home)] == ["i", "stayed", "home", "!"]


def test_a_sentence_without_full_stops_is_looked_at_only_so_far(reader: SpeechReader) -> None:
    turn = reader.read(" ".join(f"w{n}" for n in range(500)))
    sentence = turn.sentence(250)
    assert 250 in sentence
    assert len(sentence) <= 121


def test_a_repr_of_spoken_words_shows_none_of_them(reader: SpeechReader) -> None:
    assert "canary" not in repr(reader.read("canary"))


def test_sentence_ends_are_the_four_marks() -> None:
    assert {".", "?", "!", "…"} == SENTENCE_ENDS
    assert SpokenTurn(()).n_words == 0


@pytest.mark.timeout(60)
@pytest.mark.parametrize("mark", ["?", "[", '"', "“", "'", "🙂", "a?("])
def test_endless_stretches_are_read_and_move_no_place(reader: SpeechReader, mark: str) -> None:
    stretch = mark * 100_000
    found = reader.read(f"why {stretch} then").words
    assert (found[0].text, found[-1].text) == ("why", "then")
    assert found[-1].start == len(stretch) + 5

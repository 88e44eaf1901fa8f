import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import EmptyTranscript, MalformedTranscript, UnknownFormat
from detector.formats import read_transcript
from detector.transcript import Role, TimingQuality, Transcript


def rows(transcript: Transcript) -> list[tuple[object, ...]]:
    return [(c.cue_id, c.speaker, c.role, c.start_s, c.end_s, c.text) for c in transcript.cues]


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_the_header_tells_the_delimiter(delimiter: str) -> None:
    table = (
        "cue_id,speaker,role,start_s,end_s,text\n"
        "a,Ann,therapist,1.5,2,Hi.\nb,0,client,,,Hello.\nc,,,3,,Hm.\n"
    )
    transcript = read_transcript(table.replace(",", delimiter))
    assert transcript.format == "csv"
    assert rows(transcript) == [
        ("a", "Ann", Role.THERAPIST, 1.5, 2.0, "Hi."),
        ("b", "0", Role.CLIENT, None, None, "Hello."),
        ("c", None, Role.UNKNOWN, 3.0, None, "Hm."),
    ]


def test_the_header_may_be_written_in_any_case_and_order() -> None:
    transcript = read_transcript("Text, SPEAKER\nHi.,Ann\n")
    assert rows(transcript) == [("1", "Ann", Role.UNKNOWN, None, None, "Hi.")]


def test_other_columns_are_kept_and_counted_and_not_named() -> None:
    transcript = read_transcript("speaker,text,Secret,more\nAnn,Hi.,1,2\n")
    assert transcript.cues[0].extra == (("Secret", "1"), ("more", "2"))
    assert transcript.notes == ("2 columns are not ours; they are kept and not scored.",)


def test_quoted_line_breaks_commas_and_quotes_are_text() -> None:
    transcript = read_transcript('speaker,text\r\nAnn,"Hi, ""you""\r\nthere"\r\nBob,Oh.\r\n')
    assert [c.text for c in transcript.cues] == ['Hi, "you" there', "Oh."]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("12.5", 12.5), ("12", 12.0), ('"12,5"', 12.5), ("00:00:12", 12.0), ("1:02.5", 62.5)],
)
def test_times_are_seconds_or_a_clock(written: str, seconds: float) -> None:
    transcript = read_transcript(f"speaker,start_s,text\nAnn,{written},Hi.\n")
    assert transcript.cues[0].start_s == seconds


@pytest.mark.parametrize("written", ["soon", "nan", "inf", "1e999", "1_000", "00:99:00", "٣"])
def test_a_broken_time_is_refused_with_its_line(written: str) -> None:
    with pytest.raises(MalformedTranscript) as caught:
        read_transcript(f'speaker,start_s,text\nAnn,1,"a\nb"\nAnn,{written},Hi.\n')
    assert caught.value.line == 4
    assert written not in str(caught.value)


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("Therapist", Role.THERAPIST),
        ("T", Role.THERAPIST),
        ("patient", Role.CLIENT),
        ("P", Role.CLIENT),
        ("other", Role.OTHER),
        ("unknown", Role.UNKNOWN),
    ],
)
def test_the_role_column_states_roles(role: str, expected: Role) -> None:
    transcript = read_transcript(f"speaker,role,text\nAnn,{role},Hi.\n")
    assert transcript.cues[0].role is expected
    assert transcript.notes == ()


def test_a_role_that_is_not_known_is_left_open_with_a_note() -> None:
    transcript = read_transcript("speaker,role,text\nAnn,supervisor,Hi.\n")
    assert transcript.cues[0].role is Role.UNKNOWN
    assert transcript.notes == ("1 rows state a role that is not known; left open.",)


def test_role_words_as_speakers_set_roles_without_a_role_column() -> None:
    transcript = read_transcript("speaker,text\nT,Hi.\nC,Hello.\n")
    assert transcript.roles == {"T": Role.THERAPIST, "C": Role.CLIENT}


ANNOMI = "transcript_id,utterance_id,interlocutor,timestamp,utterance_text,topic\n"


def test_the_columns_of_annomi_are_read() -> None:
    transcript = read_transcript(ANNOMI + "7,0,therapist,00:00:13,Hi.,x\n7,1,client,00:01:24,Oh.,x")
    assert rows(transcript) == [
        ("0", "therapist", Role.THERAPIST, 13.0, None, "Hi."),
        ("1", "client", Role.CLIENT, 84.0, None, "Oh."),
    ]
    assert transcript.timing_quality is TimingQuality.START_ONLY


def test_a_file_of_several_sessions_is_refused_with_their_number() -> None:
    table = ANNOMI + "".join(f"{n},0,client,00:00:13,Hi.,x\n" for n in range(3))
    with pytest.raises(MalformedTranscript, match="3 sessions; split it"):
        read_transcript(table)


@pytest.mark.parametrize("row", ["Ann", "Ann,Hi.,more"])
def test_a_row_of_another_length_is_refused_with_its_line(row: str) -> None:
    with pytest.raises(MalformedTranscript) as caught:
        read_transcript(f"speaker,text\nAnn,Hi.\n{row}\n")
    assert caught.value.line == 3


@pytest.mark.parametrize("row", ['Ann,"Hi.', 'Ann,"Hi." there'])
def test_a_row_that_is_not_proper_csv_is_refused_with_its_line(row: str) -> None:
    with pytest.raises(MalformedTranscript) as caught:
        read_transcript(f"speaker,text\nAnn,Hi.\n{row}\n")
    assert caught.value.line == 3


def test_a_column_named_twice_is_refused() -> None:
    with pytest.raises(MalformedTranscript, match="twice"):
        read_transcript("speaker,text,Text\nAnn,Hi.,Oh.\n")


def test_a_field_beyond_the_limit_of_csv_is_refused() -> None:
    with pytest.raises(MalformedTranscript):
        read_transcript(f"speaker,text\nAnn,{'word ' * 50_000}\n")


def test_empty_rows_are_dropped_and_counted() -> None:
    transcript = read_transcript("speaker,text\nAnn,Hi.\n,\n\nAnn,  \n")
    assert [(d.where, d.reason) for d in transcript.dropped] == [
        ("line 3", "empty text"),
        ("line 5", "empty text"),
    ]


def test_a_header_alone_is_empty() -> None:
    with pytest.raises(EmptyTranscript):
        read_transcript("speaker,text\n")


@pytest.mark.parametrize("text", ["speaker,words\nAnn,Hi.\n", "text\nHi.\n"])
def test_a_table_without_text_and_one_more_column_is_no_transcript(text: str) -> None:
    with pytest.raises(UnknownFormat):
        read_transcript(text)


def jsonl(*objects: object) -> Transcript:
    return read_transcript("\n".join(json.dumps(each) for each in objects))


def test_json_lines_are_read() -> None:
    transcript = jsonl(
        {"id": 5, "speaker": 0, "role": "client", "start_s": 1, "end_s": 2.5, "text": "Hi."},
        {"text": "Hm.", "odd": [1]},
    )
    assert transcript.format == "jsonl"
    assert rows(transcript) == [
        ("5", "0", Role.CLIENT, 1.0, 2.5, "Hi."),
        ("2", None, Role.UNKNOWN, None, None, "Hm."),
    ]
    assert transcript.notes == ("1 columns are not ours; they are kept and not scored.",)
    assert [cue.extra for cue in transcript.cues] == [(), (("odd", "[1]"),)]


def test_a_given_id_stays_where_it_is_also_another_rows_place() -> None:
    transcript = jsonl({"id": "2", "text": "Hi."}, {"speaker": "Bob", "text": "Hm."})
    assert [cue.cue_id for cue in transcript.cues] == ["2", "line 2"]


def test_one_json_line_alone_is_read() -> None:
    assert jsonl({"speaker": "Ann", "text": "Hi."}).format == "jsonl"


@pytest.mark.parametrize(
    "broken",
    [
        '{"text": "Hi.", "speaker": ',
        "[]",
        '{"text": 1}',
        '{"speaker": "Ann"}',
        '{"text": "Hi.", "speaker": []}',
        '{"text": "Hi.", "speaker": true}',
        '{"text": "Hi.", "start_s": NaN}',
        '{"text": "Hi.", "start_s": true}',
        '{"text": "Hi.", "start_s": 1e400}',
    ],
)
def test_a_broken_json_line_is_refused_with_its_number(broken: str) -> None:
    with pytest.raises(MalformedTranscript) as caught:
        read_transcript('{"speaker": "Ann", "text": "Hi."}\n\n' + broken)
    assert caught.value.line == 3


def test_half_an_emoji_in_a_json_line_is_replaced() -> None:
    assert read_transcript('{"speaker": "A", "text": "x \\ud83d"}').cues[0].text == "x \ufffd"


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"])).filter(
    lambda text: text.split() != []
)


@given(st.lists(st.tuples(texts, st.integers(0, 10_000)), min_size=1), st.booleans())
def test_what_is_written_as_a_table_is_read_back(
    said: list[tuple[str, int]], as_json: bool
) -> None:
    objects = [{"speaker": "Ann", "start_s": start, "text": text} for text, start in said]
    file = io.StringIO()
    if as_json:
        file.writelines(json.dumps(each) + "\n" for each in objects)
    else:
        table = csv.DictWriter(file, ["speaker", "start_s", "text"])
        table.writeheader()
        table.writerows(objects)
    transcript = read_transcript(file.getvalue())
    assert [(c.text, c.start_s) for c in transcript.cues] == [
        (" ".join(text.split()), start) for text, start in said
    ]

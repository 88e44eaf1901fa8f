from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import EmptyTranscript, MalformedTranscript
from detector.formats import read_transcript
from detector.transcript import Role, Transcript

FIXTURES = Path(__file__).parents[2] / "fixtures" / "formats" / "textgrid"

Entries = list[tuple[float, float, str]]


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def short(**tiers: Entries) -> str:
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", "99", "<exists>"]
    lines.append(str(len(tiers)))
    for name, entries in tiers.items():
        lines += ['"IntervalTier"', quoted(name), "0", "99", str(len(entries))]
        for start, end, text in entries:
            lines += [str(start), str(end), quoted(text)]
    return "\n".join(lines)


def long(**tiers: Entries) -> str:
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", "xmax = 99"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, entries) in enumerate(tiers.items(), start=1):
        lines += [f"item [{number}]:", 'class = "IntervalTier"', f"name = {quoted(name)}"]
        lines += ["xmin = 0", "xmax = 99", f"intervals: size = {len(entries)}"]
        for place, (start, end, text) in enumerate(entries, start=1):
            lines += [f"intervals [{place}]:", f"xmin = {start}", f"xmax = {end}"]
            lines.append(f"text = {quoted(text)}")
    return "\n".join(lines)


def read(**tiers: Entries) -> Transcript:
    return read_transcript(short(**tiers))


def test_overlapping_speakers_are_merged_by_start() -> None:
    transcript = read(A=[(0, 5, "One."), (6, 8, "Three.")], B=[(3, 4, "Two.")])
    assert [(cue.speaker, cue.text, cue.start_s) for cue in transcript.cues] == [
        ("A", "One.", 0.0),
        ("B", "Two.", 3.0),
        ("A", "Three.", 6.0),
    ]
    assert transcript.notes == ()


def test_empty_intervals_and_points_are_dropped_and_counted() -> None:
    transcript = read_transcript(FIXTURES / "constructed_long.TextGrid")
    reasons = [drop.reason for drop in transcript.dropped]
    assert reasons.count("empty interval") == 10
    assert reasons.count("a point in time, not an interval of speech") == 1


def test_the_long_form_and_the_short_hold_the_same() -> None:
    transcripts = [read_transcript(path) for path in sorted(FIXTURES.iterdir())]
    assert len(transcripts) == 2
    assert transcripts[0].cues == transcripts[1].cues


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 50, allow_nan=False).map(lambda number: round(number, 3)),
            st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_any_label_comes_back_from_either_form(spoken: list[tuple[float, str]]) -> None:
    entries = [(start, start + 1, text) for start, text in sorted(spoken)]
    expected = [text.strip() for _, _, text in entries]
    for text in (short(A=entries), long(A=entries)):
        assert [cue.text for cue in read_transcript(text).cues] == expected


def test_a_label_that_looks_like_the_file_tears_nothing() -> None:
    label = 'text = "x" intervals [2]: class = "IntervalTier" ! 5 <exists>'
    for text in (short(A=[(0, 1, label)]), long(A=[(0, 1, label)])):
        assert [cue.text for cue in read_transcript(text).cues] == [label]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_praats_encodings_are_read(encoding: str) -> None:
    text = short(A=[(0, 1, "naïve — ünd")])
    assert read_transcript(text.encode(encoding)).cues[0].text == "naïve — ünd"


def test_windows_line_ends_are_read() -> None:
    text = (FIXTURES / "constructed_long.TextGrid").read_text().replace("\n", "\r\n")
    assert len(read_transcript(text.encode()).cues) == 8


def test_an_older_header_of_the_short_form_is_read() -> None:
    text = (
        short(A=[(0, 1, "Hi.")])
        .replace("ooTextFile", "ooTextFile short")
        .replace('Object class = "TextGrid"', '"TextGrid"')
    )
    assert read_transcript(text).cues[0].text == "Hi."


def test_a_minus_sign_is_not_lost() -> None:
    transcript = read(A=[(-2, 1, "Hi.")])
    assert transcript.cues[0].start_s == 0.0
    assert any("below 0" in note for note in transcript.notes)


def test_a_tier_of_sounds_is_no_speaker() -> None:
    tiers = {"Sam": [(0.0, 1.0, "Hi.")], "Sam - phones": [(0.0, 0.5, "HH")]}
    transcript = read_transcript(short(**tiers))
    assert transcript.speakers == ("Sam",)
    assert [drop.reason for drop in transcript.dropped] == ["on a tier of sounds"]


def test_a_tier_called_client_labels_the_role() -> None:
    assert read(Client=[(0, 1, "Hi.")]).cues[0].role is Role.CLIENT


def test_a_tier_without_a_name_has_no_speaker() -> None:
    assert read_transcript(short(**{"": [(0.0, 1.0, "Hi.")]})).speakers == ()


@pytest.mark.parametrize("form", [short, long])
def test_fewer_entries_than_declared_are_refused(form: object) -> None:
    text = form(A=[(0, 1, "Hi."), (1, 2, "Yes.")])  # type: ignore[operator]
    with pytest.raises(MalformedTranscript, match="breaks off"):
        read_transcript(text[: text.rindex("Yes.") - 1])


def test_more_entries_than_declared_are_refused() -> None:
    with pytest.raises(MalformedTranscript, match="more entries") as caught:
        read_transcript(short(A=[(0, 1, "Hi.")]) + '\n1\n2\n"Yes."')
    assert caught.value.line == 16


def test_a_count_of_billions_is_not_believed() -> None:
    with pytest.raises(MalformedTranscript):
        read_transcript(short(A=[(0, 1, "Hi.")]).replace("\n1\n0\n1\n", "\n999999999\n0\n1\n"))


def test_a_text_where_a_number_should_be_names_the_line() -> None:
    text = short(A=[(0, 1, "Hi."), (1, 2, "Yes.")]).replace('1\n2\n"Yes."', 'x\n2\n"Yes."')
    with pytest.raises(MalformedTranscript, match="expected") as caught:
        read_transcript(text)
    assert caught.value.line is not None


def test_no_labelled_interval_is_an_empty_transcript() -> None:
    with pytest.raises(EmptyTranscript):
        read(A=[(0, 1, "")])

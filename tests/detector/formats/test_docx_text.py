import io
import tracemalloc
import zipfile

import pytest

from detector.errors import MalformedTranscript, TranscriptError, TranscriptTooLarge, UnknownFormat
from detector.formats import read_transcript
from detector.formats.docx_text import MAX_PART, is_docx, read_paragraphs
from detector.formats.source import open_source

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
STRICT = "http://purl.oclc.org/ooxml/wordprocessingml/main"
TURN = "<w:p><w:r><w:t>Ann   0:04</w:t><w:br/><w:t>Hi.</w:t></w:r></w:p>"


def docx(
    body: str,
    *,
    space: str = WORD,
    prolog: str = "",
    part: str = "document.xml",
    method: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        xml = f'{prolog}<w:document xmlns:w="{space}"><w:body>{body}</w:body></w:document>'
        archive.writestr(f"word/{part}", xml)
    return file.getvalue()


def texts(data: bytes) -> list[tuple[int, str]]:
    return [(p.place, p.text) for p in read_paragraphs(open_source(data))]


def test_breaks_and_tabs_are_kept_and_empty_paragraphs_left_out() -> None:
    body = "<w:p/><w:p><w:r><w:t>a</w:t><w:br/><w:t xml:space='preserve'> b</w:t><w:tab/></w:r>"
    assert texts(docx(body + "<w:r><w:t>c&amp;d</w:t></w:r></w:p>")) == [(2, "a\n b\tc&d")]


def test_tables_content_controls_and_tracked_insertions_are_read() -> None:
    run = "<w:r><w:t>{}</w:t></w:r>"
    body = (
        f"<w:tbl><w:tr><w:tc><w:p>{run.format('cell')}</w:p></w:tc></w:tr></w:tbl>"
        f"<w:sdt><w:sdtContent><w:p>{run.format('control')}</w:p></w:sdtContent></w:sdt>"
        f"<w:p><w:ins>{run.format('inserted')}</w:ins></w:p>"
        f"<w:p><w:hyperlink>{run.format('link')}</w:hyperlink></w:p>"
        "<w:p><w:del><w:r><w:delText>deleted</w:delText></w:r></w:del></w:p>"
    )
    assert [text for _, text in texts(docx(body))] == ["cell", "control", "inserted", "link"]


def test_a_paragraph_inside_a_paragraph_speaks_for_itself() -> None:
    inner = "<w:txbxContent><w:p><w:r><w:t>box</w:t></w:r></w:p></w:txbxContent>"
    body = f"<w:p><w:r><w:t>before</w:t>{inner}<w:t> after</w:t></w:r></w:p>"
    assert texts(docx(body)) == [(1, "before after"), (2, "box")]


def test_strict_documents_and_renamed_main_parts_are_read() -> None:
    for data in (docx(TURN, space=STRICT), docx(TURN, part="document2.xml")):
        assert read_transcript(data).cues[0].text == "Hi."


def test_a_zip_without_a_main_part_is_no_word_document() -> None:
    assert not is_docx(open_source(docx(TURN, part="styles.xml")))


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE d SYSTEM "file:///etc/passwd">',
    ],
)
def test_a_document_that_declares_entities_is_refused(doctype: str) -> None:
    with pytest.raises(MalformedTranscript, match="DOCTYPE"):
        read_transcript(docx(TURN, prolog=doctype))


def test_an_entity_is_never_unfolded_or_fetched(tmp_path: object) -> None:
    prolog = f'<!DOCTYPE d [<!ENTITY secret SYSTEM "file://{tmp_path}">]>'
    with pytest.raises(MalformedTranscript):
        read_transcript(docx("<w:p><w:r><w:t>&secret;</w:t></w:r></w:p>", prolog=prolog))


@pytest.mark.parametrize("body", ["<w:p>", "<w:p></w:q>", "<w:p>\x01</w:p>"])
def test_xml_that_is_not_well_formed_is_refused(body: str) -> None:
    with pytest.raises(MalformedTranscript, match="well-formed"):
        read_transcript(docx(body))


def test_a_damaged_member_is_refused() -> None:
    data = bytearray(docx(TURN * 50))
    data[60:80] = bytes(20)
    with pytest.raises(MalformedTranscript, match="damaged"):
        read_transcript(bytes(data))


def test_a_zip_of_an_unknown_version_is_no_format() -> None:
    data = bytearray(docx(TURN))
    # The version needed to unpack, in the central directory.
    data[data.rindex(b"PK\x01\x02") + 6] = 224
    with pytest.raises(UnknownFormat, match="damaged zip"):
        read_transcript(bytes(data))


def test_a_document_that_unpacks_to_too_much_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(TranscriptTooLarge):
        read_transcript(docx(TURN + " " * (MAX_PART + 1)))


def stated(data: bytes, size: int) -> bytes:
    """The same archive whose main part says that it unpacks to so many bytes."""
    found, entry = bytearray(data), data.rindex(b"PK\x01\x02")
    found[22:26] = found[entry + 24 : entry + 28] = size.to_bytes(4, "little")
    return bytes(found)


def test_a_document_with_a_false_size_unpacks_to_no_more_than_the_limit() -> None:
    bomb = stated(docx(TURN + " " * (8 * MAX_PART)), 1000)
    tracemalloc.start()
    with pytest.raises(TranscriptError):
        read_transcript(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * MAX_PART


def test_a_document_that_is_packed_as_no_word_document_is_refused() -> None:
    with pytest.raises(MalformedTranscript, match="packed as none is"):
        read_transcript(docx(TURN, method=zipfile.ZIP_BZIP2))


def test_a_cut_file_is_no_format() -> None:
    data = docx(TURN * 50)
    with pytest.raises(UnknownFormat, match="damaged zip"):
        read_transcript(data[: len(data) // 2])


def test_depth_without_end_is_refused() -> None:
    with pytest.raises(TranscriptError):
        read_transcript(docx("<w:p>" * 100_000 + "</w:p>" * 100_000))


def test_a_typed_document_is_refused_with_what_to_do() -> None:
    body = "<w:p><w:r><w:t>Therapist: Hi.</w:t></w:r></w:p>" * 3
    with pytest.raises(UnknownFormat, match="save a typed transcript as plain text"):
        read_transcript(docx(body))

"""What pages say, apart from where it stands: how a text is said, and the report in a second
language."""

import dataclasses
import html
import re
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

import detector.page
from detector.codebook import load_codebook
from detector.page import render, wording
from detector.page import words as of_page
from detector.page.wording import FIRST, REPORT_WORDS, Wording, WordingError, languages
from detector.report import Evidence, Moment, Report, Roles
from detector.transcript import Role, TimingQuality

ENGLISH = """
hello = "Hello {name}, <b> & you"
found = { one = "{n} session", other = "{n} sessions" }
script.saved = "Saved."
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Words of our own, in a language with three plural forms beside English."""
    for language in ("en", "pl"):
        (tmp_path / language).mkdir()
    (tmp_path / "en" / "page.toml").write_text(ENGLISH, "utf-8")
    counted = '{ one = "{n} sesja", few = "{n} sesje", other = "{n} sesji" }'
    (tmp_path / "pl" / "page.toml").write_text(f"found = {counted}", "utf-8")
    return tmp_path


@pytest.fixture
def spoken(folder: Path) -> Wording:
    return Wording("pl", folder)


def test_a_text_is_said_with_its_values_and_neither_is_markup(spoken: Wording) -> None:
    said = spoken.say("page.hello", name="<i>Ada</i>")
    assert said == "Hello &lt;i&gt;Ada&lt;/i&gt;, &lt;b&gt; &amp; you"


def test_a_plain_text_is_left_for_the_template_to_escape(spoken: Wording) -> None:
    assert spoken.text("page.hello", name="<i>Ada</i>") == "Hello <i>Ada</i>, <b> & you"


@pytest.mark.parametrize(("n", "said"), [(1, "1 sesja"), (3, "3 sesje"), (5, "5 sesji")])
def test_what_counts_has_the_plural_forms_of_its_language(
    spoken: Wording, n: int, said: str
) -> None:
    assert spoken.say("page.found", n=n) == said


@pytest.mark.parametrize(
    ("key", "values", "fault"),
    [
        ("page.nothing", {}, "there is no text page.nothing"),
        ("page.hello", {}, r"has the places \['name'\], not \[\]"),
        ("page.hello", {"name": "Ada", "more": 1}, "has the places"),
        ("page.found", {}, "is told no n"),
    ],
)
def test_a_text_that_there_is_not_or_that_is_told_otherwise_is_refused(
    spoken: Wording, key: str, values: dict[str, object], fault: str
) -> None:
    for said in (spoken.say, spoken.text):
        with pytest.raises(WordingError, match=fault):
            said(key, **values)


def test_a_script_has_its_own_words_alone(spoken: Wording) -> None:
    assert spoken.of_script("page") == {"language": "pl", "texts": {"saved": "Saved."}}


def test_a_text_that_english_has_not_is_refused(folder: Path) -> None:
    (folder / "pl" / "more.toml").write_text('hello = "Cześć"', "utf-8")
    with pytest.raises(WordingError, match=r"English has no more\.hello"):
        Wording("pl", folder)


def test_one_key_in_two_folders_is_refused(folder: Path) -> None:
    with pytest.raises(WordingError, match="two folders have"):
        Wording("pl", folder, folder / ".." / folder.name)


def test_a_value_is_written_as_its_language_writes_it(spoken: Wording) -> None:
    assert (spoken.decimal(0.35), Wording(FIRST, REPORT_WORDS).decimal(0.35)) == ("0,3", "0.3")
    assert spoken.joined(["a", "b", "c"]) == "a, b i c"


def test_a_language_without_words_has_no_page(invented_report: Report) -> None:
    assert FIRST in languages(REPORT_WORDS)
    with pytest.raises(WordingError, match="there are no words in 'xx'"):
        render(invented_report, language="xx")


# -- the report in a second language -------------------------------------------------------------

OTHER = "eo"
"""In Esperanto a list has "kaj" before its last part, so says Unicode's CLDR."""


@pytest.fixture
def _second_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """English, and a made-up language whose every letter is a ж."""
    own = Path(str(REPORT_WORDS)) / FIRST
    for language in (FIRST, OTHER):
        (tmp_path / language).mkdir()
    for file in own.glob("*.toml"):
        text = file.read_text("utf-8")
        (tmp_path / FIRST / file.name).write_text(text, "utf-8")
        (tmp_path / OTHER / file.name).write_text(_disguised(text), "utf-8")
    monkeypatch.setattr(of_page, "REPORT_WORDS", tmp_path)
    yield
    of_page.words_in.cache_clear()
    detector.page._template.cache_clear()


def _disguised(text: str) -> str:
    """The file with the letters of its texts hidden: those in quotes after an =, but no place."""

    def hidden(found: re.Match[str]) -> str:
        parts = re.split(r"(\{\w+\}|\\u00AD)", found[2])
        return found[1] + "".join(
            one if place % 2 else re.sub(r"[^\W\d_]", "ж", one) for place, one in enumerate(parts)
        )

    return re.sub(r'(= ")([^"]*)', hidden, text)


def _without_quotation(page: str, report: Report) -> str:
    """What is left to read when the session, the codebook and names of versions are taken away."""
    body = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    body = re.sub(r'<blockquote.*?</blockquote>|<p class="said".*?</p>', "", body, flags=re.DOTALL)
    body = re.sub(r"<kbd>.*?</kbd>|<code>.*?</code>|<bdi>.*?</bdi>", "", body)
    spoken = re.findall(r'(?:aria-label|alt|placeholder)="([^"]*)"|<title>(.*?)</title>', body)
    text = html.unescape(re.sub(r"<[^>]*>", " ", body) + " ".join(map("".join, spoken)))
    made = report.provenance
    for own in (
        *(one for m in load_codebook().markers.values() for one in _texts(m)),
        *(report.notes + report.limits),
        *(one.abstained for one in report.turns if one.abstained),
        *(made.checkpoint, made.codebook, made.code, made.format, "cpu"),
    ):
        text = text.replace(own, "")
    return text


def _texts(marker: object) -> list[str]:
    """The codebook's texts as they stand on a page, longest first."""
    fields = [getattr(marker, name) for name in ("title", "definition")]
    case = getattr(marker, "not_when", "")
    return sorted([*fields, *([case[0].lower() + case[1:]] if case else [])], key=len)[::-1]


def _faces(report: Report) -> Iterator[Report]:
    """The report with all that a page can say of one."""
    change = dataclasses.replace
    yield change(report, provenance=change(report.provenance, backend="cpu"))
    untimed = tuple(change(t, start_s=None, end_s=None, timing={}) for t in report.turns)
    yield change(
        report,
        turns=(change(untimed[0], role=Role.OTHER), *untimed[1:]),
        moments=tuple(change(one, start_s=None, end_s=None) for one in report.moments),
        segments=tuple(change(one, start_s=None, end_s=None) for one in report.segments),
        timing_quality=TimingQuality.NONE,
        roles=Roles({}, "given"),
    )
    unscored = tuple(change(t, abstained="не по-английски", scores={}) for t in report.turns)
    yield change(report, turns=unscored, moments=(), strengths=())
    features = ("said.few_words", "before.none", "time.n_words_vs_own", "time.opening")
    evidence = tuple(Evidence("withdrawal", one, 1.0, 0.9) for one in features)
    slow = {"response_latency_s": 6.0, "unanswered_s": 4.0, "pause_within_s": 4.0}
    told = tuple(
        change(t, evidence=evidence, timing={**t.timing, **slow}, role=t.role) for t in report.turns
    )
    clients = tuple(t.index for t in report.turns if t.role is Role.CLIENT)
    others = tuple(t.index for t in report.turns if t.role is Role.THERAPIST)
    long = change(report.moments[0], turn_indexes=clients, repair_turn_indexes=others[-7:])
    yield change(report, turns=told, moments=(change(long, kind="mixed"),))
    yield change(report, turns=told, moments=tuple(_crowd(report, clients)), strengths=())


def _crowd(report: Report, clients: tuple[int, ...]) -> Iterator[Moment]:
    """More moments than the strip has room for, of every kind and end."""
    for place, index in enumerate(clients):
        yield dataclasses.replace(
            report.moments[0],
            turn_indexes=(index,),
            kind=of_page.KINDS[place % 3],
            resolution=of_page.RESOLUTIONS[place % 3],
            score=(0.05, 0.2, 0.4, 0.6, 0.8, 0.95)[place % 6],
        )


@pytest.mark.usefixtures("_second_language")
def test_a_page_in_a_second_language_has_no_word_of_the_first(invented_report: Report) -> None:
    for report in _faces(invented_report):
        page = render(report, language=OTHER)
        assert f'<html lang="{OTHER}">' in page
        assert set(re.findall(r"[A-Za-z]{2,}", _without_quotation(page, report))) <= {"kaj"}


@pytest.mark.usefixtures("_second_language")
def test_a_language_says_in_english_what_it_does_not_say_yet(
    invented_report: Report, tmp_path: Path
) -> None:
    (tmp_path / OTHER / "record.toml").unlink()
    wording._entries.cache_clear()
    page = render(invented_report, language=OTHER)
    assert "What this report cannot tell" in page
    assert "The session at a glance" not in page


def test_every_file_of_words_is_packed() -> None:
    own = {one.name for one in (files("detector.page") / "words" / FIRST).iterdir()}
    root = Path(detector.page.__file__).parents[2]
    if not (root / "pyproject.toml").is_file():
        return  # an installed package: that the words were read above is the proof
    packed = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    patterns = packed["tool"]["setuptools"]["package-data"]["detector"]
    found = {path.name for one in patterns for path in (root / "detector").glob(one)}
    assert own
    assert own <= found

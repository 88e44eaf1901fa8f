"""The review page's words stand apart from its templates, all of them, and each is used."""

import pytest

from service import wording as words
from service.settings import Settings
from service.wording import FIRST, Wording, WordingError, languages, wording


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch) -> Wording:
    """Words of our own, in a language with three plural forms."""
    texts = {
        "page.hello": "Hello {name}, <b> & you",
        "page.found": {"one": "{n} session", "few": "{n} sessiones", "other": "{n} sessions"},
        "page.script.saved": "Saved.",
    }
    monkeypatch.setattr(words, "languages", lambda: ("en", "pl"))
    monkeypatch.setattr(words, "_entries", lambda language: texts)
    return Wording("pl")


def test_a_text_is_said_with_its_values_and_neither_is_markup(spoken: Wording) -> None:
    said = spoken.say("page.hello", name="<i>Ada</i>")
    assert said == "Hello &lt;i&gt;Ada&lt;/i&gt;, &lt;b&gt; &amp; you"


@pytest.mark.parametrize(("n", "said"), [(1, "1 session"), (3, "3 sessiones"), (5, "5 sessions")])
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
    with pytest.raises(WordingError, match=fault):
        spoken.say(key, **values)


def test_a_script_has_its_own_words_alone(spoken: Wording) -> None:
    assert spoken.of_script("page") == {"language": "pl", "texts": {"saved": "Saved."}}


def test_a_language_without_words_is_no_setting() -> None:
    assert FIRST in languages()
    with pytest.raises(WordingError):
        Wording("xx")
    with pytest.raises(ValueError, match="there are words in en"):
        Settings(_env_file=None, language="xx")


@pytest.mark.parametrize("language", languages())
def test_every_language_has_the_places_that_english_has(language: str) -> None:
    first, own = wording(FIRST), wording(language)
    for key, entry in own.entries.items():
        texts = (entry,) if isinstance(entry, str) else tuple(entry.values())
        english = first.entries[key]
        other = english if isinstance(english, str) else english["other"]
        for text in texts:
            assert set(words.places(text)) - {"n"} == set(words.places(other)) - {"n"}, key

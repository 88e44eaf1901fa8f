"""What the review page says, kept apart from where it stands, so that it can be translated.

    wording("en").say("sessions.found", n=3)          "3 sessions"
    wording("en").of_script("sessions")               what list.js says, as plain values

`pages/words/<language>/<page>.toml` holds one page's words; a key is the file's name and the path
in it. A place for a value is `{name}`. An entry that counts has one text for each plural form that
its language has (CLDR: `one`, `few`, `other`, …), and takes `n`. What a language does not say yet
is said in English.
"""

import string
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.lists import format_list
from babel.numbers import format_decimal
from markupsafe import Markup, escape

from service.errors import ServiceError

FIRST = "en"
"""The language that every text is written in first."""

SCRIPT = "script"
"""The table of a page's file that its scripts have, and nothing else of it."""

_FORMS = frozenset({"zero", "one", "two", "few", "many", "other"})

Entry = str | Mapping[str, str]
"""A text, or its plural forms."""


class WordingError(ServiceError):
    """A text that there is not, or whose places are not the values given. Ours to mend."""


def languages() -> tuple[str, ...]:
    """Languages that there are words of, by their folders' names."""
    own = files("service") / "pages" / "words"
    return tuple(sorted(one.name for one in own.iterdir() if one.is_dir()))


class Wording:
    """The words of one language.

    Args:
        language: one of `languages()`.

    Raises: WordingError: there is no such folder, no such language, or its words are none.
    """

    def __init__(self, language: str) -> None:
        if language not in languages():
            raise WordingError(f"there are no words in {language!r}: {', '.join(languages())}")
        self.language = language
        try:
            # Days and lists as the rest of the English is written: British.
            self.locale = Locale.parse("en-GB" if language == FIRST else language, sep="-")
        except (UnknownLocaleError, ValueError):
            raise WordingError(f"{language!r} is no language that Unicode's CLDR knows") from None
        first = _entries(FIRST)
        self.entries: dict[str, Entry] = {**first, **_entries(language)}
        if unknown := self.entries.keys() - first.keys():
            raise WordingError(f"{language}: English has no {min(unknown)}")

    def say(self, key: str, /, **values: Any) -> Markup:
        """A text with its values, safe to stand in a page: no value is taken as markup.

        Raises: WordingError: no such text, or other places than values.
        """
        text = self._form(key, values)
        wanted, given = set(places(text)), values.keys() - {"n"}
        if wanted - {"n"} != given or ("n" in wanted and "n" not in values):
            raise WordingError(f"{key}: has the places {sorted(wanted)}, not {sorted(given)}")
        if "n" in values:
            values = {**values, "n": self.number(values["n"])}
        return Markup(escape(text)).format(**values)  # noqa: S704  escaped on its left

    def _form(self, key: str, values: Mapping[str, Any]) -> str:
        try:
            entry = self.entries[key]
        except KeyError:
            raise WordingError(f"there is no text {key}") from None
        if isinstance(entry, str):
            return entry
        if "n" not in values:
            raise WordingError(f"{key}: counts, and is told no n")
        return entry.get(self.locale.plural_form(values["n"]), entry["other"])

    def of_script(self, page: str) -> dict[str, Any]:
        """What the scripts of a page say, by key, and the language they count in."""
        start = f"{page}.{SCRIPT}."
        kept = {k.removeprefix(start): v for k, v in self.entries.items() if k.startswith(start)}
        return {"language": self.language, "texts": kept}

    def number(self, number: int) -> str:
        """A count as the language writes it: "1,234"."""
        return format_decimal(number, locale=self.locale)

    def listed(self, start: str, names: Sequence[str]) -> str:
        """The texts of several keys, `start` and a name each, as in a sentence: "a, b and c"."""
        parts = [self._form(start + name, {}) for name in names]
        return format_list(parts, locale=self.locale)

    def day(self, day: str) -> str:
        """A day (ISO 8601) in words: "3 November 2026"."""
        return format_date(date.fromisoformat(day), "long", locale=self.locale)


@cache
def wording(language: str) -> Wording:
    """The words of a language, read once. Raises: WordingError."""
    return Wording(language)


def places(text: str) -> Iterator[str]:
    """Names of a text's places. Raises: WordingError: it has one without a name."""
    for _, name, spec, conversion in string.Formatter().parse(text):
        if name is not None:
            if not name.isidentifier() or spec or conversion:
                raise WordingError("a place is a name in braces and nothing else")
            yield name


@cache
def _entries(language: str) -> dict[str, Entry]:
    folder = files("service") / "pages" / "words" / language
    found: dict[str, Entry] = {}
    for file in sorted(folder.iterdir(), key=lambda one: one.name):
        if file.name.endswith(".toml"):
            page = file.name.removesuffix(".toml")
            found |= _flat(page, tomllib.loads(file.read_text("utf-8")))
    return found


def _flat(start: str, table: Mapping[str, Any]) -> Iterator[tuple[str, Entry]]:
    for name, value in table.items():
        key = f"{start}.{name}"
        if isinstance(value, str):
            yield key, value
        elif isinstance(value, Mapping) and "other" in value and value.keys() <= _FORMS:
            yield key, {form: str(text) for form, text in value.items()}
        elif isinstance(value, Mapping):
            yield from _flat(key, value)
        else:
            raise WordingError(f"{key}: is no text")

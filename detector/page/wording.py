"""What pages say, kept apart from where they stand, so that it can be translated.

    wording("en").say("moments.more", n=3)     "3 more turns of this moment in the transcript"
    wording("en").of_script("sessions")        what a page's script says, as plain values

`<folder>/<language>/<file>.toml` holds the words of a page or of a part of it; a key is the file's
name and the path in it. A place for a value is `{name}`. An entry that counts has one text for each
plural form that its language has (CLDR: `one`, `few`, `other`, …), and takes `n`. What a language
does not say yet is said in English.
"""

import string
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.lists import format_list
from babel.numbers import format_decimal
from markupsafe import Markup, escape

from detector.errors import DetectorError

FIRST = "en"
"""The language that every text is written in first."""

SCRIPT = "script"
"""The table of a page's file that its scripts have, and nothing else of it."""

REPORT_WORDS = files("detector.page") / "words"
"""The folder of the report's page: a folder a language in it."""

_FORMS = frozenset({"zero", "one", "two", "few", "many", "other"})

Entry = str | Mapping[str, str]
"""A text, or its plural forms."""


class WordingError(DetectorError):
    """A text that there is not, or whose places are not the values given. Ours to mend."""


def languages(*folders: Traversable) -> tuple[str, ...]:
    """Languages that every one of the folders has words of, by the names of their own folders."""
    found = [{one.name for one in folder.iterdir() if one.is_dir()} for folder in folders]
    return tuple(sorted(set.intersection(*found)))


class Wording:
    """The words of one language.

    Args:
        language: one of `languages(*folders)`.
        folders: where the words are; no two of them have a key of the same name.

    Raises: WordingError: there is no such folder, no such language, or its words are none.
    """

    def __init__(self, language: str, *folders: Traversable) -> None:
        known = languages(*folders)
        if language not in known:
            raise WordingError(f"there are no words in {language!r}: {', '.join(known)}")
        self.language = language
        try:
            # Days and lists as the rest of the English is written: British.
            self.locale = Locale.parse("en-GB" if language == FIRST else language, sep="-")
        except (UnknownLocaleError, ValueError):
            raise WordingError(f"{language!r} is no language that Unicode's CLDR knows") from None
        self._first = _entries(FIRST, folders)
        self.entries: dict[str, Entry] = {**self._first, **_entries(language, folders)}
        if unknown := self.entries.keys() - self._first.keys():
            raise WordingError(f"{language}: English has no {min(unknown)}")

    def say(self, key: str, /, **values: Any) -> Markup:
        """A text with its values, safe to stand in a page: no value is taken as markup.

        Raises: WordingError: no such text, or other places than values.
        """
        form = self._form(key, values)
        return Markup(escape(form)).format(**self._told(key, form, values))  # noqa: S704  escaped on its left

    def text(self, key: str, /, **values: Any) -> str:
        """A text with its values as plain text, which a template still has to escape.

        Raises: WordingError: no such text, or other places than values.
        """
        form = self._form(key, values)
        return form.format(**self._told(key, form, values))

    def under(self, start: str) -> Mapping[str, str]:
        """The texts whose keys begin with `start` and a dot, by the rest; in English's order.

        Raises: WordingError: one of them counts.
        """
        return _under(self.entries, start)

    def first_under(self, start: str) -> Mapping[str, str]:
        """The same texts in English."""
        return _under(self._first, start)

    def _told(self, key: str, text: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The values as they are said. Raises: WordingError: other places than values."""
        wanted, given = set(places(text)), values.keys() - {"n"}
        if wanted - {"n"} != given or ("n" in wanted and "n" not in values):
            raise WordingError(f"{key}: has the places {sorted(wanted)}, not {sorted(given)}")
        return {**values, "n": self.number(values["n"])} if "n" in values else values

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

    def decimal(self, value: float) -> str:
        """A value with one place after the point, as the language writes it: "3.2"."""
        return format_decimal(Decimal(f"{value:.1f}"), format="0.0", locale=self.locale)

    def joined(self, parts: Sequence[str]) -> str:
        """Parts as a sentence has them: "a, b and c"."""
        return format_list(parts, locale=self.locale)

    def listed(self, start: str, names: Sequence[str]) -> str:
        """The texts of several keys, `start` and a name each, as in a sentence."""
        return self.joined([self._form(start + name, {}) for name in names])

    def day(self, day: str) -> str:
        """A day (ISO 8601) in words: "3 November 2026"."""
        return format_date(date.fromisoformat(day), "long", locale=self.locale)


def places(text: str) -> Iterator[str]:
    """Names of a text's places. Raises: WordingError: it has one without a name."""
    for _, name, spec, conversion in string.Formatter().parse(text):
        if name is not None:
            if not name.isidentifier() or spec or conversion:
                raise WordingError("a place is a name in braces and nothing else")
            yield name


@cache
def _entries(language: str, folders: tuple[Traversable, ...]) -> Mapping[str, Entry]:
    found: dict[str, Entry] = {}
    for folder in folders:
        for file in sorted((folder / language).iterdir(), key=lambda one: one.name):
            if not file.name.endswith(".toml"):
                continue
            start = file.name.removesuffix(".toml")
            own = dict(_flat(start, tomllib.loads(file.read_text("utf-8"))))
            if twice := found.keys() & own.keys():
                raise WordingError(f"{language}: two folders have a {min(twice)}")
            found |= own
    return found


def _under(entries: Mapping[str, Entry], start: str) -> Mapping[str, str]:
    start = f"{start}."
    found: dict[str, str] = {}
    for key, entry in entries.items():
        if key.startswith(start):
            if not isinstance(entry, str):
                raise WordingError(f"{key}: does not count")
            found[key.removeprefix(start)] = entry
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

"""What the review page says: its own words beside those of the report's page that it extends.

The words of a page stand in `pages/words/<language>/<page>.toml`; `detector.page.wording` tells how
they are written and said.
"""

from functools import cache
from importlib.resources import files

from detector.page import wording as of_report
from detector.page.wording import FIRST
from detector.page.words import Words

__all__ = ["FIRST", "FOLDERS", "languages", "wording"]

FOLDERS = (of_report.REPORT_WORDS, files("service") / "pages" / "words")


def languages() -> tuple[str, ...]:
    """Languages that there are words of, for the review page and for the report."""
    return of_report.languages(*FOLDERS)


@cache
def wording(language: str) -> Words:
    """The words of a language, read once. Raises: WordingError."""
    return Words(language, *FOLDERS)

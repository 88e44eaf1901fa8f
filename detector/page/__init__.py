"""The page a clinician reads: one file, no outside resources, usable without its script.

The style sheet and the script are inlined, and the page's own Content-Security-Policy admits
these two by their hashes and nothing else: markup in a session could not run if it got through.
"""

import base64
import functools
import hashlib
import html
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from detector.codebook import load_codebook
from detector.page import facts
from detector.page.view import View
from detector.page.wording import FIRST
from detector.page.words import KINDS, SCALES, Words, clock, words_in
from detector.report import Report

__all__ = ["environment", "render", "render_for_notebook", "speak"]

_NOTEBOOK_HEIGHT_PX = 720


def render(report: Report, *, title: str = "", language: str = FIRST) -> str:
    """The report as one HTML document.

    Args:
        report: what was found in the session.
        title: heading and window title; plain text, any markup in it stays text. Empty: the
            page's own.
        language: a folder of `words`.

    Returns: the document. It loads nothing and sends nothing. The same report gives the same
        text, which is valid UTF-8 even where the session holds half surrogates.

    Raises: WordingError: there are no words in this language.
    """
    view = View(report, load_codebook(), words_in(language))
    page = _template(language).render(
        view=view,
        report=report,
        title=title or view.words.text("top.title"),
        **_inlined(),
    )
    return page.encode("utf-8", "replace").decode("utf-8")


def render_for_notebook(report: Report) -> str:
    """The page in a frame of its own, so that its style and the notebook's stay apart."""
    title = words_in(FIRST).say("top.title")
    return (
        f'<iframe title="{title}" width="100%" height="{_NOTEBOOK_HEIGHT_PX}" '
        f'sandbox="allow-scripts" srcdoc="{html.escape(render(report))}"></iframe>'
    )


def _read(name: str) -> str:
    return (files("detector.page") / name).read_text("utf-8")


def environment(read: Callable[[str], str]) -> Environment:
    """Templates as our pages have them, read by name: everything is escaped, nothing may lack."""
    return Environment(
        loader=FunctionLoader(read),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def speak(made: Environment, spoken: Words) -> Environment:
    """The environment with what the report's templates say, in one language."""
    made.globals.update(
        words=spoken,
        say=spoken.say,
        language=spoken.language,
        clock=clock,
        facts=facts,
        KINDS=KINDS,
        SCALES=SCALES,
    )
    return made


@functools.cache
def _template(language: str) -> Template:
    return speak(environment(_read), words_in(language)).get_template("report.html.j2")


@functools.cache
def _inlined() -> dict[str, Any]:
    """Style and script as they stand in the page, and the policy that names their hashes."""
    style, script = _read("style.css"), _read("page.js")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return {
        "style": Markup(style),  # noqa: S704  our own file
        "script": Markup(script),  # noqa: S704  our own file
        "policy": policy,
    }


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"

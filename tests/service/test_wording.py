"""The words of the review page and of the report's stand apart from the templates, all of them,
and each is used."""

import ast
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import Environment, nodes

import detector.page
import service
from detector.page.wording import SCRIPT, WordingError, places
from service.settings import Settings
from service.wording import FIRST, languages, wording


def test_a_language_without_words_is_no_setting() -> None:
    assert FIRST in languages()
    with pytest.raises(WordingError):
        wording("xx")
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
            assert set(places(text)) - {"n"} == set(places(other)) - {"n"}, key


# -- the templates -----------------------------------------------------------------------------

PAGES = Path(service.__file__).parent / "pages"
REPORT = Path(detector.page.__file__).parent
TEMPLATES = sorted((*PAGES.glob("*.html.j2"), *REPORT.glob("*.html.j2")))
CODE = sorted(PAGES.parent.glob("*.py"))
SPOKEN_ATTRIBUTES = ("aria-label", "alt", "placeholder", "title")

Asked = tuple[str, bool, frozenset[str] | None]
"""A key or what it starts with, whether it is whole, and the values it is told; None: unknown."""


def said_in(template: Path) -> list[Asked]:
    """What a template says, by key."""
    tree = Environment(autoescape=True).parse(template.read_text("utf-8"))
    found: list[Asked] = []
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name in ("say", "listed"):
            key, whole = _key(call.args[0])
            told = frozenset(one.key for one in call.kwargs)
            found.append((key, whole and call.node.name == "say", told))
    return found


def _key(node: nodes.Expr) -> tuple[str, bool]:
    if isinstance(node, nodes.Const):
        return node.value, True
    assert isinstance(node, nodes.Concat), "a key is written out, or its start is"
    assert isinstance(node.nodes[0], nodes.Const)
    return node.nodes[0].value, False


def said_by_code() -> list[Asked]:
    """What Python says: `say(request, "key")`, also with a start that is written out."""
    pattern = re.compile(r'\bsay\(\s*request,\s*f?"([a-z_.]+)(\{)?')
    asked = [one for path in CODE for one in pattern.findall(path.read_text("utf-8"))]
    found: list[Asked] = [(key, not start, None) for key, start in asked]
    chosen = re.compile(r'\bsay\(request, "([a-z_.]+)" if \w+ else "([a-z_.]+)"')
    for path in CODE:
        for both in chosen.findall(path.read_text("utf-8")):
            found += [(key, True, None) for key in both]
    return found


def said_by_report() -> list[Asked]:
    """What the code of the report's page says: `words.text("key")`, also with a start alone."""
    found: list[Asked] = []
    for path in REPORT.glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                continue
            own = call.func.attr in ("text", "say", "under", "first_under", "_numbered")
            match call.args[0] if own and call.args else None:
                case ast.Constant(value=str(key)):
                    found.append((key, call.func.attr in ("text", "say"), None))
                case ast.JoinedStr(values=[ast.Constant(value=str(start)), *_]):
                    found.append((start, False, None))
    return found


def scripts_of(template: Path) -> list[str]:
    """What the scripts of a template's page are, without the one that says."""
    names = re.findall(r"asset\('(\w+\.js)'\)", template.read_text("utf-8"))
    own = [PAGES / name for name in names if name != "words.js"]
    return [path.read_text("utf-8") for path in own if path.is_file()]


class Literal(HTMLParser):
    """Words that stand in a template themselves, between tags or in what is read out."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.is_key = False
        bare = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", text, flags=re.S)
        self.feed(bare)

    def handle_data(self, data: str) -> None:
        if not self.is_key:
            self.found += re.findall(r"[^\W\d_]+", data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.is_key = tag == "kbd"
        for name, value in attrs:
            if name in SPOKEN_ATTRIBUTES:
                self.found += re.findall(r"[^\W\d_]+", value or "")

    def handle_endtag(self, tag: str) -> None:
        self.is_key = False


def strings_of(template: Path) -> list[str]:
    """Sentences that a template's expressions hold as strings."""
    tree = Environment(autoescape=True).parse(template.read_text("utf-8"))
    texts = [one.value for one in tree.find_all(nodes.Const) if isinstance(one.value, str)]
    return [text for text in texts if re.search(r"[a-z] [a-z]|^[A-Z][a-z]+ ", text)]


NO_WORDS = {"rupture account"}
"""A command is the same in every language."""


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda one: one.name)
def test_no_word_stands_in_a_template_itself(template: Path) -> None:
    assert Literal(template.read_text("utf-8")).found == []
    assert [one for one in strings_of(template) if one not in NO_WORDS] == []


def test_every_text_is_said_somewhere_and_all_that_is_said_is_there() -> None:
    entries = wording(FIRST).entries
    used: set[str] = set()
    for key, is_whole, told in [
        *(one for template in TEMPLATES for one in said_in(template)),
        *said_by_code(),
        *said_by_report(),
    ]:
        keys = [key] if is_whole else [one for one in entries if one.startswith(key)]
        assert keys, key
        used.update(keys)
        for one in keys:
            assert one in entries, one
            texts = entries[one] if isinstance(entries[one], dict) else {"": entries[one]}
            assert isinstance(texts, dict)
            wanted = {place for text in texts.values() for place in places(text)}
            assert told is None or wanted | {"n"} == told | {"n"}, one
    for template in TEMPLATES:
        page = template.name.removesuffix(".html.j2")
        source = "\n".join(scripts_of(template))
        for key in entries:
            start = f"{page}.{SCRIPT}."
            # A script may choose among keys that it has as words: so a word of it is enough.
            if key.startswith(start) and re.search(rf'"{key.split(".")[2]}\.?"', source):
                used.add(key)
    assert sorted(entries.keys() - used) == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda one: one.name)
def test_every_word_of_a_script_comes_with_its_page(template: Path) -> None:
    own = wording(FIRST).of_script(template.name.removesuffix(".html.j2"))["texts"]
    for source in scripts_of(template):
        for key in re.findall(r'\bsay\("(\w+)"', source):
            assert key in own, key
        literals = re.findall(r'"((?:[^"\\\n]|\\.)*)"|`([^`]*)`', source)
        spoken = [one for pair in literals for one in pair if is_sentence(one)]
        assert spoken == []


def is_sentence(text: str) -> bool:
    """Whether a script's string is for people: a capital and more words, or an end of one."""
    return bool(re.search(r"^[A-Z][a-z’']+[ .…:]|[a-z] ?…$|^[a-z]+ [a-z]+( [a-z]+)*\\.?$", text))

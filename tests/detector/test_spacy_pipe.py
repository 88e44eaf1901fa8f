"""In processes of their own: spaCy's list of factories is one a process, and no other test's."""

import subprocess
import sys

START = """
import spacy
from spacy.tokens.underscore import Underscore
from spacy.language import Language
from detector.spacy_pipe import NAME, register
SAID = "  I don't think this is helping me. You're not listening to me."
"""


def printed(code: str) -> str:
    """What the code prints in a process of its own."""
    result = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", START + code],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def test_the_hits_of_a_turn_are_spans_with_marker_and_pattern() -> None:
    said = printed(
        """
from detector.markers import MarkerRules
from detector.transcript import Cue, Role, Turn
register()
register()
nlp = spacy.blank("en")
nlp.add_pipe("rupture_markers", config={"role": "client"})
turn = Turn(0, None, Role.CLIENT, (Cue("1", None, SAID, role=Role.CLIENT),))
hits = MarkerRules().find([turn])[0]
doc = nlp(SAID)
spans = list(doc.spans[NAME])
print([(s.label_, s.id_, s.text) for s in spans]
      == [(h.marker, h.pattern_id, turn.text[h.start : h.end]) for h in hits])
empty = nlp("  ")
print(len(spans) > 1, len(empty.spans[NAME]))
print([*Underscore.doc_extensions, *Underscore.span_extensions, *Underscore.token_extensions])
try:
    spacy.blank("en").add_pipe("rupture_markers", config={"role": "other"})
except ValueError as error:
    print(error)
"""
    )
    assert said.splitlines()[:2] == ["True", "True 0"]
    assert said.splitlines()[2] == "[]"
    assert said.splitlines()[3] == "role must be client or therapist"


def test_the_factory_is_known_only_from_the_call_on() -> None:
    said = printed(
        """
import detector.pipeline, detector.batch
print(Language.has_factory(NAME))
register()
print(Language.has_factory(NAME))
"""
    )
    assert said.split() == ["False", "True"]


def test_no_entry_point_offers_it() -> None:
    from importlib.metadata import entry_points

    assert [p for p in entry_points(group="spacy_factories") if "rupture" in p.name] == []

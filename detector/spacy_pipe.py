"""The rules as a spaCy component, for pipelines of your own.

    import spacy
    from detector.spacy_pipe import register

    register()
    nlp = spacy.blank("en")
    nlp.add_pipe("rupture_markers", config={"role": "client"})
    doc = nlp("I don't think this is helping me.")
    [(span.text, span.label_, span.id_) for span in doc.spans["rupture_markers"]]

The factory is known to spaCy from the call of `register` on, and not by importing anything: an
entry point would load our rules in every program that has spaCy. Nothing is set on `Doc._`.

A document is one turn of one speaker. Rules that ask what was said in the turn before find
nothing here; timing and network are no part of it. Scores need the whole session: Detector.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from detector.markers import MarkerRules
from detector.transcript import Cue, Role, Turn

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

NAME = "rupture_markers"
"""Of the factory, and of the group in `doc.spans`."""


@dataclass(frozen=True, slots=True)
class MarkerPipe:
    """Puts the hits of a turn into `doc.spans["rupture_markers"]`.

    A span's label is the marker, its id the pattern; it covers every token that the hit touches.

    Args:
        role: whose turn a document is: therapist or client. Most markers belong to one.
    """

    role: Role
    rules: MarkerRules = field(default_factory=MarkerRules, repr=False)

    def __call__(self, doc: "Doc") -> "Doc":
        """The document with its hits; one without text has none."""
        doc.spans[NAME] = []
        if not doc.text.strip():
            return doc
        # A turn is stripped of white space, so its offsets begin after it.
        shift = len(doc.text) - len(doc.text.lstrip())
        turn = Turn(0, None, self.role, (Cue("1", None, doc.text, role=self.role),))
        for hit in self.rules.find([turn])[0]:
            start, end = hit.start + shift, hit.end + shift
            span = doc.char_span(
                start, end, label=hit.marker, span_id=hit.pattern_id, alignment_mode="expand"
            )
            if span is not None:
                doc.spans[NAME].append(span)
        return doc


def register() -> None:
    """Makes the factory `rupture_markers` known to spaCy in this process; twice does no harm."""
    from spacy.language import Language

    if not Language.has_factory(NAME):
        Language.factory(NAME, default_config={"role": "client"}, assigns=["doc.spans"], func=_make)


def _make(nlp: "Language", name: str, role: str) -> MarkerPipe:
    """The component of a pipeline's configuration. Raises: ValueError: a role without rules."""
    if role not in (Role.CLIENT, Role.THERAPIST):
        raise ValueError("role must be client or therapist")
    return MarkerPipe(Role(role))

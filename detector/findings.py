"""Which markers a turn is said to show, of all that was hit on it, and how sure each is."""

from collections.abc import Mapping, Sequence

from detector.codebook import Codebook
from detector.features import ReadSession
from detector.markers import MarkerHit
from detector.report import MarkerFinding, Span
from detector.weights import Array, Weights

LEAST_SHOWN = 0.1
"""Marker score from which a finding is reported. Broad patterns that are right one time in ten
or less help the scorer, but shown alone they would cry wolf. A judgement."""


def find_markers(
    read: ReadSession,
    index: int,
    scores: Mapping[str, Array],
    weights: Weights,
    codebook: Codebook,
) -> tuple[MarkerFinding, ...]:
    """The turn's markers: hits of one marker are one finding with all their places.

    A label's score is shared among the markers found for it as their patterns were right in
    training. A marker without a label of its own (strengths, repair disclosure) keeps its
    pattern's share. What stays below LEAST_SHOWN weighed in the score and is not reported.
    """
    by_marker: dict[str, list[MarkerHit]] = {}
    for hit in read.hits[index]:
        if codebook.markers[hit.marker].kind not in ("move", "technical"):
            by_marker.setdefault(hit.marker, []).append(hit)
    best = {marker: max(hits, key=weights.share_of) for marker, hits in by_marker.items()}
    findings = []
    for marker, hits in by_marker.items():
        kind, score = codebook.markers[marker].kind, weights.share_of(best[marker])
        if kind in scores:
            rivals = [one for name, one in best.items() if codebook.markers[name].kind == kind]
            total = sum(weights.share_of(one) for one in rivals)
            score = float(scores[kind][index]) * (score / total if total else 1 / len(rivals))
        if score >= LEAST_SHOWN:
            findings.append(_finding(hits, best[marker], score, codebook))
    return tuple(findings)


def _finding(
    hits: Sequence[MarkerHit], best: MarkerHit, score: float, codebook: Codebook
) -> MarkerFinding:
    return MarkerFinding(
        marker=best.marker,
        score=score,
        pillar=_pillar(best, codebook),
        spans=_spans(hits),
        source=best.source,
        pattern_ids=tuple(dict.fromkeys(hit.pattern_id for hit in hits)),
    )


def _pillar(hit: MarkerHit, codebook: Codebook) -> str | None:
    """The pattern's pillar; a hit of the clock has no pattern, and takes the marker's."""
    pattern = codebook.patterns.get(hit.pattern_id)
    return codebook.pillar_of(pattern) if pattern else codebook.markers[hit.marker].pillar


def _spans(hits: Sequence[MarkerHit]) -> tuple[Span, ...]:
    """The places of the hits in order; a hit without a place in the text gives none."""
    places = sorted({(hit.start, hit.end) for hit in hits if hit.start < hit.end})
    return tuple(Span(start, end) for start, end in places)

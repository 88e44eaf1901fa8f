"""Who is the therapist: told by the caller, labelled in the file, or inferred from the talk.

A swapped role turns a repair into a rupture. So nothing is guessed: where the therapist is not
known to 0.95, `assign_roles` raises `UnknownRole` and names the speakers it found.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from detector.errors import UnknownRole
from detector.formats.speakers import label_roles
from detector.signs import is_english, therapist_probability
from detector.transcript import Role, Transcript

__all__ = ["ENOUGH", "FEWEST_TURNS", "STRAY_SHARE", "RoleAssignment", "assign_roles", "is_english"]

ENOUGH = 0.95
"""Least confidence at which an inferred therapist is used (DESIGN.md, "Roles"): a swapped role
turns a repair into a rupture, so one error in twenty is the most that may be risked."""

FEWEST_TURNS = 6
"""Turns of the two speakers below which nothing is inferred. A judgement: a fragment may be all
quarrel, and a client who attacks asks and says "you", much as a therapist does."""

STRAY_SHARE = 0.02
"""Most of a session's characters that speakers without a role may have said, all together, for
the rest to be used. A judgement: recognisers make a third speaker of a laugh or a door; in a
session of 5,000 words 2 % are 100, fewer than a partner or an interpreter says."""


@dataclass(frozen=True, slots=True)
class RoleAssignment:
    """A transcript whose speakers have roles, and where the roles come from.

    `source` is "given", "labelled" or "inferred", the weakest that the therapist or the client
    rests on. `confidence` is 0..1 where inferred, else None. `roles` holds every speaker label;
    UNKNOWN only for speakers with too little speech to matter.
    """

    transcript: Transcript = field(repr=False)
    source: str
    confidence: float | None
    roles: Mapping[str, Role] = field(repr=False)


def assign_roles(
    transcript: Transcript,
    *,
    role_map: Mapping[str, str] | None = None,
    therapist: str | None = None,
    is_noted: bool = True,
) -> RoleAssignment:
    """The transcript with a role for each speaker, from the first of these that tells.

    1. `role_map` and `therapist`; with two speakers one of them is enough, the other follows;
    2. what the file labels; with two speakers one label is enough;
    3. the talk of the two speakers who are left, if it tells with 0.95 confidence.

    Labels match exactly, else without regard to case and outer spaces. A third speaker needs a
    role from the caller or the file, unless all such speakers together say next to nothing
    (STRAY_SHARE): those stay UNKNOWN, with a note. A caller may map several labels to the client
    (a recogniser that split one voice); a file that labels several clients is refused, as couples
    and groups are not supported.

    Args:
        transcript: what `read_transcript` gave.
        role_map: roles, or their names, by speaker label. UNKNOWN counts as not said.
        therapist: label of the therapist.
        is_noted: whether the transcript gets its notes for who reads the report. They cost as much
            as reading the file; who only wants to know whether roles can be told needs none.

    Raises: UnknownRole: who is the therapist or the client cannot be told safely. ValueError: no
        role has such a name.
    """
    given = _read_given(transcript.speakers, role_map or {}, therapist)
    if not transcript.speakers:
        return _read_cues(transcript)
    labelled, confidence = _read_labels(transcript, given), None
    others = {label: role for label, role in labelled.items() if role is Role.OTHER}
    roles, source = _follow(transcript, {**others, **given}), "given"
    is_one_sided = len(transcript.speakers) == 1 and len(_told(roles)) == 1 and bool(given)
    if not (_is_settled(roles) or is_one_sided):
        roles, source = _follow(transcript, {**labelled, **given}), "labelled"
        if not _is_settled(roles):
            (roles, confidence), source = _infer(transcript, roles), "inferred"
    roles = {**labelled, **roles}
    _check(transcript, roles, given)
    named = transcript.with_roles(roles)
    if is_noted:
        named = named.with_notes(*_notes(transcript, roles, confidence))
    everyone = {label: roles.get(label, Role.UNKNOWN) for label in transcript.speakers}
    return RoleAssignment(named, source, confidence, everyone)


def _read_given(
    speakers: Sequence[str], role_map: Mapping[str, str], therapist: str | None
) -> dict[str, Role]:
    """What the caller says, by the file's own labels. A refusal says which name, never the name."""
    said = [
        (f"name {place} of the roles", name, Role(role))
        for place, (name, role) in enumerate(role_map.items(), start=1)
    ]
    if therapist is not None:
        said.append(("the therapist's name", therapist, Role.THERAPIST))
    given: dict[str, Role] = {}
    for which, name, role in said:
        label = _match(name, speakers, which)
        if role is not Role.UNKNOWN and given.setdefault(label, role) is not role:
            raise UnknownRole(speakers, "two roles are given for one speaker")
    return given


def _match(name: str, speakers: Sequence[str], which: str) -> str:
    if name in speakers:
        return name
    alike = [label for label in speakers if _fold(label) == _fold(name)]
    if len(alike) > 1:
        raise UnknownRole(speakers, f"{which} fits several speakers")
    if not alike:
        raise UnknownRole(speakers, f"{which} is no speaker's")
    return alike[0]


def _fold(label: str) -> str:
    return " ".join(label.split()).casefold()


def _read_cues(transcript: Transcript) -> RoleAssignment:
    """For a file with roles and no speaker labels: as it is."""
    if not _is_settled({str(place): cue.role for place, cue in enumerate(transcript.cues)}):
        raise UnknownRole((), "no cue says who speaks")
    return RoleAssignment(
        transcript.with_notes(*_notes(transcript, {}, None)), "labelled", None, {}
    )


def _read_labels(transcript: Transcript, given: Mapping[str, Role]) -> dict[str, Role]:
    """What the file says: roles on cues, else labels that state a role."""
    found: dict[str, set[Role]] = {label: set() for label in transcript.speakers}
    for cue in transcript.cues:
        if cue.speaker is not None and cue.role is not Role.UNKNOWN:
            found[cue.speaker].add(cue.role)
    if any(len(roles) > 1 for label, roles in found.items() if label not in given):
        raise UnknownRole(transcript.speakers, "the file gives one speaker two roles")
    labelled = label_roles(found) | {label: min(roles) for label, roles in found.items() if roles}
    return {label: role for label, role in labelled.items() if role is not Role.UNKNOWN}


def _told(roles: Mapping[str, Role]) -> set[Role]:
    """Which of the two roles that a session needs are told."""
    return {Role.THERAPIST, Role.CLIENT} & set(roles.values())


def _is_settled(roles: Mapping[str, Role]) -> bool:
    return len(_told(roles)) == 2


def _follow(transcript: Transcript, roles: Mapping[str, Role]) -> dict[str, Role]:
    """With one role told and one speaker left, that speaker has the other role."""
    left, told = _left(transcript, roles), _told(roles)
    if len(told) == 1 and len(left) == 1:
        (missing,) = {Role.THERAPIST, Role.CLIENT} - told
        return {**roles, left[0]: missing}
    return dict(roles)


def _left(transcript: Transcript, roles: Mapping[str, Role]) -> list[str]:
    """Speakers who need a role, most talkative first; those who say next to nothing do not.

    As many as there are roles missing are never taken for strays, unless they say as little.
    """
    speech = Counter[str]()
    for cue in transcript.cues:
        if cue.speaker is not None:
            speech[cue.speaker] += len(cue.text)
    limit = STRAY_SHARE * speech.total()
    left = [label for label, _ in speech.most_common() if label not in roles]
    n_missing = 2 - len(_told(roles))
    needed, strays = left[:n_missing], left[n_missing:]
    is_clear = all(speech[label] > limit for label in needed)
    return needed if is_clear and sum(speech[label] for label in strays) <= limit else left


def _infer(transcript: Transcript, roles: Mapping[str, Role]) -> tuple[dict[str, Role], float]:
    """The roles of the two speakers who are left, and how sure that is."""
    left = _left(transcript, roles)
    if _told(roles) or len(left) != 2:
        raise UnknownRole(transcript.speakers, _why_not(transcript, roles, left))
    texts = [turn.text for turn in transcript.turns if turn.speaker in left]
    if not is_english(texts):
        raise UnknownRole(
            transcript.speakers, "the talk is not English, and roles are inferred from English only"
        )
    if len(texts) < FEWEST_TURNS:
        reason = f"{len(texts)} turns are too few to tell who is the therapist"
        raise UnknownRole(transcript.speakers, reason)
    share = therapist_probability(transcript, *left)
    confidence = max(share, 1 - share)
    if confidence < ENOUGH:
        reason = (
            f"the talk does not tell safely who is the therapist "
            f"(confidence {confidence:.2f}, {ENOUGH} is needed)"
        )
        raise UnknownRole(transcript.speakers, reason, confidence)
    therapist, client = left if share >= 0.5 else left[::-1]
    return {**roles, therapist: Role.THERAPIST, client: Role.CLIENT}, confidence


def _why_not(transcript: Transcript, roles: Mapping[str, Role], left: Sequence[str]) -> str:
    if len(transcript.speakers) == 1:
        return "there is only one speaker, and nobody says which one"
    if left:
        return (
            f"{len(left)} speakers have no role; couples and groups are not supported: "
            "name the therapist and the client, and map everybody else to other"
        )
    return "nobody is the client" if Role.THERAPIST in roles.values() else "nobody is the therapist"


def _check(transcript: Transcript, roles: Mapping[str, Role], given: Mapping[str, Role]) -> None:
    """Raises UnknownRole where a third speaker or a second client stands in the way."""
    left = _left(transcript, roles)
    clients = [label for label, role in roles.items() if role is Role.CLIENT]
    if left:
        raise UnknownRole(
            transcript.speakers, f"{len(left)} more speakers have no role; map them, if to other"
        )
    if len(clients) > 1 and not set(clients) <= set(given):
        raise UnknownRole(
            transcript.speakers,
            f"{len(clients)} clients; couples and groups are not supported. If they are one "
            "person, map each label to client; else map all but one to other",
        )


def _notes(
    transcript: Transcript, roles: Mapping[str, Role], confidence: float | None
) -> Iterator[str]:
    """What a reader of the report must know of the roles."""
    by_role = {role: [s for s, its in roles.items() if its is role] for role in Role}
    n_strays = len(set(transcript.speakers) - set(roles))
    n_nobody = sum(cue.speaker is None and cue.role is Role.UNKNOWN for cue in transcript.cues)
    if confidence is not None:
        yield f"Who is the therapist was inferred from the talk (confidence {confidence:.2f})."
    if n_strays:
        yield f"Speakers without a role, who say next to nothing and are not scored: {n_strays}."
    if n_nobody:
        yield f"Cues that no speaker is named for, and that are not scored: {n_nobody}."
    if len(by_role[Role.CLIENT]) > 1:
        yield (
            f"{len(by_role[Role.CLIENT])} speakers are read as one client, as the caller says. "
            "Couples and groups are not supported."
        )
    if roles and not _is_settled(roles):
        yield "Only one side of the talk is in this transcript."
    if confidence is None and _reads_swapped(transcript, by_role):
        yield (
            "The talk reads as if therapist and client were swapped. The roles were told and stay "
            "as they are; please check them."
        )


def _reads_swapped(transcript: Transcript, by_role: Mapping[Role, Sequence[str]]) -> bool:
    """Whether the talk would have been taken the other way round, had nobody told the roles."""
    if not len(by_role[Role.THERAPIST]) == len(by_role[Role.CLIENT]) == 1:
        return False
    pair = by_role[Role.THERAPIST][0], by_role[Role.CLIENT][0]
    texts = [turn.text for turn in transcript.turns if turn.speaker in pair]
    is_readable = len(texts) >= FEWEST_TURNS and is_english(texts)
    return is_readable and therapist_probability(transcript, *pair) <= 1 - ENOUGH

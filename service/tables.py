"""The tables: what is kept of whom, and of which type each column is.

The columns in clear are ids, times, counts, code words and hashes; what somebody said, and who a
client is, is sealed (service/vault.py). How a database comes to them is in service/migrations.
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from service import audit


class _Time(sa.TypeDecorator[datetime]):
    """An aware time in UTC. SQLite keeps none, so there it is text that sorts as time does."""

    impl = sa.String(32)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.TIMESTAMP(timezone=True))
        return dialect.type_descriptor(sa.String(32))

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        inside = value.astimezone(UTC)
        if dialect.name == "postgresql":
            return inside
        return inside.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        if value is None or isinstance(value, datetime):
            return None if value is None else value.astimezone(UTC)
        return datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


_tables = sa.MetaData()


def _table(name: str, *columns: sa.schema.SchemaItem, **more: Any) -> sa.Table:
    """A table of a tenant's: its id leads the primary key."""
    own = sa.Column("tenant_id", sa.String(40), primary_key=True)
    return sa.Table(name, _tables, own, *columns, **more)


def _id(name: str = "id") -> sa.Column[str]:
    return sa.Column(name, sa.String(80), primary_key=True)


def _at(name: str, *, needed: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, _Time, nullable=not needed)


_word = sa.String(80)

tenants = sa.Table(
    "tenants",
    _tables,
    sa.Column("tenant_id", sa.String(40), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("key_blob", sa.LargeBinary),
    sa.Column("policy", sa.JSON, nullable=False),
    _at("created_at", needed=True),
)
credentials = _table(
    "credentials",
    _id(),
    sa.Column("kind", _word, nullable=False),  # key, client
    sa.Column("record", sa.JSON, nullable=False),  # hashes of secrets, never a secret
    _at("created_at", needed=True),
)
sa.Index("credentials_id", credentials.c.id, unique=True)
consents = _table(
    "consents",
    _id(),
    sa.Column("record", sa.JSON, nullable=False),
    _at("created_at", needed=True),
    _at("revoked_at"),
)
sessions = _table(
    "sessions",
    _id(),
    sa.Column("status", _word, nullable=False),  # queued, running, done, failed, cancelled, erased
    sa.Column("client_id", _word, nullable=False),  # keyed hash of the caller's reference
    sa.Column("number", sa.Integer),
    sa.Column("day", sa.String(10)),
    sa.Column("attendance", _word),
    sa.Column("modality", _word),
    sa.Column("sensitivity", _word, nullable=False),
    sa.Column("consent_id", sa.String(80)),
    sa.Column("key_blob", sa.LargeBinary),  # NULL: erased, nothing of the session opens again
    sa.Column("transcript", sa.LargeBinary),
    sa.Column("transcript_sha256", sa.String(64)),
    sa.Column("options", sa.LargeBinary),  # sealed: roles by speaker, the caller's reference
    sa.Column("n_turns", sa.Integer),
    sa.Column("problem", sa.JSON),
    sa.Column("hold", sa.Boolean, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    _at("created_at", needed=True),
    _at("updated_at", needed=True),
    _at("text_erased_at"),
    _at("erased_at"),
)
sa.Index("sessions_by_client", sessions.c.tenant_id, sessions.c.client_id)
reports = _table(
    "reports",
    _id(),
    sa.Column("session_id", sa.String(80), nullable=False),
    sa.Column("checkpoint", _word, nullable=False),
    sa.Column("checkpoint_sha256", sa.String(64), nullable=False),
    sa.Column("codebook", _word, nullable=False),
    sa.Column("sealed", sa.LargeBinary),
    sa.Column("summary", sa.JSON, nullable=False),  # ratings and counts, for lists and trajectories
    sa.Column("sha256", sa.String(64), nullable=False),
    _at("created_at", needed=True),
)
sa.Index("reports_by_session", reports.c.tenant_id, reports.c.session_id)
jobs = _table(
    "jobs",
    _id(),
    sa.Column("session_id", sa.String(80), nullable=False),
    sa.Column("checkpoint", _word, nullable=False),  # "": the one in use
    sa.Column("status", _word, nullable=False),  # see JOB_STATES
    sa.Column("turn", sa.BigInteger, nullable=False),  # its place among all tenants' jobs
    sa.Column("n_attempts", sa.Integer, nullable=False),  # begun: some may have died with a worker
    sa.Column("n_failed", sa.Integer, nullable=False, server_default="0"),
    sa.Column("problem", sa.JSON),
    _at("created_at", needed=True),
    _at("updated_at", needed=True),
)
sa.Index("jobs_by_session", jobs.c.tenant_id, jobs.c.session_id)
sa.Index("jobs_by_turn", jobs.c.tenant_id, jobs.c.status, jobs.c.turn)
answers = _table(
    "answers",
    _id("idempotency_key"),
    sa.Column("operation", _word, primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("session_id", sa.String(80), nullable=False),
    _at("created_at", needed=True),
)
webhooks = _table(
    "webhooks",
    _id(),
    sa.Column("url", sa.String(2000), nullable=False),
    sa.Column("events", sa.JSON, nullable=False),
    sa.Column("key_blob", sa.LargeBinary, nullable=False),
    sa.Column("secrets", sa.LargeBinary, nullable=False),  # sealed
    sa.Column("disabled_at", _Time),
    _at("created_at", needed=True),
)
deliveries = _table(
    "deliveries",
    _id(),
    sa.Column("webhook_id", sa.String(80), nullable=False),
    sa.Column("event", _word, nullable=False),
    sa.Column("session_id", sa.String(80), nullable=False),
    sa.Column("subject", sa.String(80), nullable=False),  # the report or job it tells of
    sa.Column("status", _word, nullable=False),  # waiting, delivered, given_up, disabled
    sa.Column("n_attempts", sa.Integer, nullable=False),
    sa.Column("last_reason", _word),
    _at("created_at", needed=True),
    _at("updated_at", needed=True),
    sa.UniqueConstraint("tenant_id", "webhook_id", "event", "subject"),
)
people = _table(
    "people",
    _id(),
    sa.Column("kind", _word, nullable=False),  # local, oidc
    sa.Column("login_key", _word),  # keyed hash of a local account's login
    sa.Column("roles", sa.JSON, nullable=False),
    sa.Column("key_blob", sa.LargeBinary, nullable=False),
    sa.Column("secrets", sa.LargeBinary, nullable=False),  # sealed: login or name, hash, factor
    _at("visits_since", needed=True),
    _at("disabled_at"),
    _at("created_at", needed=True),
)
sa.Index("people_login_key", people.c.login_key, unique=True)
visits = _table(
    "visits",
    _id(),  # hash of the visit's own id
    sa.Column("person_id", sa.String(80), nullable=False),
    sa.Column("roles", sa.JSON, nullable=False),
    _at("opened_at", needed=True),
    _at("seen_at", needed=True),
)
sa.Index("visits_id", visits.c.id, unique=True)
care = _table(
    "care",  # who may open a client's sessions
    _id(),
    sa.Column("client_id", _word, nullable=False),
    sa.Column("person_id", sa.String(80), nullable=False),
    sa.Column("role", _word, nullable=False),  # clinician, supervisor
    sa.Column("given_by", sa.String(80), nullable=False),
    _at("created_at", needed=True),
    sa.UniqueConstraint("tenant_id", "client_id", "person_id", "role"),
)
reviews = _table(
    "reviews",
    _id(),  # of the report that is reviewed
    sa.Column("session_id", sa.String(80), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("n_judged", sa.Integer, nullable=False),
    sa.Column("sealed", sa.LargeBinary),
    _at("updated_at", needed=True),
)
sa.Index("reviews_by_session", reviews.c.tenant_id, reviews.c.session_id)
comments = _table(
    "comments",  # apart from the record, as psychotherapy notes must be
    _id(),
    sa.Column("session_id", sa.String(80), nullable=False),
    sa.Column("item", _word, nullable=False),  # moment-3, turn-17, session
    sa.Column("person_id", sa.String(80), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("sealed", sa.LargeBinary),
    _at("updated_at", needed=True),
    sa.UniqueConstraint("tenant_id", "session_id", "item", "person_id"),
)
assignments = _table(
    "assignments",  # a session that was given to coders
    _id(),
    sa.Column("session_id", sa.String(80), nullable=False),
    sa.Column("view", _word, nullable=False),  # research; care: somebody's own, read blind first
    sa.Column("study", _word, nullable=False),
    sa.Column("made_by", sa.String(80), nullable=False),
    sa.Column("n_items", sa.Integer, nullable=False),
    sa.Column("sealed", sa.LargeBinary),  # the sheet, see service.sheets
    _at("created_at", needed=True),
)
sa.Index("assignments_by_session", assignments.c.tenant_id, assignments.c.session_id)
codings = _table(
    "codings",
    _id(),
    sa.Column("assignment_id", sa.String(80), nullable=False),
    sa.Column("session_id", sa.String(80), nullable=False),
    sa.Column("person_id", sa.String(80), nullable=False),
    sa.Column("pass", _word, nullable=False),  # blind, adjudicated; reading: a blind review
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("n_coded", sa.Integer, nullable=False),
    sa.Column("sealed", sa.LargeBinary),
    _at("committed_at"),
    _at("updated_at", needed=True),
    sa.UniqueConstraint("tenant_id", "assignment_id", "person_id", "pass"),
)
sa.Index("codings_by_session", codings.c.tenant_id, codings.c.session_id)
sa.Index("codings_by_person", codings.c.tenant_id, codings.c.person_id)
failures = sa.Table(
    "failures",  # failed sign-ins in a row, by a keyed hash of the login; of no tenant
    _tables,
    sa.Column("id", sa.String(80), primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    _at("last_at"),
)
audit_entries = _table(
    "audit_entries",
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    *(
        sa.Column(name, sa.Text, nullable=False)
        for name in audit.COLUMNS
        if name not in ("sequence", "tenant_id")
    ),
)
sa.Index(
    "audit_entries_by_actor",
    *(audit_entries.c[name] for name in ("tenant_id", "actor_id", "target_id")),
)
workers = sa.Table(
    "workers",
    _tables,
    sa.Column("id", sa.String(80), primary_key=True),
    _at("seen_at", needed=True),
)
turns = sa.Table(
    "turns",  # one row: the turn of the job that was begun last, of all tenants
    _tables,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("now", sa.BigInteger, nullable=False),
)
marks = sa.Table(
    "marks",  # which keys this database was begun with, so that no other ones are used on it
    _tables,
    sa.Column("kind", _word, primary_key=True),  # audit, signing
    sa.Column("id", sa.String(80), primary_key=True),
)
rounds = sa.Table(
    "rounds",  # one row: the upkeep that comes round by itself, see service.rounds
    _tables,
    sa.Column("id", sa.String(80), primary_key=True),
    _at("begun_at"),
    _at("ended_at"),
    sa.Column("n_left", sa.Integer),
)

TENANT_TABLES = tuple(t.name for t in _tables.sorted_tables if "tenant_id" in t.c)
"""Those that are a tenant's; row-level security holds every one."""

JOB_STATES = ("queued", "running", "done", "failed", "dead", "cancelled", "replayed")
"""`failed` is the transcript's fault, `dead` is ours: an operator finds it among the dead letters
and puts a new job in its place, and then it is `replayed`."""

"""The first tables, and row-level security on PostgreSQL.

A migration says what the tables were then, so nothing of service.tables is used here.
"""

import sqlalchemy as sa
from alembic import op

revision = "m001"
down_revision = None

WORD = sa.String(80)


def _time() -> sa.String:
    return sa.String(32).with_variant(sa.TIMESTAMP(timezone=True), "postgresql")


def _at(name: str, *, needed: bool = False) -> sa.Column[object]:
    return sa.Column(name, _time(), nullable=not needed)


def _table(name: str, *columns: sa.schema.SchemaItem, also: str = "id") -> None:
    op.create_table(
        name,
        sa.Column("tenant_id", sa.String(40), nullable=False),
        *columns,
        sa.PrimaryKeyConstraint("tenant_id", *([also] if also else [])),
    )


def _id() -> sa.Column[str]:
    return sa.Column("id", WORD, nullable=False)


TABLES = (
    "tenants",
    "credentials",
    "consents",
    "sessions",
    "reports",
    "jobs",
    "answers",
    "webhooks",
    "deliveries",
    "audit_entries",
)


def upgrade() -> None:
    """Makes the tables."""
    _table(
        "tenants",
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("key_blob", sa.LargeBinary),
        sa.Column("policy", sa.JSON, nullable=False),
        _at("created_at", needed=True),
        also="",
    )
    _table(
        "credentials",
        _id(),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("record", sa.JSON, nullable=False),
        _at("created_at", needed=True),
    )
    op.create_index("credentials_id", "credentials", ["id"], unique=True)
    _table(
        "consents",
        _id(),
        sa.Column("record", sa.JSON, nullable=False),
        _at("created_at", needed=True),
        _at("revoked_at"),
    )
    _table(
        "sessions",
        _id(),
        sa.Column("status", WORD, nullable=False),
        sa.Column("client_id", WORD, nullable=False),
        sa.Column("number", sa.Integer),
        sa.Column("day", sa.String(10)),
        sa.Column("attendance", WORD),
        sa.Column("modality", WORD),
        sa.Column("sensitivity", WORD, nullable=False),
        sa.Column("consent_id", WORD),
        sa.Column("key_blob", sa.LargeBinary),
        sa.Column("transcript", sa.LargeBinary),
        sa.Column("transcript_sha256", sa.String(64)),
        sa.Column("options", sa.LargeBinary),
        sa.Column("n_turns", sa.Integer),
        sa.Column("problem", sa.JSON),
        sa.Column("hold", sa.Boolean, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        _at("created_at", needed=True),
        _at("updated_at", needed=True),
        _at("text_erased_at"),
        _at("erased_at"),
    )
    op.create_index("sessions_by_client", "sessions", ["tenant_id", "client_id"])
    _table(
        "reports",
        _id(),
        sa.Column("session_id", WORD, nullable=False),
        sa.Column("checkpoint", WORD, nullable=False),
        sa.Column("checkpoint_sha256", sa.String(64), nullable=False),
        sa.Column("codebook", WORD, nullable=False),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("summary", sa.JSON, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        _at("created_at", needed=True),
    )
    op.create_index("reports_by_session", "reports", ["tenant_id", "session_id"])
    _table(
        "jobs",
        _id(),
        sa.Column("session_id", WORD, nullable=False),
        sa.Column("checkpoint", WORD, nullable=False),
        sa.Column("status", WORD, nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.Column("n_attempts", sa.Integer, nullable=False),
        sa.Column("problem", sa.JSON),
        _at("created_at", needed=True),
        _at("updated_at", needed=True),
    )
    op.create_index("jobs_by_session", "jobs", ["tenant_id", "session_id"])
    op.create_index("jobs_by_status", "jobs", ["status", "turn"])
    op.create_table(
        "answers",
        sa.Column("tenant_id", sa.String(40), nullable=False),
        sa.Column("idempotency_key", WORD, nullable=False),
        sa.Column("operation", WORD, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("session_id", WORD, nullable=False),
        _at("created_at", needed=True),
        sa.PrimaryKeyConstraint("tenant_id", "idempotency_key", "operation"),
    )
    _table(
        "webhooks",
        _id(),
        sa.Column("url", sa.String(2000), nullable=False),
        sa.Column("events", sa.JSON, nullable=False),
        sa.Column("key_blob", sa.LargeBinary, nullable=False),
        sa.Column("secrets", sa.LargeBinary, nullable=False),
        _at("disabled_at"),
        _at("created_at", needed=True),
    )
    _table(
        "deliveries",
        _id(),
        sa.Column("webhook_id", WORD, nullable=False),
        sa.Column("event", WORD, nullable=False),
        sa.Column("session_id", WORD, nullable=False),
        sa.Column("subject", WORD, nullable=False),
        sa.Column("status", WORD, nullable=False),
        sa.Column("n_attempts", sa.Integer, nullable=False),
        sa.Column("last_reason", WORD),
        _at("created_at", needed=True),
        _at("updated_at", needed=True),
        sa.UniqueConstraint("tenant_id", "webhook_id", "event", "subject"),
    )
    words = ("action", "at", "actor_kind", "actor_id", "target_kind", "target_id", "outcome")
    more = ("reason", "request_id", "details", "key_id", "prev_hash", "hash")
    _table(
        "audit_entries",
        sa.Column("sequence", sa.BigInteger, nullable=False, autoincrement=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in (*words, *more)),
        also="sequence",
    )
    op.create_table("workers", sa.Column("id", WORD, primary_key=True), _at("seen_at", needed=True))
    if op.get_bind().dialect.name == "postgresql":
        _wall()
    else:
        _append_only_sqlite()


def _wall() -> None:
    """Each row is seen by its own tenant's transactions alone, the tables' owner's too."""
    mine = "current_setting('rupture.tenant', true)"
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY own_tenant ON {table} USING (tenant_id = {mine} OR {mine} = '*') "
            f"WITH CHECK (tenant_id = {mine} OR {mine} = '*')"
        )
    op.execute(
        "CREATE FUNCTION rupture_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RAISE EXCEPTION 'the audit trail is only added to'; END$$"
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries "
        "EXECUTE FUNCTION rupture_append_only()"
    )


def _append_only_sqlite() -> None:
    for what in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER append_only_{what.lower()} BEFORE {what} ON audit_entries "
            "BEGIN SELECT RAISE(ABORT, 'the audit trail is only added to'); END"
        )


def downgrade() -> None:
    """Drops everything."""
    for table in ("workers", *reversed(TABLES)):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION rupture_append_only()")

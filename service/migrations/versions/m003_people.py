"""People who sign in, their visits and clients; reviews, and comments apart from them."""

import sqlalchemy as sa
from alembic import op

revision = "m003"
down_revision = "m002"

WORD = sa.String(80)
TABLES = ("people", "visits", "care", "reviews", "comments")


def _at(name: str, *, needed: bool = True) -> sa.Column[object]:
    kind = sa.String(32).with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
    return sa.Column(name, kind, nullable=not needed)


def _word(name: str, *, needed: bool = True) -> sa.Column[str]:
    return sa.Column(name, WORD, nullable=not needed)


def _table(name: str, *columns: sa.schema.SchemaItem) -> None:
    own = sa.Column("tenant_id", sa.String(40), nullable=False)
    key = sa.PrimaryKeyConstraint("tenant_id", "id")
    op.create_table(name, own, _word("id"), *columns, key)


def upgrade() -> None:
    """Adds them, walled like the others."""
    _table(
        "people",
        _word("kind"),
        _word("login_key", needed=False),
        sa.Column("roles", sa.JSON, nullable=False),
        sa.Column("key_blob", sa.LargeBinary, nullable=False),
        sa.Column("secrets", sa.LargeBinary, nullable=False),
        _at("visits_since"),
        _at("disabled_at", needed=False),
        _at("created_at"),
    )
    op.create_index("people_login_key", "people", ["login_key"], unique=True)
    _table(
        "visits",
        _word("person_id"),
        sa.Column("roles", sa.JSON, nullable=False),
        _at("opened_at"),
        _at("seen_at"),
    )
    op.create_index("visits_id", "visits", ["id"], unique=True)
    _table(
        "care",
        *(_word(name) for name in ("client_id", "person_id", "role", "given_by")),
        _at("created_at"),
        sa.UniqueConstraint("tenant_id", "client_id", "person_id", "role"),
    )
    _table(
        "reviews",
        _word("session_id"),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("n_judged", sa.Integer, nullable=False),
        sa.Column("sealed", sa.LargeBinary),
        _at("updated_at"),
    )
    op.create_index("reviews_by_session", "reviews", ["tenant_id", "session_id"])
    _table(
        "comments",
        *(_word(name) for name in ("session_id", "item", "person_id")),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("sealed", sa.LargeBinary),
        _at("updated_at"),
        sa.UniqueConstraint("tenant_id", "session_id", "item", "person_id"),
    )
    op.create_table(
        "failures",
        sa.Column("id", WORD, primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        _at("last_at", needed=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        _wall()


def _wall() -> None:
    """As m001 has it: each row is seen by its own tenant's transactions alone."""
    mine = "current_setting('rupture.tenant', true)"
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY own_tenant ON {table} USING (tenant_id = {mine} OR {mine} = '*') "
            f"WITH CHECK (tenant_id = {mine} OR {mine} = '*')"
        )


def downgrade() -> None:
    """Takes them away again."""
    for table in ("failures", *reversed(TABLES)):
        op.drop_table(table)

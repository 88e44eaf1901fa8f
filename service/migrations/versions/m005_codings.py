"""Sessions that are given to coders, and what each coder says."""

import sqlalchemy as sa
from alembic import op

revision = "m005"
down_revision = "m004"

TABLES = ("assignments", "codings")


def _at(name: str, *, needed: bool = True) -> sa.Column[object]:
    kind = sa.String(32).with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
    return sa.Column(name, kind, nullable=not needed)


def _word(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(80), nullable=False)


def _table(name: str, *columns: sa.schema.SchemaItem) -> None:
    own = sa.Column("tenant_id", sa.String(40), nullable=False)
    key = sa.PrimaryKeyConstraint("tenant_id", "id")
    op.create_table(name, own, _word("id"), *columns, key)


def upgrade() -> None:
    """Adds them, walled like the others."""
    _table(
        "assignments",
        *(_word(name) for name in ("session_id", "view", "study", "made_by")),
        sa.Column("n_items", sa.Integer, nullable=False),
        sa.Column("sealed", sa.LargeBinary),
        _at("created_at"),
    )
    op.create_index("assignments_by_session", "assignments", ["tenant_id", "session_id"])
    _table(
        "codings",
        *(_word(name) for name in ("assignment_id", "session_id", "person_id", "pass")),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("n_coded", sa.Integer, nullable=False),
        sa.Column("sealed", sa.LargeBinary),
        _at("committed_at", needed=False),
        _at("updated_at"),
        sa.UniqueConstraint("tenant_id", "assignment_id", "person_id", "pass"),
    )
    op.create_index("codings_by_session", "codings", ["tenant_id", "session_id"])
    op.create_index("codings_by_person", "codings", ["tenant_id", "person_id"])
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
    for table in reversed(TABLES):
        op.drop_table(table)

"""An index by which the trail tells whether somebody has opened what the tool found."""

from alembic import op

revision = "m006"
down_revision = "m005"


def upgrade() -> None:
    """Adds it."""
    columns = ["tenant_id", "actor_id", "target_id"]
    op.create_index("audit_entries_by_actor", "audit_entries", columns)


def downgrade() -> None:
    """Takes it away again."""
    op.drop_index("audit_entries_by_actor", "audit_entries")

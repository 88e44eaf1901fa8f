"""Which round of upkeep was the last, so that of many workers one has the next."""

import sqlalchemy as sa
from alembic import op

revision = "m004"
down_revision = "m003"


def _time() -> sa.String:
    return sa.String(32).with_variant(sa.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    """Adds the table; its row is made by the first round."""
    op.create_table(
        "rounds",
        sa.Column("id", sa.String(80), primary_key=True),
        sa.Column("begun_at", _time()),
        sa.Column("ended_at", _time()),
        sa.Column("n_left", sa.Integer),
    )


def downgrade() -> None:
    """Takes it away again."""
    op.drop_table("rounds")

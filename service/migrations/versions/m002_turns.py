"""Turns that all tenants share, marks of the keys in use, and jobs that say how often they failed.

The turns were read from the jobs themselves, of which row-level security shows a tenant its own
alone: a newcomer was put before everybody.
"""

import sqlalchemy as sa
from alembic import op

revision = "m002"
down_revision = "m001"


def upgrade() -> None:
    """Adds them; the turns go on where the jobs are."""
    jobs = sa.table("jobs", sa.column("turn", sa.BigInteger), sa.column("status", sa.String))
    turns = op.create_table(
        "turns",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("now", sa.BigInteger, nullable=False),
    )
    last = sa.func.coalesce(sa.func.max(jobs.c.turn), 0)
    begun = sa.select(sa.literal(1), last).where(jobs.c.status != "queued")
    op.execute(turns.insert().from_select(["id", "now"], begun))
    op.create_table(
        "marks",
        sa.Column("kind", sa.String(80), primary_key=True),
        sa.Column("id", sa.String(80), primary_key=True),
    )
    op.add_column("jobs", sa.Column("n_failed", sa.Integer, nullable=False, server_default="0"))
    op.drop_index("jobs_by_status", "jobs")
    op.create_index("jobs_by_turn", "jobs", ["tenant_id", "status", "turn"])


def downgrade() -> None:
    """Takes them away again; the jobs stay."""
    op.drop_index("jobs_by_turn", "jobs")
    op.create_index("jobs_by_status", "jobs", ["status", "turn"])
    op.drop_column("jobs", "n_failed")
    op.drop_table("marks")
    op.drop_table("turns")

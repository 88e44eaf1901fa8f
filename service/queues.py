"""The queues: how work is put into DBOS's tables, in the transaction that makes it.

What DBOS keeps are ids and code words as JSON, never a pickle and never what somebody said.
"""

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from dbos import DBOSClient, Serializer, run_dbos_database_migrations

from service import tables
from service.deeds import Enqueue
from service.house import House
from service.store import Transaction

SCORING, DELIVERING = "scoring", "delivering"
"""The two queues: a receiver that hangs holds up no scoring."""


def workflow_id(id_: str, number: int) -> str:
    """What DBOS calls a job's try, or a delivery's attempt, of this number."""
    return id_ if number == 1 else f"{id_}.{number}"


def count_jobs(house: House) -> Mapping[str, int]:
    """How many jobs of all tenants are in each state."""
    query = sa.select(tables.jobs.c.status, sa.func.count()).group_by(tables.jobs.c.status)
    with house.store.system() as tx:
        return {status: int(n) for status, n in tx.connection.execute(query).all()}


class Words(Serializer):
    """Ids, code words and numbers as JSON: what DBOS may keep."""

    def name(self) -> str:
        """What DBOS notes beside what is kept."""
        return "rupture_json"

    def serialize(self, data: Any) -> str:
        """JSON of the value; an error leaves only its kind behind."""
        if isinstance(data, BaseException):
            return json.dumps({"error": type(data).__name__})
        return json.dumps(data, default=lambda _: None)

    def deserialize(self, serialized_data: str) -> Any:
        """The value again; an error is an error of that kind's name."""
        found = json.loads(serialized_data)
        if isinstance(found, dict) and set(found) == {"error"}:
            return RuntimeError(found["error"])
        return found


class DurableQueue(Enqueue):
    """Puts work into DBOS's tables on the transaction's own connection."""

    def __init__(self, url: str) -> None:
        self._client = DBOSClient(
            system_database_url=url, serializer=Words(), lazy=True, retry_connection_errors=False
        )

    def score(
        self, tx: Transaction, job_id: str, turn: int, *, number: int = 1, wait_s: float = 0.0
    ) -> None:
        """A session to be scored, in its turn among all tenants'."""
        priority = max(1, min(turn, 2**31 - 1))
        self._put(tx, "score_session", SCORING, job_id, number, wait_s, priority=priority)

    def deliver(
        self, tx: Transaction, delivery_id: str, *, number: int = 1, wait_s: float = 0.0
    ) -> None:
        """A webhook to be sent."""
        self._put(tx, "deliver_webhook", DELIVERING, delivery_id, number, wait_s)

    def _put(
        self,
        tx: Transaction,
        name: str,
        queue: str,
        id_: str,
        number: int,
        wait_s: float,
        **more: Any,
    ) -> None:
        options: Any = {
            "workflow_name": name,
            "queue_name": queue,
            "workflow_id": workflow_id(id_, number),
            **({"delay_seconds": wait_s} if wait_s else {}),
            **more,
        }
        self._client.enqueue_in_transaction(tx.connection, options, tx.tenant_id, id_, number)

    def close(self) -> None:
        """Lets go of its connections."""
        self._client.destroy()


def make_tables(url: str) -> None:
    """DBOS's own tables, before anything is put into a queue."""
    run_dbos_database_migrations(system_database_url=url)

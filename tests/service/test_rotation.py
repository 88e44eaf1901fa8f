"""New keys open what the old ones opened, the old ones nothing; a rotation survives a kill."""

import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service import rotation, tables
from service.auth import make_tenant
from service.root_keys import RootKeys, UnknownKey, create_key_file
from service.vault import Vault

CANARY = "zyxcanary"


def with_root(clinic: Any, root: Any) -> Any:
    """The clinic in a process that has this root key and remembers nothing."""
    return clinic.in_(replace(clinic.house, vault=Vault(root)))


def test_a_new_root_key_opens_everything_and_the_old_one_nothing(
    either_clinic: Any, tmp_path: Path
) -> None:
    session_id = either_clinic.add()
    either_clinic.other()
    old = either_clinic.house.vault.source
    create_key_file(tmp_path / "new.key")
    new = RootKeys.from_files(tmp_path / "new.key")
    assert rotation.rotate_root(either_clinic.house, new) == 2
    row = either_clinic.row(session_id)
    assert CANARY.encode() in with_root(either_clinic, new).read(row)
    with pytest.raises(UnknownKey):
        with_root(either_clinic, old).read(row)
    assert either_clinic.actions()[-1] == "data_key.rotated"


def test_a_rotation_of_the_root_that_was_killed_is_done_again(
    either_clinic: Any, tmp_path: Path
) -> None:
    ids = [either_clinic.tenant_id, *(make_tenant(either_clinic.house, "x")[0] for _ in range(3))]
    create_key_file(tmp_path / "new.key")
    new = RootKeys.from_files(tmp_path / "new.key")

    class Dies:
        """A source of keys that is killed when it wraps for the third time."""

        current, n = new.current, 0

        def wrap(self, material: bytes, *, key_id: str, tenant_id: str) -> bytes:
            self.n += 1
            if self.n == 3:
                raise KeyboardInterrupt
            return new.wrap(material, key_id=key_id, tenant_id=tenant_id)

        unwrap = new.unwrap

    with pytest.raises(KeyboardInterrupt):
        rotation.rotate_root(either_clinic.house, Dies())
    assert rotation.rotate_root(either_clinic.house, new) == 2
    assert rotation.rotate_root(either_clinic.house, new) == 0
    for tenant_id in ids:
        with either_clinic.house.store.transaction(tenant_id) as tx:
            rotated = [e for e in tx.audit_trail() if e.event.action == "data_key.rotated"]
            assert len(rotated) == 1
            Vault(new).new_session_key(tx.tenant()["key_blob"], tenant_id, "probe")


def test_a_tenants_new_key_is_over_all_its_sessions_and_webhooks(either_clinic: Any) -> None:
    kept, gone = either_clinic.add(), either_clinic.add()
    either_clinic.records.erase(either_clinic.actor, gone)
    hook, secret = either_clinic.records.register(
        either_clinic.actor, "https://example.org/hook", []
    )
    before = either_clinic.row(kept)
    made = rotation.rotate_tenant(either_clinic.house, either_clinic.tenant_id)
    assert made == rotation.Rotated(n_sessions=1, n_webhooks=1)
    row = either_clinic.row(kept)
    assert row["key_blob"] != before["key_blob"]
    assert row["transcript"] == before["transcript"]
    assert CANARY.encode() in either_clinic.read(row)
    assert either_clinic.row(gone)["key_blob"] is None
    with either_clinic.house.store.transaction(either_clinic.tenant_id) as tx:
        assert either_clinic.records.secrets(tx, tx.get(tables.webhooks, hook)) == (secret,)
    assert either_clinic.trail()[-1].event.details == {
        "layer": "tenant",
        "n_sessions": 1,
        "n_webhooks": 1,
        "n_people": 0,
    }


def test_the_neighbours_keys_are_left_alone(either_clinic: Any) -> None:
    neighbour = either_clinic.other()
    session_id = neighbour.add()
    before = neighbour.row(session_id)
    rotation.rotate_tenant(either_clinic.house, either_clinic.tenant_id)
    assert neighbour.row(session_id) == before
    assert CANARY.encode() in neighbour.read(before)


def test_a_session_that_does_not_open_stops_a_rotation_before_anything_changed(
    either_clinic: Any,
) -> None:
    good, bad = either_clinic.add(), either_clinic.add()
    either_clinic.change(bad, key_blob=either_clinic.row(good)["key_blob"])
    before = either_clinic.row(good)
    with pytest.raises(rotation.CannotRotate) as caught:
        rotation.rotate_tenant(either_clinic.house, either_clinic.tenant_id)
    assert caught.value.id == bad
    assert either_clinic.row(good) == before
    assert CANARY.encode() in either_clinic.read(before)


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from service import rotation, store, tables
    from service.house import open_house
    from service.settings import Settings

    house = open_house(Settings(home=Path(sys.argv[1]), checkpoint="rules", _env_file=None))
    note = store.Transaction.note

    def dies(tx, event, key):
        note(tx, event, key)
        os.kill(os.getpid(), signal.SIGKILL)  # all is written, nothing is committed

    store.Transaction.note = dies
    rotation.rotate_tenant(house, sys.argv[2])
"""


def test_a_rotation_killed_before_its_end_changed_nothing_and_is_done_again(
    clinic: Any,
) -> None:
    sessions = [clinic.add() for _ in range(3)]
    before = [clinic.row(one) for one in sessions]
    code = textwrap.dedent(KILLED)
    home = clinic.house.settings.home
    killed = subprocess.run([sys.executable, "-c", code, str(home), clinic.tenant_id], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [clinic.row(one) for one in sessions] == before
    assert rotation.rotate_tenant(clinic.house, clinic.tenant_id).n_sessions == 3
    for row in map(clinic.row, sessions):
        assert CANARY.encode() in clinic.read(row)

"""`rupture account`: people made, changed and ended at the command line."""

from pathlib import Path

import pyotp
import pytest
from typer.testing import CliRunner

from service.account_commands import app
from service.auth import make_tenant
from service.entrance import Entrance
from service.errors import NotAuthenticated
from service.house import House, open_house
from service.settings import Settings

PASSWORD = "a long way to the sea"  # noqa: S105


@pytest.fixture
def home(tmp_path: Path) -> Path:
    settings = Settings(home=tmp_path / "home", _env_file=None)
    house = open_house(settings)
    make_tenant(house, "clinic")
    house.store.close()
    return tmp_path / "home"


def ask(home: Path, *words: str, given: str = "") -> str:
    done = CliRunner().invoke(app, [*words, "--home", str(home)], input=given)
    assert done.exit_code == 0, done.output
    return done.output


def opened(home: Path) -> House:
    return open_house(Settings(home=home, _env_file=None))


def test_the_first_account_signs_in_with_what_it_was_shown(home: Path) -> None:
    said = ask(home, "add", "ada", "--role", "clinician", given=f"{PASSWORD}\n")
    uri = next(line.strip() for line in said.splitlines() if "otpauth://" in line)
    assert PASSWORD not in said
    house = opened(home)
    code = pyotp.parse_uri(uri).now()
    visit, _ = Entrance(house).sign_in("ada", PASSWORD, code, "")
    assert visit.roles == {"clinician"}
    house.store.close()


def test_an_account_is_listed_changed_and_ended(home: Path) -> None:
    ask(home, "add", "ada", "--role", "clinician", given=f"{PASSWORD}\n")
    ask(home, "roles", "ada", "--role", "admin", "--role", "clinician")
    assert "admin,clinician  ada" in ask(home, "list")
    shown = ask(home, "factor", "ada")
    ask(home, "password", "ada", given="another long way to go\n")
    ask(home, "unlock", "ada")
    code = [line.strip() for line in shown.splitlines() if line.startswith("  ")][-1]
    house = opened(home)
    Entrance(house).sign_in("ada", "another long way to go", code, "")
    house.store.close()
    ask(home, "end", "ada")
    assert "(ended)" in ask(home, "list")
    house = opened(home)
    with pytest.raises(NotAuthenticated):
        Entrance(house).sign_in("ada", "another long way to go", code, "")
    house.store.close()


@pytest.mark.parametrize(
    ("words", "given", "said"),
    [
        (("add", "ada", "--role", "clinician"), "short\n", "Choose another password."),
        (("end", "nobody"), "", "no account of this login"),
        (("add", "ada", "--role", "clinician", "--tenant", "ten_x"), f"{PASSWORD}\n", "tenant"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    home: Path, words: tuple[str, ...], given: str, said: str
) -> None:
    done = CliRunner().invoke(app, [*words, "--home", str(home)], input=given)
    assert done.exit_code == 3
    assert said in done.output
    assert PASSWORD not in done.output

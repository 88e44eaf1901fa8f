"""What an operator may choose is refused where the service could not work with it."""

from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from service.house import House
from service.retention import MOST_DAYS, Retention
from service.settings import Settings
from service.upkeep_commands import app

DAYS = ("text_days", "report_days", "most_text_days", "most_report_days")


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, **given)


@pytest.mark.parametrize("name", DAYS)
@pytest.mark.parametrize("days", [0, -1, MOST_DAYS + 1])
def test_days_that_retention_refuses_are_no_setting(name: str, days: int) -> None:
    with pytest.raises(ValidationError, match=name):
        settings(**{name: days})


@pytest.mark.parametrize("days", [1, MOST_DAYS])
def test_all_days_that_are_a_setting_are_a_retention(days: int) -> None:
    said = settings(**dict.fromkeys(DAYS, days))
    assert Retention(text_days=said.text_days, scores_days=said.report_days)


@pytest.mark.parametrize("name", ["text", "report"])
def test_no_default_is_longer_than_what_a_tenant_may_choose(name: str) -> None:
    with pytest.raises(ValidationError, match=f"RUPTURE_MOST_{name.upper()}_DAYS is less"):
        settings(**{f"{name}_days": 9, f"most_{name}_days": 8})
    assert settings(**{f"{name}_days": 9, f"most_{name}_days": 9})


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"RUPTURE_TEXT_DAYS": "0"}, "RUPTURE_TEXT_DAYS: Input should be greater than or equal"),
        ({"RUPTURE_MOST_REPORT_DAYS": "9"}, "RUPTURE_MOST_REPORT_DAYS is less"),
        ({"RUPTURE_GATED": '["Illinois"]'}, "RUPTURE_GATED: "),
    ],
)
def test_a_command_names_the_setting_that_is_refused(
    environment: dict[str, str], said: str
) -> None:
    result = CliRunner().invoke(app, ["sweep"], env=environment)
    assert result.exit_code == 3
    assert said in result.stderr


def test_the_gated_places_of_the_settings_are_those_of_the_policy() -> None:
    said = settings(gated=("US-IL", "US-NV", "DE"))
    house = House(said, *[None] * 4)  # type: ignore[arg-type]
    assert set(house.policy.gated) == {"US-IL", "US-NV", "DE"}

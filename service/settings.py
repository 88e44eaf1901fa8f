"""Everything that an operator may choose, from the environment, a `.env` file or a secrets folder.

Each setting's name in the environment is `RUPTURE_` and its name in capitals. Nothing has to be
set: without any, the service runs on an embedded database in a folder of its own, and makes its
root key there. `rupture check` says what is chosen and whether it works, and `python -m
service.settings` writes the table of docs/operations.md.
"""

import json
import sys
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.wording import FIRST, languages

_Days = Annotated[int, Field(ge=1, le=36_500)]
"""As service.retention takes them: nothing is kept for no day (`POST /v1/score` keeps nothing)."""

_Place = Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")]


class Settings(BaseSettings):
    """What the service is started with; frozen."""

    model_config = SettingsConfigDict(
        env_prefix="RUPTURE_",
        env_file=".env",
        env_ignore_empty=True,  # compose files and manifests write NAME= for what is not set
        extra="ignore",
        frozen=True,
        secrets_dir=None,
    )

    home: Path = Field(
        Path("rupture-data"),
        description="Folder of the embedded database and of the root key, where they are not "
        "elsewhere.",
    )
    database: str = Field(
        "",
        description="SQLAlchemy URL: sqlite:///file or postgresql://user@host/name. Empty: SQLite "
        "in `home`.",
    )
    host: str = Field("127.0.0.1", description="Address that is listened on.")
    port: int = Field(8321, ge=0, le=65535, description="Port that is listened on.")
    workers: int = Field(
        1, ge=0, le=64, description="Worker processes that `rupture serve` starts beside the API."
    )
    concurrency: int = Field(
        1, ge=1, le=64, description="Sessions that one worker scores at a time."
    )
    threads: int | None = Field(
        None, ge=1, le=256, description="Threads of one worker's network; empty: all cores."
    )
    checkpoint: str = Field(
        "", description="Checkpoint that scores; empty: the one in use, `rules`: no network."
    )
    root_key: SecretStr | None = Field(
        None, description="Root key, 32 bytes in base64; empty: the file `root_key_file`."
    )
    root_key_file: Path | None = Field(
        None, description="File of the root key; empty: `home`/root.key, made at the first start."
    )
    max_bytes: int = Field(
        25_000_000,
        ge=1_000,
        description="Most bytes of a transcript (detector.formats.MAX_BYTES is the readers' own).",
    )
    max_wait_s: int = Field(25, ge=0, le=120, description="Longest `Prefer: wait`.")
    max_attempts: int = Field(
        4, ge=1, le=20, description="Tries of a job before it is put among the dead."
    )
    requests_per_minute: int = Field(600, ge=1, description="Of one key.")
    bytes_per_minute: int = Field(200_000_000, ge=1, description="Of one tenant.")
    text_days: _Days = Field(
        30,
        description="Days, from 1, that a transcript is kept, where the tenant says nothing else.",
    )
    report_days: _Days = Field(
        365,
        description="Days, from 1, that its report is kept, where the tenant says nothing else.",
    )
    most_text_days: _Days | None = Field(
        None,
        description="Most days of a transcript that a tenant may choose; empty: `text_days`, so "
        "that tenants choose fewer only.",
    )
    most_report_days: _Days | None = Field(
        None, description="Most days of a report that a tenant may choose; empty: `report_days`."
    )
    upkeep_minutes: int = Field(
        60,
        ge=0,
        le=10_080,
        description="How often workers erase what is past its retention; 0: never, somebody runs "
        "`rupture upkeep sweep`.",
    )
    tombstones: Path | None = Field(
        None,
        description="File to which workers then add what ended, kept where no copy of the "
        "database is; empty: none.",
    )
    idempotency_hours: int = Field(48, ge=1, le=168, description="How long a key is remembered.")
    gated: tuple[_Place, ...] = Field(
        ("US-IL",),
        description="Jurisdictions (ISO 3166-2) in which nothing is analysed until the deployer "
        "takes them out of this list.",
    )
    webhook_http: bool = Field(
        False, description="Whether webhooks may go to http:// addresses; for trials only."
    )
    webhook_networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        (), description="Private networks that webhooks may go to all the same."
    )
    webhook_ca_file: Path | None = Field(
        None,
        description="File of authorities (PEM) that webhooks trust beside the public ones, for "
        "receivers in your own house.",
    )
    worker_port: int = Field(
        0,
        ge=0,
        le=65_471,  # 64 workers beside one API have the ports from it on
        description="Port at which a worker answers /livez and /metrics, at `host`; 0: none. The "
        "workers of `rupture serve` take this one and those after it, one each.",
    )
    tracing: bool = Field(
        False,
        description="Whether spans go to an OpenTelemetry collector (OTEL_EXPORTER_OTLP_ENDPOINT "
        "and the other OTEL_ variables say where); needs the packages of `[tracing]`.",
    )
    log: Literal["json", "console", "auto"] = Field(
        "auto", description="Form of the log; auto: console in a terminal, else JSON lines."
    )
    public_url: str = Field(
        "",
        pattern=r"^(https?://[^/?#@\s]+)?$",
        description="Where people's browsers reach the review page, such as "
        "https://review.example.org. Empty: people sign in on this machine alone.",
    )
    local_accounts: bool = Field(
        True, description="Whether people may sign in with a local account."
    )
    oidc_issuer: str = Field(
        "", description="OpenID provider that people sign in at; empty: there is none."
    )
    oidc_client_id: str = Field("", description="That the provider gave this service.")
    oidc_client_secret: SecretStr | None = Field(
        None, description="Its secret; empty: a public client, PKCE alone."
    )
    oidc_roles: dict[str, Literal["clinician", "supervisor", "researcher", "admin"]] = Field(
        {},
        description='Role of each of the provider\'s groups, JSON: `{"therapists": "clinician"}`.',
    )
    oidc_groups_claim: str = Field(
        "groups", description="Claim with a person's groups, or a path with dots to it."
    )
    oidc_scopes: tuple[str, ...] = Field(
        ("profile",), description="Scopes that are asked for beside `openid`."
    )
    oidc_further_hosts: tuple[str, ...] = Field(
        (), description="Hosts of the provider's endpoints that are not the issuer's."
    )
    oidc_second_factor: tuple[str, ...] = Field(
        (), description="Values of `amr` of which a sign-in must have one, such as `mfa`."
    )
    oidc_tenant: str = Field(
        "", description="Tenant that the provider's people belong to; empty: the only one."
    )
    language: str = Field(
        FIRST, description="Language of the pages: a folder of words of both rooms."
    )
    docs: bool = Field(True, description="Whether /openapi.json is served.")

    @field_validator("database")
    @classmethod
    def _driver(cls, url: str) -> str:
        """PostgreSQL through psycopg 3, whatever the URL's scheme says."""
        for plain in ("postgresql://", "postgres://"):
            if url.startswith(plain):
                return "postgresql+psycopg://" + url.removeprefix(plain)
        if url and not url.startswith(("sqlite:///", "postgresql+psycopg://")):
            raise ValueError("is to be sqlite:///FILE or postgresql://…")
        return url

    @field_validator("language")
    @classmethod
    def _spoken(cls, language: str) -> str:
        if language not in languages():
            raise ValueError(f"there are words in {', '.join(languages())}")
        return language

    @model_validator(mode="after")
    def _within(self) -> Self:
        """A default is no longer than what a tenant may choose."""
        for name in ("text_days", "report_days"):
            most = getattr(self, f"most_{name}")
            if most is not None and most < getattr(self, name):
                raise ValueError(f"RUPTURE_MOST_{name.upper()} is less than RUPTURE_{name.upper()}")
        return self

    @property
    def database_url(self) -> str:
        """The database's URL; of the embedded one where none is set."""
        return self.database or f"sqlite:///{(self.home / 'rupture.db').absolute()}"

    @property
    def key_file(self) -> Path:
        """Where the root key lies, unless it is a value of its own."""
        return self.root_key_file or self.home / "root.key"


def as_table() -> str:
    """Every setting as a row of Markdown: name in the environment, default, what it says."""
    rows = ["| setting | default | |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, tuple | dict):
            default = f"`{json.dumps(default)}`"
        elif isinstance(default, bool):
            default = f"`{str(default).lower()}`"
        else:
            default = "" if default in (None, "") else f"`{default}`"
        said = (field.description or "").replace("|", "\\|")
        rows.append(f"| `RUPTURE_{name.upper()}` | {default} | {said} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(as_table())

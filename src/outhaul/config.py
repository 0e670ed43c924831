"""All settings as one frozen object: flags over environment over a TOML file over defaults."""

from __future__ import annotations

import os
import re
import secrets
import tomllib
from collections.abc import Callable, Mapping
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, ByteSize, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from outhaul import rates
from outhaul.errors import Misconfigured

PREFIX = "OUTHAUL_"
FILE = "outhaul.toml"  # read from the working folder when it is there
SIGNING = "signing.pem"  # in the state folder
# The settings that bound what is done, as whoever runs the service looks them up.
LIMITS = (
    *(
        "workers",
        "window",
        "window_refuses",
        "max_records",
        "max_bytes",
        "max_body",
        "min_free",
        "part_bytes",
    ),
    *(
        "count_timeout",
        "instant_limit",
        "instant_kept",
        "lease",
        "retention",
        "link_lifetime",
        "token_lifetime",
    ),
    *("rate_average", "rate_burst", "rate_tokens", "batch_limits", "rate_organization"),
)
UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
# Drivers take quotes and spaces in a password as they stand.
SECRET_IN_URL = re.compile(
    r"(?i)(?<=://)([^/?#@:\s]*):(?:[^\s\"']*|[^/?#\n]*)(?=@)|([?&](?:ssl)?(?:password|passphrase|token)=)[^&\s]*"
)


def redact(text: str) -> str:
    """The same text with every password that stands in a URL replaced by `***`."""
    return SECRET_IN_URL.sub(
        lambda found: f"{found[1]}:***" if found[1] is not None else f"{found[2]}***", text
    )


def duration(value: Any) -> Any:
    """`"90s"`, `"5m"`, `"7d"` as a timedelta; anything else is left to pydantic (seconds, ISO 8601)."""
    if isinstance(value, str) and (found := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*", value)):
        return timedelta(**{UNITS[found[2]]: float(found[1])})
    return value


def listed(value: Any) -> Any:
    """A comma-separated text as a list, as it comes from the environment."""
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def rate(value: Any) -> Any:
    """`"200/1m"` as a rate."""
    return rates.parse(value) if isinstance(value, str) else value


def words(value: Any) -> str:
    """A setting's value as it can be written, durations in their largest unit."""
    if isinstance(value, timedelta):
        length = {
            "d": value / timedelta(days=1),
            "h": value / timedelta(hours=1),
            "m": value / timedelta(minutes=1),
        }
        unit = next((one for one, many in length.items() if many >= 1 and many == int(many)), "")
        return f"{length[unit]:.0f}{unit}" if unit else f"{value.total_seconds():g}s"
    if isinstance(value, rates.Rate):
        return f"{value.limit}/{words(timedelta(seconds=value.interval))}"
    if isinstance(value, bool):
        return "true" if value else "false"
    unit = " bytes" if isinstance(value, ByteSize) else ""
    return f"{value:,}{unit}" if isinstance(value, int) else str(value)


Duration = Annotated[timedelta, BeforeValidator(duration), Field(gt=timedelta())]
Network = IPv4Network | IPv6Network
Rate = Annotated[rates.Rate | None, BeforeValidator(rate)]


class Settings(BaseSettings):
    """Every setting has a default; each can stand in outhaul.toml under its name, or in the environment as
    `OUTHAUL_` and its name in capitals. Durations: `30s`, `5m`, `7d`. Sizes: bytes, or `500MB`."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_ignore_empty=True, hide_input_in_errors=True
    )

    source: SecretStr | None = Field(None, description="URL of the database to export from; it is only read")
    catalog: Path | None = Field(
        None, description="catalog file; without one, everything harmless is offered"
    )
    state: Path = Field(Path(".outhaul"), description="folder of the ledger, the files and the secret key")
    ledger: SecretStr | None = Field(
        None, description="URL of our own database; default: SQLite in the state folder"
    )
    store: str | None = Field(None, description="URL of the place for files; default: in the state folder")
    audit: Path | None = Field(None, description="folder of the audit log; default: in the state folder")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8350, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    public_url: str | None = Field(
        None, description="address under which callers reach the service, path included"
    )
    proxies: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(listed)] = Field(
        (), description="addresses or networks of proxies whose X-Forwarded-* headers are believed"
    )
    workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="worker processes; default: one a core"
    )
    window: int = Field(10, ge=1, description="exports of one tenant that run at the same time; more wait")
    window_refuses: bool = Field(
        False, description="rather than let them wait, refuse exports beyond the window"
    )
    token_issuer: str | None = Field(
        None,
        description="what the tokens of clients say has made them; default: `public_url`, or the address it listens on",
    )
    token_lifetime: Duration = Field(timedelta(hours=4), description="how long a token of a client is good")
    trusted_issuers: Annotated[tuple[str, ...], NoDecode, BeforeValidator(listed)] = Field(
        (), description="addresses of others whose signed tokens are believed too"
    )
    part_bytes: ByteSize = Field(
        ByteSize(100_000_000), ge=1, description="wanted size of a part, uncompressed"
    )
    link_lifetime: Duration = Field(timedelta(minutes=5), description="how long a download link can be used")
    retention: Duration = Field(timedelta(days=7), description="how long files are kept")
    lease: Duration = Field(timedelta(seconds=45), description="how long a silent worker keeps its part")
    retry_pause: Duration = Field(
        timedelta(seconds=1), description="wait after a part's first failure, doubled with each further one"
    )
    instant_limit: Duration = Field(
        timedelta(hours=2), description="how long an export may read as of one instant"
    )
    instant_kept: Duration = Field(
        timedelta(minutes=10), description="how long an interrupted export keeps its instant"
    )
    sqlite_copy: ByteSize = Field(
        ByteSize(2_000_000_000), ge=0, description="largest SQLite file without WAL that is copied to be read"
    )
    sqlite_hold: bool = Field(
        False, description="rather than copy such a file, let its writers wait while an export reads it"
    )
    count_timeout: Duration = Field(
        timedelta(seconds=5), description="longest count of rows before the answer"
    )
    min_free: ByteSize = Field(
        ByteSize(500_000_000), ge=0, description="free disk below which exports are refused"
    )
    max_records: int | None = Field(
        None, ge=0, description="rows of one export, where neither its token nor its resource has a limit"
    )
    max_bytes: ByteSize | None = Field(
        None,
        ge=0,
        description="bytes of text of one export, where neither its token nor its resource has a limit",
    )
    max_body: ByteSize = Field(ByteSize(1_000_000), ge=1, description="largest request body")
    webhook_networks: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(listed)] = Field(
        (), description="addresses or networks that webhooks may call beside public ones"
    )
    rate_average: Rate = Field(
        None, description="calls of the API that one address may make, reads and writes each: `200/1m`"
    )
    rate_burst: Rate = Field(None, description="the same, to one endpoint in a short time: `50/10s`")
    rate_tokens: Rate = Field(
        None, description="tokens that one address may ask for at /oauth/token: `30/1m`"
    )
    batch_limits: bool = Field(
        False, description="hold the rates that Batch documents for calls and exports of one project"
    )
    rate_organization: Rate = Field(
        rates.Rate(3_000, 600.0),
        description="calls of Rebilly's API other than GET that one organization may make",
    )
    public_register: bool = Field(
        False,
        description="tell everybody, at /register, what can be exported by customers and in which formats",
    )
    mode: Literal["live", "test"] = Field(
        "live", description="which mode tokens and resources say that they are of: `live` or `test`"
    )
    failed_as_interrupted: Annotated[tuple[str, ...], NoDecode, BeforeValidator(listed)] = Field(
        ("CLI-", "@commercelayer/cli"),
        description="what User-Agent begins with of clients that are shown a failed export as interrupted, "
        "because they would ask for ever",
    )

    @field_validator("trusted_issuers")
    @classmethod
    def _guarded(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            parts = urlsplit(url)
            safe = parts.scheme == "https" or (parts.scheme == "http" and loopback(parts.hostname or ""))
            if not safe or not parts.hostname or parts.query or parts.fragment:
                raise ValueError("write each as https://auth.example.com, as its tokens name it")
        return tuple(url.rstrip("/") for url in value)

    @field_validator("public_url")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("write it as https://exports.example.com or https://example.com/exports")
        return value.rstrip("/")

    def require_source(self) -> str:
        """The source's URL, its secret included; Misconfigured when none is set."""
        if self.source is None:
            raise Misconfigured(
                "No source is set.", hint="Name one: sqlite:///my.db or postgresql://user@host/database."
            )
        return source_url(self.source.get_secret_value())

    @property
    def ledger_url(self) -> str:
        return (
            self.ledger.get_secret_value()
            if self.ledger
            else f"sqlite:///{self.state.absolute() / 'ledger.db'}"
        )

    @property
    def audit_folder(self) -> Path:
        return self.audit or self.state.absolute() / "audit"

    @property
    def store_url(self) -> str:
        return self.store or (self.state.absolute() / "objects").as_uri()

    def require_reachable(self) -> None:
        """Misconfigured when strangers could reach a service that does not know its own address."""
        if self.public_url is None and not loopback(self.host):
            raise Misconfigured(
                f"Listening on {self.host} lets other machines in, but the service does not know its own address.",
                hint="Say it: --public-url https://exports.example.com, the address under which callers reach it.",
            )


def load(flags: Mapping[str, Any] | None = None, file: Path | None = None) -> Settings:
    """Settings from flags (None means: not given), environment and file; Misconfigured says which one is wrong."""
    if file and not file.is_file():
        raise Misconfigured(f"There is no settings file {file}.")
    path = file or Path(FILE)
    return _read(
        {name: value for name, value in (flags or {}).items() if value is not None},
        lambda cls, given, environment: (given, environment, TomlConfigSettingsSource(cls, path)),
    )


def alone(values: Mapping[str, Any]) -> Settings:
    """These settings and else the defaults: no environment and no file has a say; Misconfigured."""
    return _read(values, lambda _cls, given, _environment: (given,))


def _read(
    given: Mapping[str, Any],
    places: Callable[
        [type[BaseSettings], PydanticBaseSettingsSource, PydanticBaseSettingsSource],
        tuple[PydanticBaseSettingsSource, ...],
    ],
) -> Settings:
    class Read(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            *_: PydanticBaseSettingsSource,
            **__: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return places(settings_cls, init_settings, env_settings)

    try:
        return Read(**given)
    except ValidationError as error:
        raise _explained(error) from None
    except (tomllib.TOMLDecodeError, SettingsError, OSError) as error:
        raise Misconfigured(f"The settings cannot be read: {redact(str(error))}") from None


def _explained(error: ValidationError) -> Misconfigured:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        choices = tuple(sorted(Settings.model_fields))
        return Misconfigured(
            f"There is no setting {name!r}.",
            hint=f"One of: {', '.join(choices)}.",
            wrong=name,
            choices=choices,
        )
    return Misconfigured(f"The setting {name!r} is wrong: {first['msg']}.", wrong=name)


def source_url(url: str) -> str:
    """The URL as the sources know it: `postgres://` is `postgresql://`."""
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)


def loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def prepare(state: Path) -> None:
    """Make the state folder, for its owner alone."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        state.chmod(0o700)
    except OSError as error:
        raise Misconfigured(
            f"The state folder {state} cannot be made: {error.strerror}.",
            hint="Name another: --state FOLDER.",
        ) from None


def secret_keys(state: Path) -> tuple[str, ...]:
    """The keys of signed links, a line each: the first signs, all are believed, so that one can be replaced.

    Made at the first start; several processes starting at once agree on one.
    """
    path = state / "secret.key"
    if not path.exists():
        fresh = state / f"secret.key.{secrets.token_hex(4)}"
        fresh.touch(0o600)
        fresh.write_text(secrets.token_urlsafe(32))
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return tuple(path.read_text().split())

"""Settings: where they come from, what they refuse, and that no secret is shown."""

from __future__ import annotations

import re
import stat
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from outhaul import config
from outhaul.errors import Misconfigured


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in config.Settings.model_fields:
        monkeypatch.delenv(f"OUTHAUL_{name.upper()}", raising=False)


def test_nothing_has_to_be_set() -> None:
    settings = config.load({"source": "sqlite:///my.db"})
    assert settings.require_source() == "sqlite:///my.db"
    assert (settings.host, settings.link_lifetime, settings.retention) == (
        "127.0.0.1",
        timedelta(minutes=5),
        timedelta(days=7),
    )
    assert settings.ledger_url == f"sqlite:///{Path.cwd()}/.outhaul/ledger.db"
    assert settings.store_url == f"file://{Path.cwd()}/.outhaul/objects"


def test_flags_win_over_environment_and_environment_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("outhaul.toml").write_text('port = 1\nhost = "127.0.0.2"\nretention = "1h"\n')
    monkeypatch.setenv("OUTHAUL_HOST", "127.0.0.3")
    monkeypatch.setenv("OUTHAUL_PORT", "2")
    settings = config.load({"port": 3, "host": None})
    assert (settings.port, settings.host, settings.retention) == (3, "127.0.0.3", timedelta(hours=1))


def test_another_file_can_be_named_and_must_be_there() -> None:
    Path("other.toml").write_text("port = 7\n")
    assert config.load({}, Path("other.toml")).port == 7
    with pytest.raises(Misconfigured, match=r"no settings file none\.toml"):
        config.load({}, Path("none.toml"))


@pytest.mark.parametrize(
    ("written", "meant"),
    [("90s", 90), ("5m", 300), ("1.5h", 5400), ("7d", 604800), ("PT10S", 10), ("250ms", 0.25)],
)
def test_durations_are_written_as_people_write_them(written: str, meant: float) -> None:
    assert config.load({"lease": written}).lease == timedelta(seconds=meant)


def test_sizes_may_carry_their_unit() -> None:
    assert config.load({"min_free": "2GB", "max_body": "100"}).model_dump(
        include={"min_free", "max_body"}
    ) == {
        "min_free": 2_000_000_000,
        "max_body": 100,
    }


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"colour": "red"}, r"no setting 'colour'\. One of: .*public_url.*workers"),
        ({"port": "http"}, "'port' is wrong"),
        ({"port": 70000}, "'port' is wrong"),
        ({"workers": 0}, "'workers' is wrong"),
        ({"lease": "0s"}, "'lease' is wrong"),
        ({"lease": "soon"}, "'lease' is wrong"),
        ({"proxies": "everyone"}, "'proxies' is wrong"),
        ({"public_url": "exports.example.com"}, "'public_url' is wrong.*https://exports.example.com"),
        ({"public_url": "https://example.com/?a=b"}, "'public_url' is wrong"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(flags: dict[str, object], said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        config.load(flags)


def test_a_broken_file_is_refused_without_its_content() -> None:
    Path("outhaul.toml").write_text('source = "postgresql://u:geheim@h/d"\nport = = 3\n')
    with pytest.raises(Misconfigured, match="settings cannot be read") as refused:
        config.load()
    assert "geheim" not in str(refused.value)


def test_settings_never_show_a_secret() -> None:
    settings = config.load({"source": "postgres://u:geheim@h/d", "ledger": "postgresql://l:geheim@h/d"})
    assert "geheim" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert settings.require_source() == "postgresql://u:geheim@h/d"
    with pytest.raises(Misconfigured) as refused:
        config.load({"source": {"url": "geheim"}})
    assert "geheim" not in str(refused.value)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(Exception, match="frozen"):
        config.load().port = 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:p@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:p@ss:w/rd@h:1/d", "postgresql://u:***@h:1/d"),
        ("postgresql://:p@h/d", "postgresql://:***@h/d"),
        ("postgresql://u@h/d?password=p&x=1", "postgresql://u@h/d?password=***&x=1"),
        ("postgresql://h/d?user=u&sslpassword=p", "postgresql://h/d?user=u&sslpassword=***"),
        (
            'no answer from "postgresql://u:p@h/d" at 10:30',
            'no answer from "postgresql://u:***@h/d" at 10:30',
        ),
        ("sqlite:///C:/data/my.db", "sqlite:///C:/data/my.db"),
        ("http://127.0.0.1:8350/api", "http://127.0.0.1:8350/api"),
        ("postgresql://u:pa'ss@h/db", "postgresql://u:***@h/db"),
        ('postgresql://u:pa"ss w@rd@h/db', "postgresql://u:***@h/db"),
        ("at http://127.0.0.1:8350/api for a@b", "at http://127.0.0.1:8350/api for a@b"),
    ],
)
def test_a_password_in_a_url_is_redacted_and_nothing_else(text: str, shown: str) -> None:
    assert config.redact(text) == shown


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "exports.example.com"])
def test_listening_to_strangers_needs_a_public_url(host: str) -> None:
    with pytest.raises(Misconfigured, match=r"--public-url https://"):
        config.load({"host": host}).require_reachable()
    config.load({"host": host, "public_url": "https://exports.example.com/"}).require_reachable()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_loopback_needs_no_public_url(host: str) -> None:
    config.load({"host": host}).require_reachable()


def test_the_state_folder_and_its_key_are_private_and_the_key_stays(tmp_path: Path) -> None:
    state = tmp_path / "state"
    config.prepare(state)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    (key,) = config.secret_keys(state)
    assert stat.S_IMODE((state / "secret.key").stat().st_mode) == 0o600
    assert len(key) >= 43
    assert config.secret_keys(state) == (key,)
    assert [path.name for path in state.iterdir()] == ["secret.key"]


def test_a_key_can_be_replaced_while_the_old_one_is_still_believed(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("new\nold\n")
    assert config.secret_keys(tmp_path) == ("new", "old")


def test_starts_at_the_same_moment_agree_on_one_key(tmp_path: Path) -> None:
    keys: list[tuple[str, ...]] = []
    start = threading.Barrier(8)

    def first_start() -> None:
        start.wait()
        keys.append(config.secret_keys(tmp_path))

    threads = [threading.Thread(target=first_start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_a_state_folder_that_cannot_be_made_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match=r"cannot be made.*--state FOLDER"):
        config.prepare(tmp_path / "file" / "state")


def test_the_reference_tells_each_setting_with_its_default_and_meaning() -> None:
    reference = Path(__file__).parent.parent.joinpath("docs", "reference", "settings.md").read_text()
    row = r"^\| `(\w+)` \|\s*`?([^|`]*?)`?\s*\| (.*) \|$"
    rows = re.findall(row, reference, re.MULTILINE)
    told = {name: (default.strip(), meaning) for name, default, meaning in rows}
    for name, field in config.Settings.model_fields.items():
        default, meaning = told[name]
        assert meaning.startswith(field.description or "?"), name
        settings = config.load({name: default} if default else {})
        assert getattr(settings, name) == getattr(config.load(), name), name

"""docs/settings.md says what `SETTINGS` says. After a change: `.venv/bin/python tests/docs/test_settings.py`."""

from __future__ import annotations

from pathlib import Path

from headwater.settings import SETTINGS, Setting

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"

ROOMS = {
    "server": "Server",
    "wal": "Write-ahead log",
    "storage": "Memory and blocks",
    "query": "Queries",
    "objects": "Object store",
    "notifications": "Notifications",
    "keys": "Encryption keys",
    "limits": "Limits of the service",
}

HEAD = f"""# Settings

<!-- Made from `settings.SETTINGS` by tests/docs/{Path(__file__).name}: change the rows there, then run that file. -->

A setting is given by a flag of `headwater serve`, an environment variable or a TOML file named by `--config FILE`.
A flag wins over the environment, the environment over the file, the file over the default. A value that breaks its rule
stops the start with one line that names the setting, where the value came from and the rule; so does a key of the file
that is no setting. Values are read once, at start.

```toml
# headwater.toml
data = "/var/lib/headwater"
listen = "127.0.0.1:8739"
flush_age_s = 600
```

Sizes named MiB are 2^20 bytes. A switch needs no value as a flag: `--insecure-dev` is `--insecure-dev true`.
"""


def page() -> str:
    return HEAD + "".join(section(room, title) for room, title in ROOMS.items())


def section(room: str, title: str) -> str:
    rows = "".join(row(setting) for setting in SETTINGS if setting.room == room)
    head = (
        "| file key | flag | environment variable | default | unit | meaning |\n| --- | --- | --- | --- | --- | --- |\n"
    )
    return f"\n## {title}\n\n{head}{rows}"


def row(setting: Setting) -> str:
    default = f"`{setting.default}`" if setting.default else "none"
    names = f"`{setting.name}` | `{setting.flag}` | `{setting.variable}`"
    return f"| {names} | {default} | {setting.unit} | {setting.help} |\n"


def test_the_page_is_made_from_the_settings() -> None:
    assert PAGE.read_text("utf-8") == page(), f"run: .venv/bin/python tests/docs/{Path(__file__).name}"


def test_every_setting_is_on_the_page_once() -> None:
    text = page()
    assert all(text.count(f"| `{setting.name}` |") == 1 for setting in SETTINGS)
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")

"""`headwater serve`: from flags to settings, what it prints, and how it starts, fails and stops as a process."""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headwater.catalog.catalog import CATALOG_FILE
from headwater.cli.main import main
from headwater.cli.serve import add_arguments, announce, config_of
from headwater.config import Config
from headwater.errors import Invalid
from headwater.settings import SETTINGS

READY = re.compile(r"ready (http://127\.0\.0\.1:[0-9]+) region=us-east-1 account=000000000000\n")


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)


def config(*words: str, **environ: str) -> Config:
    return config_of(parsed(*words), environ)


def test_every_setting_has_its_flag() -> None:
    for setting in SETTINGS:
        assert vars(parsed(setting.flag, "x"))[setting.name] == "x"


def test_only_flags_that_are_given_count(tmp_path: Path) -> None:
    assert vars(parsed()) == {"config": None}
    file = tmp_path / "headwater.toml"
    file.write_text("region = 'file'\naccount = '111111111111'\n")
    found = config("--config", str(file), "--data", str(tmp_path), HEADWATER_REGION="environment")
    assert (found.server.region, found.server.account, found.data) == ("environment", "1" * 12, tmp_path)


def test_a_switch_needs_no_value() -> None:
    assert config("--insecure-dev").server.insecure_dev
    assert not config("--insecure-dev", "false", HEADWATER_INSECURE_DEV="true").server.insecure_dev


def test_the_ready_line_stands_alone_before_the_examples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    announce(config("--data", str(tmp_path), "--region", "eu-north-1"), "::1", 4567)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ready http://[::1]:4567 region=eu-north-1 account=000000000000"
    assert f"export AWS_SHARED_CREDENTIALS_FILE={tmp_path}/credentials" in lines
    assert sum("http://[::1]:4567" in line for line in lines[1:]) == 3


def test_the_boto3_example_is_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    announce(config("--data", str(tmp_path)), "127.0.0.1", 4567)
    text = capsys.readouterr().out
    compile(text[text.index("import boto3") :], "example", "exec")


def test_a_bad_setting_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--account", "12"]) == 1
    assert capsys.readouterr().err == "headwater: Setting account (flag --account): '12' is not 12 digits\n"


def test_a_bad_setting_of_the_environment_is_a_fault() -> None:
    with pytest.raises(Invalid, match="environment variable HEADWATER_THREADS"):
        config(HEADWATER_THREADS="x")


@contextmanager
def started(data: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
    command = [sys.executable, "-m", "headwater", "serve", "--data", str(data), "--listen", "127.0.0.1:0", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as process:
        try:
            yield process
        finally:
            process.kill()


def refused(data: Path, *words: str) -> str:
    """The one line on standard error of a server that does not start."""
    with started(data, *words) as process:
        out, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    lines = [line for line in error.splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    return lines[0]


def test_it_starts_says_so_answers_and_stops(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with started(data) as process:
        assert process.stdout is not None
        ready = READY.fullmatch(process.stdout.readline())
        assert ready
        assert stat.S_IMODE((data / "credentials").stat().st_mode) == 0o600
        query = [sys.executable, "-m", "headwater", "query", "SELECT 1 AS one"]
        done = subprocess.run(
            [*query, "--endpoint", ready[1], "--data", str(data), "--region", "us-east-1", "--format", "csv"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout, done.stderr) == ("one\n1\n", "")
        assert refused(data).startswith("headwater: Another process is using the data folder")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
        assert "ready" not in out
    assert process.returncode == 0


def test_an_address_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(tmp_path, "--listen", f"127.0.0.1:{port}")
    assert f"127.0.0.1:{port}" in line
    assert "in use" in line


def test_a_folder_of_a_newer_release_is_one_line(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        assert process.stdout is not None
        assert READY.fullmatch(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    with sqlite3.connect(tmp_path / CATALOG_FILE) as connection:
        connection.execute("UPDATE format SET version = 9")
    connection.close()
    assert "format version 9" in refused(tmp_path)


def test_a_data_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert str(file) in refused(file)

"""The command line itself: what is printed where, and the exit status."""

from __future__ import annotations

import subprocess
import sys

import pytest

from headwater import __version__
from headwater.cli.main import COMMANDS, Command, main


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"headwater {__version__}\n"


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert all(command.name in text and command.help in " ".join(text.split()) for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_help(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([command.name, "--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: headwater {command.name} ")


@pytest.mark.parametrize("words", [[], ["nope"], ["query"], ["--nope"], ["query", "SELECT 1", "--format", "xml"]])
def test_bad_usage_is_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("usage: headwater")


def test_it_runs_as_a_module_and_loads_no_server_for_its_help() -> None:
    code = "import sys; from headwater.cli.main import main\ntry: main(['--help'])\nfinally: print(sorted(sys.modules))"
    for words in (["-m", "headwater", "--version"], ["-c", code]):
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
        assert done.stdout
        assert "headwater.instance" not in done.stdout
        assert "pyarrow" not in done.stdout

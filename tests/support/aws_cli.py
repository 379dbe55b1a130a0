"""The AWS command line, as the tests of clients call it: a process for each command, which takes half a second."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.server import ServerProcess

AWS = Path(sys.executable).with_name("aws")


class Failed(Exception):
    """`aws` ended with a status that is not 0."""


class Aws:
    """The command line for a server; `options` and `variables` say where that is, and without any it calls AWS."""

    def __init__(self, server: ServerProcess, options: tuple[str, ...] = (), **variables: str) -> None:
        self._server = server
        self._options = options
        self._variables = variables

    def __call__(self, service: str, operation: str, **arguments: Any) -> Any:
        """The answer of one command, read as JSON. Raises Failed with what it wrote to standard error."""
        words = [str(AWS), f"timestream-{service}", operation, *self._options, "--output", "json"]
        for name, value in arguments.items():
            words += [f"--{name.replace('_', '-')}", value if isinstance(value, str) else json.dumps(value)]
        done = self._server.run(*words, **self._variables)
        if done.returncode:
            raise Failed(done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else None


def fails(call: Callable[[], object], code: str) -> str:
    """What `aws` says of a call that must fail with this code."""
    with pytest.raises(Failed) as caught:
        call()
    assert f"({code})" in str(caught.value)
    return str(caught.value)

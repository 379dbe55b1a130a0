"""Whole exchanges with the server, byte for byte: what a client sends, and every byte it gets back.

Each file of `exchanges` is one story on a fresh server whose clock stands still and whose request ids are seeded.
`>> Operation (how)` is followed by a body, `<<` by the answer as it came; a line ends where CR LF stood. With
REWRITE_EXCHANGES=1 in the environment the answers are written anew, and the diff is for a reader to judge.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from support.serving import Running, make_instance, running

FILES = sorted(Path(__file__).with_name("exchanges").glob("*.txt"))
STEP = re.compile(
    r"^>> (?P<operation>\w+)(?: \((?P<how>[\w ]+)\))?\n(?P<body>.*?)\n<<\n(?P<answer>.*?)(?=\n\n(?:#|>>)|\n\Z)",
    re.MULTILINE | re.DOTALL,
)


def sent(server: Running, operation: str, how: str | None, body: str) -> bytes:
    if operation == "raw":
        return body.replace("\n", "\r\n").encode() + b"\r\n\r\n"
    request = server.request(operation, body.encode(), secret="wrong" if how == "wrong secret" else "secret")
    if how == "no signature":
        request = re.sub(rb"Authorization: .*?\r\n", b"", request)
    return request


def answered(server: Running, operation: str, how: str | None, body: str) -> str:
    with server.connect() as client:
        client.send(sent(server, operation, how, body))
        raw = client.answer().raw
    return raw.decode().replace("\r\n", "\n").rstrip("\n")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_exchange(file: Path, tmp_path: Path) -> None:
    text = file.read_text()
    with running(make_instance(tmp_path)) as server:
        now = STEP.sub(
            lambda step: (
                step[0].removesuffix(step["answer"]) + answered(server, step["operation"], step["how"], step["body"])
            ),
            text,
        )
    if os.environ.get("REWRITE_EXCHANGES"):
        file.write_text(now)
        pytest.skip("the answers were written anew")
    assert now.count("\nHTTP/1.1 ") == text.count("\n<<\n") > 0
    assert now == text

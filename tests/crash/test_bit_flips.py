"""A flipped bit, a cut, a wiped sector in any file of a data folder: the answer is right, or a fault says it is not.

Two folders are filled and stopped cleanly: a store's, and a whole server's with the next pages of a query. Each case
damages a copy, at a place that its seed gives, opens it and reads everything. Two limits are documented in
docs/format/log.md and left out here: rot in the last entry of an unclean stop, and a last segment of the log that has
lost its end, look like a torn tail. Last, the suites themselves are tried: without the checks they must find fault.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from pyarrow import ArrowException

from formats.make_version1 import ACCOUNT, open_folder
from headwater import sealing
from headwater.errors import Fault
from headwater.instance import Instance
from headwater.model.time import NS_PER_DAY, FixedClock
from headwater.query.token import Caller
from headwater.storage import table
from headwater.wal import cipher, entry
from support.answers import rows_of
from support.block_rows import values_of
from support.stores import NOW_NS, StoreFolder, records, series

SEALED_HEADER = range(sealing.HEADER_BYTES)
CASES, MANY_CASES, CONTROL_CASES = 20, 400, 200
SERVER_CASES, MANY_SERVER_CASES = 6, 100
SECTOR_BYTES = 512
ALL_WAYS = ("bit", "bit", "bit", "cut", "sector")


class Kind(NamedTuple):
    """Files by pattern, and which of their bytes are damaged, None is all. Of what `is_covered` all damage is seen."""

    patterns: tuple[str, ...]
    within: range | None = None
    is_covered: bool = False


STORE_KINDS = {
    "log": Kind(("log/*.log", "log/mark"), is_covered=True),
    "block": Kind(("blocks/*/*.parquet",), is_covered=True),
    "header of a block": Kind(("blocks/*/*.parquet",), SEALED_HEADER, is_covered=True),
    # One that is not used costs only time.
    "series": Kind(("blocks/*/series",)),
    "header of a series file": Kind(("blocks/*/series",), SEALED_HEADER),
    "catalog": Kind(("catalog.sqlite",)),
}
SERVER_KINDS = {
    # A hexadecimal digit may become a capital, which is the same key.
    "master.key": Kind(("master.key",)),
    # Written for clients; the server itself never reads it.
    "credentials": Kind(("credentials",)),
    "result": Kind(("results/*.result",), is_covered=True),
    "header of a result": Kind(("results/*.result",), SEALED_HEADER, is_covered=True),
}

Outcome = Callable[[Path], str]
"""What becomes of a damaged folder: "right", "fault", "scrubbed", or what is wrong with its answers."""


class Whole(NamedTuple):
    """A folder without damage, and how to judge a copy of it."""

    directory: Path
    outcome: Outcome


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The folder of a stopped store, and all that is in it: replaced rows, blocks, a series file and a log."""
    directory = tmp_path_factory.mktemp("flips") / "store"
    directory.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "UNCOVERED_BLOCKS", 2)
        folder = StoreFolder(directory, segment_bytes=4_096)
        for turn in range(4):
            # Most of a block must be values, whose damage shows in answers.
            rows = [
                (series(host), NOW_NS - turn % 2 * NS_PER_DAY + n * n, turn + 1, n * 37 % 101 / 4)
                for host in "abc"
                for n in range(300)
            ]
            folder.write(records(rows))
            folder.store.flush()
        for turn in range(40):
            folder.write(records([(series("d"), NOW_NS + turn, 1, float(turn)), (series("a"), NOW_NS + turn, 9, 9.0)]))
        values = sorted(values_of(folder.store, folder.table, ("usage",)))
        folder.close()

    def outcome(copy: Path) -> str:
        try:
            opened = StoreFolder(copy, segment_bytes=4_096, is_new=False)
        except Fault:
            return "fault"
        try:
            found = sorted(values_of(opened.store, opened.table, ("usage",)))
            if found != values:
                return f"{len(set(values) - set(found))} values lost, {len(set(found) - set(values))} invented"
            opened.store.scrub_due()
            return "scrubbed" if opened.store.damaged_blocks() else "right"
        except Fault:
            return "fault"
        finally:
            opened.close()

    return Whole(directory, outcome)


CALLER = Caller(ACCOUNT, "AKIATEST")
PAGED = "SELECT a, rpad('', 300, 'x') FROM UNNEST(sequence(1, 2000)) AS t(a)"
PAGE_ROWS = 500


def rest_of(instance: Instance, token: str | None) -> list[list[dict[str, Any]]]:
    """The rows behind a token."""
    found: list[list[dict[str, Any]]] = []
    while token is not None:
        page = instance.queries.run(CALLER, PAGED, None, token, PAGE_ROWS)
        found += rows_of(page.rows)
        token = page.next_token
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The data folder of a stopped server that has given out the second page of a result."""
    directory = tmp_path_factory.mktemp("flips") / "server"
    with closing(open_folder(directory, FixedClock(NOW_NS))) as instance:
        instance.catalog.create_database("db", None)
        first = instance.queries.run(CALLER, PAGED, max_rows=PAGE_ROWS)
        token = instance.queries.run(CALLER, PAGED, None, first.next_token, PAGE_ROWS).next_token
        rows = rest_of(instance, token)
        known = [(key, instance.secret_of(key)) for key in instance.catalog.keys.access_key_ids()]
    assert rows
    assert known

    def outcome(copy: Path) -> str:
        try:
            opened = open_folder(copy, FixedClock(NOW_NS))
        except Fault:
            return "fault"
        with closing(opened):
            if [(key, opened.secret_of(key)) for key in opened.catalog.keys.access_key_ids()] != known:
                return "access keys changed"
            try:
                return "right" if rest_of(opened, token) == rows else "other rows"
            except Fault:
                return "fault"

    return Whole(directory, outcome)


def damage(path: Path, chance: Random, ways: tuple[str, ...], within: range | None = None) -> str:
    """Change a file in one of these ways, at a place of `within`; what was done."""
    data = bytearray(path.read_bytes())
    place, way = chance.choice(within or range(len(data))), chance.choice(ways)
    if way == "bit":
        data[place] ^= 1 << chance.randrange(8)
    elif way == "cut":
        del data[place:]
    else:
        start = place - place % SECTOR_BYTES
        data[start : start + SECTOR_BYTES] = bytes(len(data[start : start + SECTOR_BYTES]))
    path.write_bytes(data)
    return f"{way} at {place} of {path.name}"


def outcomes(whole: Whole, scratch: Path, kind: Kind, seeds: range, ways: tuple[str, ...] = ALL_WAYS) -> Counter[str]:
    """How often each came of a kind of file. Fails at the first wrong answer, with its seed."""
    counted: Counter[str] = Counter()
    for seed in seeds:
        chance = Random(seed)
        copy = scratch / "copy"
        shutil.copytree(whole.directory, copy)
        paths = sorted(path for pattern in kind.patterns for path in copy.glob(pattern))
        done = damage(chance.choice(paths), chance, ways, kind.within)
        came = whole.outcome(copy)
        assert came in {"right", "fault", "scrubbed"}, f"seed {seed}, {done}: {came}"
        counted[came] += 1
        shutil.rmtree(copy)
    return counted


@pytest.mark.parametrize("kind", STORE_KINDS.values(), ids=STORE_KINDS)
def test_no_damage_of_a_store_gives_a_wrong_answer(store: Whole, tmp_path: Path, kind: Kind) -> None:
    counted = outcomes(store, tmp_path, kind, range(CASES))
    assert counted["right"] == 0 or not kind.is_covered


@pytest.mark.parametrize("kind", SERVER_KINDS.values(), ids=SERVER_KINDS)
def test_no_damage_of_a_server_gives_a_wrong_answer(server: Whole, tmp_path: Path, kind: Kind) -> None:
    counted = outcomes(server, tmp_path, kind, range(SERVER_CASES))
    assert counted["right"] == 0 or not kind.is_covered


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", STORE_KINDS.values(), ids=STORE_KINDS)
def test_no_damage_of_many_of_a_store_gives_a_wrong_answer(store: Whole, tmp_path: Path, kind: Kind) -> None:
    outcomes(store, tmp_path, kind, range(CASES, MANY_CASES))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", SERVER_KINDS.values(), ids=SERVER_KINDS)
def test_no_damage_of_many_of_a_server_gives_a_wrong_answer(server: Whole, tmp_path: Path, kind: Kind) -> None:
    outcomes(server, tmp_path, kind, range(SERVER_CASES, MANY_SERVER_CASES))


# The suites on a server broken on purpose: encryption without authentication, checksums that always fit.


class Unauthenticated:
    """AES-GCM that decrypts whatever it is given: its counter mode alone, without a look at the tag."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.encrypt = AESGCM(key).encrypt

    def decrypt(self, nonce: bytes, data: bytes, bound: bytes | None) -> bytes:
        # The counter block of the first block of text. Source: NIST SP 800-38D, 7.1.
        counter = nonce + (2).to_bytes(4, "big")
        decryptor = Cipher(AES(self._key), CTR(counter)).decryptor()
        return decryptor.update(bytes(data[: len(data) - sealing.TAG_BYTES]))

    def decrypt_into(self, nonce: bytes, data: bytes, bound: bytes | None, target: memoryview) -> None:
        target[:] = self.decrypt(nonce, data, bound)


class Fitting(int):
    """A checksum that is equal to every other."""

    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch, store: Whole, server: Whole) -> None:
    """Neither tags nor checksums of entries are looked at. The folders were made before."""
    for room in (sealing, cipher):
        monkeypatch.setattr(room, "AESGCM", Unauthenticated)
    monkeypatch.setattr(entry, "crc32", lambda *_: Fitting())


def wrong_answers(whole: Whole, scratch: Path, kind: Kind) -> str:
    """What the suite says at the first wrong answer; empty if it finds none. Broken on purpose may also crash."""
    for seed in range(CONTROL_CASES):
        try:
            outcomes(whole, scratch / str(seed), kind, range(seed, seed + 1), ("bit",))
        except AssertionError as error:
            return str(error)
        except (ArrowException, OSError, ValueError, msgspec.DecodeError):
            continue
    return ""


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("kind", ["log", "block"])
def test_a_store_that_checks_nothing_is_found_out(store: Whole, tmp_path: Path, kind: str) -> None:
    assert "lost" in wrong_answers(store, tmp_path, STORE_KINDS[kind])


@pytest.mark.usefixtures("unchecked")
def test_a_server_that_checks_nothing_is_found_out(server: Whole, tmp_path: Path) -> None:
    assert "other rows" in wrong_answers(server, tmp_path, SERVER_KINDS["result"])

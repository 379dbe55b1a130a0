"""A real disk that fills up under a server: writes are refused, reads go on, and when there is room again so do writes.

The server's folder is a small file system in memory, and a neighbour's file fills it. Root only, so `make crash` is
where this runs. Last, the test is tried on a server that says yes to what the disk has refused.
"""

from __future__ import annotations

import http.client
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.acknowledged import Identity, Journal, Written
from support.server import ServerProcess
from support.under_load import ONCE, body_of, found_by, judged, make_tables, send_once, writing
from support.volumes import memory_volume, why_not

MIB = 1 << 20
DEVICE_BYTES = 256 * MIB
LOW_MIB = 64
RECORDS = 50
WAIT_S = 10.0
SENT_BYTES, SENDING_S = 8 * MIB, 30.0
"""Of a journal, which is longer than the log."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    """On a device of its own, with its tables made. The parameter, if there is one, is sabotage."""
    if reason := why_not("tmpfs"):
        pytest.skip(reason)
    started = ServerProcess(
        tmp_path,
        getattr(request, "param", ""),
        flush_age_s=0.1,
        log_segment_mb=1,
        log_limit_mb=2,
        disk_low_mb=LOW_MIB,
        disk_low_percent=0,
    )
    with memory_volume(started.data, DEVICE_BYTES):
        try:
            started.start()
            make_tables(started)
            yield started
        finally:
            started.kill()


def fill(server: ServerProcess, left_bytes: int) -> Path:
    """Let a neighbour's file leave only so much of the device; the file."""
    path = server.data / "neighbour"
    with path.open("ab") as file:
        while (free := shutil.disk_usage(server.data).free) > left_bytes:
            file.write(bytes(min(MIB, free - left_bytes)))
            file.flush()
    return path


def write(server: ServerProcess, base_ns: int, number: int) -> tuple[int, bytes]:
    """One request of records that no other request has."""
    written = [Written(Identity(ONCE, "h", base_ns + number * RECORDS + n), 1, n) for n in range(RECORDS)]
    return send_once(server, "WriteRecords", body_of(written))


def await_status(server: ServerProcess, base_ns: int, number: int, wanted: int) -> bytes:
    """Write the same records until they are answered so."""
    end_s = time.monotonic() + WAIT_S
    while time.monotonic() < end_s:
        status, body = write(server, base_ns, number)
        if status == wanted:
            return body
        time.sleep(0.1)
    pytest.fail(f"still {status}: {body!r}")


def probe(server: ServerProcess) -> tuple[int, bytes]:
    """What a service manager is told."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=WAIT_S)
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_below_the_mark_writes_are_refused_reads_go_on_and_room_is_all_it_takes(server: ServerProcess) -> None:
    base_ns = time.time_ns()
    await_status(server, base_ns, 0, 200)
    neighbour = fill(server, (LOW_MIB - 4) * MIB)
    assert b"InternalServerException" in await_status(server, base_ns, 1, 500)
    assert probe(server) == (503, b'{"status":"not ready","reason":"the disk is low"}')
    acknowledged = len(found_by(server))
    assert acknowledged == RECORDS, "what was refused is not there"
    neighbour.unlink()
    await_status(server, base_ns, 2, 200)
    assert probe(server) == (200, b'{"status":"ready"}')
    assert len(found_by(server)) == acknowledged + RECORDS
    assert server.stop() == 0
    server.start()
    assert len(found_by(server)) == acknowledged + RECORDS


def is_up(server: ServerProcess) -> bool:
    return server.process is not None and server.process.poll() is None


def await_bytes(path: Path, count: int) -> None:
    end_s = time.monotonic() + SENDING_S
    while path.stat().st_size < count:
        assert time.monotonic() < end_s
        time.sleep(0.02)


def fill_under_load(server: ServerProcess, folder: Path) -> None:
    """Fill the disk to the last byte, all at once; end the server by force, make room, and judge what is there."""
    journal = Journal(folder / "journal")
    with writing(server, journal, random.Random(1)) as writers:
        for writer in writers:
            writer.resume()
        await_bytes(folder / "journal", MIB)
        neighbour = fill(server, 0)
        # The log has room for most of a segment, so as much is sent as would fill one.
        end_s, sent_bytes = time.monotonic() + SENDING_S, (folder / "journal").stat().st_size
        while is_up(server) and time.monotonic() < end_s:
            if (folder / "journal").stat().st_size > sent_bytes + SENT_BYTES:
                break
            time.sleep(0.1)
            # The server gives up its reserve, and whatever it removes is room again.
            fill(server, 0)
        for writer in writers:
            writer.pause()
    # What it has only in memory must not pass for stored.
    server.kill()
    neighbour.unlink()
    server.start()
    assert judged(server, journal, {})
    journal.close()


def test_a_disk_filled_to_the_last_byte_loses_nothing(server: ServerProcess, tmp_path: Path) -> None:
    """The server may end itself, and then starts when there is room."""
    fill_under_load(server, tmp_path)
    await_status(server, time.time_ns(), 0, 200)


SAYS_YES_TO_WHAT_THE_DISK_REFUSED = """
from headwater.errors import Fault
from headwater.storage.space import Space
from headwater.wal.log import Log
append = Log.append
def accepting(self, payload):
    try:
        return append(self, payload)
    except (Fault, OSError):
        return self.last_sequence + 1
Log.append, Space.check = accepting, lambda self: None
"""


@pytest.mark.parametrize("server", [SAYS_YES_TO_WHAT_THE_DISK_REFUSED], indirect=True, ids=["says yes"])
def test_a_server_that_acknowledges_what_was_not_written_is_found_out(server: ServerProcess, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="promises broken"):
        fill_under_load(server, tmp_path)

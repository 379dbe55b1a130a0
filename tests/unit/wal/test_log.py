"""The log: what is appended is replayed, across stops, crashes, checkpoints and disk faults; damage is refused."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from headwater.config import WalSettings
from headwater.errors import Corrupt, LogFailed, NewerFormat
from headwater.files import Files, LocalFiles
from headwater.wal import entry, segment
from headwater.wal.cipher import ADDED_BYTES
from headwater.wal.entry import ENTRY_HEADER_BYTES, EntryCodec
from headwater.wal.log import Log, Recovery
from headwater.wal.mark import MARK_FILE
from headwater.wal.segment import HEADER_BYTES, SegmentHeader, inspect_segment, segment_name, segment_number
from support.faulty_files import FaultyFiles
from support.keys import LOG_KEYS

DIRECTORY = Path("/data/wal")
ENTRY_BYTES = ENTRY_HEADER_BYTES + ADDED_BYTES
"""Of an entry without a payload."""

SMALL = WalSettings(segment_bytes=580)


def open_log(files: Files, directory: Path = DIRECTORY, settings: WalSettings = SMALL) -> Log:
    return Log.open(files, directory, settings, LOG_KEYS, Random(7).randbytes)


def log_of(files: Files, payloads: Iterable[bytes]) -> Log:
    log = open_log(files)
    for payload in payloads:
        log.append(payload)
    return log


def numbered(count: int, size: int = 20) -> list[bytes]:
    return [b"%0*d" % (size, i) for i in range(1, count + 1)]


def segments(files: FaultyFiles) -> list[str]:
    return [path.name for path in sorted(files.contents()) if segment_number(path.name)]


def last_segment(files: FaultyFiles) -> Path:
    return max(path for path in files.contents() if segment_number(path.name))


def payload_place(data: bytes, name: str, sequence: int) -> tuple[int, int]:
    """Where the payload of an entry of a segment begins and ends."""
    header = SegmentHeader.decode(data, name)
    codec, offset = EntryCodec(header.salt), HEADER_BYTES
    while (found := codec.header(data, offset)) and found.sequence < sequence:
        offset += found.entry_bytes
    assert found is not None
    return offset + ENTRY_HEADER_BYTES, offset + found.entry_bytes


def damaged(files: FaultyFiles, path: Path, sequence: int) -> bytes:
    """The segment with another payload in the entry."""
    data = files.contents()[path]
    start, end = payload_place(data, path.name, sequence)
    return data[:start] + b"?" * (end - start) + data[end:]


@given(st.lists(st.lists(st.binary(max_size=600), max_size=8), max_size=4), st.data())
@settings(max_examples=60)
def test_what_is_appended_is_replayed_in_order_however_the_log_was_stopped(
    lives: list[list[bytes]], data: st.DataObject
) -> None:
    files, appended = FaultyFiles(), list[bytes]()
    for payloads in lives:
        log = open_log(files)
        assert list(log.replay(0)) == list(enumerate(appended, 1))
        for payload in payloads:
            appended.append(payload)
            assert log.append(payload) == len(appended) == log.last_sequence
        assert log.size_bytes == sum(ENTRY_BYTES + len(payload) for payload in appended)
        after = data.draw(st.integers(0, len(appended)))
        assert list(log.replay(after)) == list(enumerate(appended[after:], after + 1))
        stop = data.draw(st.sampled_from(["close", "kill", "power loss"]))
        if stop == "close":
            log.close()
        files = files.power_loss() if stop != "kill" else files.restart()
    assert list(open_log(files).replay(0)) == list(enumerate(appended, 1))


def test_on_the_machine_s_own_disk_entries_survive_the_end_of_the_log(tmp_path: Path) -> None:
    for stop in range(4):
        log = open_log(LocalFiles(), tmp_path / "wal")
        assert [payload for _, payload in log.replay(0)] == [b"%d" % i for i in range(3 * stop)]
        for i in range(3):
            log.append(b"%d" % (3 * stop + i))
        if stop % 2:
            log.close()


def test_a_new_log_is_empty() -> None:
    log = open_log(FaultyFiles())
    assert (log.last_sequence, log.first_sequence, log.size_bytes, list(log.replay(0))) == (0, 1, 0, [])
    assert log.recovery == Recovery(was_clean=True, rewritten_entries=0, torn_bytes=0)


def test_an_append_is_one_write_and_one_sync() -> None:
    files = FaultyFiles()
    log = open_log(files)
    files.calls.clear()
    log.append(b"payload")
    assert files.calls == [("pwrite", "wal.append.write"), ("datasync", "wal.append.sync")]


def test_an_entry_names_the_sequence_that_was_synced_before_it() -> None:
    files = FaultyFiles()
    log_of(files, [b"one", b"two", b"three"])
    data = files.contents()[last_segment(files)]
    codec = EntryCodec(SegmentHeader.decode(data, last_segment(files).name).salt)
    header = codec.header(data, payload_place(data, last_segment(files).name, 3)[0] - ENTRY_HEADER_BYTES)
    assert header is not None
    assert (header.sequence, header.synced) == (3, 2)


def test_a_full_segment_is_sealed_and_the_next_goes_on() -> None:
    files = FaultyFiles()
    log = log_of(files, numbered(14))
    assert segments(files) == [segment_name(1), segment_name(2), segment_name(3)]
    assert all(len(data) <= SMALL.segment_bytes for data in files.contents().values())
    read = [inspect_segment(files, path) for path in sorted(files.contents())]
    assert [found.is_sealed for found in read] == [True, True, False]
    assert [found.header.first_sequence for found in read] == [1, 7, 13]
    assert [payload for _, payload in log.replay(0)] == numbered(14)


def test_a_payload_larger_than_a_segment_gets_a_segment_of_its_own() -> None:
    files = FaultyFiles()
    payloads = [b"small", b"x" * 3 * SMALL.segment_bytes, b"small again"]
    log_of(files, payloads)
    assert [payload for _, payload in open_log(files.power_loss()).replay(0)] == payloads


def test_a_clean_stop_seals_and_nothing_is_rewritten() -> None:
    files = FaultyFiles()
    log_of(files, numbered(3)).close()
    before = files.contents()
    log = open_log(files)
    assert log.recovery == Recovery(was_clean=True, rewritten_entries=0, torn_bytes=0)
    assert before.items() <= files.contents().items()
    assert log.append(b"next") == 4


def test_clean_stops_without_entries_pile_up_no_files() -> None:
    files = FaultyFiles()
    for _ in range(5):
        open_log(files).close()
    open_log(files)
    assert segments(files) == [segment_name(5), segment_name(6)]


def test_a_closed_log_takes_no_entry() -> None:
    log = open_log(FaultyFiles())
    log.close()
    with pytest.raises(LogFailed, match="closed"):
        log.append(b"late")


def test_after_an_unclean_stop_the_tail_stands_in_a_new_segment() -> None:
    files = FaultyFiles()
    log_of(files, numbered(8))
    assert segments(files) == [segment_name(1), segment_name(2)]
    log = open_log(files)
    assert log.recovery == Recovery(was_clean=False, rewritten_entries=2, torn_bytes=0)
    assert segments(files) == [segment_name(1), segment_name(3)]
    assert [payload for _, payload in open_log(files.power_loss()).replay(0)] == numbered(8)


def test_what_only_the_page_cache_held_is_durable_once_it_was_replayed() -> None:
    """A sync fails, the process is started again and reads the entry; power is lost; the entry must not vanish."""
    files = FaultyFiles()
    log = log_of(files, [b"acknowledged"])
    files.fail("datasync", "wal.append.sync")
    with pytest.raises(LogFailed):
        log.append(b"not acknowledged")
    assert [payload for _, payload in open_log(files.power_loss()).replay(0)] == [b"acknowledged"]
    restarted = files.restart()
    seen = list(open_log(restarted).replay(0))
    assert [payload for _, payload in seen] == [b"acknowledged", b"not acknowledged"]
    assert list(open_log(restarted.power_loss()).replay(0)) == seen


def test_a_lost_footer_between_complete_segments_is_no_damage() -> None:
    """The sync of a seal fails, the next start reads the footer from the page cache and goes on; power is lost."""
    files = FaultyFiles()
    log = log_of(files, numbered(3))
    files.fail("datasync", "wal.seal.sync")
    with pytest.raises(LogFailed):
        log.close()
    files = files.restart()
    log = open_log(files)
    assert log.recovery.was_clean
    log.append(b"next")
    files = files.power_loss()
    assert not inspect_segment(files, DIRECTORY / segment_name(1)).is_sealed
    assert [payload for _, payload in open_log(files).replay(0)] == [*numbered(3), b"next"]


@pytest.mark.parametrize("operation", ["pwrite", "datasync"])
def test_a_failed_write_or_sync_fails_the_log_for_good(operation: str) -> None:
    files = FaultyFiles()
    log = log_of(files, [b"one"])
    files.fail(operation, "wal.append.write" if operation == "pwrite" else "wal.append.sync")
    faults = []
    for _ in range(3):
        with pytest.raises(LogFailed, match="Input/output error") as caught:
            log.append(b"two")
        faults.append(caught.value)
    assert faults[0] is faults[1] is faults[2]
    calls = len(files.calls)
    log.close()
    assert files.calls[calls:] == [("close", "wal.segment.close")]
    assert log.last_sequence == 1


def test_a_short_write_fails_the_log_for_good() -> None:
    files = FaultyFiles()
    log = log_of(files, [b"one"])
    files.shorten("wal.append.write", 20)
    with capture_logs() as lines, pytest.raises(LogFailed, match="Only 20 of 53 bytes"):
        log.append(b"two")
    assert [line["event"] for line in lines] == ["log failed"]
    with pytest.raises(LogFailed, match="Only 20 of 53 bytes"):
        log.append(b"three")
    assert [payload for _, payload in open_log(files.restart()).replay(0)] == [b"one"]


@pytest.mark.parametrize(
    ("operation", "site"),
    [
        ("pwrite", "wal.seal.write"),
        ("datasync", "wal.seal.sync"),
        ("create", "wal.segment.create"),
        ("pwrite", "wal.segment.write"),
        ("sync", "wal.segment.publish"),
        ("rename", "wal.segment.publish"),
        ("sync_directory", "wal.segment.publish"),
    ],
)
def test_a_fault_while_a_segment_is_changed_for_the_next_fails_the_log_and_loses_nothing(
    operation: str, site: str
) -> None:
    files = FaultyFiles()
    log = log_of(files, numbered(6))
    files.fail(operation, site)
    with pytest.raises(LogFailed):
        log.append(b"does not fit")
    with pytest.raises(LogFailed):
        log.append(b"")
    log.close()
    for after in (files.restart(), files.power_loss(), files.power_loss(1.0)):
        assert [payload for _, payload in open_log(after).replay(0)] == numbered(6)


@pytest.mark.parametrize(("operation", "site"), [("remove", "wal.remove"), ("sync_directory", "wal.remove.sync")])
def test_a_fault_at_a_checkpoint_fails_the_log_and_loses_nothing(operation: str, site: str) -> None:
    files = FaultyFiles()
    log = log_of(files, numbered(14))
    files.fail(operation, site)
    with pytest.raises(LogFailed):
        log.checkpoint(7)
    with pytest.raises(LogFailed):
        log.append(b"")
    for after in (files.restart(), files.power_loss(), files.power_loss(1.0)):
        assert [payload for _, payload in open_log(after).replay(7)] == numbered(14)[7:]


def test_a_fault_at_the_start_is_a_failed_log() -> None:
    files = FaultyFiles()
    files.fail("create", "wal.segment.create")
    with pytest.raises(LogFailed, match="cannot be opened"):
        open_log(files)


def test_a_segment_that_cannot_be_read_again_is_a_failed_log() -> None:
    files = FaultyFiles()
    log = log_of(files, numbered(2))
    files.fail("read", "wal.replay.read")
    with pytest.raises(LogFailed, match="cannot be read"):
        list(log.replay(0))


def test_a_checkpoint_deletes_whole_segments_and_never_the_active_one() -> None:
    files = FaultyFiles()
    log = log_of(files, numbered(14))
    entry_bytes = ENTRY_BYTES + 20
    kept = {}
    for sequence in range(15):
        log.checkpoint(sequence)
        assert log.size_bytes == (14 - sequence) * entry_bytes
        assert list(log.replay(sequence)) == list(enumerate(numbered(14), 1))[sequence:]
        kept[sequence] = len(segments(files))
    assert kept == {**dict.fromkeys(range(6), 3), **dict.fromkeys(range(6, 12), 2), **dict.fromkeys(range(12, 15), 1)}
    assert log.append(b"next") == 15
    assert log.size_bytes == ENTRY_BYTES + 4


def test_a_checkpoint_never_goes_back() -> None:
    log = log_of(FaultyFiles(), numbered(4))
    log.checkpoint(3)
    log.checkpoint(1)
    assert log.size_bytes == ENTRY_BYTES + 20


def test_the_oldest_segment_goes_first_and_durably_before_the_next() -> None:
    files = FaultyFiles()
    log = log_of(files, numbered(14))
    files.calls.clear()
    log.checkpoint(14)
    removals = [call for call in files.calls if call[1] != "wal.mark.write"]
    assert removals == [("remove", "wal.remove"), ("sync_directory", "wal.remove.sync")] * 2
    assert files.calls.index(("sync_directory", "wal.mark.write")) < files.calls.index(("remove", "wal.remove"))


@pytest.mark.parametrize("stop", ["close", "power loss"])
def test_sequences_go_on_when_all_segments_were_deleted(stop: str) -> None:
    files = FaultyFiles()
    log = log_of(files, numbered(14))
    for life in range(3):
        log.checkpoint(log.last_sequence)
        if stop == "close":
            log.close()
        files = files.power_loss()
        log = open_log(files)
        assert log.last_sequence == 14 + life
        log.checkpoint(log.last_sequence)
        assert len(segments(files)) == 1
        assert log.append(b"next") == 15 + life
        assert log.first_sequence == 15 + life or stop == "power loss"


def test_a_log_that_ends_before_the_checkpoint_is_refused() -> None:
    with pytest.raises(Corrupt, match="ends at entry 3, before the checkpoint 4"):
        list(log_of(FaultyFiles(), numbered(3)).replay(4))


def test_entries_appended_during_a_replay_are_not_in_it() -> None:
    log = log_of(FaultyFiles(), numbered(3))
    replayed = log.replay(0)
    assert next(replayed) == (1, numbered(1)[0])
    log.append(b"later")
    assert [sequence for sequence, _ in replayed] == [2, 3]


def test_every_cut_of_the_last_entry_is_a_torn_tail() -> None:
    files = FaultyFiles()
    log = log_of(files, [b"one", b"two"])
    before = files.contents()[last_segment(files)]
    log.append(b"the last of them")
    whole = files.contents()[last_segment(files)]
    start, end = len(before.rstrip(b"\0")), len(whole.rstrip(b"\0"))
    for cut in range(start, end):
        for data in (whole[:cut] + before[cut:], whole[:cut], before[:cut] + whole[cut:]):
            torn = FaultyFiles()
            torn.put(last_segment(files), data)
            log = open_log(torn)
            expected = [b"one", b"two"] if data != whole else [b"one", b"two", b"the last of them"]
            assert [payload for _, payload in log.replay(0)] == expected
            assert log.recovery.torn_bytes == (len(data.rstrip(b"\0")) - start if data != whole else 0)
            assert log.append(b"next") == len(expected) + 1
            assert [payload for _, payload in open_log(torn.power_loss()).replay(0)] == [*expected, b"next"]


def test_a_torn_tail_is_logged_with_its_place() -> None:
    files = FaultyFiles()
    log_of(files, [b"one", b"two"])
    path = last_segment(files)
    data = files.contents()[path]
    start, end = payload_place(data, path.name, 2)
    files.put(path, data[: start + 1] + bytes(end - start - 1) + data[end:])
    with capture_logs() as lines:
        open_log(files)
    assert lines == [
        {
            "event": "torn tail dropped",
            "log_level": "warning",
            "segment": path.name,
            "offset": HEADER_BYTES + ENTRY_BYTES + 3,
            "after": 1,
            "bytes": 35,
        }
    ]


def outcome(contents: dict[Path, bytes]) -> list[bytes] | None:
    """What a log with these files replays, or None when it refuses them; then it must have left them alone."""
    files = FaultyFiles()
    for path, data in contents.items():
        files.put(path, data)
    try:
        log = open_log(files)
    except (Corrupt, NewerFormat):
        assert files.contents() == contents
        return None
    return [payload for _, payload in log.replay(0)]


@pytest.mark.parametrize("stop", ["close", "kill"])
def test_every_flipped_bit_is_refused_or_a_torn_last_entry_and_never_another_payload(stop: str) -> None:
    files, payloads = FaultyFiles(), numbered(8)
    log = log_of(files, payloads)
    if stop == "close":
        log.close()
    contents = files.contents()
    assert len(contents) == 2
    outcomes = {"refused": 0, "whole": 0, "torn": 0}
    for path, data in contents.items():
        used = len(data.rstrip(b"\0"))
        for bit in range(8 * min(len(data), used + 4)):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            found = outcome({**contents, path: bytes(flipped)})
            if found is None:
                outcomes["refused"] += 1
            elif found == payloads:
                outcomes["whole"] += 1
            else:
                assert found == payloads[:-1]
                assert (path, stop) == (last_segment(files), "kill")
                outcomes["torn"] += 1
    last_entry_bits = 8 * (ENTRY_BYTES + 20)
    assert outcomes["torn"] == (last_entry_bits if stop == "kill" else 0)
    assert outcomes["refused"] > 8 * sum(ENTRY_BYTES + len(payload) for payload in payloads[:-1])
    assert outcomes["whole"] <= 8 * (2 * segment.FOOTER_BYTES + 4)


@given(st.data())
@settings(max_examples=300)
def test_overwritten_moved_and_cut_bytes_never_make_another_payload(data: st.DataObject) -> None:
    files, payloads = FaultyFiles(), numbered(8)
    log = log_of(files, payloads)
    if data.draw(st.booleans()):
        log.close()
    contents = files.contents()
    path = data.draw(st.sampled_from(sorted(contents)))
    whole = contents[path]
    at = data.draw(st.integers(0, len(whole)))
    source = contents[data.draw(st.sampled_from(sorted(contents)))]
    start = data.draw(st.integers(0, len(source)))
    put = data.draw(st.one_of(st.binary(max_size=60), st.just(source[start : start + data.draw(st.integers(0, 120))])))
    kind = data.draw(st.sampled_from(["overwrite", "insert", "cut"]))
    rest = {"overwrite": whole[at + len(put) :], "insert": whole[at:], "cut": b""}[kind]
    found = outcome({**contents, path: whole[:at] + put + rest})
    assert found is None or found == payloads[: len(found)]
    assert found is None or len(found) >= 7 or path == last_segment(files)


def test_damage_is_named_by_segment_offset_and_sequence_and_left_as_it_is() -> None:
    files = FaultyFiles()
    log_of(files, [b"one", b"two", b"three"])
    path = last_segment(files)
    files.put(path, damaged(files, path, 2))
    files.put(DIRECTORY / "000000000002.log.new", b"half a segment")
    before = files.contents()
    with pytest.raises(Corrupt, match=r"Segment 000000000001.log of the log is damaged at offset 175: entry 2 is not"):
        open_log(files)
    assert files.contents() == before


def test_a_missing_segment_between_others_is_damage() -> None:
    files = FaultyFiles()
    log_of(files, numbered(14))
    contents = files.contents()
    del contents[DIRECTORY / segment_name(2)]
    assert outcome(contents) is None


def test_a_bad_last_entry_of_a_sealed_segment_is_damage() -> None:
    files = FaultyFiles()
    log_of(files, numbered(3)).close()
    path = last_segment(files)
    assert outcome({path: damaged(files, path, 3)}) is None


def test_a_bad_entry_of_a_rewritten_tail_is_damage_though_it_is_the_last() -> None:
    """It was synced before its segment became live, and the segment's header says so."""
    files = FaultyFiles()
    log_of(files, numbered(3))
    files = files.power_loss()
    open_log(files)
    path = last_segment(files)
    assert outcome({path: damaged(files, path, 3)}) is None


def test_a_log_that_has_lost_its_oldest_segment_is_refused() -> None:
    files = FaultyFiles()
    log = log_of(files, numbered(14))
    first, second = segments(files)[:2]
    log.checkpoint(6)
    assert segments(files)[0] == second != first
    contents = files.contents()
    del contents[DIRECTORY / second]
    after = FaultyFiles()
    for path, data in contents.items():
        after.put(path, data)
    with pytest.raises(Corrupt, match="begins with entry 13; those from 7 on are needed and missing"):
        open_log(after)
    assert after.contents() == contents


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: b"X" + data[1:], lambda data: data[:-1] + b"?"]
)
def test_a_damaged_mark_is_refused(damage: Callable[[bytes], bytes]) -> None:
    files = FaultyFiles()
    log_of(files, numbered(14)).checkpoint(6)
    path = DIRECTORY / MARK_FILE
    files.put(path, damage(files.contents()[path]))
    with pytest.raises(Corrupt, match="mark of the log"):
        open_log(files)


def test_a_log_that_has_lost_all_its_segments_is_refused() -> None:
    files = FaultyFiles()
    log_of(files, numbered(14)).checkpoint(6)
    after = FaultyFiles()
    after.put(DIRECTORY / MARK_FILE, files.contents()[DIRECTORY / MARK_FILE])
    with pytest.raises(Corrupt, match="ends with entry 0; it had entry 6 once"):
        open_log(after)


def test_a_mark_that_cannot_be_written_keeps_the_segments_and_the_log() -> None:
    files = FaultyFiles()
    log = log_of(files, numbered(14))
    before = segments(files)
    files.fail("pwrite", "wal.mark.write", errno.ENOSPC)
    log.checkpoint(7)
    assert segments(files) == before
    log.append(b"next")
    log.checkpoint(8)
    assert segments(files) == before[1:]


def test_files_of_other_names_are_left_alone() -> None:
    files = FaultyFiles()
    log_of(files, [b"one"]).close()
    files.put(DIRECTORY / "000000000001.log.damaged", b"set aside")
    files.put(DIRECTORY / "000000000002.log.new", b"left by a crash")
    open_log(files)
    assert (DIRECTORY / "000000000001.log.damaged") in files.contents()
    assert (DIRECTORY / "000000000002.log.new") not in files.contents()


@pytest.mark.parametrize("module", [segment, entry])
def test_a_newer_format_is_refused_by_name_and_nothing_is_touched(
    module: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = FaultyFiles()
    with monkeypatch.context() as patch:
        patch.setattr(module, "FORMAT_VERSION", 3)
        log_of(files, [b"one"])
    before = files.contents()
    with pytest.raises(NewerFormat, match="of the log has format version 3; 2 is known"):
        open_log(files)
    assert files.contents() == before


def test_two_logs_do_not_share_a_salt(tmp_path: Path) -> None:
    salts = set()
    for name in ("a", "b"):
        Log.open(LocalFiles(), tmp_path / name, SMALL, LOG_KEYS)
        salts.add(inspect_segment(LocalFiles(), tmp_path / name / segment_name(1)).header.salt)
    assert len(salts) == 2

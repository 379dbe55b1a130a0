"""Small file systems of a test's own, mounted for it: on a loop device, whose power can be cut, or in memory.

Root only. `why_not` says what a machine lacks, for a skip that can be seen.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SHUTDOWN = 0x8004587D
"""XFS_IOC_GOINGDOWN and EXT4_IOC_SHUTDOWN, which are the same: _IOR('X', 125, u32)."""

_WITHOUT_FLUSHING = 2
"""Not even the journal is written: what has not reached the device never will."""

_MAKE = {"ext4": ("mkfs.ext4", "-q", "-F"), "xfs": ("mkfs.xfs", "-q", "-f")}
_IMAGE_BYTES = 512 << 20


class LoopVolume:
    """A file system of `kind` in an image file, mounted at `mount` but after `cut_power`."""

    def __init__(self, image: Path, mount: Path, kind: str) -> None:
        self._mount = mount
        with image.open("wb") as file:
            file.truncate(_IMAGE_BYTES)
        _run(*_MAKE[kind], str(image))
        self._device = _run("losetup", "--find", "--show", str(image)).strip()
        self._is_mounted = False
        mount.mkdir()

    def mount(self) -> None:
        """Mount it, which replays the file system's own journal."""
        _run("mount", self._device, str(self._mount))
        self._is_mounted = True

    def cut_power(self) -> None:
        """From this instant on nothing reaches the device; every later write and sync fails."""
        descriptor = os.open(self._mount, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _WITHOUT_FLUSHING))
        finally:
            os.close(descriptor)

    def unmount(self) -> None:
        """Let go of it; whoever has it open must have ended."""
        if self._is_mounted:
            _run("umount", str(self._mount))
            self._is_mounted = False

    def give_back(self) -> None:
        self.unmount()
        _run("losetup", "--detach", self._device)


@contextmanager
def loop_volume(folder: Path, mount: Path, kind: str) -> Iterator[LoopVolume]:
    """A mounted volume, taken away at the end."""
    volume = LoopVolume(folder / f"{kind}.image", mount, kind)
    try:
        volume.mount()
        yield volume
    finally:
        volume.give_back()


@contextmanager
def memory_volume(mount: Path, size_bytes: int) -> Iterator[None]:
    """A mounted file system in memory, of so many bytes."""
    mount.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(mount))
    try:
        yield
    finally:
        _run("umount", str(mount))


def why_not(kind: str) -> str:
    """What keeps this machine from mounting a volume of this kind ("tmpfs" too); empty if nothing does."""
    if os.geteuid() != 0:
        return "mounting needs root"
    tools = ("mount", "umount") if kind == "tmpfs" else ("mount", "umount", "losetup", _MAKE[kind][0])
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} is missing"
    if kind != "tmpfs" and not Path("/dev/loop-control").exists():
        return "there are no loop devices"
    return _refused(kind)


def _refused(kind: str) -> str:
    known = {line.split()[-1] for line in Path("/proc/filesystems").read_text().splitlines()}
    return "" if kind in known else f"the kernel does not know {kind}"


def _run(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout

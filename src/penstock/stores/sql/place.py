"""Where a database may lie: not on a network file system, whose locks and shared memory WAL cannot trust (design
promise 8)."""

from __future__ import annotations

import os
from pathlib import Path

from penstock.base.errors import StoreUnavailable

NETWORK_TYPES = frozenset(
    [
        "9p",
        "acfs",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "gfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "prl_fs",
        "pvfs2",
        "smb2",
        "smb3",
        "smbfs",
        "vboxsf",
    ]
)
LOCAL_FUSE_TYPES = frozenset({"fuse.fuse-overlayfs", "fuse.gocryptfs", "fuse.encfs", "fuse.ntfs-3g", "fuseblk"})
"""File systems in user space over this machine's own disks. Any other may be sshfs, s3fs or the like."""

MOUNTS = Path("/proc/self/mountinfo")


def is_network_type(file_system: str) -> bool:
    if file_system in NETWORK_TYPES:
        return True
    return (file_system == "fuse" or file_system.startswith("fuse.")) and file_system not in LOCAL_FUSE_TYPES


def file_system_of(folder: str, mounts: bytes) -> str:
    """The type of the file system that holds an absolute, resolved path, by the text of a mountinfo file (proc(5)):
    fields up to `-`, the fifth being the mount point with blanks as octal escapes, then the type. "" when no line
    fits."""
    found, longest = "", -1
    path = os.fsencode(folder)
    for line in mounts.splitlines():
        before, separator, after = line.partition(b" - ")
        fields = before.split(b" ")
        if not separator or len(fields) < 5:
            continue
        point = fields[4]
        if b"\\" in point:
            point = point.decode("unicode_escape").encode("latin-1")
        inside = path == point or path.startswith(point if point.endswith(b"/") else point + b"/")
        if inside and len(point) >= longest:  # a later mount covers an earlier one
            found, longest = os.fsdecode(after.split(b" ", 1)[0]), len(point)
    return found


def refuse_network(database: Path, *, mounts: Path = MOUNTS) -> None:
    """Raises StoreUnavailable when the database would lie on a network file system. Where the system does not list its
    mounts (macOS), nothing is known and nothing refused."""
    folder = os.path.realpath(database.parent)
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    try:
        listed = mounts.read_bytes()
    except OSError:
        return
    file_system = file_system_of(folder, listed)
    if is_network_type(file_system):
        raise StoreUnavailable(
            f"the state store {database} would lie on a network file system ({file_system}), where its journal is not safe",
            fix="Set `state` below [tool.penstock] in pyproject.toml, or PENSTOCK_STATE, to a folder on a local disk.",
        )

"""Whose a file is. What another local user made, or may have put in its place, is not read as code, settings or state."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path

_ROOT = 0
_ACCESS_LIST = "system.posix_acl_access"


def why_foreign(path: str | Path, *, may_add: bool = False) -> str:
    """Why the file or folder at `path` may be the work of another user; "" where only this user and root can have made
    and changed it, or where there is nothing. A symbolic link has to be the user's or root's, as well as what it points
    to. `may_add`: a folder in which others can make files, but not replace those of the user (as in /tmp), is
    accepted."""
    try:
        link = os.lstat(path)
        info = os.stat(path)
    except OSError:
        return ""
    for each in (link, info):
        if each.st_uid not in (_ROOT, os.geteuid()):
            return f"it belongs to {_user_name(each.st_uid)}"
    if may_add and info.st_mode & stat.S_ISVTX:
        return ""
    if info.st_mode & stat.S_IWOTH:
        return "every user may write to it"
    if info.st_mode & stat.S_IWGRP and not _is_private_group(info, path):
        return f"the group {_group_name(info.st_gid)} may write to it"
    return ""


def is_below(path: Path, folders: Iterable[Path]) -> bool:
    """Whether a path is one of the folders, or in one of them."""
    resolved = path.resolve()
    return any(folder == resolved or folder in resolved.parents for folder in (each.resolve() for each in folders))


def _is_private_group(info: os.stat_result, path: str | Path) -> bool:
    """Whether the owner is the only member of a file's group, as where every user has a group of the same name. A list
    of access rights can let others in through the bits of the group."""
    try:
        owner = pwd.getpwuid(info.st_uid)
        group = grp.getgrgid(info.st_gid)
    except KeyError:
        return False
    if group.gr_name != owner.pw_name or set(group.gr_mem) - {owner.pw_name}:
        return False
    try:
        return not hasattr(os, "getxattr") or not os.getxattr(path, _ACCESS_LIST)
    except OSError:  # it has none
        return True


def _user_name(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)

"""Two folders change places in one step, so that there is never a moment without one: Linux's ``renameat2``."""

import ctypes
import errno
import os
import secrets
from pathlib import Path

__all__ = ["swap"]

_HERE = -100  # AT_FDCWD
_EXCHANGE = 2  # RENAME_EXCHANGE
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


def swap(one: Path, two: Path) -> None:
    """Let two folders on one file system change names. Raises ``OSError``.

    Where the file system cannot do it in one step it takes three, and there is a moment without ``two``.
    """
    try:
        failed = _exchange(one, two)
    except AttributeError:  # a C library without it
        failed = errno.ENOSYS
    if failed in _CANNOT:
        aside = one.with_name(f".{os.getpid()}-{secrets.token_hex(8)}")
        two.rename(aside)
        one.rename(two)
        aside.rename(one)
    elif failed:
        raise OSError(failed, os.strerror(failed), str(one), None, str(two))


def _exchange(one: Path, two: Path) -> int:
    """0, or the number of the error."""
    rename = ctypes.CDLL(None, use_errno=True).renameat2
    return 0 if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(two), _EXCHANGE) == 0 else ctypes.get_errno()

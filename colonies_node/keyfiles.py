"""Key files on disk: read with care for who else can read them, written once and never over another file."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from colonies_node.config import is_bare_key
from colonies_node.core.errors import KeyRefused

PASSPHRASE_FILE = "COLONIES_KEY_PASSPHRASE_FILE"
PASSPHRASE = "COLONIES_KEY_PASSPHRASE"


def open_key(value: str) -> str:
    """The private key that a setting or argument names: the key itself, or a key file, plain or encrypted."""
    from colonies_node.core import keyfile

    if is_bare(value):
        return value.lower()
    path = Path(value).expanduser()
    text = read_key_file(path)
    if keyfile.is_sealed(text):
        passphrase = passphrase_for(path)
        try:
            return keyfile.unseal(text, passphrase)
        except KeyRefused as refusal:
            raise KeyRefused(f"{path}: {refusal}") from None
    return text


def key_id(value: str) -> str:
    """The id of such a key; asks for no passphrase, because an encrypted file tells its id in clear."""
    from colonies_node.core import keyfile
    from colonies_node.core.identity import id_of

    if not is_bare(value):
        path = Path(value).expanduser()
        text = read_key_file(path)
        if keyfile.is_sealed(text):
            try:
                return keyfile.id_in(text)
            except KeyRefused as refusal:
                raise KeyRefused(f"{path}: {refusal}") from None
        value = text
    return id_of(value)


def is_bare(value: str) -> bool:
    """Whether the value is a key itself. What may be a mistyped key is refused without being shown."""
    if is_bare_key(value):
        return True
    if len(value) > 32 and "/" not in value and not os.path.exists(value):
        raise KeyRefused("A key must be 64 hexadecimal characters or the path of a key file; this is neither.")
    return False


def read_key_file(path: Path) -> str:
    """The encrypted text in a key file, or the plain key in it.

    Raises KeyRefused if there is neither, if it cannot be read, or if others may read a plain key. An encrypted one
    may be read by others: the passphrase keeps it.
    """
    from colonies_node.core import keyfile

    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(keyfile.MAX_BYTES + 1) if stat.S_ISREG(mode) else b""
    except OSError as fault:
        raise KeyRefused(f"The key file {path} cannot be read: {fault.strerror}.") from None
    text = raw.decode("ascii", errors="replace")
    if keyfile.is_sealed(text):
        return text
    if not is_bare_key(text.strip()):
        raise KeyRefused(f"{path} is not a key file: it holds no 64 hexadecimal characters and no encrypted key.")
    if mode & 0o077 and not (mode & 0o037 == 0 and is_credential(path)):
        raise KeyRefused(f"Others may read the key file {path}: run `chmod 600 {path}`.")
    return text.strip().lower()


def is_credential(path: Path) -> bool:
    """Whether systemd made the file for this service alone. It names the reader in an access list, which shows among
    the permissions as if a group could read it; the folder is closed to everybody else."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return os.path.isabs(folder) and path.absolute().parent == Path(folder)


def passphrase_for(path: Path) -> str:
    """The passphrase of a key file, from where the environment says, else from the terminal."""
    if named := os.environ.get(PASSPHRASE_FILE):
        return _passphrase_file(Path(named).expanduser())
    if (given := os.environ.get(PASSPHRASE)) is not None:
        return given
    if not sys.stdin.isatty():
        raise KeyRefused(f"{path} is encrypted: give its passphrase in a file that {PASSPHRASE_FILE} names.")
    import click

    answer: str = click.prompt(f"Passphrase for {path}", hide_input=True, err=True)
    return answer


def new_passphrase(path: Path) -> str:
    """The passphrase for a new key file; asked for twice on a terminal."""
    if PASSPHRASE_FILE in os.environ or PASSPHRASE in os.environ or not sys.stdin.isatty():
        return passphrase_for(path)
    import click

    answer: str = click.prompt(f"Passphrase for {path}", hide_input=True, confirmation_prompt=True, err=True)
    return answer


def _passphrase_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(4096)
    except OSError as fault:
        raise KeyRefused(f"The passphrase file {path} cannot be read: {fault.strerror}.") from None
    if stat.S_ISREG(mode) and mode & 0o077:
        raise KeyRefused(f"Others may read the passphrase file {path}: run `chmod 600 {path}`.")
    try:
        return raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise KeyRefused(f"The passphrase file {path} is not UTF-8 text.") from None


def write_key_file(path: Path, text: str) -> None:
    """Write a new file that only its owner can read. Raises KeyRefused if there is a file already."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise KeyRefused(f"{path} exists: a key file is never overwritten; choose another name.") from None
    except OSError as fault:
        raise KeyRefused(f"The key file {path} cannot be written: {fault.strerror}.") from None
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
    except OSError as fault:
        path.unlink(missing_ok=True)
        raise KeyRefused(f"The key file {path} cannot be written: {fault.strerror}.") from None

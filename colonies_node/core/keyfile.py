"""A private key under a passphrase, as a short text.

    colonies-node encrypted key 1
    id: <the key's id, in clear: 64 hex>
    kdf: scrypt N=2^15 r=8 p=1
    salt: <32 hex>
    nonce: <24 hex>
    sealed: <key and tag: 96 hex>
    check: <16 hex>

The passphrase becomes a key by scrypt (RFC 7914), which seals the 32 bytes of the private key with AES-256-GCM; the
lines above `sealed` are authenticated with it. `check` is the start of the SHA3-256 of all lines above it: it tells
a damaged file from a wrong passphrase and protects nothing by itself.

N=2^15, r=8, p=1 needs 32 MiB, which the smallest board can spare beside a node, and a tenth of a second on a desktop.
The numbers stand in the file, so a later version may raise them; a reader refuses numbers that would take more than
256 MiB, or 64 times as long, because a file may come from anywhere.
"""

from __future__ import annotations

import re
import unicodedata
from hashlib import sha3_256
from typing import TYPE_CHECKING, Final, NamedTuple

from colonies_node.core.errors import KeyRefused
from colonies_node.core.identity import id_of

if TYPE_CHECKING:
    from Crypto.Cipher._mode_gcm import GcmMode

HEADER: Final = "colonies-node encrypted key 1"
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 12
MAX_BYTES: Final = 4096
"""No key file of ours, sealed or plain, is near this size: a reader stops there."""

_LOG_N, _R, _P = 15, 8, 1
_MAX_MEMORY = 256 << 20
_MAX_WORK = 1 << 24  # N·r·p: 64 times ours, some seconds
_TAG_BYTES = 16

_FORM = re.compile(
    rf"(?P<head>{HEADER}\n"
    r"id: (?P<id>[0-9a-f]{64})\n"
    r"kdf: scrypt N=2\^(?P<log_n>[1-9][0-9]?) r=(?P<r>[1-9][0-9]?) p=(?P<p>[1-9][0-9]?)\n"
    r"salt: (?P<salt>[0-9a-f]{32})\n"
    r"nonce: (?P<nonce>[0-9a-f]{24})\n)"
    r"sealed: (?P<sealed>[0-9a-f]{96})\n"
    r"check: (?P<check>[0-9a-f]{16})\n"
)


class _Cost(NamedTuple):
    log_n: int
    r: int
    p: int


def is_sealed(text: str) -> bool:
    """Whether the text is, or was, an encrypted key of ours: it has its first words."""
    return text.startswith("colonies-node encrypted key")


def seal(private_key: str, passphrase: str, salt: bytes, nonce: bytes) -> str:
    """The text of an encrypted key file. `salt` (16 bytes) and `nonce` (12) are random and used once.

    Raises KeyRefused for a key that is none, and for an empty passphrase.
    """
    if not passphrase:
        raise KeyRefused("An empty passphrase protects nothing: give one, or keep the key unencrypted.")
    if len(salt) != SALT_BYTES or len(nonce) != NONCE_BYTES:
        raise ValueError(f"a salt of {SALT_BYTES} bytes and a nonce of {NONCE_BYTES} are needed")
    head = (
        f"{HEADER}\nid: {id_of(private_key)}\nkdf: scrypt N=2^{_LOG_N} r={_R} p={_P}\n"
        f"salt: {salt.hex()}\nnonce: {nonce.hex()}\n"
    )
    cipher = _cipher(passphrase, salt, nonce, _Cost(_LOG_N, _R, _P), head)
    sealed, tag = cipher.encrypt_and_digest(bytes.fromhex(private_key))
    body = f"{head}sealed: {(sealed + tag).hex()}\n"
    return f"{body}check: {_check(body)}\n"


def unseal(text: str, passphrase: str) -> str:
    """The private key of an encrypted key file.

    Raises KeyRefused, and says whether the text is no key file, is damaged, or the passphrase is wrong.
    """
    form = _parse(text)
    cost = _Cost(int(form["log_n"]), int(form["r"]), int(form["p"]))
    if (128 * cost.r << cost.log_n) > _MAX_MEMORY or (cost.r * cost.p << cost.log_n) > _MAX_WORK:
        raise KeyRefused("The encrypted key asks for more memory or time than any key of ours needs.")
    cipher = _cipher(passphrase, bytes.fromhex(form["salt"]), bytes.fromhex(form["nonce"]), cost, form["head"])
    sealed = bytes.fromhex(form["sealed"])
    try:
        private_key = cipher.decrypt_and_verify(sealed[:-_TAG_BYTES], sealed[-_TAG_BYTES:]).hex()
    except ValueError:
        raise KeyRefused("Wrong passphrase for the encrypted key.") from None
    if id_of(private_key) != form["id"]:
        raise KeyRefused("The encrypted key does not belong to the id in its file.")
    return private_key


def id_in(text: str) -> str:
    """The id that an encrypted key file tells in clear; needs no passphrase. Raises KeyRefused as unseal."""
    return _parse(text)["id"]


def _parse(text: str) -> re.Match[str]:
    if not is_sealed(text):
        raise KeyRefused("This is not an encrypted key file of colonies-node.")
    if not text.startswith(f"{HEADER}\n") and re.match(r"colonies-node encrypted key [0-9]+\n", text):
        raise KeyRefused("The encrypted key was made by a newer version of colonies-node.")
    form = _FORM.fullmatch(text)
    if form is None or form["check"] != _check(text[: form.start("check") - len("check: ")]):
        raise KeyRefused("The encrypted key is damaged: take it from a copy.")
    return form


def _check(body: str) -> str:
    return sha3_256(body.encode()).hexdigest()[:16]


def _cipher(passphrase: str, salt: bytes, nonce: bytes, cost: _Cost, head: str) -> GcmMode:
    from Crypto.Cipher import AES
    from Crypto.Protocol.KDF import scrypt

    # The same passphrase typed on two keyboards may come as different code points.
    word = unicodedata.normalize("NFC", passphrase).encode()
    key = scrypt(word, salt, 32, N=1 << cost.log_n, r=cost.r, p=cost.p)
    cipher = AES.new(key, AES.MODE_GCM, nonce=nonce, mac_len=_TAG_BYTES)
    cipher.update(head.encode())
    return cipher

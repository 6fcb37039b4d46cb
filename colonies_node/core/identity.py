"""Keys, ids and recoverable signatures, exactly as every Colonies client computes them (protocol/core.md, section 1).

A private key is 64 hex characters. Its id is the SHA3-256 of the *hex text* of the uncompressed public key. What is
signed is the SHA3-256 of the *base64 text* of a payload; the signature is r ‖ s ‖ v in hex, and whoever verifies it
recovers the signer's public key, and so the id, from it. No key and no id ever travels.

Over CBOR the same keys sign with ES256K (RFC 8812): SHA-256, 64 bytes r ‖ s, and the public key travels along as 33
bytes, the key id. It belongs to the same id.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha3_256, sha256

from coincurve import PrivateKey, PublicKey, ecdsa

from colonies_node.core import limits
from colonies_node.core.errors import KeyRefused, SignatureRefused

ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
"""Number of points of secp256k1 (SEC 2, section 2.4.1)."""

_HALF_ORDER = (ORDER // 2).to_bytes(32, "big")
_SIGNATURE_BYTES = 65


def digest(text: bytes) -> str:
    """SHA3-256 as 64 lowercase hex characters."""
    return sha3_256(text).hexdigest()


def is_id(text: str) -> bool:
    """Whether the text has the form of an id: 64 characters (the reference looks no closer, and clients rely on it)."""
    return len(text) == limits.ID_LENGTH


class Signer:
    """A private key in use. Its text never shows in a repr, a log or a traceback."""

    __slots__ = ("_key", "id", "kid")

    def __init__(self, private_key: str) -> None:
        if len(private_key) != 64:
            raise KeyRefused("Invalid private key length, should be 256 bits")
        try:
            secret = bytes.fromhex(private_key)
            if len(secret) != 32:  # fromhex skips white space
                raise ValueError
            self._key = PrivateKey(secret)
        except ValueError:
            raise KeyRefused("Invalid private key") from None
        self.id = _id_of(self._key.public_key)
        self.kid = self._key.public_key.format(compressed=True)

    def sign(self, text: bytes) -> str:
        """The signature over `text` as 130 hex characters: RFC 6979 nonce, low s."""
        return self._key.sign_recoverable(sha3_256(text).digest(), hasher=None).hex()

    def sign_es256k(self, text: bytes) -> bytes:
        """The ES256K signature over `text`, 64 bytes r ‖ s: RFC 6979 nonce, low s."""
        return self._key.sign_recoverable(sha256(text).digest(), hasher=None)[:64]

    def __repr__(self) -> str:
        return f"<Signer {self.id}>"


def new_private_key(entropy: bytes) -> str:
    """A private key from 32 random bytes; KeyRefused in the one case of 2^128 in which they are none."""
    private_key = entropy.hex()
    Signer(private_key)
    return private_key


def id_of(private_key: str) -> str:
    """The id that belongs to a private key."""
    return Signer(private_key).id


def recover(text: bytes, signature: str) -> str:
    """The id of whoever signed `text`.

    A signature over other bytes is not an error: it recovers another, unknown id, which then has no rights.
    Raises SignatureRefused with the texts that clients know.
    """
    try:
        raw = bytes.fromhex(signature)
    except ValueError:
        raise SignatureRefused(_hex_fault(signature)) from None
    if len(raw) * 2 != len(signature):  # fromhex skips white space, Go's decoder does not
        raise SignatureRefused(_hex_fault(signature))
    if len(raw) != _SIGNATURE_BYTES:
        raise SignatureRefused("Invalid signature length")
    if raw[64] > 7:
        raise SignatureRefused("Failed to recover public key: invalid recovery id")
    try:
        # Bit 2 of v is ignored by the reference's verifier, so it is here.
        key = PublicKey.from_signature_and_message(
            raw[:64] + bytes((raw[64] & 3,)), sha3_256(text).digest(), hasher=None
        )
    except Exception:  # coincurve raises bare Exception for r or s out of range and for points off the curve
        raise SignatureRefused("Failed to recover public key: invalid signature") from None
    if raw[32:64] > _HALF_ORDER:
        raise SignatureRefused("Failed verify signature: Signature s value is over half the order")
    return _id_of(key)


class Holder:
    """Whoever holds a key, as known by its public part."""

    __slots__ = ("_key", "id", "kid")

    def __init__(self, kid: bytes) -> None:
        self.kid = kid
        if len(kid) != 33:
            raise SignatureRefused("The key id must be a public key of 33 bytes")
        try:
            self._key = PublicKey(kid)
        except ValueError:
            raise SignatureRefused("The key id is no public key of secp256k1") from None
        self.id = _id_of(self._key)

    def signed(self, text: bytes, signature: bytes) -> bool:
        """Whether this is her ES256K signature over `text`; a high s, which other programs make, is as good as a
        low one."""
        try:
            _, normal = ecdsa.signature_normalize(ecdsa.deserialize_compact(signature))
            return self._key.verify(ecdsa.cdata_to_der(normal), sha256(text).digest(), hasher=None)
        except ValueError:  # not 64 bytes, or r or s out of range
            return False


@lru_cache(limits.MAX_HOLDERS)
def holder(kid: bytes) -> Holder:
    """Whose key that is. Raises SignatureRefused if it is none."""
    return Holder(kid)


def attribute_id(targetid: str, key: str, attributetype: int) -> str:
    """The id of an attribute: one per process, key and type."""
    return digest(f"{targetid}{key}{attributetype}".encode())


def random_id(entropy: bytes) -> str:
    """A fresh id for a record, from 16 or more random bytes."""
    return digest(entropy)


def _id_of(key: PublicKey) -> str:
    return digest(key.format(compressed=False).hex().encode())


def _hex_fault(signature: str) -> str:
    """What Go's decoder says of a text that is not hex: the first bad byte, else the odd length."""
    for byte in signature.encode():
        if byte not in b"0123456789abcdefABCDEF":
            shown = f"U+{byte:04X}" + (f" '{chr(byte)}'" if 0x20 <= byte < 0x7F else "")
            return f"encoding/hex: invalid byte: {shown}"
    return "encoding/hex: odd length hex string"

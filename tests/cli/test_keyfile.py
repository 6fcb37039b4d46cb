"""Encrypted keys: what goes in comes out, and nothing else ever does."""

from __future__ import annotations

import itertools
import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colonies_node.core import keyfile
from colonies_node.core.errors import KeyRefused
from colonies_node.core.identity import id_of

KEY = "ddf7f7791208083b6a9ed975a72684f6406a269cfa36f1b1c32045c0a71fff05"
SEALED = keyfile.seal(KEY, "correct horse", bytes(range(16)), bytes(range(12)))

keys = st.binary(min_size=32, max_size=32).map(bytes.hex).filter(lambda key: 0 < int(key, 16) < 2**255)
passphrases = st.text(min_size=1, max_size=40)


@settings(max_examples=8, deadline=None)  # each takes two rounds of scrypt
@given(keys, passphrases, st.binary(min_size=16, max_size=16), st.binary(min_size=12, max_size=12))
def test_a_sealed_key_opens_with_its_passphrase(key: str, passphrase: str, salt: bytes, nonce: bytes) -> None:
    sealed = keyfile.seal(key, passphrase, salt, nonce)
    assert keyfile.unseal(sealed, passphrase) == key
    assert keyfile.id_in(sealed) == id_of(key)
    assert key not in sealed


@settings(max_examples=5, deadline=None)
@given(passphrases.filter(lambda text: text != "correct horse"))
def test_another_passphrase_is_told_as_such(passphrase: str) -> None:
    with pytest.raises(KeyRefused, match="Wrong passphrase"):
        keyfile.unseal(SEALED, passphrase)


def test_every_flipped_bit_is_refused() -> None:
    for place, bit in itertools.product(range(len(SEALED)), range(7)):
        damaged = SEALED[:place] + chr(ord(SEALED[place]) ^ 1 << bit) + SEALED[place + 1 :]
        with pytest.raises(KeyRefused):
            keyfile.unseal(damaged, "correct horse")
        with pytest.raises(KeyRefused):
            keyfile.id_in(damaged)


def test_a_file_cut_short_is_refused() -> None:
    for length in range(len(SEALED)):
        with pytest.raises(KeyRefused):
            keyfile.unseal(SEALED[:length], "correct horse")


def mended(text: str) -> str:
    """The text with the check that someone who changed it on purpose would put."""
    from hashlib import sha3_256

    body = text[: text.index("check: ")]
    return f"{body}check: {sha3_256(body.encode()).hexdigest()[:16]}\n"


@pytest.mark.parametrize(
    "change",
    [
        ("id: 3", "id: 4"),
        ("salt: 00", "salt: 01"),
        ("nonce: 00", "nonce: 01"),
        ("N=2^15", "N=2^14"),
        ("p=1", "p=2"),
    ],
)
def test_no_line_can_be_exchanged_even_with_a_right_check(change: tuple[str, str]) -> None:
    forged = mended(SEALED.replace(*change))
    assert forged != SEALED
    with pytest.raises(KeyRefused, match="Wrong passphrase"):
        keyfile.unseal(forged, "correct horse")


@pytest.mark.parametrize(
    "cost", ["N=2^30 r=8 p=1", "N=2^20 r=8 p=1", "N=2^15 r=99 p=1", "N=2^15 r=8 p=99", "N=2^99 r=1 p=1"]
)
def test_a_file_that_asks_for_too_much_work_is_refused_before_any_is_done(cost: str) -> None:
    with pytest.raises(KeyRefused, match="more memory or time"):
        keyfile.unseal(mended(SEALED.replace("N=2^15 r=8 p=1", cost)), "correct horse")


def test_what_is_no_key_file_is_told_from_a_damaged_one_and_from_a_newer_one() -> None:
    for text, says in (
        ("", "not an encrypted key file"),
        (KEY, "not an encrypted key file"),
        (SEALED.upper(), "not an encrypted key file"),
        (SEALED + "\n", "damaged"),
        (SEALED.replace("key 1", "key 2"), "newer version"),
    ):
        with pytest.raises(KeyRefused, match=says):
            keyfile.unseal(text, "correct horse")


def test_an_empty_passphrase_and_a_bad_key_are_not_sealed() -> None:
    salt, nonce = os.urandom(16), os.urandom(12)
    with pytest.raises(KeyRefused, match="empty passphrase"):
        keyfile.seal(KEY, "", salt, nonce)
    with pytest.raises(KeyRefused, match="Invalid private key"):
        keyfile.seal("0" * 64, "x", salt, nonce)


def test_two_spellings_of_one_letter_are_one_passphrase() -> None:
    sealed = keyfile.seal(KEY, "caf\u00e9", bytes(16), bytes(12))
    assert keyfile.unseal(sealed, "cafe\u0301") == KEY


def test_the_form_of_the_file_is_fixed() -> None:
    """Files that were written once must open for ever: this is one."""
    assert re.fullmatch(
        r"colonies-node encrypted key 1\nid: .*\nkdf: .*\nsalt: .*\nnonce: .*\nsealed: .*\ncheck: .*\n",
        SEALED,
    )
    assert keyfile.unseal(KEPT, "kept") == KEY


KEPT = """\
colonies-node encrypted key 1
id: 3fc05cf3df4b494e95d6a3d297a34f19938f7daa7422ab0d4f794454133341ac
kdf: scrypt N=2^15 r=8 p=1
salt: 5f7522f3e071dd72773f663b9f8f6e2b
nonce: 6c15cd8c877b0d1cabd089ad
sealed: 157f6abfa4de1ca7f13938e15ea306f8e1b44b0e04bfb3d0ba68ffbeaf1342d9e19cb390505698f6c7392721198bb4bc
check: fdc1e35dfb366034
"""

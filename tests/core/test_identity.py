"""Keys, ids and signatures are those that every Colonies client computes."""

from __future__ import annotations

import base64
from hashlib import sha3_256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonies_node.core.errors import KeyRefused, SignatureRefused
from colonies_node.core.identity import ORDER, Signer, attribute_id, digest, id_of, is_id, new_private_key, recover

PRV_1 = "6d2fb6f546bacfd98c68769e61e0b44a697a30596c018a50e28200aa59b01c0a"
PUB_1 = (
    "0408e903276ee7973666dceeefa5335e5c4b6b5989821906db98f8de8acf8f8538"
    "24ca3234a8602200baa2d75f30cb2050cda18602824c3eb2da654a93a01a7ad4"
)
PRV_2 = "d6eb959e9aec2e6fdc44b5862b269e987b8a4d6f2baca542d8acaa97ee5e74f6"
ID_2 = "5d6568f883451ae2e407d1a0a7992e414f2a67b69d0e6e9176d353b98f06f696"
DEV_SERVER = "fcc79953d8a751bf41db661592dc34d30004b1a651ffa0725b03ac227641499d"
FOREIGN = (
    "997eca36736d465e0e8d64e6d657ff4c939c8f5cad4272797ea0fe372bfd8d09"
    "53d21b3d06ded5dd80aee8cfa3a9be7ce615ce690eb64184fe15962943fe541300"
)
"""A signature over `hello` by key 2, made elsewhere with a random nonce."""

keys = st.integers(1, ORDER - 1).map(lambda d: f"{d:064x}")
texts = st.binary(max_size=200)


def test_a_digest_is_sha3_256_and_not_keccak() -> None:
    assert digest(b"hello world") == "644bcc7e564373040999aac89e7622f3ca71fba1d972fd94a31c3bfbf24e3938"
    assert digest(b"hello") == "3338be694f50c5f338814986cdf0686453a888b84f424d792af4b9202398f392"


@pytest.mark.parametrize(
    ("private_key", "id"),
    [
        (PRV_1, "4fef2b5a82d134d058c1883c72d6d9caf77cd59ca82d73105017590dea3dcb87"),
        (PRV_2, ID_2),
        (DEV_SERVER, "039231c7644e04b6895471dd5335cf332681c54e27f81fac54f9067b3f2c0103"),
        (
            "ba949fa134981372d6da62b6a56f336ab4d843b22c02a4257dcf7d0d73097514",
            "4787a5071856a4acf702b2ffcea422e3237a679c681314113d86139461290cf4",
        ),
        (
            "ddf7f7791208083b6a9ed975a72684f6406a269cfa36f1b1c32045c0a71fff05",
            "3fc05cf3df4b494e95d6a3d297a34f19938f7daa7422ab0d4f794454133341ac",
        ),
    ],
)
def test_a_private_key_has_the_id_that_other_clients_compute(private_key: str, id: str) -> None:
    assert id_of(private_key) == id
    assert Signer(private_key).id == id
    assert is_id(id)


def test_an_id_is_the_digest_of_the_hex_text_of_the_public_key() -> None:
    assert id_of(PRV_1) == sha3_256(PUB_1.encode()).hexdigest()


def test_a_key_in_upper_case_is_the_same_key() -> None:
    assert id_of(PRV_2.upper()) == ID_2


def test_signing_uses_the_nonce_of_rfc_6979() -> None:
    assert Signer(PRV_2).sign(b"hello") == (
        "e713a1bb015fecabb5a084b0fe6d6e7271fca6f79525a634183cfdb175fe6924"
        "1f4da161779d8e6b761200e1cf93766010a19072fa778f9643363e2cfadd640900"
    )


def test_what_is_signed_is_the_base64_text_of_the_payload() -> None:
    payload = base64.b64encode(b'{"msgtype":"getcoloniesmsg"}')
    assert payload == b"eyJtc2d0eXBlIjoiZ2V0Y29sb25pZXNtc2cifQ=="
    signature = Signer(DEV_SERVER).sign(payload)
    assert signature == (
        "3cf5209e35d24048f67652cb354ded5bed0d56bdce9cab433646942a47760353"
        "283e65a2cb764e22d9efa37e67a9ba485ade029f1405e5eed13365a82250a87300"
    )
    assert recover(payload, signature) == id_of(DEV_SERVER)


@pytest.mark.parametrize("signature", [FOREIGN, FOREIGN.upper()])
def test_a_signature_made_elsewhere_recovers_its_signer(signature: str) -> None:
    assert recover(b"hello", signature) == ID_2


@given(keys, texts)
def test_whoever_signed_is_recovered(private_key: str, text: bytes) -> None:
    signer = Signer(private_key)
    signature = signer.sign(text)
    assert len(signature) == 130
    assert int(signature[64:128], 16) <= ORDER // 2
    assert recover(text, signature) == signer.id


@given(keys, texts, texts)
def test_a_signature_over_other_bytes_recovers_somebody_else(private_key: str, text: bytes, other: bytes) -> None:
    signer = Signer(private_key)
    if text != other:
        try:
            assert recover(other, signer.sign(text)) != signer.id
        except SignatureRefused as refusal:
            assert refusal.message == "Failed to recover public key: invalid signature"


@given(keys)
def test_bit_two_of_the_recovery_byte_is_ignored(private_key: str) -> None:
    signer = Signer(private_key)
    raw = bytearray.fromhex(signer.sign(b"text"))
    raw[64] |= 4
    assert recover(b"text", raw.hex()) == signer.id


@pytest.mark.parametrize(
    ("signature", "text"),
    [
        ("", "Invalid signature length"),
        ("ab", "Invalid signature length"),
        (FOREIGN[:-2], "Invalid signature length"),
        (FOREIGN + "00", "Invalid signature length"),
        ("zz", "encoding/hex: invalid byte: U+007A 'z'"),
        ("  " + FOREIGN, "encoding/hex: invalid byte: U+0020 ' '"),
        (FOREIGN[:-1], "encoding/hex: odd length hex string"),
        (FOREIGN[:-2] + "08", "Failed to recover public key: invalid recovery id"),
        (FOREIGN[:-2] + "ff", "Failed to recover public key: invalid recovery id"),
        ("00" * 65, "Failed to recover public key: invalid signature"),
        ("ff" * 64 + "00", "Failed to recover public key: invalid signature"),
    ],
)
def test_a_malformed_signature_is_refused_with_the_text_that_clients_know(signature: str, text: str) -> None:
    with pytest.raises(SignatureRefused) as refused:
        recover(b"hello", signature)
    assert (refused.value.status, refused.value.message) == (403, text)


@given(keys, texts)
def test_the_high_half_of_s_is_refused(private_key: str, text: bytes) -> None:
    raw = bytearray.fromhex(Signer(private_key).sign(text))
    raw[32:64] = (ORDER - int.from_bytes(raw[32:64], "big")).to_bytes(32, "big")
    raw[64] ^= 1
    with pytest.raises(SignatureRefused) as refused:
        recover(text, raw.hex())
    assert refused.value.message == "Failed verify signature: Signature s value is over half the order"


@given(texts, st.binary(min_size=65, max_size=65))
def test_any_65_bytes_recover_an_id_or_are_refused(text: bytes, raw: bytes) -> None:
    try:
        assert is_id(recover(text, raw.hex()))
    except SignatureRefused as refusal:
        assert refusal.status == 403


@pytest.mark.parametrize(
    ("private_key", "text"),
    [
        ("", "Invalid private key length, should be 256 bits"),
        (PRV_1[:-1], "Invalid private key length, should be 256 bits"),
        (PRV_1 + "0", "Invalid private key length, should be 256 bits"),
        ("0" * 64, "Invalid private key"),
        (f"{ORDER:064x}", "Invalid private key"),
        ("f" * 64, "Invalid private key"),
        ("x" * 64, "Invalid private key"),
        (" " * 2 + PRV_1[:62], "Invalid private key"),
        ("é" * 64, "Invalid private key"),
    ],
)
def test_what_is_no_private_key_is_refused(private_key: str, text: str) -> None:
    with pytest.raises(KeyRefused) as refused:
        Signer(private_key)
    assert refused.value.message == text
    assert private_key not in repr(refused.value) or not private_key


def test_the_largest_private_key_signs() -> None:
    signer = Signer(f"{ORDER - 1:064x}")
    assert recover(b"text", signer.sign(b"text")) == signer.id


def test_a_new_private_key_is_the_given_entropy() -> None:
    assert new_private_key(bytes.fromhex(PRV_1)) == PRV_1
    with pytest.raises(KeyRefused):
        new_private_key(bytes(32))


def test_a_signer_never_shows_its_key() -> None:
    signer = Signer(PRV_1)
    assert PRV_1 not in repr(signer) + str(signer) + f"{signer}"


def test_an_attribute_id_is_the_digest_of_target_key_and_type() -> None:
    assert attribute_id("target", "key", 3) == digest(b"targetkey3")

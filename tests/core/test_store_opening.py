"""A file that is not as it should be: one clear sentence, and not a byte of it changes."""

from __future__ import annotations

import hashlib
import random
import shutil
from pathlib import Path

import apsw
import pytest

from colonies_node.core.errors import StoreCorrupt, StoreError, StoreTooNew
from colonies_node.core.store import members
from colonies_node.core.store.schema import APPLICATION_ID, MIGRATIONS
from colonies_node.core.store.sqlite import Store
from tests.core.colony import NAME, USER, Colony

PAGE = 4096


def hashes(folder: Path) -> dict[str, str]:
    """What is in each file of the store (the lock and the -shm hold none, nor does an empty log)."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.iterdir()
        if file.name.startswith("colonies.db") and not file.name.endswith("-shm") and file.stat().st_size
    }


def refusal(folder: Path) -> StoreError:
    """Why the store cannot be opened; asserts that trying changed nothing."""
    before = hashes(folder)
    with pytest.raises(StoreError) as refused:
        Store(folder, lambda: 0)
    assert hashes(folder) == before
    sentence = str(refused.value)
    assert "\n" not in sentence and str(folder) in sentence
    return refused.value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with some hundred processes, closed in good order."""
    colony = Colony(tmp_path / "data")
    for number in range(300):
        colony.submit(args=[number, "x" * 200])
    colony.close()
    return tmp_path / "data"


def opened(folder: Path) -> int:
    """How many processes the store has."""
    store = Store(folder, lambda: 0)
    try:
        found = store.read(lambda tx: tx.one("select count(*) from processes"))
        assert found is not None
        number: int = found[0]
        return number
    finally:
        store.close()


@pytest.mark.parametrize("log_left_behind", [False, True])
def test_a_store_of_a_newer_version_is_left_as_it_is(folder: Path, tmp_path: Path, log_left_behind: bool) -> None:
    newer = apsw.Connection(str(folder / "colonies.db"))
    newer.pragma("user_version", len(MIGRATIONS) + 1)
    newer.execute("create table of_the_future (x)")
    if log_left_behind:
        crashed = tmp_path / "crashed"
        shutil.copytree(folder, crashed)
        folder = crashed
        assert (folder / "colonies.db-wal").stat().st_size > 0
    newer.close()
    error = refusal(folder)
    assert isinstance(error, StoreTooNew)
    assert "was written by a newer colonies-node" in str(error)


def test_another_programs_database_is_left_as_it_is(tmp_path: Path) -> None:
    other = apsw.Connection(str(tmp_path / "colonies.db"))
    other.execute("create table recipes (cake)")
    other.close()
    error = refusal(tmp_path)
    assert isinstance(error, StoreCorrupt)
    assert "another program" in str(error)


@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_are_no_store(tmp_path: Path, seed: int) -> None:
    (tmp_path / "colonies.db").write_bytes(random.Random(seed).randbytes(PAGE * (seed + 1)))
    error = refusal(tmp_path)
    assert isinstance(error, StoreCorrupt)
    assert "damaged or not a database" in str(error)


def test_a_few_random_bytes_are_no_store_either(tmp_path: Path) -> None:
    (tmp_path / "colonies.db").write_bytes(b"not a database")
    assert isinstance(refusal(tmp_path), StoreCorrupt)


def test_a_store_that_was_cut_off_is_damaged(folder: Path) -> None:
    whole = (folder / "colonies.db").read_bytes()
    for pages in (1, 3, len(whole) // PAGE // 2, len(whole) // PAGE - 1):
        (folder / "colonies.db").write_bytes(whole[: pages * PAGE])
        assert isinstance(refusal(folder), StoreCorrupt)
    (folder / "colonies.db").write_bytes(whole[: PAGE * 2 + 100])
    assert isinstance(refusal(folder), StoreCorrupt)
    (folder / "colonies.db").write_bytes(whole)
    assert opened(folder) == 300


def test_a_damaged_schema_is_seen_at_once(folder: Path) -> None:
    path = folder / "colonies.db"
    whole = bytearray(path.read_bytes())
    whole[100:PAGE] = bytes(0xA5 ^ byte for byte in whole[100:PAGE])
    path.write_bytes(whole)
    assert isinstance(refusal(folder), StoreCorrupt)


def test_a_damaged_page_is_told_where_it_is_met_and_nothing_is_written(folder: Path, tmp_path: Path) -> None:
    """The whole file is not read at each start; whoever meets the damage gets the sentence."""
    path = folder / "colonies.db"
    whole = path.read_bytes()
    met = 0
    for page in range(2, len(whole) // PAGE):
        damaged = bytearray(whole)
        damaged[page * PAGE : page * PAGE + 64] = bytes(0xFF ^ b for b in damaged[page * PAGE : page * PAGE + 64])
        path.write_bytes(damaged)
        try:
            store = Store(folder, lambda: 0)
        except StoreCorrupt:
            met += 1
            assert path.read_bytes() == bytes(damaged)
            continue
        try:
            store.read(lambda tx: tx.all("select * from processes order by colonyname, state, prioritytime"))
            store.read(lambda tx: tx.all("select * from processes not indexed"))
            store.write(lambda tx: tx.run("update processes set label = 'x' where seq % 2"))
        except StoreCorrupt as error:
            met += 1
            assert "damaged" in str(error)
            assert path.read_bytes() == bytes(damaged)
        finally:
            store.close()
    assert met > 20


def test_a_folder_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"the data folder .* cannot be used"):
        Store(tmp_path / "file" / "data", lambda: 0)
    with pytest.raises(StoreError, match=r"the data folder .* cannot be used"):
        Store(tmp_path / "file", lambda: 0)


def test_a_file_that_is_a_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "colonies.db").mkdir()
    with pytest.raises(StoreError, match=r"colonies\.db cannot be opened"):
        Store(tmp_path, lambda: 0)


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "colonies.db").touch()
    assert opened(tmp_path) == 0


def test_after_a_refusal_the_folder_is_free_again(folder: Path) -> None:
    path = folder / "colonies.db"
    whole = path.read_bytes()
    path.write_bytes(b"damaged" * 1000)
    refusal(folder)
    path.write_bytes(whole)
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    assert opened(folder) == 300


def test_a_new_store_says_whose_it_is(folder: Path) -> None:
    connection = apsw.Connection(str(folder / "colonies.db"), flags=apsw.SQLITE_OPEN_READONLY)
    assert connection.pragma("application_id") == APPLICATION_ID
    assert connection.pragma("user_version") == len(MIGRATIONS)
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("integrity_check") == "ok"
    connection.close()


def test_what_a_crash_left_in_the_log_is_there_at_the_next_start(folder: Path, tmp_path: Path) -> None:
    store = Store(folder, lambda: 0)
    store.write(lambda tx: members.set_paused(tx, NAME, True))
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    store.close()
    reopened = Store(copy, lambda: 0)
    assert reopened.read(lambda tx: members.paused(tx, NAME))
    assert reopened.read(lambda tx: members.user_by_id(tx, NAME, USER)) is not None
    reopened.close()

"""The one-file program: small, the same at every build, and at home on any machine."""

from __future__ import annotations

import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyz import build

from colonies_node import __version__
from tests.conftest import ROOT, build_pyz

NATIVE = f"linux-{platform.machine()}"
OTHER = "linux-aarch64" if platform.machine() == "x86_64" else "linux-x86_64"
ELF_MACHINES = {"linux-x86_64": 62, "linux-aarch64": 183}  # e_machine, System V ABI
NOBODY = 65534

Start = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Give the folder into which `start` lets the program unpack itself; it is not there yet."""
    return tmp_path / "cache"


@pytest.fixture
def start(pyz: Path, cache: Path, tmp_path: Path) -> Start:
    """Give a function that starts the one-file program in a folder that is not the project's."""

    def run(*arguments: str, file: Path = pyz) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "COLONIES_NODE_CACHE": str(cache)}
        command = [sys.executable, "-W", "error", str(file), *arguments]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the one-file program for the machine that this one is not."""
    return build_pyz(OTHER, tmp_path_factory.mktemp("other"))


@pytest.fixture
def files(pyz: Path, other: Path) -> dict[str, Path]:
    return {NATIVE: pyz, OTHER: other}


def test_two_builds_are_the_same_to_the_byte(tmp_path: Path) -> None:
    """They are made from copies whose files have other dates, modes and another order on disk."""
    one, two = tmp_path / "one", tmp_path / "two"
    shutil.copytree(ROOT / "colonies_node", one, ignore=shutil.ignore_patterns("__pycache__"))
    for path in sorted(one.rglob("*.*"), reverse=True):
        copy = two / path.relative_to(one)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
        copy.chmod(0o600)
    builds = [build(NATIVE, tmp_path / f"from {copy.name}", copy).read_bytes() for copy in (one, two)]
    assert builds[0] == builds[1]


@pytest.mark.parametrize("target", [NATIVE, OTHER])
def test_file_is_at_most_15_megabytes(files: dict[str, Path], target: str) -> None:
    assert files[target].stat().st_size <= 15_000_000


@pytest.mark.parametrize("target", [NATIVE, OTHER])
def test_every_compiled_module_is_for_the_machine_in_the_name(files: dict[str, Path], target: str) -> None:
    with zipfile.ZipFile(files[target]) as archive:
        modules = [name for name in archive.namelist() if name.endswith(".so")]
        machines = {struct.unpack_from("<H", archive.read(name), 18)[0] for name in modules}
    assert machines == {ELF_MACHINES[target]}


@pytest.mark.parametrize("target", [NATIVE, OTHER])
@pytest.mark.parametrize("python", ["311", "312", "313"])
def test_every_package_has_its_compiled_modules_for_every_python(
    files: dict[str, Path], target: str, python: str
) -> None:
    with zipfile.ZipFile(files[target]) as archive:
        modules = {name.removeprefix("site-packages/") for name in archive.namelist() if name.endswith(".so")}
    suffixes = (f".cpython-{python}-{target.removeprefix('linux-')}-linux-gnu.so", ".abi3.so")
    fitting = {name.split(".")[0] for name in modules if name.endswith(suffixes)}
    assert fitting == {name.split(".")[0] for name in modules}
    assert fitting >= {"apsw/__init__", "coincurve/_libsecp256k1", "msgspec/_core"}


def test_licence_text_of_every_package_ships(pyz: Path) -> None:
    lock = (ROOT / "packaging" / "requirements.lock").read_text()
    packages = {name.replace("-", "_").lower() for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    with zipfile.ZipFile(pyz) as archive:
        licences = [name for name in archive.namelist() if re.search(r"LICEN[CS]E|COPYING|NOTICE", name)]
    of = {match[1].lower() for name in licences if (match := re.match(r"site-packages/([^/]+)-[^-]+\.dist", name))}
    assert of == packages
    assert "site-packages/colonies_node/LICENSE" in licences


def test_version_is_told_from_another_folder(start: Start) -> None:
    told = start("--version")
    assert (told.returncode, told.stderr) == (0, "")
    assert __version__ in told.stdout


def test_every_module_of_ours_can_be_imported_from_it(start: Start, cache: Path, tmp_path: Path) -> None:
    assert start("--version").returncode == 0
    (folder,) = cache.glob("[!.]*")
    program = (
        "import sys, pkgutil, importlib; sys.path.insert(0, sys.argv[1]); import colonies_node\n"
        "for module in pkgutil.walk_packages(colonies_node.__path__, 'colonies_node.'):\n"
        "    importlib.import_module(module.name)\n"
        "print(colonies_node.__file__)"
    )
    command = [shutil.which("python3") or sys.executable, "-I", "-W", "error", "-c", program, str(folder)]
    imported = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (imported.stdout.strip(), imported.stderr) == (f"{folder}/colonies_node/__init__.py", "")


def test_first_start_compiles_where_python_may_not_do_it_later(
    start: Start, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert start("--version").returncode == 0
    (folder,) = cache.glob("[!.]*")
    sources = {path.relative_to(folder) for path in folder.rglob("*.py")}
    compiled = {path.parent.parent / f"{path.name.split('.')[0]}.py" for path in folder.rglob("*.pyc")}
    assert {path.relative_to(folder) for path in compiled} == sources


def test_processes_that_start_together_unpack_once(pyz: Path, cache: Path) -> None:
    environment = {**os.environ, "COLONIES_NODE_CACHE": str(cache)}
    command = [sys.executable, str(pyz), "--version"]
    pipe = subprocess.PIPE
    started = [subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) for _ in range(4)]
    assert [(child.communicate()[1], child.returncode) for child in started] == [("", 0)] * 4
    assert len(list(cache.glob("[!.]*"))) == 1
    assert not (cache / ".partial").exists()


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """Give a folder that every user may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def unpacked() -> Iterator[Path]:
    """Give the folder that a start with a read-only home falls back to, and leave no trace of it."""
    folder = Path("/var/tmp", f"colonies-node-{NOBODY if os.geteuid() == 0 else os.geteuid()}")
    aside = folder.with_name(f"{folder.name}.aside")
    if folder.exists():
        folder.rename(aside)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
    if aside.exists():
        aside.rename(folder)


def test_it_starts_with_a_read_only_home_and_from_any_folder(pyz: Path, public_folder: Path, unpacked: Path) -> None:
    home = public_folder / "home"
    home.mkdir(mode=0o555)
    file = Path(shutil.copy(pyz, public_folder))
    identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    told = subprocess.run(
        [_python_for_everybody(), str(file), "--version"],
        env={"HOME": str(home), "PATH": os.defpath},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        **identity,
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert __version__ in told.stdout
    assert list(home.iterdir()) == []
    assert unpacked.stat().st_mode & 0o777 == 0o700


def _python_for_everybody() -> str:
    """Give a Python that a user without rights can start, too: root's own may lie in root's home."""
    if os.geteuid():
        return sys.executable
    for path in filter(None, (shutil.which("python3", path="/usr/bin:/usr/local/bin"), sys.executable)):
        command = [path, "-c", "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))"]
        try:
            if subprocess.run(command, user=NOBODY, group=NOBODY, extra_groups=[], check=False).returncode == 0:
                return path
        except PermissionError:
            continue
    pytest.fail("no Python 3.11 to 3.13 on this machine can be started by a user without rights")


def test_folder_that_others_may_write_to_is_refused(start: Start, cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o777)
    refused = start("--version")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"{cache} (others may write to it)" in refused.stderr
    assert list(cache.iterdir()) == []


def test_damaged_file_is_refused_with_a_sentence(pyz: Path, start: Start, cache: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(pyz) as archive:
        entry = archive.getinfo("site-packages/colonies_node/LICENSE")
    content = bytearray(pyz.read_bytes())
    content[entry.header_offset + 30 + len(entry.filename) + entry.compress_size // 2] ^= 0xFF
    damaged = tmp_path / "damaged.pyz"
    damaged.write_bytes(content)
    refused = start("--version", file=damaged)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert re.fullmatch(r"colonies-node: this file is damaged \(.*\)\. Copy it again\.\n", refused.stderr)
    assert [path.name for path in cache.iterdir()] == [".lock"]


def test_file_for_another_machine_is_refused_with_a_sentence(other: Path, start: Start, cache: Path) -> None:
    refused = start("--version", file=other)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"this file is for CPython on {OTHER.removeprefix('linux-')} Linux" in refused.stderr
    assert not cache.exists()

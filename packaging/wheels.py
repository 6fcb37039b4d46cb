"""What ships beside our own code: the locked packages, for every Python at once, without what never runs.

The compiled modules of several Pythons can lie in one folder, as each carries its Python in its name
(`_core.cpython-311-x86_64-linux-gnu.so`). So the wheels of every Python are unpacked over each other.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import struct
import zipfile
from pathlib import Path

from environment import DEV, FULL, LOCKS, narrate, only_one_maker, say

MACHINES = {"linux-x86_64": "x86_64", "linux-aarch64": "aarch64"}
PYTHONS = ("311", "312", "313")
# Every name under which a wheel for glibc 2.28 (Debian 10, RHEL 8) or older may be filed.
SYSTEMS = ("_2_28", "_2_17", "2014", "_2_12", "2010", "_2_5", "1")

# Left out, and why nothing misses it. Licence texts stay: they must go where the code goes.
LEFT_OUT = {
    r"\.(pyi|typed|c|h|pxd|pyx)$": "for compilers and type checkers",
    r"(^|/)(tests?|_tests|SelfTest)/": "tests of the packages themselves",
    r"\.dist-info/(RECORD|WHEEL|top_level\.txt|entry_points\.txt)$": "for installers",
    r"\.data/(scripts|headers|data)/": "commands and headers",
    r"^apsw/(sqlite_extra_binaries/|fts_test_strings)": "SQLite's own tools",
    r"^apsw/(shell|speedtest|trace|__main__)\.py$": "apsw's own tools",
    r"^Crypto/(PublicKey|Signature)/": "other curves; our signatures are coincurve's",
}


def fetch(platform: str) -> Path:
    """Give the folder with a platform's wheels for every Python; download them if the lock file is new."""
    lock = LOCKS / "requirements.lock"
    folder = DEV / "wheels" / f"{platform}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        with only_one_maker():
            if not folder.exists():
                _download(platform, lock, folder)
    return folder


def _download(platform: str, lock: Path, folder: Path) -> None:
    partial = folder.with_name(f"{folder.name}.partial")
    for old in folder.parent.glob(f"{platform}-*"):
        shutil.rmtree(old)
    pip = [str(FULL.python), "-I", "-m", "pip", "download", "--no-deps", "--require-hashes", "--no-input"]
    pip += ["--progress-bar=off", "--only-binary=:all:", "--implementation=cp", "--abi=abi3", "--abi=none"]
    pip += [f"--platform=manylinux{system}_{MACHINES[platform]}" for system in SYSTEMS]
    pip += [f"--dest={partial}", f"--requirement={lock}"]
    for python in PYTHONS:
        say(f"fetching the packages for {platform}, Python {python[0]}.{python[1:]}")
        narrate([*pip, f"--python-version={python}", f"--abi=cp{python}"], lambda line: None)
    partial.rename(folder)


def unpack(wheels: Path, site_packages: Path) -> None:
    """Unpack all wheels into one folder. Two wheels that disagree about a file are an error."""
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.infolist():
                if not member.is_dir() and not any(re.search(rule, member.filename) for rule in LEFT_OUT):
                    content = archive.read(member)
                    if member.filename.endswith(".so"):
                        content = without_symbols(content)
                    _place(content, site_packages / member.filename)
    _share_identical(site_packages)


def _place(content: bytes, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    elif target.read_bytes() != content:
        raise ValueError(f"two wheels bring a different {target.name}: their Pythons cannot share one folder")


def without_symbols(module: bytes) -> bytes:
    """Cut off what an ELF file holds beyond its segments: debugging data, symbols and section headers.

    The loader reads the program headers alone (ELF-64 Object File Format 1.5, "Program header table").
    """
    if module[:6] != b"\x7fELF\x02\x01":
        raise ValueError("a compiled module is not a 64-bit little-endian ELF file")
    (table,) = struct.unpack_from("<Q", module, 32)
    size, count = struct.unpack_from("<HH", module, 54)
    headers = (struct.unpack_from("<IIQQQQ", module, table + size * i) for i in range(count))
    end = max(offset + in_file for _, _, offset, _, _, in_file in headers)
    kept = bytearray(module[:end])
    kept[40:48] = bytes(8)  # e_shoff
    kept[60:64] = bytes(4)  # e_shnum, e_shstrndx
    return bytes(kept)


def _share_identical(site_packages: Path) -> None:
    """Keep one copy, named .abi3.so, of a compiled module that is the same for several Pythons.

    Python looks for the name with its own version first, so a module that one Python needs differently stays.
    """
    seen: dict[tuple[Path, bytes], Path] = {}
    for module in sorted(site_packages.rglob("*.cpython-*.so")):
        shared = module.with_name(f"{module.name.split('.')[0]}.abi3.so")
        first = seen.setdefault((shared, hashlib.sha256(module.read_bytes()).digest()), module)
        if first is not module:
            module.unlink()
            if first.exists():
                first.rename(shared)

"""Another machine: Debian's Python for AArch64 in an emulator, with NumPy from PyPI; nothing of it is installed."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}
"""The versions of Debian by those of their Python, which must be that of the tests."""
PACKAGES = ("libpython{0}-minimal", "python{0}-minimal", "libpython{0}-stdlib", "libc6", "libexpat1", "zlib1g",
            "libgcc-s1", "libffi8", "libbz2-1.0", "liblzma5", "libstdc++6")  # fmt: skip


def python_for_aarch64(folder):
    """Return a function from a folder to the command of a Python that finds NumPy and the modules in that folder.

    It downloads 40 MB, which takes half a minute, and leaves the package management of the system alone. Where there is
    no such Python, the test is skipped.
    """
    suite = SUITES.get(sys.version_info[:2])
    if suite is None or not shutil.which("apt-get") or not shutil.which("qemu-aarch64"):
        pytest.skip("needs apt-get, qemu-aarch64, and a Python that a version of Debian has")
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    try:
        _unpack(folder, suite, [package.format(version) for package in PACKAGES])
        _numpy(folder, folder / "site", version)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no Python for AArch64: {(error.stderr or b'').decode(errors='replace')[-300:]}")
    root = folder / "root"
    python = ["qemu-aarch64", "-L", str(root), str(root / "usr" / "bin" / f"python{version}"), "-S"]
    return lambda modules: ["env", f"PYTHONPATH={modules}:{folder / 'site'}", *python]


def _unpack(folder, suite, packages):
    """Debian's packages, in the folder ``root``."""
    for name in ("state/lists/partial", "cache/archives/partial", "debs", "root"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"deb http://deb.debian.org/debian {suite} main\n")
    options = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": os.devnull,
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
    }
    apt = ["apt-get", "-q", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]
    subprocess.run([*apt, "update"], check=True, capture_output=True)
    subprocess.run([*apt, "download", *packages], check=True, capture_output=True, cwd=folder / "debs")
    for package in (folder / "debs").iterdir():
        subprocess.run(["dpkg-deb", "-x", str(package), str(folder / "root")], check=True, capture_output=True)


def _numpy(folder, site, version):
    """NumPy, for the machine with the oldest glibc that it has wheels for."""
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in (17, 27, 28)]
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", *platforms]
    subprocess.run(
        [*pip, f"--python-version={version}", "numpy", "-d", str(folder / "numpy")], check=True, capture_output=True
    )
    for wheel in (folder / "numpy").iterdir():
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)

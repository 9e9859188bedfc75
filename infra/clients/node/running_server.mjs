// One `jetmill serve` with its own port, data folder and broker.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const READY_MS = 180_000;
const STOP_MS = 15_000;

async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

export function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; run infra/test clients-node`);
  return value;
}

/** Starts a server and resolves once it is ready, to its url and a function that stops it. */
export async function startServer(...more) {
  const folder = await mkdtemp(join(tmpdir(), "jetmill-clients-"));
  const address = `127.0.0.1:${await freePort()}`;
  const url = `http://${address}`;
  const log = join(folder, "serve.log");
  const output = await open(log, "w");
  const child = spawn(
    required("CLIENTS_BINARY"),
    [
      ...["serve", "--model", required("CLIENTS_MODEL"), "--listen", address],
      ...["--data", join(folder, "data"), "--nats-server", required("CLIENTS_NATS_SERVER"), ...more],
    ],
    { stdio: ["ignore", output.fd, output.fd], detached: true },
  );
  const ended = once(child, "exit");
  await output.close();

  const stop = async () => {
    if (child.exitCode === null) child.kill("SIGTERM");
    const timer = setTimeout(() => process.kill(-child.pid, "SIGKILL"), STOP_MS);
    const [status, signal] = await ended;
    clearTimeout(timer);
    await rm(folder, { recursive: true, force: true });
    if (status !== 0) throw new Error(`the server was asked to stop and ended with ${signal ?? status}`);
  };

  const deadline = Date.now() + READY_MS;
  while (Date.now() < deadline && child.exitCode === null) {
    const ready = await fetch(`${url}/health/readiness`).catch(() => null);
    if (ready?.ok) return { url, stop };
    await pause(50);
  }
  const text = (await readFile(log, "utf8")).split("\n").slice(-15).join("\n");
  await stop().catch(() => {});
  throw new Error(`jetmill did not become ready:\n${text}`);
}

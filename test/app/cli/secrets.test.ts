/** Tests that passwords on a command line appear neither on the terminal nor in reports. */
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PithError } from "../../../src/core/errors.ts";
import { temporaryFolder } from "../../temporary.ts";
import { freePort, noServer, startRedis } from "./redis-server.ts";
import { pith, type Ran, run } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at } = smallModels();
const store = join(temporaryFolder(), "store");
const worker = (url: string, ...more: readonly string[]): Promise<Ran> =>
  pith("worker", url, "--store", store, ...more);

const invalid =
  "E_USAGE: The address of the queue is not valid: expected redis://host:6379 or rediss://user:password@host:6379.\n";

test.each([
  "redis://:se/cret@host",
  "redis://:se#cret@host",
  "redis://:se?cret@host",
  "redis://:se%zzcret@host",
  "redis://user:1/secret@host",
  "redis://host?password=secret",
  "redis://host/0?password=se@cret",
  "redis://host/secret",
  "redis://:secret@",
  "redis+sentinel://:secret@host",
  "redis:secret@host",
  ":secret@host:6379",
])("rejects the address %s of a queue without repeating it", async (url) => {
  const { code, out, err } = await worker(url);
  expect({ code, out, err: err.split("hint: ")[0] }).toEqual({ code: 2, out: "", err: invalid });
  const json = await worker(url, "--json");
  expect(`${json.out}${json.err}`).not.toMatch(/se.{0,3}cret/);
});

test.each([
  [["inspect", "https://user:secret@host/net.onnx"]],
  [["eval", "net.onnx", "--data", "https://user:secret@host/points.csv"]],
  [["worker", "redis://localhost:1", "redis://:secret@host", "--store", store]],
  [["worker", "redis://localhost:1", "--store", "s3://KEY:secret@bucket/prefix"]],
  [["worker", "redis://localhost:1", "--store", "s3://bucket/prefix?key=secret"]],
  [["worker", "redis://localhost:1", "--stor=s3://KEY:secret@bucket/prefix"]],
  [["worker", "redis://localhost:1", "--store", "http://user:se@cret@host/prefix"]],
  [["compress", at("right.onnx"), "--data", "redis://:secret@host", "--queue", "redis://:secret@host"]],
])("prints no password in an error: %j", async (words) => {
  for (const format of [[], ["--json"]]) {
    const { code, out, err } = await pith(...words, ...format);
    expect(code).not.toBe(0);
    expect(err).not.toContain("internal");
    expect(`${out}${err}`).not.toContain("cret");
  }
});

test("compress gives its process the address of its queue, and no password elsewhere", async () => {
  const inputs: Readonly<Record<string, unknown>>[] = [];
  const runJob = async (_: URL, input: object): Promise<never> => {
    inputs.push({ ...input });
    throw new PithError("E_STOPPED", "Stopped.");
  };
  const url = "redis://:se%40cret@host";
  const words = ["compress", at("right.onnx"), "--data", at("points.csv"), `--queue=${url}`];
  await run([...words, "--store", "s3://K:secret@b", "-o", at("out")], { runJob });
  const { workers, command, ...input } = inputs[0] ?? {};
  expect(workers).toMatchObject({ queue: { url, store: "s3://K:secret@b" } });
  const publicWords = [...words.slice(0, 4), "--queue=redis://host", "--store", "s3://b", "-o", at("out")];
  expect(command).toEqual(["pith", ...publicWords]);
  expect(JSON.stringify(input)).not.toMatch(/se(%40)?cret/);
});

describe("a server that is not Redis", () => {
  const servers: Server[] = [];
  const answering = async (answer: (socket: Socket) => void): Promise<number> => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      answer(socket);
    });
    servers.push(server);
    const port = await freePort();
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    return port;
  };
  afterAll(() => {
    for (const server of servers) server.close();
  });

  test.each<readonly [what: string, answer: (socket: Socket) => void]>([
    ["an HTTP server", (socket) => socket.on("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"))],
    ["a server that speaks first", (socket) => socket.write("SSH-2.0-OpenSSH_9.2\r\n")],
    ["a server that ends the connection", (socket) => socket.end()],
    ["a server that resets the connection", (socket) => socket.resetAndDestroy()],
  ])("is reported: %s", async (_, answer) => {
    const port = await answering(answer);
    expect(await worker(`redis://:secret@127.0.0.1:${port}`)).toEqual({
      code: 1,
      out: "",
      err: `E_FILE: The server at redis://127.0.0.1:${port} does not answer as Redis or Valkey do.\nhint: Check host and port; begin the address with rediss:// for TLS.\n`,
    });
  });

  test("cannot reveal the password by repeating the arguments of a command", async () => {
    const reply = "-ERR unknown command 'auth', with args beginning with: 'secret' \r\n";
    const port = await answering((socket) => socket.on("data", () => socket.write(reply)));
    const { err } = await worker(`redis://:secret@127.0.0.1:${port}`);
    expect(err).toContain(`rejects the connection: ERR unknown command 'auth'.`);
    expect(err).not.toContain("secret");
  });

  test("is reported if it does not support TLS", async () => {
    const port = await answering((socket) => socket.on("data", () => socket.write("-ERR Protocol error\r\n")));
    expect((await worker(`rediss://:secret@127.0.0.1:${port}`)).err).toBe(
      `E_FILE: The server at rediss://127.0.0.1:${port} does not speak TLS.\nhint: Begin the address with redis:// for a connection without TLS.\n`,
    );
  });

  test("is reported if no server answers", async () => {
    const port = await freePort();
    const { err } = await worker(`redis://:secret@127.0.0.1:${port}`);
    expect(err).toBe(
      `E_FILE: No server answers at redis://127.0.0.1:${port} (ECONNREFUSED).\nhint: Start redis-server or valkey-server there, or check the address.\n`,
    );
  });
});

describe.skipIf(noServer !== "")(`a server with a password ${noServer}`, () => {
  const password = "a@b/c:d#e?f%g";
  let stop: () => Promise<void>;
  let port = 0;
  beforeAll(async () => {
    port = await freePort();
    stop = await startRedis(temporaryFolder(), port, "--requirepass", password);
  });
  afterAll(() => stop());

  test("distinguishes a wrong password from a missing one", async () => {
    expect((await worker(`redis://:wrong@127.0.0.1:${port}`)).err).toBe(
      `E_FILE: The server at redis://127.0.0.1:${port} rejects the password.\nhint: Check the password in the address, or in REDISCLI_AUTH.\n`,
    );
    expect((await worker(`redis://127.0.0.1:${port}`)).err).toBe(
      `E_FILE: The server at redis://127.0.0.1:${port} requires a password.\nhint: redis://:password@host, or set REDISCLI_AUTH.\n`,
    );
  });
});

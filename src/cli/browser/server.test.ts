import { mkdirSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { type PageServer, servePage } from "./server.ts";

let server: PageServer;
const told: Uint8Array[] = [];
const failures: string[] = [];

beforeAll(async () => {
  const folder = temporaryFolder();
  const runtimes = join(folder, "runtimes");
  mkdirSync(runtimes);
  writeFileSync(join(runtimes, "ort.mjs"), "export {};");
  writeFileSync(join(folder, "secret"), "secret");
  // On POSIX a file of that name, on Windows a path that leads out.
  writeFileSync(join(runtimes, "..\\secret"), "secret");
  writeFileSync(join(folder, "model.onnx"), "0123456789");
  server = await servePage({
    runtime: "wasm",
    runtimes,
    files: new Map([["model/0.onnx", join(folder, "model.onnx")]]),
    next(message) {
      told.push(message);
      return Promise.resolve(Uint8Array.of(7));
    },
    onProgress: () => {},
    onFailure: (text) => failures.push(text),
  });
});

afterAll(() => server.close());

interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** In pieces, without a length. */
  readonly chunked?: boolean;
}

/** `path` as it is: `fetch` would take the dots out. */
async function ask(path: string, { body = "", chunked = false, ...how }: Asked = {}): Promise<[number, string]> {
  const { hostname, port, pathname } = new URL(server.address);
  return new Promise((resolve, reject) => {
    const asking = request({ hostname, port, path: pathname + path, ...how }, async (response) => {
      const parts: Buffer[] = [];
      for await (const part of response as AsyncIterable<Buffer>) parts.push(part);
      resolve([response.statusCode ?? 0, Buffer.concat(parts).toString()]);
    });
    asking.on("error", reject);
    if (chunked) asking.flushHeaders();
    asking.end(body);
  });
}

describe("the server of a page", () => {
  test("gives the page, modules, the runtime and models, whole or in part", async () => {
    expect((await ask(""))[1]).toContain("<!doctype html>");
    expect((await ask("code/errors.ts"))[1]).toContain("PithError");
    expect(await ask("ort/ort.mjs")).toEqual([200, "export {};"]);
    expect(await ask("model/0.onnx", { headers: { Range: "bytes=2-4" } })).toEqual([206, "234"]);
  });

  test("answers nobody who came by another name", async () => {
    const { port } = new URL(server.address);
    for (const Host of ["evil.example", `evil.example:${port}`, `localhost:${port}`, "127.0.0.1"]) {
      expect(await ask("", { headers: { Host } }), Host).toEqual([404, ""]);
      expect(await ask("told", { method: "POST", headers: { Host } }), Host).toEqual([404, ""]);
    }
    expect(told).toEqual([]);
  });

  test.each(["../", "x/", `${"0".repeat(32)}/`])("gives nothing under another address: %s", async (prefix) => {
    expect(await ask(`../${prefix}ort/ort.mjs`)).toEqual([404, ""]);
  });

  test.each([
    "ort/../secret",
    "ort/%2e%2e/secret",
    "ort/..%2fsecret",
    "ort/..\\secret",
    "ort/..%5csecret",
    "code/..%5c..%5cpackage.ts",
    "ort/C:%5csecret",
    "ort/C:secret",
  ])("gives nothing outside of its folders: %s", async (path) => {
    expect(await ask(path)).toEqual([404, ""]);
  });

  test("takes what the page tells, and no more than fits", async () => {
    expect(await ask("told", { method: "POST", body: "outputs" })).toEqual([200, "\u0007"]);
    expect(told.splice(0).map((bytes) => Buffer.from(bytes).toString())).toEqual(["outputs"]);
    expect(await ask("failed", { method: "POST", body: "x".repeat(2 ** 16) })).toEqual([204, ""]);
    expect(failures.splice(0)).toEqual(["x".repeat(2 ** 16)]);
    for (const chunked of [false, true]) {
      const answer = await ask("failed", { method: "POST", body: "x".repeat(2 ** 16 + 1), chunked }).catch(() => "cut");
      expect(answer === "cut" || answer[0] === 413).toBe(true);
    }
    expect(failures).toEqual([]);
    // Refused by the length that it claims.
    const headers = { "Content-Length": String(2 ** 31 + 1) };
    const answer = await ask("told", { method: "POST", headers }).catch(() => "cut");
    expect(answer === "cut" || answer[0] === 413).toBe(true);
    expect({ told, failures }).toEqual({ told: [], failures: ["its outputs take more than 2.15 GB."] });
  });
});

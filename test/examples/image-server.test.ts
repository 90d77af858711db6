/** The server of the example page sends files of its folder, and no others. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { temporaryFolder } from "../temporary.ts";

const program = fileURLToPath(new URL("../../examples/image-classifier/server.mjs", import.meta.url));

test("sends a compressed copy to a client that reads it, and no file outside its folder", async () => {
  const outside = temporaryFolder();
  const folder = join(outside, "site");
  mkdirSync(folder);
  for (const [path, text] of [
    [join(outside, "secret"), "secret"],
    [join(folder, "model.onnx"), "plain"],
    [join(folder, "model.onnx.br"), "brotli"],
  ] as const)
    writeFileSync(path, text);
  const server = spawn(process.execPath, [program, "0"], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  try {
    const [line] = await once(server.stdout, "data");
    const port = Number(new URL(String(line).trim()).port);
    const read = (path: string, headers: Record<string, string> = {}) =>
      new Promise<readonly [number | undefined, string]>((resolve, reject) => {
        get({ host: "localhost", port, path, headers }, async (response) => {
          const parts = await response.setEncoding("utf8").toArray();
          resolve([response.statusCode, parts.join("")]);
        }).on("error", reject);
      });
    expect(await read("/model.onnx")).toEqual([200, "plain"]);
    expect(await read("/model.onnx", { "accept-encoding": "gzip, br" })).toEqual([200, "brotli"]);
    const attacks = [
      "/../secret",
      "/..%2fsecret",
      "/%2e%2e/secret",
      "/x/..%2f..%2fsecret",
      "//host/../secret",
      "/secret%00",
      "/",
      "/%",
    ];
    for (const path of attacks) expect([path, ...(await read(path))]).toEqual([path, 404, "not found"]);
  } finally {
    server.kill();
  }
});

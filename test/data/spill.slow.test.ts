/** Temporary files are removed even if the process is killed or the disk is full. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { temporaryFolder } from "../temporary.ts";

const program = fileURLToPath(new URL("spill.script.ts", import.meta.url));

/** Starts the program in a shell that sets limits first, with a separate temporary folder. */
function start(limits: string) {
  const folder = temporaryFolder();
  const run = `${limits} exec "$0" --conditions=pith-source --import tsx "$1"`;
  const child = spawn("sh", ["-c", run, process.execPath, program], {
    stdio: ["ignore", "pipe", "inherit"],
    // By default, the loader also stores compiled files there.
    env: { ...process.env, TMPDIR: folder, TSX_DISABLE_CACHE: "1" },
  });
  return { child, gone: once(child, "exit"), left: () => readdirSync(folder).filter((name) => /^pith/.test(name)) };
}

test.skipIf(process.platform === "win32")("kill -9 leaves no temporary file", async () => {
  const { child, gone, left } = start("");
  await once(child.stdout, "data");
  expect(left()).toEqual([]);
  child.kill("SIGKILL");
  const [, signal] = await gone;
  expect([signal, left()]).toEqual(["SIGKILL", []]);
});

test.skipIf(process.platform === "win32")(
  "a full disk causes a readable error and leaves no temporary file",
  async () => {
    // ulimit counts blocks of 512 bytes, so files can grow to 1 MiB.
    const { child, gone, left } = start("ulimit -f 2048;");
    let output = "";
    child.stdout.on("data", (text) => {
      output += text;
    });
    const [code] = await gone;
    expect([code, left()]).toEqual([0, []]);
    expect(output).toMatch(
      /E_FILE: A temporary file in ".*" cannot be written: the file would exceed the size limit\. Set TMPDIR/,
    );
  },
);

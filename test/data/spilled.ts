/** Programs that store samples on the disk. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { temporaryFolder } from "../temporary.ts";

const program = fileURLToPath(new URL("spill.script.ts", import.meta.url));

/** Starts the program in a shell that sets limits first, with a separate temporary folder. */
export function start(limits: string) {
  const folder = temporaryFolder();
  const run = `${limits} exec "$0" --conditions=pith-source --import tsx "$1"`;
  const child = spawn("sh", ["-c", run, process.execPath, program], {
    stdio: ["ignore", "pipe", "inherit"],
    // By default, the loader also stores compiled files there.
    env: { ...process.env, TMPDIR: folder, TSX_DISABLE_CACHE: "1" },
  });
  return { child, gone: once(child, "exit"), left: () => readdirSync(folder).filter((name) => /^pith/.test(name)) };
}

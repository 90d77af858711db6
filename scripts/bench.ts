/**
 * `npm run bench -- <name> [arguments]` runs `bench/<name>.bench.ts`, which reads its arguments from `process.argv.slice(2)` and prints
 * its measurements. Without a name, the command lists the benches.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { disableTelemetry } from "../src/core/platform/node-telemetry.ts";

const folder = new URL("../bench/", import.meta.url);
const [name] = process.argv.splice(2, 1);
const file = new URL(`${name}.bench.ts`, folder);

if (name !== undefined && existsSync(file)) {
  // A bench and the programs that it starts can load a runtime directly, with its telemetry on.
  await disableTelemetry();
  await import(file.href);
} else {
  if (name !== undefined) process.stdout.write(`There is no bench/${name}.bench.ts.\n`);
  process.stdout.write("npm run bench -- <name>, with one of:\n");
  for (const entry of readdirSync(folder).sort()) {
    const benchName = /^(.+)\.bench\.ts$/.exec(entry)?.[1];
    if (benchName !== undefined)
      process.stdout.write(
        `  ${benchName.padEnd(16)} ${firstSentence(readFileSync(new URL(entry, folder), "utf8"))}\n`,
      );
  }
  process.exitCode = name === undefined ? 0 : 2;
}

/** Returns the first sentence of the header comment. */
function firstSentence(text: string): string {
  const header = /^\s*\/\*\*([\s\S]*?)\*\//.exec(text)?.[1] ?? "";
  return (
    header
      .replaceAll(/\s*\n\s*\* ?/g, " ")
      .trim()
      .split(/(?<=[.:])\s/)[0] ?? ""
  );
}

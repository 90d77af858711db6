/**
 * `npm run bench -- <name> [arguments]` runs `bench/<name>.bench.ts`, which finds its own arguments in `process.argv.slice(2)` and prints
 * what it measured. Without a name it lists them.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { disableTelemetry } from "../src/core/platform/node-telemetry.ts";

const folder = new URL("../bench/", import.meta.url);
const [name] = process.argv.splice(2, 1);
const file = new URL(`${name}.bench.ts`, folder);

if (name !== undefined && existsSync(file)) {
  // Of the runtimes that a bench, or a program that it starts, loads by itself.
  await disableTelemetry();
  await import(file.href);
} else {
  if (name !== undefined) process.stdout.write(`There is no bench/${name}.bench.ts.\n`);
  process.stdout.write("npm run bench -- <name>, with one of:\n");
  for (const entry of readdirSync(folder).sort()) {
    const known = /^(.+)\.bench\.ts$/.exec(entry)?.[1];
    if (known !== undefined)
      process.stdout.write(`  ${known.padEnd(16)} ${firstSentence(readFileSync(new URL(entry, folder), "utf8"))}\n`);
  }
  process.exitCode = name === undefined ? 0 : 2;
}

/** Of the header comment. */
function firstSentence(text: string): string {
  const header = /^\s*\/\*\*([\s\S]*?)\*\//.exec(text)?.[1] ?? "";
  return (
    header
      .replaceAll(/\s*\n\s*\* ?/g, " ")
      .trim()
      .split(/(?<=[.:])\s/)[0] ?? ""
  );
}

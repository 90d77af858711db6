/** Stops the real program by a signal while its job computes without yielding. */
import { type ChildProcess, spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { beforeAll, expect } from "vitest";
import { temporaryFolder } from "../../temporary.ts";
import { program } from "./run.ts";

interface Ended {
  readonly code: number | null;
  readonly err: string;
}

/** Runs the program, and sends it a signal as soon as the file `mark` exists. */
export async function runUntilMark(
  mark: string,
  signal: NodeJS.Signals,
  words: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Ended> {
  const child: ChildProcess = spawn(process.execPath, [program, ...words], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let err = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    err += text;
  });
  const watch = setInterval(() => {
    if (!existsSync(mark)) return;
    clearInterval(watch);
    child.kill(signal);
  }, 5);
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  clearInterval(watch);
  return { code, err };
}

const text = `
  import { writeFileSync } from "node:fs";
  if (process.send)
    process.on("message", () => {
      writeFileSync(process.env.BUSY_MARK, String(process.pid));
      for (;;);
    });`;

/**
 * A module that Node imports in each process it starts; only that of a job has a channel. At the first message, which is the job's order,
 * it writes its process id to BUSY_MARK, and never yields.
 */
export function neverYielding(): string {
  const busy = join(temporaryFolder(), "busy.mjs");
  beforeAll(() => writeFileSync(busy, text));
  return pathToFileURL(busy).href;
}

/** @param words a command with its options, without the model. @param at where a file of the small models lies. */
export async function expectNothingLeft(
  signal: NodeJS.Signals,
  expected: number,
  [command, ...words]: readonly [string, ...string[]],
  { busy, at }: { readonly busy: string; readonly at: (name: string) => string },
): Promise<void> {
  const base = temporaryFolder();
  const [mark, temporary] = [join(base, "busy"), join(base, "temporary")];
  mkdirSync(temporary);
  for (const name of ["right.onnx", "points.csv"]) copyFileSync(at(name), join(base, name));
  const before = readdirSync(base);
  const env = { NODE_OPTIONS: `--import ${busy}`, BUSY_MARK: mark, TMPDIR: temporary, NODE_DISABLE_COMPILE_CACHE: "1" };
  const paths = words.map((word) => (/[.]|^out$/.test(word) ? join(base, word) : word));
  const { code, err } = await runUntilMark(mark, signal, [command, join(base, "right.onnx"), ...paths], env);
  expect({ code, err }).toEqual({ code: expected, err: expect.stringMatching(/^E_STOPPED: \w+ \S+ was stopped\./m) });
  expect(readdirSync(temporary)).toEqual([]);
  expect(readdirSync(base).toSorted()).toEqual([...before, "busy"].toSorted());
}

/** Runs checks in parallel and reports their outcomes. */
import { spawn } from "node:child_process";
import type { Finding } from "./sources.ts";

export interface Outcome {
  readonly name: string;
  readonly passed: boolean;
  readonly seconds: number;
  /** Text to print if the check failed. */
  readonly output: string;
}

export async function timed(name: string, work: () => Promise<Omit<Outcome, "name" | "seconds">>): Promise<Outcome> {
  const start = performance.now();
  const outcome = await work().catch((error: unknown) => ({
    passed: false,
    output: error instanceof Error ? (error.stack ?? error.message) : String(error),
  }));
  return { name, ...outcome, seconds: (performance.now() - start) / 1000 };
}

/** Runs a command of `node_modules/.bin`, which passes if it exits with 0. */
export function command(name: string, program: string, ...options: readonly string[]): Promise<Outcome> {
  return timed(
    name,
    () =>
      new Promise((resolve, reject) => {
        const child = spawn(program, options, {
          stdio: ["ignore", "pipe", "pipe"],
          // On Windows, npm and the programs of node_modules/.bin are shell scripts.
          shell: process.platform === "win32",
          env: { ...process.env, FORCE_COLOR: undefined, NO_COLOR: "1" },
        });
        const chunks: Buffer[] = [];
        child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
        child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk));
        child.on("error", reject);
        child.on("close", (code) => resolve({ passed: code === 0, output: Buffer.concat(chunks).toString("utf8") }));
      }),
  );
}

export function findings(name: string, find: () => readonly Finding[] | Promise<readonly Finding[]>): Promise<Outcome> {
  return timed(name, async () => {
    const list = await find();
    const lines = list.map(({ file, line, rule, text }) => `${file}:${line}  ${rule}: ${text}`);
    return { passed: list.length === 0, output: lines.join("\n") };
  });
}

/** Prints each outcome. @returns whether all passed. */
export function report(outcomes: readonly Outcome[]): boolean {
  for (const { name, passed, output } of outcomes) {
    if (!passed) process.stdout.write(`\n── ${name} ──\n${output.trimEnd()}\n`);
  }
  process.stdout.write("\n");
  for (const { name, passed, seconds } of outcomes) {
    process.stdout.write(`${passed ? "ok    " : "FAILED"}  ${seconds.toFixed(1).padStart(5)} s  ${name}\n`);
  }
  return outcomes.every(({ passed }) => passed);
}

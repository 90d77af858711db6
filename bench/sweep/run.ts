/** One command line on one model, in a process and a folder of its own. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runJob } from "../../src/runtime/job/run.ts";
import { secondsSince } from "../../src/runtime/run/elapsed.ts";
import type checkJob from "./check-job.ts";
import type { Checked, CheckInput } from "./check-job.ts";
import type { Swept } from "./commands.ts";

export const program = fileURLToPath(new URL("../../dist/app/cli/main.js", import.meta.url));

/** What became of a command; the last four are faults. */
export type Outcome =
  | "done"
  | "written"
  /** The file was written, and nothing tells whether it is right: the original does not run here. */
  | "not compared"
  | "refused"
  | "not asked"
  | "wrong"
  | "internal"
  | "crashed"
  | "slow";

export const faults: ReadonlySet<Outcome> = new Set(["wrong", "internal", "crashed", "slow"]);

export interface Row {
  readonly model: string;
  readonly command: string;
  readonly outcome: Outcome;
  /** The sentence of a refusal or a fault. */
  readonly said?: string;
  readonly decibels?: number;
  /** Of the command; what checks its file is not counted. */
  readonly seconds: number;
}

export function check(input: CheckInput, signal: AbortSignal): Promise<Checked> {
  return runJob<typeof checkJob>(new URL("./check-job.ts", import.meta.url), input, { name: "The check", signal });
}

/** Runs a command; `limit` in seconds. */
export async function sweepOne(
  command: Swept,
  given: { readonly name: string; readonly model: string; readonly data: string | undefined; readonly seed: number },
  limit: number,
  signal: AbortSignal,
): Promise<Row> {
  const folder = mkdtempSync(join(tmpdir(), "pith-sweep-"));
  const started = performance.now();
  let seconds: number | undefined;
  const row = (outcome: Outcome, more: Partial<Row> = {}): Row => ({
    model: given.name,
    command: command.name,
    outcome,
    ...more,
    seconds: Math.round(100 * (seconds ?? secondsSince(started))) / 100,
  });
  try {
    const out = join(folder, `out${command.writes ?? ""}`);
    const words = command.words({ model: given.model, out, data: given.data });
    if (words === undefined) return row("not asked", { said: "there is no data for it" });
    const ran = await start([...words, "--json"], folder, limit, signal);
    // What comes behind is not the command's.
    seconds = secondsSince(started);
    if (ran.end === "limit") return row("slow", { said: `stopped after ${limit} s` });
    if (typeof ran.end === "string") return row("crashed", { said: `${ran.end} ${lastLine(ran.err)}` });
    if (/\n\s+at .*:\d+\)?|internal:/i.test(ran.err)) return row("internal", { said: lastLine(ran.err) });
    const written = existsSync(out);
    if (ran.end !== 0 || (command.writes !== undefined && !written)) {
      const left = readdirSync(folder);
      if (left.length > 0) return row("wrong", { said: `it is refused, and leaves ${left.join(", ")}` });
      const said = sentence(ran.err) ?? reasonIn(ran.out);
      return said === undefined
        ? row("internal", { said: `exit code ${ran.end} without a sentence: ${lastLine(ran.err)}` })
        : row("refused", { said });
    }
    if (command.writes !== ".onnx") return row("done");
    const late = AbortSignal.timeout(limit * 1000);
    const until = AbortSignal.any([signal, late]);
    const compared = (result: string): Promise<Checked> =>
      check({ original: given.model, result, seed: given.seed }, until);
    const found = await compared(out).catch(async (error: unknown): Promise<Checked> => {
      if (signal.aborted) throw error;
      if (late.aborted) return { notRun: `both do not run within ${limit} s on random inputs` };
      const crashes = await compared(given.model).then(
        () => false,
        () => true,
      );
      return crashes
        ? { notRun: "the runtime crashes on the original" }
        : { fault: `the runtime crashes on it: ${error}` };
    });
    if (found.notRun !== undefined) return row("not compared", { said: found.notRun });
    if (found.fault !== undefined) return row("wrong", { said: found.fault });
    const figure = found.decibels === undefined ? {} : { decibels: Math.round(10 * found.decibels) / 10 };
    const far = (found.decibels ?? Number.POSITIVE_INFINITY) < (command.least ?? Number.NEGATIVE_INFINITY);
    return row(far ? "wrong" : "written", far ? { ...figure, said: `less than ${command.least} dB` } : figure);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Ran {
  /** The exit code; else the signal that killed it, or that the limit was reached. */
  readonly end: number | string;
  readonly out: string;
  readonly err: string;
}

function start(words: readonly string[], cwd: string, limit: number, signal: AbortSignal): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...words], {
      cwd,
      detached: true,
      env: { ...process.env, NO_COLOR: "1" },
    });
    const text = { out: "", err: "" };
    child.stdout.on("data", (part) => (text.out += part));
    child.stderr.on("data", (part) => (text.err += part));
    let late = false;
    const end = (): void => {
      // Its jobs are processes of the same group.
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    };
    const timer = setTimeout(() => {
      late = true;
      end();
    }, limit * 1000);
    signal.addEventListener("abort", end, { once: true });
    child.on("error", reject);
    child.on("close", (code, killedBy) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      if (signal.aborted) reject(signal.reason);
      else resolve({ end: late ? "limit" : (code ?? killedBy ?? "it ended"), ...text });
    });
  });
}

/** "E_CODE: sentence." of what `--json` puts on standard error. */
function sentence(err: string): string | undefined {
  for (const text of err.trim().split("\n").reverse()) {
    try {
      const { error } = JSON.parse(text) as { error?: { code: string; message: string } };
      if (error !== undefined) return `${error.code}: ${error.message}`;
    } catch {
      if (/^E_[A-Z_]+: /.test(text)) return text;
    }
  }
  return undefined;
}

/** Why nothing was written, of a result: what was lost, that nothing was gained, or the first of the reasons. */
function reasonIn(out: string): string | undefined {
  try {
    const { lost, idle, misses } = JSON.parse(out) as {
      lost?: string;
      idle?: string;
      misses?: readonly { at?: string; reason: string }[];
    };
    return (
      lost ?? idle ?? (misses?.length === 0 ? "there is nothing to change" : misses?.map(({ reason }) => reason)[0])
    );
  } catch {
    return undefined;
  }
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1)?.slice(0, 300) ?? "";
}

/** Runs one command line on one model, in a separate process and folder. */
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

/** Outcome of a command; the last four are faults. */
export type Outcome =
  | "done"
  | "written"
  /** The file was written but cannot be checked, because the original does not run here. */
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
  /** Message of a rejection or a fault. */
  readonly said?: string;
  readonly decibels?: number;
  /** Wall-clock seconds of the command, without the check of its file. */
  readonly seconds: number;
}

/** Path of a model's samples, or the reason why there are none. */
export interface Samples {
  readonly data?: string;
  readonly noData?: string;
}

export function check(input: CheckInput, signal: AbortSignal): Promise<Checked> {
  return runJob<typeof checkJob>(new URL("./check-job.ts", import.meta.url), input, { name: "The check", signal });
}

/** Runs a command; `limit` in seconds. */
export async function sweepOne(
  command: Swept,
  given: Samples & { readonly name: string; readonly model: string; readonly seed: number },
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
    if (words === undefined) return row("not asked", { said: given.noData ?? "it has no data" });
    const ran = await start([...words, "--json"], folder, limit, signal);
    // The time of the command ends here, before the checks.
    seconds = secondsSince(started);
    if (ran.end === "limit") return row("slow", { said: `stopped after ${limit} s` });
    if (typeof ran.end === "string") return row("crashed", { said: `${ran.end} ${lastLine(ran.err)}` });
    if (/\n\s+at .*:\d+\)?|internal:/i.test(ran.err)) return row("internal", { said: lastLine(ran.err) });
    const written = existsSync(out);
    if (ran.end !== 0 || (command.writes !== undefined && !written)) {
      const leftovers = readdirSync(folder);
      if (leftovers.length > 0) return row("wrong", { said: `it is refused, and leaves ${leftovers.join(", ")}` });
      const refusal = sentence(ran.err) ?? reasonIn(ran.out);
      return refusal === undefined
        ? row("internal", { said: `exit code ${ran.end} without a sentence: ${lastLine(ran.err)}` })
        : row("refused", { said: refusal });
    }
    if (command.writes !== ".onnx") return row("done");
    const late = AbortSignal.timeout(limit * 1000);
    const until = AbortSignal.any([signal, late]);
    const compared = (result: string): Promise<Checked> =>
      check({ original: given.model, result, seed: given.seed }, until);
    const checked = await compared(out).catch(async (error: unknown): Promise<Checked> => {
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
    if (checked.notRun !== undefined) return row("not compared", { said: checked.notRun });
    if (checked.fault !== undefined) return row("wrong", { said: checked.fault });
    const figure = checked.decibels === undefined ? {} : { decibels: Math.round(10 * checked.decibels) / 10 };
    const far = (checked.decibels ?? Number.POSITIVE_INFINITY) < (command.least ?? Number.NEGATIVE_INFINITY);
    return row(far ? "wrong" : "written", far ? { ...figure, said: `less than ${command.least} dB` } : figure);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Ran {
  /** The exit code, the signal that killed the command, or "limit". */
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
      // The jobs of the command are processes of the same group.
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

/** Returns "E_CODE: sentence." from the JSON on standard error. */
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

/** Returns the reason why a result was not written: the loss, the lack of a gain, or the first skip reason. */
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

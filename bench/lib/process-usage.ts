/** Measures the time and the memory of a command and all processes that it starts. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

export interface ProcessUsage {
  readonly code: number;
  /** Seconds of processor time (user and system), and of wall-clock time. */
  readonly processor: number;
  readonly seconds: number;
  /** Peak of the total memory in bytes: anonymous memory, and resident memory including mapped files. */
  readonly own: number;
  readonly all: number;
  readonly error: string;
}

export async function measureProcesses(program: string, words: readonly string[]): Promise<ProcessUsage> {
  const timed = `TIMEFORMAT="time %U %S %R"; time "$@"`;
  const child = spawn("bash", ["-c", timed, "bash", program, ...words], { stdio: ["ignore", "ignore", "pipe"] });
  let error = "";
  child.stderr.on("data", (text) => {
    error += text;
  });
  let [anonymous, all] = [0, 0];
  const timer = setInterval(() => {
    const memory = memoryBelow(child.pid ?? 0);
    [anonymous, all] = [Math.max(anonymous, memory.own), Math.max(all, memory.all)];
  }, 50);
  const code = await new Promise<number>((resolve) => child.on("close", (status) => resolve(status ?? 1)));
  clearInterval(timer);
  const [user = 0, system = 0, seconds = 0] = (error.trim().split("\n").at(-1) ?? "").split(" ").slice(1).map(Number);
  return { code, processor: user + system, seconds, own: anonymous, all, error };
}

/** Returns the memory of all descendants of a process in bytes: anonymous (RssAnon), and resident including mapped files (VmRSS). */
function memoryBelow(root: number): { readonly own: number; readonly all: number } {
  const parents = new Map<number, number>();
  const memoryOfProcess = new Map<number, { readonly own: number; readonly all: number }>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const text = readFileSync(`/proc/${name}/status`, "utf8");
      const number = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0);
      parents.set(Number(name), number("PPid"));
      memoryOfProcess.set(Number(name), { own: 1024 * number("RssAnon"), all: 1024 * number("VmRSS") });
    } catch {
      // The process has ended since the listing.
    }
  }
  let [anonymous, all] = [0, 0];
  for (const [pid, memory] of memoryOfProcess) {
    let at: number | undefined = pid;
    while (at !== undefined && at !== root) at = parents.get(at);
    if (at !== root) continue;
    anonymous += memory.own;
    all += memory.all;
  }
  return { own: anonymous, all };
}

/** What a command takes with all processes that it starts. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

export interface Taken {
  readonly code: number;
  /** Seconds of the processor, in the system too, and by the clock. */
  readonly processor: number;
  readonly seconds: number;
  /** The most that all held together, in bytes: memory of their own, and with the pages of files that they have mapped. */
  readonly own: number;
  readonly all: number;
  readonly error: string;
}

export async function takenBy(program: string, words: readonly string[]): Promise<Taken> {
  const timed = `TIMEFORMAT="time %U %S %R"; time "$@"`;
  const child = spawn("bash", ["-c", timed, "bash", program, ...words], { stdio: ["ignore", "ignore", "pipe"] });
  let error = "";
  child.stderr.on("data", (text) => {
    error += text;
  });
  let [own, all] = [0, 0];
  const timer = setInterval(() => {
    const held = heldBelow(child.pid ?? 0);
    [own, all] = [Math.max(own, held.own), Math.max(all, held.all)];
  }, 200);
  const code = await new Promise<number>((resolve) => child.on("close", (status) => resolve(status ?? 1)));
  clearInterval(timer);
  const [user = 0, system = 0, seconds = 0] = (error.trim().split("\n").at(-1) ?? "").split(" ").slice(1).map(Number);
  return { code, processor: user + system, seconds, own, all, error };
}

/** Memory of all descendants of a process, in bytes: anonymous (RssAnon), and resident with mapped file pages (VmRSS). */
function heldBelow(root: number): { readonly own: number; readonly all: number } {
  const parents = new Map<number, number>();
  const held = new Map<number, { readonly own: number; readonly all: number }>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const text = readFileSync(`/proc/${name}/status`, "utf8");
      const number = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0);
      parents.set(Number(name), number("PPid"));
      held.set(Number(name), { own: 1024 * number("RssAnon"), all: 1024 * number("VmRSS") });
    } catch {
      // It has ended meanwhile.
    }
  }
  let [own, all] = [0, 0];
  for (const [pid, memory] of held) {
    let at: number | undefined = pid;
    while (at !== undefined && at !== root) at = parents.get(at);
    if (at !== root) continue;
    own += memory.own;
    all += memory.all;
  }
  return { own, all };
}

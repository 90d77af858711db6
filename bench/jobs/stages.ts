/**
 * Runs a command line and writes the processor time of its stages as JSON to a file: `stages.ts <file> <words…>`. A stage is the one that the job
 * reports; "start" is everything before the first one, in all processes.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { runProgram } from "../../src/app/cli/program.ts";
import { runJob } from "../../src/runtime/job/run.ts";

export interface StageTimes {
  readonly code: number;
  /** Seconds of processor time by stage, in order. A stage that occurs several times is one entry. */
  readonly stages: Readonly<Record<string, number>>;
  readonly data: unknown;
}

const [file = "", ...words] = process.argv.slice(2);
/** Seconds of a tick of /proc (USER_HZ). */
const tick = 0.01;
const children = new Set<number>();

/** Returns the processor time of the children of this process. Ended ones count with their parent. */
function childSeconds(): number {
  const [ownTimes, ...childTimes] = [process.pid, ...children].map((pid) => {
    try {
      const text = readFileSync(`/proc/${pid}/stat`, "utf8");
      // The second field is the name in brackets. The times follow as fields 14 to 17: user, system, and both of ended children.
      return text
        .slice(text.lastIndexOf(")") + 2)
        .split(" ")
        .slice(11, 15)
        .map((ticks) => Number(ticks) * tick);
    } catch {
      return [];
    }
  });
  const [, , user = 0, system = 0] = ownTimes ?? [];
  return childTimes.flat().reduce((sum, seconds) => sum + seconds, user + system);
}

const stages = new Map<string, number>();
let [stage, before] = ["start", 0];
const finish = (next: string): void => {
  const now = childSeconds();
  stages.set(stage, (stages.get(stage) ?? 0) + Math.max(0, now - before));
  [stage, before] = [next, now];
};
const measuredJob: typeof runJob = (module, input, options = {}) =>
  runJob(module, input, {
    ...options,
    onChild: (child) => {
      if (child.pid !== undefined) children.add(child.pid);
      options.onChild?.(child);
    },
    onEvent: (event) => {
      if (event.kind === "stage") finish(event.name);
      options.onEvent?.(event);
    },
  });

/** Returns a stream that keeps its text. */
function textStream() {
  const parts: string[] = [];
  return { write: (text: string) => parts.push(text), text: () => parts.join("") };
}

const [out, err] = [textStream(), textStream()];
const code = await runProgram([...words, "--json"], {
  out,
  err,
  signal: new AbortController().signal,
  runJob: measuredJob,
});
finish("end");
const { user, system } = process.cpuUsage();
stages.set("start", (stages.get("start") ?? 0) + (user + system) / 1e6);
const text = out.text();
if (text === "") process.stderr.write(err.text());
const times: StageTimes = {
  code,
  stages: Object.fromEntries(stages),
  data: text === "" ? undefined : JSON.parse(text),
};
writeFileSync(file, JSON.stringify(times));

/**
 * How long training steps wait for their batches, without and with threads that prepare them, on real data.
 *
 *     npm run bench -- feeding [words of names…] [--steps 40] [--threads n] [--seed 1] [--idle]
 *
 * Each line is one data set and one network, trained for some steps in a process of its own: once with all preparation in the thread of the
 * steps ("alone"), once with as many threads as the rule of `createFeed` starts. "waits" is the share of the time between steps that passed
 * until the batch was there; the step with which the model is built is left out. "settled" is that share in the second half of the steps:
 * the first ones are those that are measured to decide, and those in which threads start. "time" is that of all steps, as a share of the
 * time alone. The losses of both are the same numbers, which is checked.
 *
 * Preparing needs cores of its own: the runtime has one less than the machine, unless --threads says otherwise. Where preparing a batch takes
 * longer than its step on all other cores together, no arrangement makes the step wait for nothing: "needs" is how many threads would. On a
 * machine of two cores both are short of them. With --idle, steps block their thread for as long as the fastest of ten real ones and compute
 * nothing: what is measured then is whether batches are there in time if cores are.
 */
import { execFile } from "node:child_process";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import type { FeedingTimes } from "./feeding/run.ts";
import { sets } from "./feeding/sets.ts";
import { heading, line, table } from "./lib/print.ts";

const { values: options, positionals } = parseArgs({
  options: {
    steps: { type: "string", default: "40" },
    threads: { type: "string", default: String(Math.max(1, availableParallelism() - 1)) },
    seed: { type: "string", default: "1" },
    idle: { type: "boolean", default: false },
  },
  allowPositionals: true,
});

interface Run {
  readonly threads: string;
  readonly sharp: boolean;
  readonly steps?: string;
  /** Milliseconds of a step that only blocks. */
  readonly idle?: number;
}

async function run(name: string, { threads, sharp, steps = options.steps, idle = 0 }: Run): Promise<FeedingTimes> {
  const hidden = sharp ? {} : { NODE_OPTIONS: `--import ${new URL("feeding/without-sharp.mjs", import.meta.url)}` };
  const program = fileURLToPath(new URL("feeding/run.ts", import.meta.url));
  const words = ["--import", "tsx", "--conditions=pith-source", program];
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...words, name, threads, steps, options.threads, options.seed, String(idle)],
    { env: { ...process.env, ...hidden } },
  );
  return JSON.parse(stdout);
}

const sum = (list: readonly number[]): number => list.reduce((total, each) => total + each, 0);

function waits({ waited, used }: FeedingTimes, from = 0): string {
  const [lost, worked] = [sum(waited.slice(from)), sum(used.slice(from))];
  return `${((100 * lost) / (lost + worked)).toFixed(1)} %`;
}

const steps = options.idle ? "idle steps" : "steps";
heading(`Feeding: ${options.steps} ${steps} each, ${options.threads} threads of the runtime`, Number(options.seed));
const rows: string[][] = [];
for (const { name, inFiles } of sets) {
  if (positionals.length > 0 && !positionals.some((word) => name.includes(word))) continue;
  for (const sharp of inFiles ? [true, false] : [true]) {
    const idle = options.idle ? Math.min(...(await run(name, { threads: "0", sharp, steps: "10" })).used) : 0;
    const alone = await run(name, { threads: "0", sharp, idle });
    const fed = await run(name, { threads: "auto", sharp, idle });
    if (alone.losses !== fed.losses) throw new Error(`${name}: the losses are ${alone.losses} and ${fed.losses}.`);
    const half = Math.floor(fed.waited.length / 2);
    const steps = alone.waited.length;
    const both = ({ waited, used }: FeedingTimes): number => sum(waited) + sum(used);
    rows.push([
      `${name}${sharp ? "" : ", without sharp"}`,
      (sum(alone.used) / steps).toFixed(0),
      (sum(alone.waited) / steps).toFixed(1),
      waits(alone),
      waits(fed),
      waits(fed, half),
      String(fed.threads),
      (sum(alone.waited) / sum(alone.used)).toFixed(2),
      `${((100 * both(fed)) / both(alone)).toFixed(0)} %`,
    ]);
    line(`  ${rows.at(-1)?.join("  ")}`);
  }
}
line();
table(
  [
    "data and network",
    ">step ms",
    ">preparing ms",
    ">waits alone",
    ">waits",
    ">settled",
    ">threads",
    ">needs",
    ">time",
  ],
  rows,
);

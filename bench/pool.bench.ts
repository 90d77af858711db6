/**
 * How much faster a search is on several workers: a simulation.
 *
 *     npm run bench -- pool [--workers 1,4,16,64] [--draws 200]
 *
 * The pool is the one of the search. Durations are sampled from seven candidates of ResNet-20. For each round, the pool receives a random list of speculative jobs. Each job
 * in the list is needed by a later round with the probability in the column heading; otherwise no round needs it.
 */
import { parseArgs } from "node:util";
import { random } from "../src/core/tensor/random.ts";
import { Pool } from "../src/judge/steps/pool.ts";
import { heading, table } from "./lib/print.ts";

const { values: options } = parseArgs({
  options: { workers: { type: "string", default: "1,4,16,64" }, draws: { type: "string", default: "200" } },
});

const seconds = [49, 62, 96, 131, 188, 412, 469];
/** Seconds to open the model and the data in the separate process of a candidate. */
const opening = 4;
const [combinations, ofRound] = [120, 3];
const probabilities = [0.25, 0.5, 0.75];

/** Waits until the settled promises have continued. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Returns the seconds of a simulated search with several processes, and those with one. */
async function searched(jobs: number, probability: number, seed: number) {
  const { uniform, integer } = random(seed, "jobs");
  const took = new Map<string, number>();
  const secondsOf = (name: string): number => {
    const duration = took.get(name) ?? seconds[integer(seconds.length)] ?? 0;
    took.set(name, duration);
    return duration;
  };
  const all = Array.from({ length: combinations }, (_, at) => `${at}`);
  const alone = all.reduce((sum, name) => sum + secondsOf(name), 0);
  let now = 0;
  const running: { readonly until: number; readonly end: () => void }[] = [];
  const pool = new Pool({
    maxRunning: () => jobs,
    runOne: (name) =>
      new Promise((resolve) => running.push({ until: now + opening + secondsOf(name), end: () => resolve(true) })),
  });
  for (let at = 0; at < combinations; at += ofRound) {
    const later = all.slice(at + ofRound);
    const speculative = Array.from({ length: 2 * jobs }, (_, place) =>
      uniform() < probability ? (later.shift() ?? `${at}/${place}`) : `${at}/${place}`,
    );
    let isOver = false;
    const { signal } = new AbortController();
    void pool.runRound(all.slice(at, at + ofRound), speculative, { signal }).then(() => {
      isOver = true;
    });
    for (await settled(); !isOver; await settled()) {
      const next = running.toSorted((a, b) => a.until - b.until)[0];
      if (next === undefined) throw new RangeError("nothing runs");
      running.splice(running.indexOf(next), 1);
      now = next.until;
      next.end();
    }
  }
  return { alone, together: now };
}

heading("Speed-up by the share of what is tried ahead that is asked for later", 0);
const rows: string[][] = [];
for (const jobs of options.workers.split(",").map(Number)) {
  const row = [`${jobs}`];
  for (const probability of probabilities) {
    const draws = await Promise.all(
      Array.from({ length: Number(options.draws) }, (_, draw) => searched(jobs, probability, draw)),
    );
    const mean = draws.reduce((sum, { alone, together }) => sum + alone / together, 0) / draws.length;
    row.push(`${mean.toFixed(1)} ×`);
  }
  rows.push(row);
}
table(["workers", ...probabilities.map((one) => `>${one}`)], rows);

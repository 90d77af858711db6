/**
 * Times training steps against PyTorch: the same networks, batches, optimizers and threads, each side in a separate process.
 *
 *     npm run bench -- train [names…] [--rounds 6] [--seconds 2] [--threads 2] [--clock cpu] [--python path]
 *
 * Rounds alternate, so that both run under the same load. A ratio is the median over rounds of the ratio of the fastest steps in the
 * round, with its range in brackets. Memory is the peak of each process.
 * On a machine that runs other work at the same time, two threads wait for each other: `--threads 1 --clock cpu` counts processor time, which
 * other work hardly changes.
 * Requires `npm run build`: the loops of optimizers are twice as fast in the bundle as in the sources that tsx loads one by one.
 * "session" is the time to write, differentiate and load a step's graph. The whole bench takes about five minutes.
 * PyTorch is compared if a Python has torch: --python, PITH_PYTHON, bench/peers/venv or python3.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { median } from "./lib/print.ts";
import { networks } from "./train/networks.ts";

const { values: options, positionals } = parseArgs({
  options: {
    rounds: { type: "string", default: "6" },
    seconds: { type: "string", default: "2" },
    threads: { type: "string", default: "2" },
    clock: { type: "string", default: "wall" },
    python: { type: "string" },
  },
  allowPositionals: true,
});
const mebibyte = 2 ** 20;

interface Side {
  /** First line of the program, printed when it is ready. */
  readonly said: string;
  /** Runs steps. @returns the milliseconds of the fastest one, and the peak memory in bytes. */
  time(steps: number): Promise<{ readonly fastest: number; readonly peak: number }>;
  stop(): void;
}

/** Starts a program that reads numbers of steps and prints times. @returns undefined if it does not start. */
async function start(program: string, words: readonly string[]): Promise<Side | undefined> {
  const child = spawn(program, words, { stdio: ["pipe", "pipe", "inherit"] });
  child.on("error", () => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.done === true || !first.value.startsWith("ready")) return undefined;
  return {
    said: first.value.split(" ")[1] ?? "",
    async time(steps) {
      child.stdin.write(`${steps}\n`);
      const { value } = await lines.next();
      const [fastest = Number.NaN, peak = Number.NaN] = String(value).split(" ").map(Number);
      return { fastest, peak };
    },
    stop: () => child.kill(),
  };
}

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const ours = (name: string): Promise<Side | undefined> =>
  start(process.execPath, ["--import", "tsx", path("train/ours.ts"), name, options.threads, options.clock]);

async function theirs(name: string): Promise<Side | undefined> {
  const pythons = [options.python, process.env.PITH_PYTHON, path("peers/venv/bin/python"), "python3"];
  for (const python of pythons) {
    if (python === undefined) continue;
    const side = await start(python, [path("peers/train_networks.py"), name, options.threads, options.clock]);
    if (side !== undefined) return side;
  }
  return undefined;
}

const chosen = networks.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
console.log(`Training steps, ${options.threads} threads, ${options.clock} time, ${options.rounds} rounds, seed 1`);
console.log(
  "network       ours ms  PyTorch ms   ratio (range)          target    memory: ours, PyTorch, ratio   session ms",
);
for (const { name, target } of chosen) {
  const [pith, other] = [await ours(name), await theirs(name)];
  if (pith === undefined) throw new Error(`${name} did not start.`);
  const once = await pith.time(1);
  const steps = Math.max(1, Math.round((1000 * Number(options.seconds)) / once.fastest));
  const times: { own: number; other: number }[] = [];
  let peaks = { own: 0, other: 0 };
  for (let round = 0; round < Number(options.rounds); round++) {
    const mine = await pith.time(steps);
    const peer = await other?.time(steps);
    times.push({ own: mine.fastest, other: peer?.fastest ?? Number.NaN });
    peaks = { own: mine.peak, other: peer?.peak ?? Number.NaN };
  }
  pith.stop();
  other?.stop();
  const ratios = times.map((round) => round.own / round.other).toSorted((a, b) => a - b);
  const range = `${median(ratios).toFixed(2)} (${ratios[0]?.toFixed(2)}…${ratios.at(-1)?.toFixed(2)})`;
  const goal =
    target === undefined ? "reported" : `≤ ${target.toFixed(2)} ${median(ratios) <= target ? "met" : "MISSED"}`;
  const memory = `${Math.round(peaks.own / mebibyte)} MB, ${Math.round(peaks.other / mebibyte)} MB, ${(peaks.own / peaks.other).toFixed(2)}`;
  const [mine, peer] = [median(times.map((round) => round.own)), median(times.map((round) => round.other))];
  console.log(
    `${name.padEnd(12)} ${mine.toFixed(2).padStart(8)} ${peer.toFixed(2).padStart(11)}   ${range.padEnd(21)}  ${goal.padEnd(16)} ${memory.padEnd(26)} ${pith.said}`,
  );
  if (other === undefined) console.log("  PyTorch was not measured: no Python with torch found (--python)");
}

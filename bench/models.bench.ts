/**
 * Every model of the shared folder through every command: inspect, plot, eval, simplify, prune, quantize, factorize.
 *
 *     npm run bench -- models [--only resnet20,hf_gpt2] [--folder path] [--step prune,static] [--samples 100]
 *
 * Pruning cuts 30 % of the channels, factorizing keeps 90 % of the energy, and nothing is fine-tuned: what falls badly is in the table.
 * Files are written whatever became of them (--force), opened again, held against the original by `pith eval --against`, and timed beside
 * it: 2 is half the time. Data is MNIST or CIFAR-10 where the model knows something about it, else samples drawn from a seed, which show
 * how near two networks are, not how good one is. What was refused stands below the table with its reason.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bytes, percent } from "../src/cli/numbers.ts";
import { PithError } from "../src/errors.ts";
import { moduleBeside } from "../src/job/job.ts";
import { runJob } from "../src/job/run.ts";
import { shared } from "../test/shared.ts";
import type modelJob from "./lib/model-job.ts";
import { lookingForData, type Outcome, type Row, readRow, type Step, steps } from "./lib/model-job.ts";
import { heading, line, table } from "./lib/print.ts";

const seed = 0;
/** Seconds after which a step is given up. */
const longestStep = 600;
/** What is no fault: neither of the model nor of Pith. */
const allowed: ReadonlySet<Outcome> = new Set(["done", "refused", "lost", "error"]);

const { values: options } = parseArgs({
  options: {
    only: { type: "string" },
    folder: { type: "string" },
    step: { type: "string" },
    samples: { type: "string", default: "500" },
  },
});
const roots = options.folder === undefined ? [shared("data/models"), shared("data/zoo")] : [options.folder];
const only = options.only?.split(",");
const wanted = options.step === undefined ? steps : steps.filter((step) => options.step?.split(",").includes(step));
const paths = roots
  .filter((root) => root !== undefined)
  .flatMap((root) =>
    existsSync(root) ? modelsIn(root).map((path) => ({ path, name: path.slice(root.length + 1) })) : [],
  )
  .map(({ path, name }) => ({ path, name: name.replace(/\.onnx$/, "") }))
  .filter(({ name }) => only === undefined || only.some((part) => name.includes(part)))
  .sort((a, b) => (a.name < b.name ? -1 : 1));
if (paths.length === 0) {
  line(
    "There is no model: the shared folder (../shared, or PITH_SHARED) or --folder has none, or none of these names.",
  );
  process.exit(2);
}
const labelled = [shared("data/mnist"), shared("data/cifar10")].filter((path) => path !== undefined);

function modelsIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".onnx"))
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Ctrl-C ends the bench, with a table of what was measured until then. */
const interrupted = new AbortController();
process.once("SIGINT", () => interrupted.abort());

/** One model in a process of its own; after a crash the steps that are left, in another one. */
async function through(path: string): Promise<readonly Row[]> {
  const rows: Row[] = [];
  let left: readonly Step[] = wanted;
  let notRun: string | undefined;
  while (left.length > 0) {
    const [first = "inspect"] = left;
    let at: Step | undefined;
    let looking = false;
    const stopper = new AbortController();
    let slow = setTimeout(() => stopper.abort(), longestStep * 1000);
    const input = { path, steps: left, labelled, samples: Number(options.samples), notRun, seed };
    try {
      await runJob<typeof modelJob>(moduleBeside(import.meta.url, "./lib/model-job"), input, {
        name: path,
        signal: AbortSignal.any([stopper.signal, interrupted.signal]),
        onEvent(event) {
          if (event.kind === "stage") {
            clearTimeout(slow);
            slow = setTimeout(() => stopper.abort(), longestStep * 1000);
            at = steps.find((step) => step === event.name);
            looking = event.name === lookingForData;
          } else if (event.kind === "log" && event.id === "row") {
            rows.push(readRow(event.text));
          }
        },
      });
      return rows;
    } catch (error) {
      if (interrupted.signal.aborted) return rows;
      const failed = failure(error, stopper.signal.aborted);
      if (looking && notRun === undefined && (failed.outcome === "crashed" || failed.outcome === "too slow")) {
        notRun = `the runtime is not asked again: ${failed.note}`;
        continue;
      }
      // Without a step under way the model itself could not be opened or run: no other step would fare better.
      const given = at === undefined ? left : [at];
      for (const step of given) rows.push({ step, seconds: Number.NaN, ...failed });
      left = left.slice(at === undefined ? left.length : left.indexOf(at ?? first) + 1);
    } finally {
      clearTimeout(slow);
    }
  }
  return rows;
}

function failure(error: unknown, stopped: boolean): Pick<Row, "outcome" | "note"> {
  if (stopped) return { outcome: "too slow", note: `stopped after ${longestStep} s` };
  if (!(error instanceof PithError)) return { outcome: "internal", note: String(error) };
  const crashed = error.code === "E_ENGINE" && /its process/.test(error.message);
  return { outcome: crashed ? "crashed" : "error", note: `${error.code}: ${error.message}` };
}

heading(`${paths.length} models through ${wanted.join(", ")}`, seed);
const outcomes = new Map<string, number>();
const faults = new Map<Outcome, number>();
const refusals = new Map<string, Set<string>>();
const cells: string[][] = [];
let measured = 0;
for (const [index, { path, name }] of paths.entries()) {
  if (interrupted.signal.aborted) break;
  const rows = await through(path);
  if (!interrupted.signal.aborted) measured++;
  const before = rows.find(({ step }) => step === "inspect");
  for (const row of rows) {
    const { step, outcome, misses = [] } = row;
    outcomes.set(`${step} ${outcome}`, (outcomes.get(`${step} ${outcome}`) ?? 0) + 1);
    if (!allowed.has(outcome)) faults.set(outcome, (faults.get(outcome) ?? 0) + 1);
    const reasons = outcome === "refused" || misses.length > 0 ? misses.map(({ reason }) => reason) : [];
    for (const reason of reasons.length === 0 && outcome === "refused" ? [row.note] : reasons) {
      const said = `${step}: ${withoutNames(reason)}`;
      refusals.set(said, (refusals.get(said) ?? new Set()).add(name));
    }
    cells.push([row === rows[0] ? name : "", ...cellsOf(row, before)]);
  }
  process.stderr.write(`${index + 1}/${paths.length} ${name}: ${rows.map(({ outcome }) => outcome).join(", ")}\n`);
}

/** Names of nodes and counts differ from place to place, reasons do not. */
function withoutNames(reason: string): string {
  return reason
    .replaceAll(/"[^"]*"/g, '"…"')
    .replaceAll(/\b\d+ of its \d+ channels/g, "some of its channels")
    .replaceAll(/(rank|up to) \d+/g, "$1 n")
    .replace(/(an (?:in|out)put of the model) \(.*\)$/, "$1");
}

function cellsOf(row: Row, before: Row | undefined): string[] {
  const { step, outcome, speed, agreement, decibels } = row;
  const part = (value: number | undefined, whole: number | undefined): string => {
    if (value === undefined) return "";
    return step === "inspect" || whole === undefined ? bytes(value) : `${bytes(value)} (${(value / whole).toFixed(2)})`;
  };
  return [
    step,
    outcome === "done" ? "" : outcome,
    part(row.bytes, before?.bytes),
    part(row.brotli, before?.brotli),
    speed === undefined ? "" : `${speed.median.toFixed(2)} (${speed.low.toFixed(2)} … ${speed.high.toFixed(2)})`,
    agreement === undefined ? "" : percent(agreement),
    decibels === undefined ? "" : Number.isFinite(decibels) ? decibels.toFixed(1) : "equal",
    row.note.length > 110 ? `${row.note.slice(0, 109)}…` : row.note,
  ];
}

line();
table(["model", "step", "", ">bytes", ">brotli", ">speed", ">agrees", ">dB", ""], cells);
line("\nRefused, or left as it is, and where:");
for (const [said, names] of [...refusals].sort(([a], [b]) => (a < b ? -1 : 1))) {
  const some = [...names].slice(0, 3).join(", ");
  line(`  ${said} (${names.size > 3 ? `${some} and ${names.size - 3} more` : some})`);
}
line("\nOutcomes:");
const all = [...new Set([...outcomes.keys()].map((key) => key.slice(key.indexOf(" ") + 1)))].sort();
table(
  ["", ...all.map((outcome) => `>${outcome}`)],
  wanted.map((step) => [step, ...all.map((outcome) => String(outcomes.get(`${step} ${outcome}`) ?? 0))]),
);
const sum = [...faults.values()].reduce((total, count) => total + count, 0);
if (measured < paths.length) line(`\nStopped: ${paths.length - measured} of ${paths.length} models were not measured.`);
line(
  `\n${measured} models, ${cells.length} steps: ${sum} ${sum === 1 ? "fault" : "faults"}${sum === 0 ? "" : " (internal, wrong, crashed, too slow)"}`,
);
process.exitCode = sum === 0 ? 0 : 1;

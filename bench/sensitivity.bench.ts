/**
 * Checks whether recipes of `sensitivity` meet their budget: prints the remaining share of the network for each kind of change, cost and budget.
 * Before, it prints the processor time of a measurement relative to a run of the original on the same number of samples.
 *
 *     npm run bench -- sensitivity [--models resnet20,cct_cifar10] [--samples 128] [--kinds bits]
 *
 * Exit code 1 if a budget that can be reached is exceeded, or, by changes of any size, missed by more than 5 points.
 */
import { parseArgs } from "node:util";
import { createEngine } from "../src/core/engine/index.ts";
import { percent } from "../src/core/numbers.ts";
import { open } from "../src/core/onnx/index.ts";
import { take } from "../src/data/batches/select.ts";
import { evaluate } from "../src/runtime/metrics/evaluate.ts";
import { allocationFrom } from "../src/search/sensitivity/allocation.ts";
import { sensitivity } from "../src/search/sensitivity/sensitivity.ts";
import { sensitivityCosts, sensitivityKinds } from "../src/search/sensitivity/sensitivity-record.ts";
import { filesOf, networks } from "./compress/networks.ts";
import { taskOf } from "./compress/task.ts";
import { heading, line, table } from "./lib/print.ts";

const { values } = parseArgs({
  options: {
    models: { type: "string", default: "resnet20,mobilenetv3_cifar10,cct_cifar10,bert_sst2,resnet8" },
    samples: { type: "string", default: "128" },
    kinds: { type: "string", default: sensitivityKinds.join() },
  },
});
const seed = 0;
const budgets = [0.3, 0.5, 0.7, 0.85];
const mostBelow = 0.05;
/** Kinds that can come close to every budget from below; bit widths are too coarse. */
const fineKinds: ReadonlySet<string> = new Set(["prune", "channels", "rank"]);

/** Measures processor time. */
async function secondsOf<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly seconds: number }> {
  const before = process.cpuUsage();
  const result = await work();
  const { user, system } = process.cpuUsage(before);
  return { result, seconds: (user + system) / 1e6 };
}

heading("What recipes of sensitivity leave of a budget", seed);
for (const name of values.models.split(",")) {
  const network = networks.find((one) => one.name === name);
  if (network === undefined) throw new RangeError(`"${name}" is none of ${networks.map((one) => one.name)}`);
  const files = filesOf(network);
  if (files === undefined) {
    line(`  ${name}: not measured: the shared folder (../shared, or PITH_SHARED) does not have it`);
    continue;
  }
  const model = await open(files.model);
  const { test, metric } = await taskOf(model, files.data, network, seed);
  const samples = take(test, Number(values.samples));
  const kinds = sensitivityKinds.filter((kind) => values.kinds.split(",").includes(kind));
  const engine = createEngine();
  const evaluateOriginal = () => evaluate(engine, model, samples, metric);
  // The first run also compiles code.
  await evaluateOriginal();
  const original = await secondsOf(evaluateOriginal);
  const { result: sweep, seconds } = await secondsOf(() => sensitivity(model, { test: samples, metric }, { kinds }));
  const measured = sweep.rows.reduce((sum, { drop }) => sum + drop.count, 0);
  const cost = seconds / measured / (original.seconds / original.result.estimate.count);
  const rows: string[][] = [];
  for (const kind of sensitivityKinds)
    for (const cost of sensitivityCosts) {
      const harshest = await allocationFrom(model, sweep, kind, { budget: 0, cost });
      if (harshest === undefined) continue;
      const cells: string[] = [];
      for (const budget of budgets) {
        const remaining = (await allocationFrom(model, sweep, kind, { budget, cost }))?.share ?? 1;
        const isKept =
          remaining <= Math.max(budget, harshest.share) && (remaining >= budget - mostBelow || !fineKinds.has(kind));
        if (!isKept) process.exitCode = 1;
        cells.push(`${percent(remaining)}${isKept ? "" : " MISSED"}`);
      }
      rows.push([kind, cost, percent(harshest.share), ...cells]);
    }
  line(`\n${name}: ${sweep.rows.length} measurements, ${cost.toFixed(2)} × a run of the original for each sample`);
  table(["kind", "cost", ">harshest", ...budgets.map((budget) => `>${percent(budget, 0)}`)], rows);
}

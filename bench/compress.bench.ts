/**
 * Compares the result of `compress` with the best number format alone, at the same goal and on the same test samples.
 *
 *     npm run bench -- compress [--models resnet20,bert_sst2] [--minutes 30] [--for size|usual|download] [--seeds 0,1,2] [--smoke]
 *
 * With --for download, the baseline is a search for size in the same minutes, and sizes are those after brotli.
 *
 * Models and data come from the shared folder. For resnet20 and bert_sst2, the first seed is also compared with NNCF (accuracy control) and Olive, if
 * PITH_PYTHON, bench/peers/venv or python3 has them (the two can be in different environments). --smoke tries 10 candidates for the smallest model.
 */
import { parseArgs } from "node:util";
import { bytes, change, duration, percent, times } from "../src/core/numbers.ts";
import { open } from "../src/core/onnx/index.ts";
import { sizeFor } from "../src/judge/measure/objective.ts";
import type { Measured, Run } from "../src/judge/record/run-record.ts";
import { chosenOf } from "../src/judge/record/verdict.ts";
import { compress } from "../src/judge/run/compress.ts";
import { search } from "../src/search/search.ts";
import type { SearchOptions } from "../src/search/search-setup.ts";
import { splitForSearch } from "../src/search/search-splits.ts";
import { formats } from "./compress/formats.ts";
import { filesOf, type Network, networks } from "./compress/networks.ts";
import { rivals } from "./compress/peers.ts";
import { purposeOf, taskOf } from "./compress/task.ts";
import { heading, line, table, target } from "./lib/print.ts";

const { values } = parseArgs({
  options: {
    models: { type: "string" },
    minutes: { type: "string", default: "30" },
    for: { type: "string", default: "size" },
    seeds: { type: "string", default: "0,1,2" },
    smoke: { type: "boolean", default: false },
  },
});
const downloads = ["resnet20", "resnet56", "cct_cifar10", "mobilenetv3_cifar10", "bert_sst2"];
const usual = values.for === "download" ? downloads : networks.map(({ name }) => name);
const asked = values.smoke ? ["mnist_cntk"] : (values.models?.split(",") ?? usual);
const seeds = values.smoke ? [0] : values.seeds.split(",").map(Number);
const purpose = purposeOf(values.for);
const isDownload = purpose === "download";
/** Minimum ratio of the bytes after brotli: a search for size over a search for download. */
const leastOfDownload = 1.5;

/** Measures the share of the search time that is spent neither in a step nor in an evaluation. */
function stopwatch() {
  const begun: number[] = [];
  let ended = Number.NaN;
  return {
    stage(name: string) {
      if (/\(\d+ tried[^)]*\)$/.test(name)) begun.push(performance.now());
    },
    log({ id }: { readonly id: string }) {
      if (id === "finalists") ended = performance.now();
    },
    overhead({ search: outcome }: Run): number {
      const { points = [] } = outcome ?? {};
      const [first = ended] = begun;
      // The last candidate can have been stopped at the time limit.
      const end = begun[points.length] ?? ended;
      return 1 - (1000 * points.reduce((sum, { seconds }) => sum + seconds, 0)) / (end - first);
    },
  };
}

async function measured(network: Network): Promise<boolean> {
  const files = filesOf(network);
  if (files === undefined) {
    line(`  ${network.name} is not measured: the shared folder (../shared, or PITH_SHARED) does not have it`);
    return true;
  }
  const { maxDrop } = network;
  const rows: string[][] = [];
  const ratios: number[] = [];
  const overheads: number[] = [];
  for (const seed of seeds) {
    const model = await open(files.model);
    const task = await taskOf(model, files.data, network, seed);
    const goal = { maxDrop };
    const time: SearchOptions = values.smoke ? { steps: 9 } : { minutes: Number(values.minutes) };
    const clock = stopwatch();
    const { run } = await search(
      model,
      task,
      { ...time, goal, purpose, rounds: 9, onStage: clock.stage },
      { seed, log: clock.log },
    );
    overheads.push(clock.overhead(run));
    const parts = splitForSearch(task.test);
    const { test } = parts;
    const before = isDownload
      ? await search(await open(files.model), task, { ...time, goal, purpose: "size", rounds: 9 }, { seed })
      : await compress(model, formats, { ...task, test }, { choice: false, goal, purpose, rounds: 9 }, { seed });
    const weigh = (one: Measured): number => sizeFor(purpose, one);
    const [searchChoice, baselineChoice] = [chosenOf(run), chosenOf(before.run)];
    const against =
      (network.ofOriginal === true && !isDownload) || baselineChoice === undefined
        ? run.original
        : baselineChoice.result;
    const ratio = weigh(against) / (searchChoice === undefined ? Number.POSITIVE_INFINITY : weigh(searchChoice.result));
    ratios.push(ratio);
    const moved = ({ comparison }: NonNullable<typeof searchChoice>) =>
      comparison === undefined ? "" : change(comparison.unit, comparison.difference.value);
    for (const [which, variant] of [
      ["search", searchChoice],
      [isDownload ? "for size" : "formats", baselineChoice],
    ] as const)
      rows.push([
        which === "search" ? String(seed) : "",
        variant?.name ?? "nothing",
        variant === undefined ? "" : bytes(weigh(variant.result)),
        variant === undefined ? "" : moved(variant),
        which === "search" ? times(ratio) : "",
        which === "search" ? `${run.search?.points.length} in ${duration(1000 * run.seconds)}` : "",
      ]);
    if (seed !== 0 || isDownload || network.peers !== true) continue;
    for (const { name, bytes: size, comparison, seconds } of await rivals(files.model, task, parts, maxDrop)) {
      const { difference, unit } = comparison;
      rows.push(["", name, bytes(size), change(unit, difference.value), "", duration(1000 * seconds)]);
    }
  }
  line(`\n${network.name}, ${(100 * maxDrop).toFixed(0)} points may be lost`);
  table(["seed", "", isDownload ? ">brotli" : ">size", ">change", ">smaller", ">combinations"], rows);
  const least = Math.min(...ratios);
  const maxOverhead = Math.max(...overheads);
  line(
    `  ${target(`5 % of the search at most is neither a step nor an evaluation: ${percent(maxOverhead)}`, maxOverhead <= 0.05, true)}`,
  );
  const baseline = isDownload
    ? "a search for size finds"
    : network.ofOriginal === true
      ? "the original"
      : "the best format";
  const factor = isDownload ? leastOfDownload : network.factor;
  line(`  ${target(`${times(factor)} smaller than ${baseline} at least`, least >= factor, true)}`);
  return least >= factor;
}

heading(`What compress finds in ${values.smoke ? "9 combinations" : `${values.minutes} minutes`}`, seeds.join(", "));
let met = true;
for (const network of networks) if (asked.includes(network.name)) met = (await measured(network)) && met;
if (!met && !values.smoke) process.exitCode = 1;

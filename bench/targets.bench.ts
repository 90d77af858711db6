/**
 * Compares `--target-size` and `--faster` with a grid: the accuracy of the model that a search finds for a size or a speed in a tenth of the grid's time, and the
 * best accuracy among the 200 candidates of the grid.
 *
 *     npm run bench -- targets [--model resnet20] [--share 0.1] [--folder out/grid]
 *
 * The grid combines each structure with each recovery and each format, as a person would write it down, without precision fallback. Both choose up to four candidates on the
 * search samples, of which the best on the other samples counts. --folder keeps the results and the time of the grid for the next run.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bytes, duration, percent, times } from "../src/core/numbers.ts";
import { open } from "../src/core/onnx/index.ts";
import { completeContext } from "../src/core/pass/run-pass.ts";
import { type ObjectiveOptions, objectiveOf, type Tradeoff } from "../src/judge/measure/objective.ts";
import { chosenOf } from "../src/judge/record/verdict.ts";
import { tryCandidate } from "../src/judge/run/attempt.ts";
import { compressWithStore } from "../src/judge/run/compress.ts";
import { openTrials } from "../src/judge/run/trials.ts";
import { openStore } from "../src/judge/steps/store.ts";
import { listCombinations } from "../src/search/candidates.ts";
import { type Combination, recipeOf } from "../src/search/combinations.ts";
import { maxFinalists } from "../src/search/final-evaluation.ts";
import { measureTradeoff } from "../src/search/measure-tradeoff.ts";
import { search } from "../src/search/search.ts";
import { splitForSearch } from "../src/search/search-splits.ts";
import { filesOf, networks } from "./compress/networks.ts";
import { taskOf } from "./compress/task.ts";
import { heading, line, table, target } from "./lib/print.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "resnet20" },
    share: { type: "string", default: "0.1" },
    folder: { type: "string" },
  },
});
const share = Number(values.share);
const seed = 0;
/** Maximum accuracy drop of the search, as a share of the grid's best accuracy. */
const mostApart = 0.03;
const targets: readonly { readonly name: string; readonly of: (original: number) => ObjectiveOptions }[] = [
  { name: "a sixth of the bytes", of: (original) => ({ targetSize: original / 6 }) },
  { name: "a tenth of the bytes", of: (original) => ({ targetSize: original / 10 }) },
  { name: "1.5 × as fast", of: () => ({ faster: 1.5 }) },
  { name: "2 × as fast", of: () => ({ faster: 2 }) },
];

const structures = /^(channels|weakest channels|low rank|layers) /;
const trainings = ["4,000 samples", "1 epoch"].map((amount) => `distilled, ${amount}`);

function isOfGrid({ structure, recovery, training, fallback }: Combination): boolean {
  if (fallback !== undefined) return false;
  if (structure !== undefined && !structures.test(structure.name)) return false;
  const trained = [...recovery, ...(training === undefined ? [] : [training])].filter(
    ({ hasTraining }) => hasTraining === true,
  );
  if (trained.some(({ name }) => !trainings.includes(name))) return false;
  // A pruned structure is recovered, and trained only once.
  return structure === undefined || (recovery.length > 0 && training === undefined);
}

/** Returns `count` elements, evenly spaced over the list. */
const some = <T>(all: readonly T[], count: number): readonly T[] =>
  all.filter((_, at) => Math.floor((at * count) / all.length) !== Math.floor(((at - 1) * count) / all.length));

const network = networks.find(({ name }) => name === values.model);
if (network === undefined) throw new RangeError(`"${values.model}" is none of ${networks.map(({ name }) => name)}`);
const files = filesOf(network);
heading(`Targets of size and speed, ${network.name}`, seed);
if (files === undefined) line(`  not measured: the shared folder (../shared, or PITH_SHARED) does not have it`);
else {
  const model = await open(files.model);
  const task = await taskOf(model, files.data, network, seed);
  const parts = splitForSearch(task.test);
  const temporary = await mkdtemp(join(tmpdir(), "pith-grid-"));
  const folder = values.folder ?? temporary;
  const store = await openStore(model, { resumeFolder: folder });
  const context = completeContext({ seed });
  const all = (await listCombinations(await store.open(store.original), task, {})).filter(isOfGrid);
  const grid = some(all, 200).map((combination) => ({ name: combination.name, recipe: recipeOf(combination) }));
  const trials = await openTrials(store, grid, { ...task, test: parts.search }, { choice: true }, context);
  const { evaluator } = trials;
  const scores = {
    evaluator,
    purpose: undefined,
    metric: task.metric,
    store,
    targets: undefined,
    timingKey: undefined,
  };
  const timed = { ...scores, objective: objectiveOf({ faster: 1 }, undefined, evaluator.original.measured) };
  const begun = performance.now();
  const measured: { readonly at: number; readonly figures: Tradeoff }[] = [];
  for (const [at, candidate] of trials.candidates.entries()) {
    process.stderr.write(`\r${at} of ${grid.length}`);
    const attempt = await tryCandidate(candidate, true, trials);
    const figures = attempt.isUsable ? await measureTradeoff(attempt, timed) : undefined;
    if (figures !== undefined) measured.push({ at, figures });
  }
  const place = join(folder, "grid-milliseconds.txt");
  const kept = Number(await readFile(place, "utf8").catch(() => "NaN"));
  const ofGrid = Number.isNaN(kept) ? performance.now() - begun : kept;
  await writeFile(place, String(ofGrid));
  const minutes = (share * ofGrid) / 60_000;
  line(`  grid: ${grid.length} of ${all.length} candidates in ${duration(ofGrid)}, ${measured.length} of use`);
  const rows: string[][] = [];
  let met = true;
  for (const { name, of } of targets) {
    const options = of(evaluator.original.measured.bytes);
    const objective = objectiveOf(options, undefined, evaluator.original.measured);
    const best = measured
      .filter(({ figures }) => objective.shortfall(figures) === 0)
      .toSorted((a, b) => objective.cost(a.figures) - objective.cost(b.figures))
      .slice(0, maxFinalists);
    const log = ({ id, text }: { readonly id: string; readonly text: string }): void => {
      if (id === "tried") process.stderr.write(`\n${name}: ${text}`);
    };
    const searchResult = await search(model, task, { ...options, minutes, rounds: 9 }, { seed, log });
    const candidates = best.flatMap(({ at }) => grid[at] ?? []);
    const judging = { ...options, choice: false, compared: Math.max(1, best.length), rounds: 9 };
    const test = { ...task, test: parts.test };
    const other =
      candidates.length > 0 ? await compressWithStore(store, model, candidates, test, judging, context) : undefined;
    const [mine, theirs] = [searchResult.run, other?.run].map((run) => run && chosenOf(run));
    for (const [who, variant, run] of [
      ["search", mine, searchResult.run] as const,
      ["grid", theirs, other?.run] as const,
    ]) {
      const { result, comparison } = variant ?? {};
      const speed = run?.latency?.models[(run.chosen ?? -1) + 1]?.speedup.median;
      rows.push([
        who === "search" ? name : "",
        `${who}: ${variant?.name ?? "nothing"}`,
        result === undefined ? "" : bytes(result.bytes),
        comparison === undefined ? "" : percent(comparison.candidate.value, 1),
        speed === undefined ? "" : times(speed),
        who === "search" ? duration(1000 * searchResult.run.seconds) : "",
      ]);
    }
    const [reached, grids] = [mine, theirs].map((variant) => variant?.comparison?.candidate.value);
    met &&= reached !== undefined && (grids === undefined || reached >= (1 - mostApart) * grids);
  }
  table(["target", "", ">size", ">accuracy", ">speed", ">time"], rows);
  line(`  ${target("3 % of the grid's accuracy is missing at most", met, true)}`);
  await store.release();
  await rm(temporary, { recursive: true });
  if (!met) process.exitCode = 1;
}

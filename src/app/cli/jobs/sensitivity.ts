/** Job of `pith sensitivity`: measures each layer alone, and writes the data, a page and recipes with settings for each layer. */
import { basename } from "node:path";
import { bytesOfText, type Model, throwIfAborted } from "#ir";
import { counted, integer, percent } from "../../../core/numbers.ts";
import { recipeText } from "../../../judge/recipe/recipe-text.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { type Allocation, allocationFrom } from "../../../search/sensitivity/allocation.ts";
import { type SweepOptions, sweep } from "../../../search/sensitivity/sensitivity.ts";
import {
  kindWords,
  type Sensitivity,
  type SensitivityCost,
  type SensitivityKind,
  sensitivityKinds,
  unresolvedText,
} from "../../../search/sensitivity/sensitivity-record.ts";
import type { Measurement } from "../../../search/sensitivity/sweeps.ts";
import { sensitivityPage } from "../../report/sensitivity.ts";
import { sweptFolder, writeResults } from "../files/result-folder.ts";
import { maxKeptBytes } from "../files/steps-folder.ts";
import { withFlagNames } from "../flags/invalid-options.ts";
import { openStoreOptions, type WorkerOptions, withJobPool } from "../job-parts/job-pool.ts";
import { openSweep } from "../job-parts/open-sweep.ts";
import type { MeasurementsInput, SweepInput, Work } from "../queue/inputs.ts";

export interface SensitivityInput extends SweepInput, WorkerOptions {
  readonly out: string;
  readonly kinds: readonly SensitivityKind[] | undefined;
  readonly layers: string | string[] | undefined;
  readonly except: string | string[] | undefined;
  readonly alike: boolean | undefined;
  readonly minutes: number | undefined;
  /** Share of the cost that a recipe can keep. */
  readonly budget: number | undefined;
  readonly cost: SensitivityCost;
}

export interface SensitivityOutput {
  readonly found: Sensitivity;
  readonly preprocessing: string | undefined;
  readonly written: readonly string[];
}

export default async function sensitivityJob(input: SensitivityInput, context: JobContext): Promise<SensitivityOutput> {
  const openedSweep = await openSweep(input, context);
  const { model, task, partialContext: running } = openedSweep;
  context.stage("layers");
  const { out, kinds, layers, except, alike, minutes, budget, cost } = input;
  const options = { ...openedSweep.options, kinds, layers, except, alike, minutes, name: basename(input.model) };
  const sensitivity = withFlagNames(
    await runSweep(input, model, context, (more) => sweep(model, task, { ...options, ...more }, running)),
  );
  const recipes: (readonly [string, Uint8Array])[] = [];
  for (const [index, kind] of sensitivityKinds.entries()) {
    context.progress(index, sensitivityKinds.length, kindWords[kind].title);
    const allocation = await allocationFrom(model, sensitivity, kind, { budget, cost, data: task.test }, running);
    if (allocation === undefined) continue;
    const overBudgetText =
      budget === undefined || allocation.share <= budget ? undefined : overBudget(kind, allocation, budget, cost);
    if (overBudgetText !== undefined) context.log({ id: "budget", text: overBudgetText, level: "warning" });
    recipes.push([`${kind}.yaml`, bytesOfText(formatRecipe(allocation, sensitivity, cost))]);
  }
  throwIfAborted(context.signal, "Stopped before anything was written.");
  const unresolvedNote = unresolvedText(sensitivity);
  if (unresolvedNote !== undefined) context.log({ id: "unresolved", text: unresolvedNote, level: "warning" });
  const page = ["sensitivity.html", bytesOfText(sensitivityPage(sensitivity))] as const;
  const written = await writeResults(out, sensitivity, [page, ...recipes], context, sweptFolder);
  return { found: sensitivity, preprocessing: task.preprocessing, written };
}

function runSweep(
  input: SensitivityInput,
  model: Model,
  context: JobContext,
  work: (
    sweepOptions: Pick<SweepOptions, "runAhead" | "resumeFolder" | "resumeBytes" | "bucket">,
  ) => Promise<Sensitivity>,
): Promise<Sensitivity> {
  const { model: path, resumeFolder, data, seed, metric, output, timed, jobs, queue } = input;
  const sharedInput: SweepInput = { model: path, resumeFolder, data, seed, metric, output, timed };
  const portions = new Map<string, readonly Measurement[]>();
  const workOf = (name: string, toStored: (input: SweepInput) => SweepInput): Work<MeasurementsInput> => ({
    kind: "measurements",
    name,
    input: { ...toStored(sharedInput), measurements: portions.get(name) ?? [] },
  });
  const models = [{ input: sharedInput, model }];
  return withJobPool(models, { jobs, queue }, workOf, context, async (pool, toLocal) => {
    const runAhead: SweepOptions["runAhead"] = async (all, signal) => {
      if (pool === undefined) return;
      for (const [name, portion] of portionsOf(all, pool.jobs)) portions.set(name, portion);
      context.stage(
        `${counted(all.length, "measurement")}, ${integer(portions.size)} jobs, ${integer(pool.jobs)} at a time`,
      );
      await pool.doRound([...portions.keys()], [], { signal, progress: context.progress });
    };
    const resumeBytes = queue === undefined ? maxKeptBytes(model) : undefined;
    return work({ runAhead, resumeBytes, ...(await openStoreOptions(toLocal(sharedInput))) }).finally(() =>
      pool?.close(),
    );
  });
}

/**
 * Number of jobs per process. A job contains several measurements, because opening model and data takes seconds. With several jobs per process, all
 * processes end at about the same time.
 */
const jobsPerProcess = 3;

function portionsOf(all: readonly Measurement[], jobs: number): ReadonlyMap<string, readonly Measurement[]> {
  const size = Math.ceil(all.length / (jobsPerProcess * jobs));
  const count = Math.ceil(all.length / size);
  return new Map(
    Array.from({ length: count }, (_, index) => {
      const portion = all.slice(index * size, (index + 1) * size);
      return [`measurements ${index * size + 1} to ${index * size + portion.length}`, portion] as const;
    }),
  );
}

const costWords: Readonly<Record<SensitivityCost, string>> = {
  bytes: "the bytes of weights",
  macs: "the multiply-accumulates",
  time: "the processor time",
};

const remainingCostText = ({ share }: Pick<Allocation, "share">, cost: SensitivityCost): string =>
  `${percent(share, 0)} of ${costWords[cost]}`;

const overBudget = (kind: SensitivityKind, allocation: Allocation, budget: number, cost: SensitivityCost): string =>
  `${kind}.yaml leaves ${remainingCostText(allocation, cost)}, more than the ${percent(budget, 0)} of --budget: harsher settings were not measured`;

/** Formats a recipe with a header, which states how much of the sweep the recipe relies on. */
export function formatRecipe(
  allocation: Pick<Allocation, "share" | "recipe">,
  { model, rows, open }: Pick<Sensitivity, "model" | "rows" | "open">,
  cost: SensitivityCost,
): string {
  const openText =
    open === 0
      ? ""
      : `# Only ${integer(rows.length)} of ${counted(rows.length + open, "setting")} were measured before time ran out; layers without a measurement keep their weights.\n`;
  return `# Settings with the lowest sum of losses of individual layers that leave ${remainingCostText(allocation, cost)} in ${JSON.stringify(model)}.\n${openText}${recipeText(allocation.recipe)}`;
}

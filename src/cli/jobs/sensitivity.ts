/** Job of `pith sensitivity`: what each layer alone loses, as data and as a page; and recipes that give each layer its own setting. */
import { basename } from "node:path";
import { stopIfAsked } from "../../errors.ts";
import { counted, integer, percent } from "../../evaluate/numbers.ts";
import type { Model } from "../../graph/model.ts";
import type { JobContext } from "../../job/job.ts";
import { type Allocation, allocationFrom, recipeText } from "../../recipe/index.ts";
import { type SweepOptions, sweep } from "../../recipe/sensitivity.ts";
import type { Measurement } from "../../recipe/sweep-units.ts";
import { type Sensitivity, type SensitivityKind, sensitivityKinds, sensitivityPage } from "../../report/sensitivity.ts";
import { bytesOfText } from "../../tensor/dense.ts";
import { onCommandLine } from "../invalid-options.ts";
import type { Work } from "../queue/kinds.ts";
import { sweptFolder, writeResults } from "../result-folder.ts";
import { mostKept } from "../steps-folder.ts";
import { type Elsewhere, storeOf, withAhead } from "./ahead.ts";
import type { MeasurementsInput } from "./measurements.ts";
import { openSweep, type SweepInput } from "./open-sweep.ts";

export interface SensitivityInput extends SweepInput, Elsewhere {
  readonly out: string;
  readonly kinds: readonly SensitivityKind[] | undefined;
  readonly layers: string | string[] | undefined;
  readonly except: string | string[] | undefined;
  readonly alike: boolean | undefined;
  readonly minutes: number | undefined;
  /** Share of the bytes that a recipe may leave. */
  readonly budget: number | undefined;
}

export interface SensitivityOutput {
  readonly found: Sensitivity;
  readonly preprocessing: string | undefined;
  readonly written: readonly string[];
}

export default async function sensitivityJob(input: SensitivityInput, context: JobContext): Promise<SensitivityOutput> {
  const opened = await openSweep(input, context);
  const { model, task, running } = opened;
  context.stage("layers");
  const { out, kinds, layers, except, alike, minutes, budget } = input;
  const options = { ...opened.options, kinds, layers, except, alike, minutes, name: basename(input.model) };
  const measured = await measuredFor(input, model, context, (more) =>
    sweep(model, task, { ...options, ...more }, running),
  );
  const found: Sensitivity = {
    ...measured,
    misses: measured.misses.map((miss) => ({ ...miss, reason: onCommandLine(miss.reason) })),
  };
  const recipes = sensitivityKinds.flatMap((kind): readonly (readonly [string, Uint8Array])[] => {
    const allocation = allocationFrom(found, kind, budget === undefined ? undefined : budget * found.bytes);
    return allocation === undefined ? [] : [[`${kind}.yaml`, bytesOfText(textOf(allocation, found))]];
  });
  stopIfAsked(context.signal, "Stopped before anything was written.");
  const page = ["sensitivity.html", bytesOfText(sensitivityPage(found))] as const;
  const written = await writeResults(out, found, [page, ...recipes], context, sweptFolder);
  return { found, preprocessing: task.preprocessing, written };
}

/** The sweep, with measurements made ahead in other processes or on other machines. */
function measuredFor(
  input: SensitivityInput,
  model: Model,
  context: JobContext,
  work: (more: Pick<SweepOptions, "ahead" | "resumeFolder" | "resumeBytes" | "bucket">) => Promise<Sensitivity>,
): Promise<Sensitivity> {
  const { model: path, resumeFolder, data, seed, metric, output, jobs, queue } = input;
  const shared: SweepInput = { model: path, resumeFolder, data, seed, metric, output };
  const kind = "measurements";
  const portions = new Map<string, readonly Measurement[]>();
  const workOf = (name: string, its: (input: SweepInput) => SweepInput): Work<MeasurementsInput> => ({
    kind,
    name,
    input: { ...its(shared), measurements: portions.get(name) ?? [] },
  });
  const models = [{ input: shared, model }];
  return withAhead({ kind, models }, { jobs, queue }, workOf, context, async (pool, here) => {
    const ahead: SweepOptions["ahead"] = async (all, signal) => {
      if (pool === undefined) return;
      for (const [name, portion] of portionsOf(all, pool.jobs)) portions.set(name, portion);
      context.stage(
        `${counted(all.length, "measurement")}, ${integer(portions.size)} jobs, ${integer(pool.jobs)} at a time`,
      );
      await pool.doRound([...portions.keys()], [], { signal, progress: context.progress });
    };
    const resumeBytes = queue === undefined ? mostKept(model) : undefined;
    return work({ ahead, resumeBytes, ...(await storeOf(here(shared))) }).finally(() => pool?.close());
  });
}

/** To open model and data takes seconds, so a process gets several measurements, one after the other in their order; and several portions, as some take longer than others. */
const portionsOfJob = 3;

function portionsOf(all: readonly Measurement[], jobs: number): ReadonlyMap<string, readonly Measurement[]> {
  const size = Math.ceil(all.length / (portionsOfJob * jobs));
  const count = Math.ceil(all.length / size);
  return new Map(
    Array.from({ length: count }, (_, at) => {
      const portion = all.slice(at * size, (at + 1) * size);
      return [`measurements ${at * size + 1} to ${at * size + portion.length}`, portion] as const;
    }),
  );
}

function textOf({ recipe, bytes }: Allocation, found: Sensitivity): string {
  const share = percent(bytes / found.bytes, 0);
  return `# Settings with the least sum of losses of single layers, at about ${share} of the bytes of ${JSON.stringify(found.model)}.\n${recipeText(recipe)}`;
}

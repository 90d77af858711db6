/** Job of `pith sensitivity`: what each layer alone loses, as data and as a page; and recipes that give each layer its own setting. */
import { basename } from "node:path";
import { createEngine } from "../../engine/index.ts";
import { stopIfAsked } from "../../errors.ts";
import { percent } from "../../evaluate/numbers.ts";
import type { JobContext } from "../../job/job.ts";
import { type Allocation, allocationFrom, recipeText, sensitivity } from "../../recipe/index.ts";
import { type Sensitivity, type SensitivityKind, sensitivityKinds, sensitivityPage } from "../../report/sensitivity.ts";
import type { MetricName } from "../../task/index.ts";
import { bytesOfText } from "../../tensor/dense.ts";
import type { DataRequest } from "../data.ts";
import { onCommandLine } from "../invalid-options.ts";
import { sweptFolder, writeResults } from "../result-folder.ts";
import { mostKept } from "../steps-folder.ts";
import { contextOf, openModel } from "./open-model.ts";
import { openRequest } from "./task.ts";

/** Samples, unless `--samples` says how many: more would seldom change which layer bears least. */
const usualSamples = 1024;

export interface SensitivityInput {
  readonly model: string;
  readonly out: string;
  /** Where figures are kept. */
  readonly resumeFolder: string;
  readonly data: DataRequest;
  readonly metric: MetricName;
  readonly output: string | undefined;
  readonly kinds: readonly SensitivityKind[] | undefined;
  readonly layers: string | string[] | undefined;
  readonly except: string | string[] | undefined;
  readonly alike: boolean | undefined;
  readonly minutes: number | undefined;
  /** Share of the bytes that a recipe may leave. */
  readonly budget: number | undefined;
  readonly seed: number;
}

export interface SensitivityOutput {
  readonly found: Sensitivity;
  readonly preprocessing: string | undefined;
  readonly written: readonly string[];
}

export default async function sensitivityJob(input: SensitivityInput, context: JobContext): Promise<SensitivityOutput> {
  const engine = createEngine();
  const model = await openModel(input.model, context);
  const { metric, output, data, budget, out } = input;
  const asked = { ...data, samples: data.samples ?? usualSamples };
  const task = await openRequest(engine, model, asked, { metric, output }, input, context);
  context.stage("layers");
  const { kinds, layers, except, alike, minutes, resumeFolder } = input;
  const options = { kinds, layers, except, alike, minutes, resumeFolder, output, batch: data.batch };
  const measured = await sensitivity(
    model,
    task,
    { ...options, resumeBytes: mostKept(model), name: basename(input.model) },
    contextOf(engine, input, context),
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

function textOf({ recipe, bytes }: Allocation, found: Sensitivity): string {
  const share = percent(bytes / found.bytes, 0);
  return `# Settings with the least sum of losses of single layers, at about ${share} of the bytes of ${JSON.stringify(found.model)}.\n${recipeText(recipe)}`;
}

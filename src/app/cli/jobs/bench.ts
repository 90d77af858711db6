/** Job of `pith bench`: times models relative to the first. */
import { isSymbolic, type Model } from "#ir";
import { createEngine } from "../../../core/engine/index.ts";
import type { Settings } from "../../../judge/task/constant-inputs.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import type { TargetName } from "../../../runtime/run/run-target.ts";
import { inputTexts, type TimedShapes, timedInputs } from "../../../runtime/run/timed-inputs.ts";
import { parseNamedSizes } from "../flags/named-values.ts";
import { constantInputsOfEach } from "./parts/constant-inputs.ts";
import { warnOfSwap } from "./parts/model-warnings.ts";
import { openModel } from "./parts/open-model.ts";
import { openTarget } from "./parts/target.ts";

export interface BenchInput {
  readonly models: readonly string[];
  readonly target: TargetName;
  readonly dims: readonly string[];
  readonly set: Settings;
  readonly rounds: number;
  /** Maximum seconds of timing, see `LatencyOptions`. */
  readonly seconds?: number;
  readonly threads: number | undefined;
  readonly seed: number;
  /** Whether the first model is known to be the original. */
  readonly isInOrder?: boolean;
  readonly textFile?: string | undefined;
}

export default async function benchJob(input: BenchInput, context: JobContext) {
  const models = await Promise.all(input.models.map((path) => openModel(path, context)));
  if (input.isInOrder !== true)
    await warnOfSwap(
      models.map((model, index) => ({ model, path: input.models[index] ?? "" })),
      (before, after) => ["bench", before, after],
      context,
    );
  const batches = models.map((model) => samplesPerRun(model, input.dims));
  context.stage("time");
  const target = await openTarget(input.target, context);
  try {
    const { dims, seed, set, textFile: file } = input;
    const options = { sizes: parseNamedSizes(dims), fixed: constantInputsOfEach(models, set), seed, file };
    const { feeds, source } = await timedInputs(createEngine(), models, { ...options, signal: context.signal });
    const report = await target.latency(models, feeds, {
      rounds: input.rounds,
      seconds: input.seconds,
      signal: context.signal,
      progress: context.progress,
      threads: input.threads,
    });
    const { runtime, isInBrowser, where } = target;
    const shapes = feeds.map(
      (batch): TimedShapes => Object.fromEntries(Object.entries(batch).map(([name, { dims }]) => [name, dims])),
    );
    const inputs = feeds.map(inputTexts);
    return { latency: report, batches, shapes, inputs, source, runtime, inBrowser: isInBrowser, where };
  } finally {
    await target.close();
  }
}

/** Returns the samples per run: the size of the inputs' first dimension if all inputs have the same symbolic one; 1 for other models. */
export function samplesPerRun(model: Model, dims: readonly string[]): number {
  const firstDims = model.graph.feeds.map(({ type }) => type?.dims?.[0]);
  const [batch, ...differentDims] = new Set(
    firstDims.map((dim) => (dim === undefined || !isSymbolic(dim) ? undefined : dim.text)),
  );
  if (batch === undefined || differentDims.length > 0) return 1;
  return parseNamedSizes(dims).get(batch) ?? 1;
}

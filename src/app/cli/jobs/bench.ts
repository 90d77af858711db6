/** Job of `pith bench`: times models relative to the first, interleaved, on the same random inputs. */

import { createEngine } from "../../../core/engine/index.ts";
import type { RuntimeName } from "../../../core/engine/runtime.ts";
import type { Model } from "../../../core/graph/model.ts";
import { isSymbolic } from "../../../core/tensor/dims.ts";
import { tokenizerBeside } from "../../../data/text/tokenizer.ts";
import type { Settings } from "../../../judge/task/contents.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import type { LatencyReport } from "../../../runtime/run/latency.ts";
import type { TargetName } from "../../../runtime/run/run-target.ts";
import {
  inputTexts,
  type TimedOptions,
  type TimedShapes,
  timedFeeds,
  timedLength,
  timedShapes,
} from "../../../runtime/run/timed-inputs.ts";
import { namedSizes } from "../flags/set.ts";
import { openModel, warnOfOrder } from "./open-model.ts";
import { contentsOfEach } from "./set.ts";
import { openTarget } from "./target.ts";

export interface BenchInput {
  readonly models: readonly string[];
  readonly target: TargetName;
  /** `batch=8`: sizes of named dimensions. */
  readonly dims: readonly string[];
  readonly set: Settings;
  readonly rounds: number;
  /** See `LatencyOptions`; a browser runs all rounds. */
  readonly seconds?: number;
  readonly threads: number | undefined;
  readonly seed: number;
  /** The first model is known to be the original, so the order is not questioned. */
  readonly inOrder?: boolean;
}

export interface BenchOutput {
  readonly latency: LatencyReport;
  readonly batches: readonly number[];
  readonly shapes: readonly TimedShapes[];
  readonly inputs: readonly Readonly<Record<string, string>>[];
  readonly runtime: RuntimeName;
  readonly inBrowser: boolean;
  readonly where: string;
}

export default async function benchJob(input: BenchInput, context: JobContext): Promise<BenchOutput> {
  const models = await Promise.all(input.models.map((path) => openModel(path, context)));
  if (input.inOrder !== true)
    await warnOfOrder(
      models.map((model, index) => ({ model, path: input.models[index] ?? "" })),
      (before, after) => ["bench", before, after],
      context,
    );
  const batches = models.map((model) => samplesPerRun(model, input.dims));
  context.stage("time");
  const contents = contentsOfEach(models, input.set);
  const target = await openTarget(input.target, context);
  try {
    const shapes = await timedShapes(createEngine(), models, { ...(await timedSizes(input)), fixed: contents });
    const feeds = models.map((model, index) => timedFeeds(model, shapes[index] ?? {}, input.seed, contents[index]));
    const report = await target.latency(models, feeds, {
      rounds: input.rounds,
      seconds: input.seconds,
      signal: context.signal,
      progress: (done, total) => context.progress(done, total),
      threads: input.threads,
    });
    const { runtime, inBrowser, where } = target;
    return { latency: report, batches, shapes, inputs: feeds.map(inputTexts), runtime, inBrowser, where };
  } finally {
    await target.close();
  }
}

/** Returns the timed sizes; a tokenizer next to any model limits the number of tokens. */
export async function timedSizes({
  models,
  dims,
  seed,
}: Pick<BenchInput, "models" | "dims" | "seed">): Promise<TimedOptions> {
  return { sizes: namedSizes(dims), length: Math.min(...(await Promise.all(models.map(tokensTimed)))), seed };
}

export async function tokensTimed(path: string): Promise<number> {
  return Math.min(timedLength, (await tokenizerBeside(path).catch(() => undefined))?.longest ?? timedLength);
}

/** Returns the samples per run: the first dimension of the inputs if it is open and the same in all, else one. */
export function samplesPerRun(model: Model, dims: readonly string[]): number {
  const firstDims = model.graph.feeds.map(({ type }) => type?.dims?.[0]);
  const [batch, ...differentDims] = new Set(
    firstDims.map((dim) => (dim === undefined || !isSymbolic(dim) ? undefined : dim.text)),
  );
  if (batch === undefined || differentDims.length > 0) return 1;
  return namedSizes(dims).get(batch) ?? 1;
}

/** Job of `pith bench`: models timed against the first, interleaved, on the same random inputs. */
import { tokenizerBeside } from "../../data/tokenizer.ts";
import { createEngine, type RuntimeName, runtimeName } from "../../engine/index.ts";
import { type LatencyReport, latency } from "../../evaluate/index.ts";
import { randomFeeds, timedLength } from "../../evaluate/random-inputs.ts";
import type { Model } from "../../graph/model.ts";
import type { JobContext } from "../../job/job.ts";
import { dimsText, isSymbolic } from "../../tensor/dims.ts";
import type { Batch } from "../../tensor/types.ts";
import { namedSizes } from "../sizes.ts";
import { openModel } from "./open-model.ts";
import { startRuntime, warmUp } from "./runtime.ts";

export interface BenchInput {
  readonly models: readonly string[];
  /** What runs them; unless said, what is there. */
  readonly runtime: "wasm" | undefined;
  /** `batch=8`: sizes of named dimensions. */
  readonly dims: readonly string[];
  readonly rounds: number;
  readonly threads: number | undefined;
  readonly seed: number;
}

export interface BenchOutput {
  readonly latency: LatencyReport;
  /** Samples in one run of each model. */
  readonly batches: readonly number[];
  /** The inputs of each model by name, as they were sized: "int64[1, 128]". */
  readonly inputs: readonly Readonly<Record<string, string>>[];
  readonly runtime: RuntimeName;
  /** `Chrome/156.0.0.0`, where a browser ran them. */
  readonly browser?: string;
}

export default async function benchJob(input: BenchInput, context: JobContext): Promise<BenchOutput> {
  const { runtime } = input;
  const models = await Promise.all(input.models.map((path) => openModel(path, context)));
  const dims = namedSizes(input.dims);
  const length = await timedTokens(input.models);
  const feeds = models.map((model) => randomFeeds(model, dims, input.seed, length));
  const batches = models.map((model) => samplesIn(model, input.dims));
  context.stage("time");
  const engine = createEngine(runtime === undefined ? {} : { runtime });
  await startRuntime(engine, input.threads);
  const name = await runtimeName(runtime);
  const report = await latency(engine, models, feeds, {
    rounds: input.rounds,
    warmUp: name === "native" ? warmUp.native : warmUp.web,
    signal: context.signal,
    progress: (done, total) => context.progress(done, total),
    ...(input.threads === undefined ? {} : { threads: input.threads }),
  });
  return { latency: report, batches, inputs: feeds.map(sizesOf), runtime: name };
}

/** Tokens to time models on: no more than the tokenizer beside any of them allows. */
export async function timedTokens(paths: readonly string[]): Promise<number> {
  const limits = await Promise.all(
    paths.map(async (path) => (await tokenizerBeside(path).catch(() => undefined))?.longest),
  );
  return Math.min(timedLength, ...limits.flatMap((limit) => limit ?? []));
}

export function sizesOf(feeds: Batch): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(feeds).map(([name, { type, dims }]) => [name, `${type}${dimsText(dims)}`]));
}

/** How many samples one run takes: the first dimension of the inputs, where it is open and the same in all; else one. */
export function samplesIn(model: Model, dims: readonly string[]): number {
  const first = model.graph.feeds.map(({ type }) => type?.dims?.[0]);
  const [batch, ...others] = new Set(
    first.map((dim) => (dim === undefined || !isSymbolic(dim) ? undefined : dim.text)),
  );
  if (batch === undefined || others.length > 0) return 1;
  return namedSizes(dims).get(batch) ?? 1;
}

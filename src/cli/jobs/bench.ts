/** Job of `pith bench`: models timed against the first, interleaved, on the same made-up inputs. */
import { createEngine } from "../../engine/index.ts";
import { type LatencyReport, latency, type Size, size } from "../../evaluate/index.ts";
import type { JobContext } from "../../job/job.ts";
import { open } from "../../onnx/index.ts";
import { madeUpFeeds, namedSizes } from "../feeds.ts";
import { filesOf } from "../files.ts";

export interface BenchInput {
  readonly models: readonly string[];
  /** `batch=8`: sizes of named dimensions. */
  readonly dims: readonly string[];
  readonly rounds: number;
  readonly threads: number | undefined;
  readonly seed: number;
}

export interface BenchOutput {
  readonly latency: LatencyReport;
  readonly sizes: readonly Size[];
}

export default async function benchJob(input: BenchInput, context: JobContext): Promise<BenchOutput> {
  const models = await Promise.all(input.models.map((path) => open(path)));
  const dims = namedSizes(input.dims);
  const feeds = models.map((model) => madeUpFeeds(model, dims, input.seed));
  context.stage("time");
  const report = await latency(createEngine(), models, feeds, {
    rounds: input.rounds,
    signal: context.signal,
    progress: (done, total) => context.progress(done, total),
    ...(input.threads === undefined ? {} : { threads: input.threads }),
  });
  context.stage("compress");
  const sizes: Size[] = [];
  for (const [index, model] of models.entries()) sizes.push(await size(...filesOf(model, input.models[index] ?? "")));
  return { latency: report, sizes };
}

/** Job of `pith eval`: figures of a model on data, and against its original. */
import { draw, openDataset } from "../../data/index.ts";
import { createEngine } from "../../engine/index.ts";
import { PithError } from "../../errors.ts";
import {
  agreement,
  type Comparison,
  compareRows,
  type Estimate,
  estimate,
  judge,
  meanKl,
  measure,
  signalToNoise,
  type Unit,
  type Verdict,
} from "../../evaluate/index.ts";
import type { JobContext } from "../../job/job.ts";
import { open } from "../../onnx/index.ts";
import type { DataRequest } from "../data.ts";
import { type MetricName, metricNamed } from "../metrics.ts";
import { prepare } from "./prepare.ts";

export interface EvalInput {
  readonly model: string;
  readonly against: string | undefined;
  readonly data: DataRequest;
  readonly metric: MetricName;
  readonly output: string | undefined;
  readonly maxDrop: number | undefined;
  readonly strict: boolean;
  /** Draws the samples, if not all are wanted. */
  readonly seed: number;
}

export interface Figure {
  readonly metric: string;
  readonly unit: Unit;
  readonly better: "higher" | "lower";
  readonly estimate: Estimate;
}

export interface EvalOutput {
  readonly dataset: string;
  readonly samples: number;
  readonly preprocessing: string | undefined;
  readonly figures: readonly Figure[];
  readonly comparison: Comparison | undefined;
  readonly verdict: Verdict | undefined;
}

export default async function evalJob(input: EvalInput, context: JobContext): Promise<EvalOutput> {
  const { data, against } = input;
  const engine = createEngine();
  const candidate = await open(input.model);
  const original = against === undefined ? undefined : await open(against);
  const whole = await openDataset(data.path);
  const dataset = data.samples === undefined ? whole : draw(whole, data.samples, input.seed);
  // The original knows how its images want to be prepared; a damaged candidate may not.
  const preparation = await prepare(engine, original ?? candidate, against ?? input.model, data, dataset, context);
  if (!preparation.labelled && original === undefined) {
    throw new PithError("E_DATA", `${dataset.name} has no labels.`, {
      hint: "Without labels a model can be compared with its original: --against original.onnx.",
    });
  }
  const own = preparation.labelled ? [metricNamed(input.metric, input.output)] : [];
  const options = input.output === undefined ? {} : { output: input.output };
  const held = original === undefined ? [] : [agreement(options), meanKl(options), signalToNoise(options)];
  const metrics = [...own, ...held];
  context.stage("evaluate");
  const models = original === undefined ? [candidate] : [original, candidate];
  const rows = await measure(engine, models, preparation.ready(dataset), metrics, {
    batch: data.batch,
    held: original !== undefined,
    signal: context.signal,
    progress: (done, total) => context.progress(done, total),
  });
  const last = rows.at(-1) ?? [];
  const figures = metrics.map((metric, index): Figure => {
    const { name, unit, better } = metric;
    return { metric: name, unit, better, estimate: estimate(metric, last[index] ?? new Float64Array()) };
  });
  const [metric] = own;
  const [before, after] = [rows[0]?.[0], rows[1]?.[0]];
  const comparison =
    metric === undefined || before === undefined || after === undefined
      ? undefined
      : compareRows(metric, before, after);
  return {
    dataset: dataset.name,
    samples: figures[0]?.estimate.count ?? 0,
    preprocessing: preparation.name,
    figures,
    comparison,
    verdict:
      comparison === undefined || input.maxDrop === undefined
        ? undefined
        : judge(comparison, { maxDrop: input.maxDrop, strict: input.strict }),
  };
}

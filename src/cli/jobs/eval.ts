/** Job of `pith eval`: figures of a model on data, and against its original. */
import { collect, type Dataset, draw, openParts } from "../../data/index.ts";
import { createEngine } from "../../engine/index.ts";
import { PithError } from "../../errors.ts";
import { commonestShare } from "../../evaluate/chance.ts";
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
import { answers } from "../../recipe/answers.ts";
import type { DataRequest } from "../data.ts";
import { type MetricName, metricNamed } from "../metrics.ts";
import { chanceQuestion } from "../numbers.ts";
import { prepare } from "./prepare.ts";

/** Samples that training and calibration never see, those that they do see, or both. */
export type EvaluatedPart = "test" | "train" | "all";

export interface EvalInput {
  readonly model: string;
  readonly against: string | undefined;
  readonly data: DataRequest;
  readonly part: EvaluatedPart;
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
  readonly part: EvaluatedPart;
  readonly samples: number;
  readonly preprocessing: string | undefined;
  readonly figures: readonly Figure[];
  readonly comparison: Comparison | undefined;
  readonly verdict: Verdict | undefined;
  /** The model, or the original that it is held against, is no better than always giving the commonest answer. */
  readonly atChance: boolean;
}

export default async function evalJob(input: EvalInput, context: JobContext): Promise<EvalOutput> {
  const { data, against } = input;
  const engine = createEngine();
  const candidate = await open(input.model);
  const original = against === undefined ? undefined : await open(against);
  const dataset = await openPart(input);
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
  const said = answers(input.output);
  context.stage("evaluate");
  const models = original === undefined ? [candidate] : [original, candidate];
  const rows = await measure(engine, models, preparation.ready(dataset), [...metrics, said], {
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
  // A model that is held against its original may have lost everything; the original must know something.
  const known =
    metric?.interval === "proportion" ? estimate(metric, rows[0]?.[0] ?? new Float64Array()).value : undefined;
  const labels = rows[0]?.[metrics.length]?.filter((_, index) => index % said.columns === 0);
  const chance = commonestShare(labels ?? new Float64Array());
  const atChance = known !== undefined && chance !== undefined && known <= chance;
  if (atChance && preparation.warnings.length === 0) {
    context.log({ id: "chance", text: chanceQuestion(preparation.preset, known, chance), level: "warning" });
  }
  return {
    dataset: dataset.name,
    part: input.part,
    samples: figures[0]?.estimate.count ?? 0,
    preprocessing: preparation.name,
    figures,
    comparison,
    verdict:
      comparison === undefined || input.maxDrop === undefined
        ? undefined
        : judge(comparison, { maxDrop: input.maxDrop, strict: input.strict }),
    atChance,
  };
}

/** The part that all commands judge by, or another one that was asked for. */
async function openPart({ data: { path, samples }, part, seed }: EvalInput): Promise<Dataset> {
  const { train, test } = await openParts(path);
  const some = (dataset: Dataset): Dataset => (samples === undefined ? dataset : draw(dataset, samples, seed));
  if (part === "test") return some(test);
  if (train === undefined) {
    if (part === "all") return some(test);
    throw new PithError("E_DATA", `${test.name} has one part only: there is no train part.`, {
      hint: "Without --part all of it is used.",
    });
  }
  if (part === "train") return some(train);
  const both: Dataset = {
    name: `${path} (all)`,
    count: train.count === undefined || test.count === undefined ? undefined : train.count + test.count,
    async *batches(options) {
      yield* train.batches(options);
      yield* test.batches(options);
    },
  };
  return some(await collect(both));
}

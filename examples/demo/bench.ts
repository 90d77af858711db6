/** Figures of files: every number of the demo comes from a model that was saved, opened again and run. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { type Model, open, save } from "pith";
import { cost, infer, learnedCount, learnedTensors } from "pith/analysis";
import type { Dataset } from "pith/data";
import type { Engine } from "pith/engine";
import {
  accuracy,
  agreement as agreementMetric,
  bestClass,
  type Comparison,
  compareRows,
  type Estimate,
  estimate,
  type Metric,
  mainOutput,
  measure,
  scoresFor,
  size,
} from "pith/evaluate";
import { fixInputs } from "pith/passes";
import { isPruned, remove } from "pith/prune";
import type { Disagreement, Measured } from "pith/report";
import { fixedDims } from "pith/tensor";

/** A file and what is known of it. */
export interface Standing {
  readonly file: string;
  readonly model: Model;
  readonly measured: Measured;
  /** With the original, sample by sample. */
  readonly comparison: Comparison;
  /** Share of samples that are answered as the original answers them. */
  readonly agreement: Estimate;
  /** 1 for each sample that is answered as its label says. */
  readonly right: Float64Array;
  /** The class named for each sample. */
  readonly answers: Float64Array;
}

const metric = accuracy();

/** The class that a model names, for each sample. */
const namedClass: Metric = {
  name: "class",
  unit: "",
  better: "higher",
  columns: 1,
  rows(outputs) {
    const scores = mainOutput(outputs);
    const samples = scores.dims[0] ?? 0;
    const found = scoresFor(scores, samples, samples);
    return Float64Array.from({ length: samples }, (_, sample) => bestClass(found, sample));
  },
  reduce: () => Number.NaN,
};

/** Saves a model, its masks folded in, and measures the file; beside `original`, if there is one yet. */
export async function saveAndMeasure(
  engine: Engine,
  model: Model,
  file: string,
  test: Dataset,
  original?: Standing,
): Promise<Standing> {
  const final = model.clone();
  if (isPruned(final)) await remove(final);
  await save(final, file);
  const opened = await open(file);
  const [rows] = await measure(engine, [opened], test, [metric, namedClass]);
  const [right = new Float64Array(), answers = new Float64Array()] = rows ?? [];
  const comparison = compareRows(metric, original?.right ?? right, right);
  const bytes = await readFile(file);
  const forOne = opened.clone();
  fixInputs(
    forOne,
    Object.fromEntries(
      forOne.graph.feeds.map(({ name, type }) => [name, [1, ...(fixedDims(type?.dims?.slice(1)) ?? [])]]),
    ),
  );
  const inference = infer(forOne);
  const { macs } = cost(forOne, inference);
  const measured: Measured = {
    name: basename(file),
    sha256: createHash("sha256").update(bytes).digest("hex"),
    ...(await size(file)),
    parameters: learnedCount(await learnedTensors(forOne, inference)),
    macs: typeof macs === "number" ? macs : undefined,
    estimate: comparison.candidate,
  };
  const theirs = original?.answers ?? answers;
  const agreement = estimate(
    agreementMetric(),
    answers.map((named, sample) => Number(named === theirs[sample])),
  );
  return { file, model: opened, measured, comparison, agreement, right, answers };
}

/** The first samples that two models answer differently. */
export async function disagreements(original: Standing, other: Standing, test: Dataset): Promise<Disagreement[]> {
  const labels: number[] = [];
  for await (const { label } of test.batches({ size: 1000 })) labels.push(...Array.from(label?.data ?? [], Number));
  return labels
    .map((label, sample) => ({
      sample,
      label,
      original: original.answers[sample] ?? -1,
      variant: other.answers[sample] ?? -1,
    }))
    .filter((one) => one.original !== one.variant)
    .slice(0, 10);
}

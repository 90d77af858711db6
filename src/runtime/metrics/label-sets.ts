/** Metrics for models of independent labels (multi-label): an output [N, labels], and labels as rows of 0 and 1. */
import { type Dense, dataError, dimsText, toFloat64 } from "#ir";
import { labelOf } from "./class-metrics.ts";
import type { Metric, MetricOptions } from "./metric.ts";
import { mainOutput, mainOutputName } from "./output.ts";
import { averageRows } from "./rows.ts";

/** Share of samples with the same set of labels in both models: those with a probability above 0.5. */
export function sameLabels(options: MetricOptions = {}): Metric {
  return averageRows({
    name: "agreement",
    unit: "share",
    better: "higher",
    hasClasses: false,
    truth: "original",
    interval: "proportion",
    rows(outputs, original) {
      const name = mainOutputName(original, options.output);
      const [ours, theirs] = [outputs, original].map((batch) => readRows(mainOutput(batch, name)));
      const threshold = thresholdOf(options);
      return Float64Array.from(theirs ?? [], (row, sample) => {
        const other = ours?.[sample];
        return Number(row.every((value, index) => isEqualSide(value, other?.[index] ?? Number.NaN, threshold)));
      });
    },
  });
}

function isEqualSide(value: number, other: number, threshold: number): boolean {
  return !Number.isNaN(value) && !Number.isNaN(other) && value > threshold === other > threshold;
}

/** Mean over samples of F1 = 2 · |A ∩ B| / (|A| + |B|) of the labels A above 0.5 and the true labels B; 1 if both are empty. */
export function labelF1(options: MetricOptions = {}): Metric {
  return averageRows({
    name: "mean F1",
    unit: "share",
    better: "higher",
    hasClasses: false,
    rows(outputs, batch) {
      const scores = readRows(mainOutput(outputs, options.output));
      const labels = readLabels(labelOf(batch), scores);
      const threshold = thresholdOf(options);
      return Float64Array.from(labels, (row, sample) => {
        let [both, sum] = [0, 0];
        for (const [index, label] of row.entries()) {
          const prediction = Number((scores[sample]?.[index] ?? Number.NaN) > threshold);
          both += label * prediction;
          sum += label + prediction;
        }
        return scores[sample]?.some(Number.isNaN) === true ? 0 : sum === 0 ? 1 : (2 * both) / sum;
      });
    },
  });
}

/**
 * Mean over labels of the average precision Σ (Rₙ − Rₙ₋₁) Pₙ over falling scores (`average_precision_score` of scikit-learn).
 * A NaN score counts as the highest one of a sample without the label.
 */
export function labelPrecision(options: MetricOptions = {}): Metric {
  const columns = 2 * (options.width ?? 1);
  return {
    name: "mAP",
    unit: "share",
    better: "higher",
    hasClasses: false,
    columns,
    rows(outputs, batch) {
      const scores = readRows(mainOutput(outputs, options.output));
      const labels = readLabels(labelOf(batch), scores);
      return Float64Array.from(labels.flatMap((row, sample) => [...(scores[sample] ?? []), ...row]));
    },
    reduce(rows) {
      const count = columns / 2;
      const precisions = Array.from({ length: count }, (_, label) => averagePrecision(rows, label, columns));
      const defined = precisions.filter((precision) => precision !== undefined);
      return defined.length === 0 ? 0 : defined.reduce((sum, precision) => sum + precision, 0) / defined.length;
    },
  };
}

function averagePrecision(rows: Float64Array, column: number, columns: number): number | undefined {
  let [hits, newHits, sum, count] = [0, 0, 0, 0];
  const samples = Array.from({ length: rows.length / columns }, (_, sample) => {
    const score = rows[sample * columns + column] ?? Number.NaN;
    const label = rows[sample * columns + column + columns / 2] ?? 0;
    count += label;
    return Number.isNaN(score) ? { score: Number.POSITIVE_INFINITY, found: 0 } : { score, found: label };
  }).sort((a, b) => (a.score === b.score ? 0 : b.score - a.score));
  for (const [index, { score, found }] of samples.entries()) {
    newHits += found;
    if (samples[index + 1]?.score === score) continue;
    hits += newHits;
    sum += (newHits * hits) / (index + 1);
    newHits = 0;
  }
  return count === 0 ? undefined : sum / count;
}

export function areLabelSets(label: Dense, width: number | undefined): boolean {
  const [samples = 0, count = 0, ...rest] = label.dims;
  if (rest.length > 0 || count < 2 || count !== width || label.type === "string") return false;
  const values = toFloat64(label);
  const sums = Array.from({ length: samples }, (_, sample) =>
    values.subarray(sample * count, (sample + 1) * count),
  ).map((row) => row.reduce((sum, value) => sum + value, 0));
  return values.every((value) => value === 0 || value === 1) && sums.some((sum) => sum !== 1);
}

const thresholdOf = ({ from }: MetricOptions): number => (from === "probabilities" ? 0.5 : 0);

function readRows(dense: Dense): readonly Float64Array[] {
  const [samples = 0, width, ...rest] = dense.dims;
  if (dense.type === "string" || width === undefined || rest.some((size) => size !== 1))
    throw dataError(`An output of ${dimsText(dense.dims)} is not [N, labels], one score per label.`);
  const values = toFloat64(dense);
  return Array.from({ length: samples }, (_, sample) => values.subarray(sample * width, (sample + 1) * width));
}

function readLabels(label: Dense, scores: readonly Float64Array[]): readonly Float64Array[] {
  const rows = label.type === "string" || label.dims.length !== 2 ? [] : readRows(label);
  const width = scores[0]?.length;
  if (
    rows.length === scores.length &&
    rows.every((row) => row.length === width && row.every((value) => value === 0 || value === 1))
  )
    return rows;
  throw dataError(
    `The label is ${dimsText(label.dims)}: expected rows of ${width} zeros and ones, one for each label of the model.`,
  );
}

/** Reads the predicted class and the label of each sample. */
import { rowCount } from "#batches";
import { type Dense, elementCount, toFloat64 } from "#ir";
import type { Metric } from "./metric.ts";
import { bestClass, containsClasses, mainOutput, readScores } from "./output.ts";

/** Predicted classes and labels, one of each per sample: −1 if there are none or several, and `nanClass` if a score is NaN. */
export interface Predictions {
  readonly predicted: Float64Array;
  readonly labels: Float64Array;
}

const nanClass = -2;

/** Rows of (label, predicted class). */
export function predictionRows(output?: string, { hasClasses }: Pick<Metric, "hasClasses"> = {}): Metric {
  return {
    name: "answers",
    unit: "",
    better: "higher",
    columns: 2,
    rows(outputs, batch) {
      const samples = rowCount(batch);
      const dense = mainOutput(outputs, output);
      const scores =
        hasClasses !== false && hasOnePrediction(dense, samples) && dense.type !== "string"
          ? readScores(dense, samples, samples)
          : undefined;
      const rows = new Float64Array(2 * samples);
      const labels = labelsOf(batch.label, samples);
      for (let sample = 0; sample < samples; sample++) {
        const best = scores === undefined ? -1 : bestClass(scores, sample);
        const predictedClass = scores !== undefined && scores.areIndices !== true && best < 0 ? nanClass : best;
        rows.set([labels?.[sample] ?? -1, predictedClass], 2 * sample);
      }
      return rows;
    },
    reduce: () => Number.NaN,
  };
}

export function isAllNaN({ predicted }: Predictions): boolean {
  return predicted.length > 0 && predicted.every((value) => value === nanClass);
}

export function predictionsOf(rows: Float64Array): Predictions {
  return { labels: rows.filter((_, index) => index % 2 === 0), predicted: rows.filter((_, index) => index % 2 === 1) };
}

/** Returns 1 for each sample with equal predictions, else 0. */
export function agreementFlags(original: Predictions, other: Predictions): Float64Array | undefined {
  if (original.predicted.every((value) => value < 0)) return undefined;
  return original.predicted.map((value, sample) => Number(value >= 0 && value === other.predicted[sample]));
}

function hasOnePrediction(dense: Dense, samples: number): boolean {
  const [first, classes = 1, ...rest] = dense.dims;
  if (first !== samples || elementCount(rest) !== 1) return false;
  return classes > 1 ? !containsClasses(dense, samples) : containsClasses(dense, samples);
}

function labelsOf(label: Dense | undefined, samples: number): Float64Array | undefined {
  if (label === undefined || label.type === "string" || elementCount(label.dims) !== samples) return undefined;
  return toFloat64(label);
}

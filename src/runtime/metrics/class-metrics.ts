/** Metrics for class labels, from the column "label". Labels below 0 (often −100) are not counted. */
import { type Batch, type Dense, dataError, dimsText, optionError, toFloat64 } from "#ir";
import type { Metric, MetricOptions } from "./metric.ts";
import {
  bestClass,
  binaryScores,
  logScores,
  logSumExp,
  mainOutput,
  numbersHint,
  readScores,
  requireScores,
  type Scores,
} from "./output.ts";
import { averageRows, columnSums } from "./rows.ts";

/** Share of samples whose label has the highest score (top-1). NaN counts as wrong; of equal scores the first counts as the highest. */
export function accuracy(options: MetricOptions = {}): Metric {
  return shareCorrect("accuracy", options, (scores, position, label) => bestClass(scores, position) === label);
}

/** Share of samples whose label is among the k highest scores; of equal scores the first counts as higher. */
export function topK(k: number, options: MetricOptions = {}): Metric {
  if (!Number.isInteger(k) || k < 1) throw optionError(`topK: k: expected an integer of at least 1, got ${k}.`);
  return shareCorrect(`top-${k} accuracy`, options, (scores, position, label) => {
    requireScores(scores, `top-${k} accuracy`);
    const start = scores.at(position);
    const labelScore = scores.values[start + label * scores.step] ?? Number.NaN;
    let higher = 0;
    for (let index = 0; index < scores.classes; index++) {
      const other = scores.values[start + index * scores.step] ?? Number.NaN;
      if (Number.isNaN(other)) return false;
      if (other > labelScore || (other === labelScore && index < label)) higher++;
    }
    return higher < k;
  });
}

/** Mean of log Σ exp(scores) − score of the label, in nats, over the labels of a sample and then over samples. */
export function crossEntropy(options: MetricOptions = {}): Metric {
  return averageRows({
    name: "cross-entropy",
    unit: "nats",
    better: "lower",
    rows: (outputs, batch) =>
      averagePerSample(
        outputs,
        batch,
        options,
        (scores, labels, sample) => {
          const [sum, count] = natsOf(scores, labels, sample);
          return sum / count;
        },
        (scores) => logScores(scores, options.from),
      ),
  });
}

/** exp(mean nats over all labels), so long sequences have more weight. Rows contain nats and number of labels. */
export function perplexity(options: MetricOptions = {}): Metric {
  return {
    name: "perplexity",
    unit: "",
    better: "lower",
    columns: 2,
    rows(outputs, batch) {
      const { scores: rawScores, labels } = readScoresAndLabels(outputs, batch, options);
      const scores = logScores(rawScores, options.from);
      const rows = new Float64Array(2 * scores.samples);
      for (let sample = 0; sample < scores.samples; sample++) rows.set(natsOf(scores, labels, sample), 2 * sample);
      return rows;
    },
    reduce(rows) {
      const [nats = 0, count = 0] = columnSums(rows, 2);
      return Math.exp(nats / count);
    },
  };
}

/** F1 averaged over the classes (macro); without `classes`, over those that occur, as in scikit-learn. */
export function macroF1(options: MetricOptions & { readonly classes?: number } = {}): Metric {
  return confusionMetric("macro F1", options, (rows) => {
    const classes = options.classes ?? countClasses(rows);
    const { correct, predicted, labeled } = confusion(rows, classes);
    let sum = 0;
    let countedClasses = 0;
    for (let index = 0; index < classes; index++) {
      const denominator = (predicted[index] ?? 0) + (labeled[index] ?? 0);
      if (denominator > 0 || options.classes !== undefined) countedClasses++;
      sum += denominator === 0 ? 0 : (2 * (correct[index] ?? 0)) / denominator;
    }
    return sum / countedClasses;
  });
}

/** Matthews' correlation coefficient: 1 is perfect, 0 is chance level or a constant prediction. */
export function matthews(options: MetricOptions = {}): Metric {
  return confusionMetric("Matthews correlation", options, (rows) => {
    const { correct, predicted, labeled } = confusion(rows, countClasses(rows));
    const product = (a: Float64Array, b: Float64Array): number =>
      a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);
    const total = (counts: Float64Array): number => counts.reduce((sum, count) => sum + count, 0);
    const count = total(labeled);
    const squares = [predicted, labeled].map((counts) => count * count - product(counts, counts));
    const denominator = Math.sqrt((squares[0] ?? 0) * (squares[1] ?? 0));
    return denominator === 0 ? 0 : (total(correct) * count - product(predicted, labeled)) / denominator;
  });
}

interface LabeledScores {
  readonly scores: Scores;
  readonly labels: Float64Array;
}

function readScoresAndLabels(outputs: Batch, batch: Batch, options: MetricOptions): LabeledScores {
  const label = labelOf(batch);
  const labels = toFloat64(label);
  const output = mainOutput(outputs, options.output);
  if (output.type === "string") {
    throw dataError("The model outputs class names, and the labels are numbers.", {
      hint: ["Name a numeric output: `output`.", "Without labels it can be compared with its original (`original`)."],
    });
  }
  const scores = readScores(output, label.dims[0] ?? 0, labels.length);
  if (scores.positions === 1 && output.dims.slice(1).filter((size) => size > 1).length > 1) {
    throw dataError(
      `An output of ${dimsText(output.dims)} has numbers at many positions of a sample, but there is only one label per sample, which is not ground truth for them.`,
      {
        hint: [
          'Compare it with its original: `metric: "r-squared"`, agreement or box-overlap.',
          "Or name another output: `output`.",
        ],
      },
    );
  }
  if (scores.classes === 1 && scores.areIndices !== true && labels.every((value) => value === 0 || value === 1))
    return { scores: binaryScores(scores, options.from), labels };
  for (const value of labels) {
    if (Number.isInteger(value) && (scores.areIndices === true || value < scores.classes)) continue;
    throw dataError(
      scores.classes === 1
        ? `A label is ${value}, and the model outputs one number per sample: only the labels 0 and 1 are valid then.`
        : `A label is ${value}, and the model has ${scores.classes} classes (0 to ${scores.classes - 1}).`,
      {
        hint:
          Number.isInteger(value) && scores.classes > 1
            ? "Check that these data belong to this model, and that the labels count from 0."
            : numbersHint,
      },
    );
  }
  return { scores, labels };
}

export function labelOf(batch: Batch): Dense {
  if (batch.label !== undefined) return batch.label;
  throw dataError(`The data has no column "label", only ${Object.keys(batch).join(", ")}.`, {
    hint: "Without labels a model can be compared with its original: agreement, signal to noise.",
  });
}

function shareCorrect(
  name: string,
  options: MetricOptions,
  isCorrect: (scores: Scores, position: number, label: number) => boolean,
): Metric {
  return averageRows({
    name,
    unit: "share",
    better: "higher",
    interval: "proportion",
    rows: (outputs, batch) =>
      averagePerSample(outputs, batch, options, (scores, labels, sample) => {
        let [hits, counted] = [0, 0];
        for (const [position, label] of labeledPositions(scores, labels, sample)) {
          counted++;
          if (isCorrect(scores, position, label)) hits++;
        }
        return hits / counted;
      }),
  });
}

/** Returns one value per sample. @throws PithError E_DATA for a sample without a valid label, because its NaN would spread to the mean. */
function averagePerSample(
  outputs: Batch,
  batch: Batch,
  options: MetricOptions,
  measure: (scores: Scores, labels: Float64Array, sample: number) => number,
  prepare: (scores: Scores) => Scores = (scores) => scores,
): Float64Array {
  const { scores: rawScores, labels } = readScoresAndLabels(outputs, batch, options);
  const scores = prepare(rawScores);
  return Float64Array.from({ length: scores.samples }, (_, sample) => {
    const sampleLabels = labels.subarray(sample * scores.positions, (sample + 1) * scores.positions);
    if (sampleLabels.every((label) => label < 0))
      throw dataError(`Sample ${sample} of a batch has no valid label (all are below 0).`);
    return measure(scores, labels, sample);
  });
}

function* labeledPositions(
  { positions }: Scores,
  labels: Float64Array,
  sample: number,
): Iterable<[position: number, label: number]> {
  for (let position = sample * positions; position < (sample + 1) * positions; position++) {
    const label = labels[position] ?? -1;
    if (label >= 0) yield [position, label];
  }
}

function natsOf(scores: Scores, labels: Float64Array, sample: number): [nats: number, counted: number] {
  let [sum, counted] = [0, 0];
  for (const [position, label] of labeledPositions(scores, labels, sample)) {
    sum += logSumExp(scores, position) - (scores.values[scores.at(position) + label * scores.step] ?? Number.NaN);
    counted++;
  }
  return [sum, counted];
}

function confusionMetric(name: string, options: MetricOptions, reduce: (rows: Float64Array) => number): Metric {
  return {
    name,
    unit: "",
    better: "higher",
    columns: 2,
    rows(outputs, batch) {
      const { scores, labels } = readScoresAndLabels(outputs, batch, options);
      if (scores.positions !== 1) throw dataError(`${name} takes one label per sample, got ${scores.positions}.`);
      const rows = new Float64Array(2 * scores.samples);
      for (let sample = 0; sample < scores.samples; sample++)
        rows.set([labels[sample] ?? -1, bestClass(scores, sample)], 2 * sample);
      return rows;
    },
    reduce,
  };
}

function countClasses(rows: Float64Array): number {
  return rows.reduce((maxCount, value) => Math.max(maxCount, value + 1), 1);
}

/** Counts samples per class. A NaN prediction counts for a wrong class, because precision would increase without it. */
function confusion(rows: Float64Array, classes: number): Record<"correct" | "predicted" | "labeled", Float64Array> {
  const [correct, predicted] = [new Float64Array(classes), new Float64Array(classes)];
  const labeled = new Float64Array(classes);
  const increment = (counts: Float64Array, index: number): void => {
    if (index >= 0 && index < classes) counts[index] = (counts[index] ?? 0) + 1;
  };
  for (let start = 0; start < rows.length; start += 2) {
    const [label = -1, prediction = -1] = rows.subarray(start, start + 2);
    if (label < 0) continue;
    increment(labeled, label);
    increment(predicted, prediction < 0 ? (label + 1) % classes : prediction);
    if (label === prediction) increment(correct, label);
  }
  return { correct, predicted, labeled };
}

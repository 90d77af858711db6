/** Metrics for numeric outputs, with expected values in the column "label". */
import { type Batch, dataError, dimsText, elementCount, Miss, toFloat64 } from "#ir";
import { labelOf } from "./class-metrics.ts";
import type { Metric, MetricOptions } from "./metric.ts";
import { mainOutput } from "./output.ts";
import { averageRows } from "./rows.ts";

/** Mean squared error, averaged over the values of a sample, then over samples. */
export function meanSquaredError(options: MetricOptions = {}): Metric {
  return averageRows({
    name: "mean squared error",
    unit: "",
    better: "lower",
    best: 0,
    rows: (outputs, batch) => squaredErrors(outputs, batch, options),
  });
}

/** Maximum of an image without error, because an infinite value would make the mean infinite. */
const maxDecibels = 100;

/** Peak signal to noise 10 log10(peak² / mean squared error) in decibels, averaged over images. Outputs are clipped to 0 … `peak`. */
export function peakSignalToNoise(options: MetricOptions & { readonly peak?: number } = {}): Metric {
  const { peak = 1 } = options;
  return averageRows({
    name: "peak signal-to-noise ratio",
    unit: "dB",
    better: "higher",
    rows: (outputs, batch) =>
      squaredErrors(outputs, batch, options, (value) => Math.min(peak, Math.max(0, value))).map((error) =>
        Math.min(maxDecibels, 10 * Math.log10((peak * peak) / error)),
      ),
  });
}

/** Spearman's rank correlation of the output (one value per sample) with the label; 0 if either is constant. */
export function rankCorrelation(options: MetricOptions = {}): Metric {
  return {
    name: "rank correlation",
    unit: "",
    better: "higher",
    columns: 2,
    rows(outputs, batch) {
      const { predicted, expected, samples, width } = pair(outputs, batch, options);
      if (width !== 1) throw dataError(`A rank correlation takes one number per sample, got ${width}.`);
      const rows = new Float64Array(2 * samples);
      for (let sample = 0; sample < samples; sample++)
        rows.set([predicted[sample] ?? Number.NaN, expected[sample] ?? Number.NaN], 2 * sample);
      return rows;
    },
    reduce: (rows) => {
      const correlation = spearman(column(rows, 0), column(rows, 1));
      return typeof correlation === "number" ? correlation : 0;
    },
  };
}

function column(rows: Float64Array, index: number): Float64Array {
  return Float64Array.from({ length: rows.length / 2 }, (_, sample) => rows[2 * sample + index] ?? Number.NaN);
}

function squaredErrors(
  outputs: Batch,
  batch: Batch,
  options: MetricOptions,
  clip: (value: number) => number = (value) => value,
): Float64Array {
  const { predicted, expected, samples, width } = pair(outputs, batch, options);
  return Float64Array.from({ length: samples }, (_, sample) => {
    let sum = 0;
    for (let index = sample * width; index < (sample + 1) * width; index++)
      sum += (clip(predicted[index] ?? 0) - (expected[index] ?? 0)) ** 2;
    return sum / width;
  });
}

interface Pair {
  readonly predicted: Float64Array;
  readonly expected: Float64Array;
  readonly samples: number;
  readonly width: number;
}

function pair(outputs: Batch, batch: Batch, options: MetricOptions): Pair {
  const label = labelOf(batch);
  const output = mainOutput(outputs, options.output);
  const [samples = 0] = label.dims;
  const [expected, predicted] = [toFloat64(label), toFloat64(output)];
  if (predicted.length !== expected.length) {
    throw dataError(`The output is ${dimsText(output.dims)}, the label ${dimsText(label.dims)}: their sizes differ.`);
  }
  return { predicted, expected, samples, width: elementCount(label.dims.slice(1)) };
}

export function ranks(values: ArrayLike<number>): Float64Array {
  const order = Array.from({ length: values.length }, (_, index) => index);
  order.sort((a, b) => (values[a] ?? 0) - (values[b] ?? 0));
  const result = new Float64Array(values.length);
  for (let start = 0; start < order.length; ) {
    const value = values[order[start] ?? 0];
    let end = start + 1;
    while (end < order.length && values[order[end] ?? 0] === value) end++;
    for (let position = start; position < end; position++) result[order[position] ?? 0] = (start + 1 + end) / 2;
    start = end;
  }
  return result;
}

/** Pearson's correlation; a Miss if one series is constant. */
export function pearson(x: ArrayLike<number>, y: ArrayLike<number>): number | Miss {
  if (x.length !== y.length) throw dataError(`A correlation needs pairs: got ${x.length} and ${y.length} values.`);
  const meanX = mean(x);
  const meanY = mean(y);
  let xx = 0;
  let yy = 0;
  let xy = 0;
  for (let index = 0; index < x.length; index++) {
    const dx = (x[index] ?? 0) - meanX;
    const dy = (y[index] ?? 0) - meanY;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  return xx === 0 || yy === 0 ? new Miss("a constant has no correlation") : xy / Math.sqrt(xx * yy);
}

/** Spearman's rank correlation with shared ties; a Miss if one series is constant or contains NaN. */
export function spearman(x: ArrayLike<number>, y: ArrayLike<number>): number | Miss {
  if ([x, y].some((values) => Array.prototype.some.call(values, Number.isNaN))) return new Miss("NaN has no rank");
  return pearson(ranks(x), ranks(y));
}

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let index = 0; index < values.length; index++) sum += values[index] ?? 0;
  return sum / values.length;
}

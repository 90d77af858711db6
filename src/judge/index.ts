/** Measures metrics with intervals, paired comparison, speed and size. */

export type { Estimate, Unit } from "../core/estimate.ts";
export {
  bootstrap,
  bootstrapPairs,
  mcnemarExact,
  meanInterval,
  moments,
  neededSamples,
  pairedMeans,
  pairedScores,
  quantile,
  wilson,
  z95,
} from "../core/math/interval.ts";
export { boxOverlap } from "../runtime/metrics/boxes.ts";
export {
  agreement,
  determination,
  meanKl,
  signalToNoise,
} from "../runtime/metrics/comparison-metrics.ts";
export { cosine, type Embeddings, embeddings, leastSamples, neighbourOverlap } from "../runtime/metrics/embedding.ts";
export {
  type EvaluateOptions,
  type Evaluation,
  estimate,
  evaluate,
  evaluateAll,
  measure,
} from "../runtime/metrics/evaluate.ts";
export {
  accuracy,
  crossEntropy,
  type MetricOptions,
  macroF1,
  matthews,
  perplexity,
  topK,
} from "../runtime/metrics/metrics.ts";
export {
  bestClass,
  formOf,
  logScores,
  logSumExp,
  mainOutput,
  mainOutputName,
  type ScoreForm,
  type Scores,
  scoresFor,
} from "../runtime/metrics/output.ts";
export {
  meanSquaredError,
  peakSignalToNoise,
  pearson,
  rankCorrelation,
  ranks,
  spearman,
} from "../runtime/metrics/regression.ts";
export type { Metric, Task } from "../runtime/metrics/types.ts";
export {
  type Blame,
  blameAmong,
  blameText,
  isSpread,
  type LayerError,
  type LayerErrorOptions,
  type LayerErrors,
  layerErrors,
  layerToBlame,
} from "../runtime/noise/layer-errors.ts";
export { compareLayers, type LayerComparison, type LayerDifference } from "../runtime/noise/layers.ts";
export { weightErrors } from "../runtime/noise/weight-errors.ts";
export { decibels } from "../runtime/run/difference.ts";
export {
  type Latency,
  type LatencyOptions,
  type LatencyReport,
  latency,
  type RunTimes,
  type Spread,
  spread,
} from "../runtime/run/latency.ts";
export type { ObserveOptions } from "../runtime/run/over-samples.ts";
export { createRunner, type Runner, type RunnerOptions } from "../runtime/run/run.ts";
export { type CompressedSize, type Size, size } from "../runtime/run/size.ts";
export { batchInvariance, type Invariance, type InvarianceOptions } from "./compare/batch-dependence.ts";
export {
  answersWithNaN,
  type Comparison,
  compare,
  compareRows,
  type Goal,
  isBroken,
  isWithin,
  judge,
  type Pairs,
  usualDrop,
  type Verdict,
} from "./compare/compare.ts";
export { type AlikeOptions, compareFunction, type Likeness } from "./compare/compare-function.ts";
export { codesTolerance, compareOutputs, type Sameness, type SameOptions } from "./compare/equivalence.ts";
export {
  guessPreprocessing,
  imageInput,
  type PreprocessingGuess,
  type PreprocessingScore,
} from "./task/guess-preprocessing.ts";

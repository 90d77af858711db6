/** Measures metrics with intervals, paired comparison, speed and size. */

export { batchInvariance, type Invariance, type InvarianceOptions } from "./batch-dependence.ts";
export { boxOverlap } from "./boxes.ts";
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
} from "./compare.ts";
export { type AlikeOptions, compareFunction, type Likeness } from "./compare-function.ts";
export {
  agreement,
  determination,
  meanKl,
  signalToNoise,
} from "./comparison-metrics.ts";
export { decibels } from "./difference.ts";
export { cosine, type Embeddings, embeddings, leastSamples, neighbourOverlap } from "./embedding.ts";
export { codesTolerance, compareOutputs, type Sameness, type SameOptions } from "./equivalence.ts";
export type { Estimate, Unit } from "./estimate.ts";
export { type EvaluateOptions, type Evaluation, estimate, evaluate, evaluateAll, measure } from "./evaluate.ts";
export {
  guessPreprocessing,
  imageInput,
  type PreprocessingGuess,
  type PreprocessingScore,
} from "./guess-preprocessing.ts";
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
} from "./interval.ts";
export {
  type Latency,
  type LatencyOptions,
  type LatencyReport,
  latency,
  type RunTimes,
  type Spread,
  spread,
} from "./latency.ts";
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
} from "./layer-errors.ts";
export { compareLayers, type LayerComparison, type LayerDifference } from "./layers.ts";
export {
  accuracy,
  crossEntropy,
  type MetricOptions,
  macroF1,
  matthews,
  perplexity,
  topK,
} from "./metrics.ts";
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
} from "./output.ts";
export type { ObserveOptions } from "./over-samples.ts";
export { meanSquaredError, peakSignalToNoise, pearson, rankCorrelation, ranks, spearman } from "./regression.ts";
export { createRunner, type Runner, type RunnerOptions } from "./run.ts";
export { type CompressedSize, type Size, size } from "./size.ts";
export type { Metric, Task } from "./types.ts";
export { weightErrors } from "./weight-errors.ts";

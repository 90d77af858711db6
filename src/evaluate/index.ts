/** Measuring: figures with intervals, paired comparison, speed, size. */
export { agreement, decibels, meanKl, meanSquaredChange, signalToNoise, similarity } from "./against.ts";
export { type Comparison, compare, compareRows, type Goal, judge, type Pairs, type Verdict } from "./compare.ts";
export { pearson, ranks, spearman } from "./correlation.ts";
export { type EvaluateOptions, type Evaluation, estimate, evaluate, evaluateAll, measure } from "./evaluate.ts";
export { guessPreprocessing, imageInput, type PreprocessingGuess, type PreprocessingScore } from "./guess.ts";
export {
  bootstrap,
  bootstrapPairs,
  mcnemarExact,
  meanInterval,
  moments,
  neededSamples,
  pairedMeans,
  pairedProportions,
  quantile,
  wilson,
  z95,
} from "./interval.ts";
export { type Latency, type LatencyOptions, type LatencyReport, latency, type Spread, spread } from "./latency.ts";
export {
  accuracy,
  crossEntropy,
  type MetricOptions,
  macroF1,
  matthews,
  meanSquaredError,
  perplexity,
  topK,
} from "./metrics.ts";
export { type ObserveOptions, observeRanges, type ValueRange } from "./observe.ts";
export { answer, answerName, bestClass, logSumExp, type Scores, scoresFor } from "./output.ts";
export { createRunner, type Runner } from "./run.ts";
export { brotliQuality, type Size, size } from "./size.ts";
export type { Estimate, Metric, Task, Unit } from "./types.ts";

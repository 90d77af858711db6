/** Exports metrics with intervals, paired comparison, speed and size. */
export type { Estimate } from "../core/estimate.ts";
export { changeInterval as changeIntervalText, changeTexts, figure as figureText } from "../core/numbers.ts";
export { agreement } from "../runtime/metrics/comparison-metrics.ts";
export { cosine } from "../runtime/metrics/embedding.ts";
export { type EvaluateOptions, type Evaluation, estimate, evaluate, measure } from "../runtime/metrics/evaluate.ts";
export { accuracy, crossEntropy, macroF1, matthews, perplexity, topK } from "../runtime/metrics/metrics.ts";
export { meanSquaredError, pearson, spearman } from "../runtime/metrics/regression.ts";
export type { Metric } from "../runtime/metrics/types.ts";
export { blameText, type LayerErrors, layerErrors } from "../runtime/noise/layer-errors.ts";
export { compareLayers } from "../runtime/noise/layers.ts";
export { type Latency, type LatencyOptions, latency } from "../runtime/run/latency.ts";
export { type Size, size } from "../runtime/run/size.ts";
export { compare, compareRows } from "./compare/compare.ts";
export { compareFunction, type Likeness } from "./compare/compare-function.ts";
export { compareOutputs, type Sameness } from "./compare/equivalence.ts";
export { type Comparison, type Goal, judge, type Verdict } from "./compare/goal.ts";
export { checkTargets, type OnTarget } from "./compare/target-check.ts";
export { outputDifferenceText } from "./record/verdict.ts";

/** Exports metrics with intervals, paired comparison, speed and size. @module */
export type { Estimate } from "../core/estimate.ts";
export { accuracy } from "../runtime/metrics/class-metrics.ts";
export { agreement } from "../runtime/metrics/comparison-metrics.ts";
export { type EvaluateOptions, type Evaluation, estimate, evaluate, measure } from "../runtime/metrics/evaluate.ts";
export type { Metric } from "../runtime/metrics/metric.ts";
export { type LayerErrors, layerErrors } from "../runtime/noise/layer-errors.ts";
export { type Latency, type LatencyOptions, latency } from "../runtime/run/latency.ts";
export { type Size, size } from "../runtime/run/model-size.ts";
export { compare, compareRows } from "./compare/compare.ts";
export { compareFunction, type Likeness } from "./compare/compare-function.ts";
export { type Comparison, type Goal, judge, type Verdict } from "./compare/goal.ts";
export { checkTargets, type TargetCheck } from "./compare/target-check.ts";
export { type MetricName, namedMetrics } from "./task/named-metrics.ts";

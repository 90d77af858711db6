/**
 * Builds new passes, operators, solvers and statistics: graphs, their analysis, and the numerics that the techniques use.
 * The types of criteria, patterns and allocations are in `pith/prune`. @module
 */
export { cost } from "./core/analysis/cost.ts";
export { infer } from "./core/analysis/infer.ts";
export { type Layer, layers } from "./core/analysis/layers.ts";
export { learnedCount, learnedTensors } from "./core/analysis/learned-tensors.ts";
export { emitInto } from "./core/graph/emit.ts";
export { Graph } from "./core/graph/graph.ts";
export { allGraphs, type Node, type Value } from "./core/graph/graph-elements.ts";
export { replaceUses } from "./core/graph/replace.ts";
export { printModel } from "./core/graph/text.ts";
export { parseModel } from "./core/graph/text-parse.ts";
export { verify } from "./core/graph/verify.ts";
export { fromDense, type Matrix, multiply } from "./core/math/matrix.ts";
export { matrixRank } from "./core/math/rank.ts";
export { svd } from "./core/math/svd.ts";
export { defineOp } from "./core/ops/define.ts";
export type { OpDef, WeightRole } from "./core/ops/entry.ts";
export { addOperators } from "./core/ops/index.ts";
export { definePass, type Pass } from "./core/pass/pass.ts";
export { fixedDims } from "./core/tensor/dims.ts";
export { random } from "./core/tensor/random.ts";
export { type GradientStatistic, observeGradients } from "./learn/train/gradient-statistic.ts";
export { fixInputs } from "./rewrite/edit/set-input-shapes.ts";
export { type Calibration, calibrate } from "./techniques/calibrate/calibration.ts";
export { channelMoments, columnNorms, type Moments } from "./techniques/calibrate/column-statistics.ts";
export type { Features } from "./techniques/calibrate/features.ts";
export { type Gram, gramMatrices } from "./techniques/calibrate/gram.ts";
export { histogram } from "./techniques/calibrate/histogram.ts";
export { observe, valueRange } from "./techniques/calibrate/observe.ts";
export type { LayerContext, Solver } from "./techniques/calibrate/solver.ts";
export type { Running, Statistic } from "./techniques/calibrate/statistic.ts";

/** Calibration: statistics of a model's values over samples, in one pass or layer after layer. */
export type { ObserveOptions } from "../../runtime/run/over-samples.ts";
export { type CalibrateOptions, type Calibration, calibrate } from "./calibration.ts";
export { channelMoments, columnNorms, type Moments } from "./column-statistics.ts";
export { type Gram, gramMatrices } from "./gram.ts";
export { type Histogram, histogram } from "./histogram.ts";
export { observe, type ValueRange, valueRange } from "./observe.ts";
export type { LayerContext, Solver } from "./solver.ts";
export type { Features, Place, Running, Statistic } from "./statistic.ts";

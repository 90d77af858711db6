/** Quantization: weights, dynamic and static; rounding to train through. */
export type { DtypeName } from "./dtypes.ts";
export { fakeQuantize } from "./fake.ts";
export { type Grid, nearestCode, type ScaledGrid } from "./grid.ts";
export type { QuantizeOptions } from "./options.ts";
export { quantize } from "./quantize.ts";
export { hqq } from "./rounders/hqq.ts";
export { kQuant } from "./rounders/k-quant.ts";
export { mse } from "./rounders/mse.ts";
export { nearest } from "./rounders/nearest.ts";
export type { Rounder, RoundingContext } from "./rounders/rounder.ts";
export { type SlicedWeight, slicedWeight } from "./sliced-weight.ts";

export type { Grid, ScaledGrid, SlicedWeight } from "../calibrate/solver.ts";
export { type Dtype, type DtypeName, dtypes } from "./dtypes.ts";
export { fakeQuantize } from "./fake-quantize.ts";
export { nearestCode, slicedWeight } from "./grid.ts";
export type { QuantizeOptions } from "./options.ts";
export { equalize, quantize } from "./quantize.ts";
export { nearest } from "./rounders/nearest.ts";

/** Quantization: weight-only, dynamic, static and quantization-aware training. */

export type { Grid, ScaledGrid, SlicedWeight } from "../calibrate/solver.ts";
export type { DtypeName } from "./dtypes.ts";
export { equalize } from "./equalize/pass.ts";
export { fakeQuantize } from "./fake.ts";
export { nearestCode } from "./grid.ts";
export type { QuantizeOptions } from "./options.ts";
export { quantize } from "./quantize.ts";
export { adaround } from "./rounders/adaround.ts";
export { gptaq } from "./rounders/gptaq.ts";
export { gptq } from "./rounders/gptq.ts";
export { kQuant } from "./rounders/k-quant.ts";
export { mse } from "./rounders/mse.ts";
export { nearest } from "./rounders/nearest.ts";
export { sequentialMse } from "./rounders/sequential-mse.ts";
export { slicedWeight } from "./sliced-weight.ts";

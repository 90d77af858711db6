/** Quantization: weights, dynamic and static; rounding to train through. */
export { fakeQuantize } from "./fake.ts";
export type { QuantizeOptions } from "./options.ts";
export { quantize } from "./quantize.ts";

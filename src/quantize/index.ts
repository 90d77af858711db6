/** Quantization: weights, dynamic and static; rounding to train through. */
export { fakeQuantize, fakeQuantizeOptions } from "./fake.ts";
export { type QuantizeOptions, quantizeOptions } from "./options.ts";
export { quantize } from "./quantize.ts";

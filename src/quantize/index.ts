/** Quantization: weights, dynamic and static. */
export { type QuantizeOptions, quantizeOptions } from "./options.ts";
export { quantize } from "./quantize.ts";

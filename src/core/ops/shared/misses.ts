/** Reasons that many definitions share for omitting a facet. */
import { Miss } from "../../errors.ts";

export const noRank = new Miss("the rank of its input is not known");
export const noWeight = new Miss("has no weight");
export const primitive = new Miss("is primitive");
export const runsInFloat = new Miss("stays in float: no quantized kernel");
export const quantizedAlready = new Miss("is quantized already");
/** Types, shapes and cost are defined; training and the removal of channels are not. */
export const inferenceOnly = new Miss("Pith defines it for inference only");
export const computesIntegers = new Miss("computes integers");
export const lowerFirst = "run the recipe step `lower-fused` first (`lowerFused` in code)";
export const onIntegers = {
  gradient: computesIntegers,
  quantize: quantizedAlready,
};

/** ONNX Runtime fuses the operator between DequantizeLinear and QuantizeLinear although it has no integer kernel. */
export const mistakenForIntegers = "mistaken for integers";

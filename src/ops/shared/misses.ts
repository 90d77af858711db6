/** The reasons that many entries have for not having a facet: the same words for the same thing. */
import { Miss } from "../../errors.ts";

export const noRank = new Miss("the rank of its input is not known");
export const noWeight = new Miss("has no weight");
export const primitive = new Miss("is primitive");
export const runsInFloat = new Miss("stays in float: no quantized kernel");
export const quantizedAlready = new Miss("is quantized already");
export const computesIntegers = new Miss("computes integers");
/** The way out for what is fused: the pass that writes it as primitives. */
export const lowerFirst = "run the recipe step `lower-fused` first (`lowerFused` in code)";
export const onIntegers = {
  gradient: computesIntegers,
  quantize: quantizedAlready,
};

/** The kind of a refusal: the runtime has no integer kernel for the operator, and between DequantizeLinear and QuantizeLinear makes one all the same. */
export const mistakenForIntegers = "mistaken for integers";

/** Reasons why definitions lack a facet. */
import { Miss } from "#graph";

export const noRank = new Miss("the rank of its input is not known");
export const noWeight = new Miss("has no weight");
export const noLowering = new Miss("is primitive");
export const noQuantizedKernel = new Miss("stays in float: no quantized kernel");
export const quantizedAlready = new Miss("is quantized already");
/** For operators without gradients whose types, shapes and cost are known. */
export const inferenceOnly = new Miss("Pith defines it for inference only");
export const computesIntegers = new Miss("computes integers");
export const lowerFirst = "run the recipe step `lower-fused` first (`lowerFused` in code)";
export const onIntegers = { gradient: computesIntegers, quantize: quantizedAlready };

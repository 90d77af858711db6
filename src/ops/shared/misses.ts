/** The reasons that many entries have for not having a facet: the same words for the same thing. */
import { Miss } from "../../errors.ts";

export const noWeight = new Miss("has no weight");
export const primitive = new Miss("is primitive");
export const runsInFloat = new Miss("stays in float: no quantized kernel");
export const quantizedAlready = new Miss("is quantized already");
export const computesIntegers = new Miss("computes integers");
/** Facets of operators on codes. */
export const onIntegers = { axes: quantizedAlready, gradient: computesIntegers, quantize: quantizedAlready };

export { binaryCrossEntropy } from "./binary.ts";
export { type CrossEntropyOptions, crossEntropy } from "./cross-entropy.ts";
export { divergence } from "./divergence.ts";
export { lossNames, parseLoss } from "./parse.ts";
export { type HuberOptions, huber, meanAbsoluteError, meanSquaredError } from "./regression.ts";
export type { OutputForm } from "./scores.ts";
export { sumOfLosses, type WeightedLoss } from "./sum-of-losses.ts";
export { cosineDistance, type InfoNceOptions, infoNce } from "./vectors.ts";

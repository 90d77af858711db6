export type { OutputForm } from "./cross-entropy.ts";
export { binaryCrossEntropy, type CrossEntropyOptions, crossEntropy, divergence } from "./cross-entropy.ts";
export {
  cosineDistance,
  type HuberOptions,
  huber,
  type InfoNceOptions,
  infoNce,
  meanAbsoluteError,
  meanSquaredError,
} from "./numbers.ts";
export { lossNames, parseLoss, sumOfLosses, type WeightedLoss } from "./parse.ts";

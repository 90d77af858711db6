export { binaryCrossEntropy, crossEntropy, divergence } from "./cross-entropy.ts";
export {
  cosineDistance,
  huber,
  infoNce,
  meanAbsoluteError,
  meanSquaredError,
} from "./numbers.ts";
export { lossNames, parseLoss, sumOfLosses } from "./parse.ts";

export { adaptiveCodes, type RoundingProblem } from "./adaround.ts";
export {
  type BlockBits,
  type BlockRows,
  type BlockScales,
  blockCodes,
  blockScale,
  blockScales,
  packRows,
} from "./blocks.ts";
export { cholesky, invertLower, solveCholesky } from "./cholesky.ts";
export { cutsOf } from "./common-step.ts";
export { descend } from "./coordinate-descent.ts";
export { assign, kmeans } from "./kmeans.ts";
export {
  frobenius,
  fromDense,
  identity,
  largestMagnitude,
  type Matrix,
  type Multiply,
  matrix,
  matrixOf,
  multiply,
  multiplyHere,
  scaleColumns,
  scaleRows,
  sliceColumns,
  sliceRows,
  subtract,
  transpose,
} from "./matrix.ts";
export { operate, type Surgeon, type Surgery, surgeonFor } from "./optimal-brain-surgeon.ts";
export {
  type Codes,
  fullRange,
  isSigned,
  makeCodes,
  type QuantizationRange,
  type QuantizedType,
  quantizationRange,
  quantizeBias,
  type RangeOptions,
  type ScaleAndZeroPoint,
  type ScaleOptions,
  scaleAndZeroPoint,
  smallestBiasScale,
  smallestScale,
  weightScaleForBias,
} from "./quantize.ts";
export {
  channelRanges,
  codesTensor,
  type QuantizedTensor,
  type QuantizeWeightsOptions,
  quantizationParameters,
  quantizeTensor,
  quantizeWeights,
  sliceSteps,
} from "./quantize-tensor.ts";
export {
  energyShares,
  largestRankThatSaves,
  matrixRank,
  type RankOptions,
  rankForEnergy,
  rankTolerance,
  truncationError,
} from "./rank.ts";
export { type Svd, singularValues, svd } from "./svd.ts";
export { largestOfBlocks, tableCodes } from "./table-codes.ts";
export { type TruncatedSvd, type TruncationOptions, truncatedSvd } from "./truncate.ts";
export { swapChannels, type Tucker2, type Tucker2Options, tucker2 } from "./tucker.ts";
export { squareRoot, type WeightFactors, whitenedSvd } from "./whiten.ts";

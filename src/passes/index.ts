export { foldConstants } from "./fold-constants.ts";
export { fuseBatchNorm } from "./fuse-batch-norm.ts";
export {
  type Change,
  type Context,
  completeContext,
  definePass,
  type Outcome,
  type Pass,
  type PassDefinition,
  parseOptions,
} from "./pass.ts";
export { raiseOpset } from "./raise-opset.ts";
export { removeUnused } from "./remove-unused.ts";
export { setBatch } from "./set-batch.ts";

export { deduplicate } from "./deduplicate.ts";
export { dropNotes } from "./drop-notes.ts";
export { dropUnused } from "./drop-unused.ts";
export { finalize } from "./finalize.ts";
export { fixDimensions } from "./fix-dimensions.ts";
export { fixInputs } from "./fix-inputs.ts";
export { foldConstants } from "./fold-constants.ts";
export { foldShapes } from "./fold-shapes.ts";
export { fuseAffine, fuseBatchNorm } from "./fuse-batch-norm.ts";
export { fusePairs } from "./fuse-pairs.ts";
export { inlineFunctions } from "./inline-functions.ts";
export { keepOutputs } from "./keep-outputs.ts";
export { lowerFused } from "./lower-fused.ts";
export { mergeInitializers } from "./merge-initializers.ts";
export { migrate } from "./migrate.ts";
export {
  type AnyPass,
  type CalibrationData,
  type Change,
  type Context,
  completeContext,
  definePass,
  type Learnt,
  noLongerThere,
  type OptionValues,
  type Outcome,
  type Pass,
  type PassCommand,
  type PassDefinition,
  type PassDescription,
  parseOptions,
} from "./pass.ts";
export { raiseOpset } from "./raise-opset.ts";
export { removeIdentities } from "./remove-identities.ts";
export { removeUnused } from "./remove-unused.ts";
export { resolveConditions } from "./resolve-conditions.ts";
export { setInputs } from "./set-inputs.ts";
export { simplify } from "./simplify.ts";
export { storeConstants } from "./store-constants.ts";

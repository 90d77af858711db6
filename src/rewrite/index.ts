export { removeUnused } from "../core/graph/remove-unused.ts";
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
} from "../core/pass/pass.ts";
export { deduplicate } from "./clean-up/deduplicate.ts";
export { dropNotes, dropUnused } from "./clean-up/drop-unused.ts";
export { finalize } from "./clean-up/finalize.ts";
export { fixDimensions } from "./clean-up/fix-dimensions.ts";
export { fixInputs } from "./clean-up/fix-inputs.ts";
export { foldConstants } from "./clean-up/fold-constants.ts";
export { foldShapes } from "./clean-up/fold-shapes.ts";
export { fuseAffine, fuseBatchNorm } from "./clean-up/fuse-batch-norm.ts";
export { fusePairs } from "./clean-up/fuse-pairs.ts";
export { inlineFunctions } from "./clean-up/inline-functions.ts";
export { keepOutputs } from "./clean-up/keep-outputs.ts";
export { mergeInitializers } from "./clean-up/merge-initializers.ts";
export { removeIdentities } from "./clean-up/remove-identities.ts";
export { resolveConditions } from "./clean-up/resolve-conditions.ts";
export { setInputs } from "./clean-up/set-inputs.ts";
export { simplify } from "./clean-up/simplify.ts";
export { storeConstants } from "./clean-up/store-constants.ts";
export { lowerFused } from "./edit/lower-fused.ts";
export { migrate } from "./edit/migrate.ts";
export { raiseOpset } from "./edit/raise-opset.ts";

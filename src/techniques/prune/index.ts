/** Pruning: masks by the rules of `torch.nn.utils.prune`, and removal of channels and layers. */
export type { MatrixMask, Pattern, PruneGoal, PruneSolution } from "../calibrate/solver.ts";
export type { Allocation } from "./allocation.ts";
export type { ChannelUnits, Importance, ScoredWeight } from "./criterion.ts";
export { keepLayers } from "./keep-layers.ts";
export type { PruneOptions } from "./options.ts";
export { prune } from "./prune.ts";
export { isPruned, remove } from "./remove.ts";
export {
  customFromMask,
  globalUnstructured,
  identity,
  l1Unstructured,
  lnStructured,
  randomStructured,
  randomUnstructured,
} from "./rules.ts";
export { trimVocabulary } from "./vocabulary.ts";

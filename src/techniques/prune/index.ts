/** Pruning: masks by the rules of `torch.nn.utils.prune`, and removal of channels and layers. */

export type { Mask } from "../../core/math/smallest.ts";
export type { MatrixMask, Pattern, PruneGoal, PruneSolution } from "../calibrate/solver.ts";
export type { Allocation, RankedLayer } from "./allocation.ts";
export type { AllocationName } from "./allocations.ts";
export type { Amount } from "./amount.ts";
export type { ImportanceName } from "./criteria.ts";
export type {
  ActivationStatistic,
  ChannelPlace,
  Channels,
  ChannelUnits,
  GateStatistic,
  Importance,
  ScoredWeight,
} from "./criterion.ts";
export { type KeptLayers, keepLayers, keptLayers } from "./keep-layers.ts";
export type { Norm } from "./mask.ts";
export type { PruneOptions } from "./options.ts";
export { prune } from "./prune.ts";
export { isPruned, remove } from "./remove.ts";
export {
  type CustomOptions,
  customFromMask,
  type GlobalOptions,
  globalUnstructured,
  identity,
  type L1Options,
  type LnOptions,
  l1Unstructured,
  lnStructured,
  type PerLayer,
  type RandomOptions,
  type RandomStructuredOptions,
  randomStructured,
  randomUnstructured,
  type TensorOption,
} from "./rules.ts";
export type { ParameterKind, ParameterSelection } from "./targets.ts";
export { type TrimmedVocabulary, trimVocabulary } from "./vocabulary.ts";

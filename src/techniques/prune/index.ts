/** Pruning: masks of weights, and removal of channels and layers. @module */
export type { MatrixMask, Pattern, PruneGoal, PruneSolution } from "../calibrate/solver.ts";
export type { Allocation } from "./allocation.ts";
export type { ChannelUnits, Importance, ScoredWeight } from "./criterion.ts";
export { customFromMask } from "./custom-from-mask.ts";
export { keepLayers } from "./keep-layers.ts";
export type { PruneOptions } from "./options.ts";
export { prune } from "./prune.ts";
export { isPruned, remove } from "./remove.ts";

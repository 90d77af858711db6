/** Walkers over a graph, which ask operators' entries and never look at names: types, layers, costs, channels that go together. */
export { joinBlocks } from "./block-use.ts";
export { type Block, type Blocks, blocks, extractBlock } from "./blocks.ts";
export { channelGroups, type Group, removable, type Slice } from "./channels.ts";
export { type Cost, cost } from "./cost.ts";
export { cut, type Removal, refusesCut } from "./cut.ts";
export { type Inference, infer } from "./infer.ts";
export { type Layer, layerAt, layers } from "./layers.ts";
export { learnedCount, learnedTensors } from "./learned.ts";
export { type Selection, selectLayers } from "./selection.ts";
export { contradicts, restate } from "./stale-types.ts";
export { weightMatrices, weightNumbers } from "./weight.ts";

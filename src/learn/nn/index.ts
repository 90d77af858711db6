export { attention } from "./attention.ts";
export { conv1d, conv2d } from "./conv.ts";
export { embedding, positionEmbedding } from "./embedding.ts";
export { linear } from "./linear.ts";
export type { Module, Modules } from "./module.ts";
export { network, residual, sequential } from "./network.ts";
export { batchNorm, layerNorm } from "./norm.ts";
export { averagePool, globalAveragePool, maxPool } from "./pool.ts";
export { dropout, flatten, gelu, relu, select, sigmoid, silu, tanh } from "./weightless.ts";

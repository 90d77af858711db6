export { type AttentionOptions, attention } from "./attention.ts";
export { type ConvOptions, conv1d, conv2d } from "./conv.ts";
export { embedding, positionEmbedding } from "./embedding.ts";
export { linear } from "./linear.ts";
export type { Module, ModuleScope, Modules } from "./module.ts";
export { type InputDims, type NetworkInput, type NetworkOptions, network, residual, sequential } from "./network.ts";
export { type BatchNormOptions, batchNorm, layerNorm } from "./norm.ts";
export { averagePool, globalAveragePool, maxPool, type PoolOptions } from "./pool.ts";
export { dropout, flatten, gelu, relu, select, sigmoid, silu, tanh } from "./simple.ts";

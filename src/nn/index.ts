export { linear } from "./linear.ts";
export type { Module, ModuleScope } from "./module.ts";
export { type NetworkOptions, network } from "./network.ts";
export { flatten, relu } from "./simple.ts";

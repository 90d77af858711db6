/** Modules without parameters. */
import type { Module } from "./module.ts";

/** max(x, 0). */
export function relu(): Module {
  return ({ emit, name }, x) => emit.named(`${name}.output`).Relu([x]);
}

/** Everything but the batch in one axis: [batch, 1, 28, 28] → [batch, 784]. */
export function flatten(): Module {
  return ({ emit, name }, x) => emit.named(`${name}.output`).Flatten([x], { axis: 1 });
}

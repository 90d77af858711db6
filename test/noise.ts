/** Tensors drawn from a normal distribution by a seed, for laws that hold of any numbers. */
import { float32 } from "../src/core/tensor/dense.ts";
import { elementCount } from "../src/core/tensor/dims.ts";
import { random } from "../src/core/tensor/random.ts";
import type { Dense } from "../src/core/tensor/types.ts";

/** @param seed a number, or a word that tells one stream of seed 1 from another. */
export function noise(dims: readonly number[], seed: number | string, deviation = 1): Dense<"float32"> {
  const numbers = typeof seed === "number" ? random(seed, "noise") : random(1, seed);
  return float32(
    dims,
    Float32Array.from({ length: elementCount(dims) }, () => numbers.normal(0, deviation)),
  );
}

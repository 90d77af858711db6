/** Who reads a stored tensor as a parameter, and as what: a matrix, its bias, a scale. The operators' entries say. */
import type { Inference } from "../analysis/infer.ts";
import { Miss } from "../errors.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Bound, WeightRole } from "../ops/define.ts";
import { isFloat } from "../tensor/convert.ts";
import { elementCount, fixedDims } from "../tensor/dims.ts";

/** A node that computes something with a stored tensor. */
export interface Reading {
  readonly node: Node;
  readonly bound: Bound;
  readonly input: number;
}

/** Who takes a value for a parameter or a state: it, a part of it, or what it becomes behind a mask or a transposition, or spread over a batch. */
export function* readings(value: Value, inference: Inference): Generator<Reading> {
  const count = sizeOf(value);
  for (const { node, input } of value.uses) {
    const [output] = node.outputs;
    const bound = inference.at(node);
    if (output === undefined || bound instanceof Miss) continue;
    const others = node.inputs.filter((other, at) => other !== undefined && at !== input);
    if (inference.operand(output)?.stored === true) {
      // What is smaller than the result is the scale of something else.
      const size = sizeOf(output);
      if (count !== undefined && size !== undefined && count >= size) yield* readings(output, inference);
    } else if (bound.parameters().includes(input) || bound.training()?.states.includes(input) === true) {
      yield { node, bound, input };
    } else if (others.length > 0 && others.every((other) => other?.type !== undefined && !isFloat(other.type.type))) {
      yield* readings(output, inference);
    }
  }
}

/**
 * Whether what is read is no matrix: the scale or the shift of a normalization, or what the node of a matrix takes beside it, as biases of
 * recurrent layers, which have two axes where there are two directions.
 */
export function isBiasOrScale({ node, bound, input }: Reading): boolean {
  const roles = rolesOf(bound);
  if (roles.length > 0) return roles.every((role) => role.input !== input);
  const scales = bound.scales().filter((scale) => bound.parameters().includes(scale));
  return scales.some((scale) => scale === input || sizeOf(node.inputs[scale]) === sizeOf(node.inputs[input]));
}

export const rolesOf = (bound: Bound): readonly WeightRole[] => {
  const roles = bound.weights();
  return roles instanceof Miss ? [] : roles;
};

function sizeOf(value: Value | undefined): number | undefined {
  const dims = fixedDims(value?.type?.dims);
  return dims === undefined ? undefined : elementCount(dims);
}

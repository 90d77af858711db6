/**
 * What a stored tensor holds before anything was learnt, as the entries of the operators say that compute with it.
 *
 * - Weights of layers: variance 2 / inputs where an activation follows (a rectifier or what resembles it, element by element, behind a bias or a
 *   normalization perhaps; He et al. 2015), elsewhere 2 / (inputs + outputs) (Glorot and Bengio 2010). Each tap of a kernel counts as an input and
 *   as an output, of its group.
 * - Tables (words, positions): variance 1 / columns, so rows of length 1, whose products with vectors of variance 1 have that too.
 * - Scales: 1. Biases, and other vectors: 0.
 */
import type { Inference } from "../analysis/infer.ts";
import { Miss } from "../errors.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Bound, WeightRole } from "../ops/define.ts";
import { fixedDims } from "../tensor/dims.ts";
import { isBiasOrScale, readings, rolesOf } from "./readings.ts";

/** One number, or the variance of many around 0. */
export type Initialization = number | { readonly variance: number };

/** Undefined where no operator says what it is: the scale of a rounding, for instance, which belongs to what it rounds. */
export function initializationOf(value: Value, inference: Inference): Initialization | undefined {
  const found = [...readings(value, inference)];
  for (const { node, bound, input } of found) {
    const role = rolesOf(bound).find((role) => role.input === input);
    if (role !== undefined) return { variance: weightVariance(node, role, inference) };
  }
  if (found.some(({ bound, input }) => bound.scales().includes(input))) return 1;
  const [first] = found;
  if (first === undefined) return undefined;
  const { node, bound, input } = first;
  const long = (value.tensor?.dims ?? []).filter((size) => size > 1);
  return isBiasOrScale({ node, bound, input }) || long.length < 2 ? 0 : { variance: 1 / (long.at(-1) ?? 1) };
}

function weightVariance(node: Node, role: WeightRole, inference: Inference): number {
  const dims = fixedDims(node.inputs[role.input]?.type?.dims) ?? [];
  // Operators with groups store the axis in front for all of them, the other one for one.
  const ofGroup = (axis: number): number => (dims[axis] ?? 1) / (axis === 0 ? role.groups : 1);
  const taps = dims.reduce(
    (product, size, axis) => (axis === role.in || axis === role.out || axis === role.stack ? product : product * size),
    1,
  );
  const [inputs, outputs] = [taps * ofGroup(role.in), taps * ofGroup(role.out)];
  const isActivated = role.fused !== undefined || node.outputs.slice(0, 1).some((y) => reachesActivation(y, inference));
  return isActivated ? 2 / inputs : 2 / (inputs + outputs);
}

/** Whether a function of each element reads it, perhaps behind what only scales and shifts. */
function reachesActivation(value: Value | undefined, inference: Inference): boolean {
  return [...(value?.uses ?? [])].some(({ node, input }) => {
    const bound = inference.at(node);
    if (bound instanceof Miss || node.inputs.some((other, at) => at !== input && isComputed(other, inference)))
      return false;
    if (bound.unchanged() !== undefined || !(bound.affine() instanceof Miss))
      return reachesActivation(node.outputs[0], inference);
    return isElementwise(bound, node.inputs[input]?.type?.dims?.length);
  });
}

function isComputed(value: Value | undefined, inference: Inference): boolean {
  return value !== undefined && inference.operand(value)?.stored !== true;
}

/** Whether each element of the result follows from the one in its place. */
function isElementwise(bound: Bound, rank: number | undefined): boolean {
  const rule = bound.axes();
  if (rule instanceof Miss || rank === undefined) return false;
  const links = rule.links.filter((link) => "from" in link && link.from[0] === "in0" && link.to[0] === "out0");
  const kept = links.filter((link) => "from" in link && link.from[1] === link.to[1] && link.map === undefined);
  const refused = rule.links.some((link) => "refuses" in link && link.refuses[0] === "in0");
  return !refused && links.length === rank && kept.length === rank;
}

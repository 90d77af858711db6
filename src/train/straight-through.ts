/**
 * Gradients through what has none of use: rounding, signs, comparisons. A value with the role `straight-through` hands its gradient to the
 * first input x of its node as if the node computed the surrogate that the role declares,
 *
 *     slope · clip(x, low, high),     so     dx = slope · dy  where  low ≤ x ≤ high,  else 0
 *
 * and by itself the identity (Bengio et al. 2013, "Estimating or propagating gradients through stochastic neurons"; with bounds the one of
 * Hubara et al. 2016, "Binarized neural networks"). Other inputs have the gradient that the operator gives them: `Where` hands numbers to what it chooses
 * between. A step through truth values (a comparison, then a choice or a cast) has the role on each of its values.
 */
import { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { StraightThrough } from "../graph/role.ts";
import { fromNumbers, isFloat } from "../tensor/convert.ts";
import { dimsText, fixedDims } from "../tensor/dims.ts";

/** The role of a node whose first output is straight-through. */
export function straightThroughAt({ outputs: [output] }: Node): StraightThrough | undefined {
  return output?.role?.kind === "straight-through" ? output.role : undefined;
}

/** The gradient by the first input of such a node, in the shape of what it makes. */
export function surrogateGradient(emit: Emit, node: Node, role: StraightThrough, up: Value): Value | Miss {
  const { low, high, slope } = role;
  const [[x], [y]] = [node.inputs, node.outputs];
  if (x === undefined) return new Miss("it is straight-through, and has no first input");
  if (!repeats(fixedDims(x.type?.dims), fixedDims(y?.type?.dims))) {
    const sizes = `${dimsText(x.type?.dims)} and ${dimsText(y?.type?.dims)}`;
    return new Miss(`it is straight-through, but its first input and what it makes are of different sizes: ${sizes}`);
  }
  const bounded = low !== undefined || high !== undefined;
  if (bounded && !(x.type !== undefined && isFloat(x.type.type))) {
    const found = `"${x.name}" is ${x.type?.type ?? "of unknown type"}`;
    return new Miss(`it is straight-through between bounds, which are for floats, and ${found}`);
  }
  const number = (value: number, of: Value): Value => emit.constant(fromNumbers(floatOf(of), [], [value]));
  const passed = slope === undefined ? up : emit.Mul([up, number(slope, up)]);
  const zero = bounded ? number(0, up) : undefined;
  const above = high === undefined ? passed : emit.Where([emit.LessOrEqual([x, number(high, x)]), passed, zero]);
  return low === undefined ? above : emit.Where([emit.GreaterOrEqual([x, number(low, x)]), above, zero]);
}

/** Whether numbers of the first sizes, broadcast, have the second. */
function repeats(from: readonly number[] | undefined, to: readonly number[] | undefined): boolean {
  if (from === undefined || to === undefined || from.length > to.length) return false;
  return from.every((size, axis) => size === 1 || size === to[to.length - from.length + axis]);
}

function floatOf({ type }: Value): "float64" | "float32" | "float16" | "bfloat16" {
  const found = type?.type;
  return found === "float64" || found === "float16" || found === "bfloat16" ? found : "float32";
}

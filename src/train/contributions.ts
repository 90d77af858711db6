/** Gradients as they come together: what several consumers contribute is added up, and broadcasting is undone. */
import type { Emit } from "../graph/emit.ts";
import type { Graph, Value } from "../graph/graph.ts";
import type { Contribution } from "../ops/index.ts";
import { fromNumbers } from "../tensor/convert.ts";
import { fixedDims, sameDims } from "../tensor/dims.ts";

export interface Contributions {
  add(value: Value, gradient: Value, factor?: number): void;
  /** The sum of what was added. */
  sum(value: Value): Value | undefined;
  /** Whether the sum is this one contribution. */
  isOnly(value: Value, contribution: Value | undefined): boolean;
  /** Hands over what was added so far, to whoever returns it with more. */
  take(value: Value): Contribution | undefined;
}

export function contributions(emit: Emit): Contributions {
  const sums = new Map<Value, Contribution>();
  const scaled = ({ value, factor }: Contribution): Value => {
    if (factor === 1) return value;
    const type = value.type?.type === "float64" ? "float64" : "float32";
    return emit.Mul([value, emit.constant(fromNumbers(type, [], [factor]), "factor")]);
  };
  return {
    add(value, gradient, factor = 1) {
      const before = sums.get(value);
      const sum =
        before === undefined ? { value: gradient, factor } : { value: emit.Add([scaled(before), gradient]), factor: 1 };
      sums.set(value, sum);
    },
    sum(value) {
      const found = sums.get(value);
      return found === undefined ? undefined : scaled(found);
    },
    isOnly: (value, contribution) => contribution !== undefined && sums.get(value)?.value === contribution,
    take(value) {
      const found = sums.get(value);
      sums.delete(value);
      return found;
    },
  };
}

/** An input for each parameter, from which its gradient starts. */
export function carriedInputs(
  graph: Graph,
  parameters: readonly Value[],
  carry: number | undefined,
  sums: Contributions,
): ReadonlyMap<Value, Value> {
  const inputs = new Map<Value, Value>();
  if (carry === undefined) return inputs;
  for (const parameter of parameters) {
    const input = graph.addInput(graph.freshName(`carried(${parameter.name})`), parameter.type);
    sums.add(parameter, input, carry);
    inputs.set(parameter, input);
  }
  return inputs;
}

/** The gradient in the operand's own shape: summed over the axes along which broadcasting repeated it. */
export function sumTo(emit: Emit, gradient: Value, operand: Value): Value {
  const [from, to] = [fixedDims(gradient.type?.dims), fixedDims(operand.type?.dims)];
  if (from === undefined || to === undefined || sameDims(from, to)) return gradient;
  const lead = from.length - to.length;
  const repeated = from.flatMap((dim, axis) => (axis < lead || (to[axis - lead] === 1 && dim !== 1) ? [axis] : []));
  const summed =
    repeated.length === 0
      ? gradient
      : emit.ReduceSum([gradient, emit.constant(fromNumbers("int64", [repeated.length], repeated))], { keepdims: 1 });
  return lead === 0 && repeated.length > 0
    ? summed
    : emit.Reshape([summed, emit.constant(fromNumbers("int64", [to.length], to))]);
}

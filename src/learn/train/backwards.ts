/** Walks from the loss to the parameters: each operator definition provides dLoss/dInput given dLoss/dOutput. */
import type { Inference } from "../../core/analysis/infer.ts";
import { Miss, PithError } from "../../core/errors.ts";
import type { Emit } from "../../core/graph/emit.ts";
import { describe, type Graph, type Node, usedValues, type Value } from "../../core/graph/graph.ts";
import type { StraightThrough } from "../../core/graph/role.ts";
import type { Contribution, GradientScope } from "../../core/ops/entry.ts";
import { type FloatType, fromNumbers, isFloat } from "../../core/tensor/convert.ts";
import { dimsText, fixedDims, sameDims } from "../../core/tensor/dims.ts";

export const trainTheRest = "Train only the layers after this node (`layers`), or leave it out of the loss.";

interface Walk {
  readonly graph: Graph;
  readonly loss: Value;
  /** Values that depend on a parameter: only these need gradients. */
  readonly varying: ReadonlySet<Value>;
  readonly inference: Inference;
  readonly emit: Emit;
  readonly sums: Contributions;
  readonly channelBlock: number | undefined;
}

/** Accumulates all gradients. @throws PithError E_NOT_DIFFERENTIABLE with the node, E_SHAPE_MISMATCH if a dimension is not fixed. */
export function backwards({ graph, loss, varying, inference, emit, sums, channelBlock }: Walk) {
  /** Node → the gradient of one of its outputs. */
  const arriving = new Map<Node, Value>();
  /** Nodes that pass no gradient to any varying input. */
  const ends: Node[] = [];
  const type = loss.type?.type === "float64" ? "float64" : "float32";
  const dims = fixedDims(loss.type?.dims) ?? [];
  sums.add(loss, emit.constant(fromNumbers(type, dims, [1]), "one"));
  // The list is copied, because the walk appends nodes to the graph.
  for (const node of [...graph.nodesBackwards()]) {
    const upstream = node.outputs.map((output) => (output === undefined ? undefined : sums.sum(output)));
    const needsGradient = (input: number): boolean => {
      const value = node.inputs[input];
      return value !== undefined && varying.has(value);
    };
    const arrived = upstream.find((gradient) => gradient !== undefined);
    if (arrived === undefined) continue;
    arriving.set(node, arrived);
    // Operator definitions provide gradients of inputs, not of outer values that a subgraph reads.
    const outerValue = usedValues(node).find((value) => varying.has(value) && !node.inputs.includes(value));
    if (outerValue !== undefined) {
      const place = `${describe(node)} has no gradient with respect to "${outerValue.name}"`;
      throw new PithError("E_NOT_DIFFERENTIABLE", `${place}: its subgraph reads that value from the outer graph.`, {
        hint: trainTheRest,
      });
    }
    if (!node.inputs.some((_, input) => needsGradient(input))) continue;
    const take = (input: number): Contribution | undefined => {
      const value = node.inputs[input];
      return value === undefined || !needsGradient(input) ? undefined : sums.take(value);
    };
    const scope = {
      emit,
      inputs: node.inputs,
      outputs: node.outputs,
      upstream,
      wanted: needsGradient,
      take,
      channelBlock,
    };
    const role = straightThroughAt(node);
    const gradients =
      role === undefined ? operatorGradients(node, scope, inference) : throughSurrogate(node, role, scope, inference);
    gradients.forEach((gradient, input) => {
      const operand = node.inputs[input];
      if (gradient !== undefined && operand !== undefined && varying.has(operand))
        sums.add(operand, sumTo(emit, gradient, operand));
    });
    if (node.inputs.some((_, input) => needsGradient(input) && gradients[input] === undefined)) ends.push(node);
  }
  return { arriving, ends };
}

/** The declared gradient applies to the first input, the operator's gradient to the others. */
function throughSurrogate(
  node: Node,
  role: StraightThrough,
  scope: GradientScope,
  inference: Inference,
): readonly (Value | undefined)[] {
  const [up, ...more] = scope.upstream;
  if (up === undefined || more.some((other) => other !== undefined)) {
    throw withoutGradient(node, new Miss("it is straight-through, but the loss depends on other outputs of it too"));
  }
  const needsGradient = (input: number): boolean => input > 0 && scope.wanted(input);
  const gradients = node.inputs.some((_, input) => needsGradient(input))
    ? operatorGradients(node, { ...scope, wanted: needsGradient }, inference)
    : [];
  if (!scope.wanted(0)) return gradients;
  const first = surrogateGradient(scope.emit, node, role, up);
  if (first instanceof Miss) throw withoutGradient(node, first);
  return [first, ...gradients.slice(1)];
}

function withoutGradient(node: Node, { reason }: Miss): PithError {
  return new PithError("E_NOT_DIFFERENTIABLE", `${describe(node)} has no gradient: ${reason}.`, { hint: trainTheRest });
}

/** Returns the gradients by the operator definition. */
function operatorGradients(node: Node, scope: GradientScope, inference: Inference): readonly (Value | undefined)[] {
  const valueWithoutSize = [...node.inputs, ...node.outputs].find(
    (value) => value !== undefined && fixedDims(value.type?.dims) === undefined,
  );
  if (valueWithoutSize !== undefined) {
    throw new PithError(
      "E_SHAPE_MISMATCH",
      `${describe(node)}: the dimensions of "${valueWithoutSize.name}" are not fixed: ${dimsText(valueWithoutSize.type?.dims)}.`,
    );
  }
  const bound = inference.at(node);
  const gradients = bound instanceof Miss ? bound : bound.gradient(scope);
  if (gradients instanceof Miss) throw withoutGradient(node, gradients);
  return gradients;
}

type Contributions = ReturnType<typeof contributions>;

/** Collects the gradients of values, whose sums are written when they are needed. */
export function contributions(emit: Emit) {
  const sums = new Map<Value, Contribution>();
  const scaled = ({ value, factor }: Contribution): Value => {
    if (factor === 1) return value;
    const type = value.type?.type === "float64" ? "float64" : "float32";
    return emit.Mul([value, emit.constant(fromNumbers(type, [], [factor]), "factor")]);
  };
  return {
    add(value: Value, gradient: Value, factor = 1): void {
      const before = sums.get(value);
      const sum =
        before === undefined ? { value: gradient, factor } : { value: emit.Add([scaled(before), gradient]), factor: 1 };
      sums.set(value, sum);
    },
    sum(value: Value): Value | undefined {
      const contribution = sums.get(value);
      return contribution && scaled(contribution);
    },
    isOnly: (value: Value, contribution: Value | undefined): boolean =>
      contribution !== undefined && sums.get(value)?.value === contribution,
    /** Removes the sum so far and returns it, for an operator that can start from it. */
    take(value: Value): Contribution | undefined {
      const contribution = sums.get(value);
      sums.delete(value);
      return contribution;
    },
  };
}

/** Adds an input per parameter, whose value the gradient starts from. */
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

/** Returns the gradient in the operand's shape: summed over broadcast axes. */
export function sumTo(emit: Emit, gradient: Value, operand: Value): Value {
  const [from, to] = [fixedDims(gradient.type?.dims), fixedDims(operand.type?.dims)];
  if (from === undefined || to === undefined || sameDims(from, to)) return gradient;
  const lead = from.length - to.length;
  const repeated = from.flatMap((dim, axis) => (axis < lead || (to[axis - lead] === 1 && dim !== 1) ? [axis] : []));
  const summed = repeated.length === 0 ? gradient : emit.ReduceSum([gradient, repeated], { keepdims: 1 });
  return lead === 0 && repeated.length > 0 ? summed : emit.Reshape([summed, to]);
}

// A value with the role `straight-through` (rounding, signs, comparisons) passes its gradient to the first input x of its node as
// if the node computed the declared surrogate, by default the identity:
//
//     slope · clip(x, low, high),     so     dx = slope · dy  where  low ≤ x ≤ high,  else 0
//
// (Bengio et al. 2013, "Estimating or propagating gradients through stochastic neurons"; with bounds Hubara et al. 2016,
// "Binarized neural networks"). Other inputs have the operator's gradient. In a step through Boolean values (a comparison, then a
// choice or a cast), each value has the role.

export function straightThroughAt({ outputs: [output] }: Node): StraightThrough | undefined {
  return output?.role?.kind === "straight-through" ? output.role : undefined;
}

function surrogateGradient(emit: Emit, node: Node, role: StraightThrough, up: Value): Value | Miss {
  const { low, high, slope } = role;
  const [[x], [y]] = [node.inputs, node.outputs];
  if (x === undefined) return new Miss("it is straight-through, and has no first input");
  if (!canBroadcast(fixedDims(x.type?.dims), fixedDims(y?.type?.dims))) {
    const sizes = `${dimsText(x.type?.dims)} and ${dimsText(y?.type?.dims)}`;
    return new Miss(`it is straight-through, but its first input and its output have different shapes: ${sizes}`);
  }
  const bounded = low !== undefined || high !== undefined;
  if (bounded && !(x.type !== undefined && isFloat(x.type.type))) {
    const actualType = `"${x.name}" is ${x.type?.type ?? "of unknown type"}`;
    return new Miss(`its straight-through bounds need floats, and ${actualType}`);
  }
  const number = (value: number, like: Value): Value => emit.constant(fromNumbers(floatOf(like), [], [value]));
  const scaledGradient = slope === undefined ? up : emit.Mul([up, number(slope, up)]);
  const zero = bounded ? number(0, up) : undefined;
  const above =
    high === undefined ? scaledGradient : emit.Where([emit.LessOrEqual([x, number(high, x)]), scaledGradient, zero]);
  return low === undefined ? above : emit.Where([emit.GreaterOrEqual([x, number(low, x)]), above, zero]);
}

/** Returns whether an operand broadcasts to the output. */
function canBroadcast(from: readonly number[] | undefined, to: readonly number[] | undefined): boolean {
  if (from === undefined || to === undefined || from.length > to.length) return false;
  return from.every((size, axis) => size === 1 || size === to[to.length - from.length + axis]);
}

function floatOf({ type }: Value): FloatType {
  return type !== undefined && isFloat(type.type) ? type.type : "float32";
}

/** Writes the backward pass: each operator definition provides dLoss/dInput given dLoss/dOutput. */
import type { Inference } from "#analysis";
import type { Emit, Graph, Node, StraightThrough, Value } from "#ir";
import {
  dimsText,
  fixedDims,
  fromNumbers,
  isFloat,
  Miss,
  nodeText,
  PithError,
  sameDims,
  shapeError,
  usedValues,
} from "#ir";
import type { Contribution, GradientScope } from "../../core/ops/entry.ts";

export const laterLayersHint = "Train only the layers after this node (`layers`), or leave it out of the loss.";

interface BackwardOptions {
  readonly graph: Graph;
  readonly loss: Value;
  /** Values that depend on a parameter. */
  readonly dependents: ReadonlySet<Value>;
  readonly inference: Inference;
  readonly emit: Emit;
  readonly sums: GradientSums;
  readonly channelBlock: number | undefined;
}

/** Returns nodes that pass no gradient to an input that depends on a parameter. @throws E_NOT_DIFFERENTIABLE, E_SHAPE_MISMATCH. */
export function addBackwardPass({ graph, loss, dependents, inference, emit, sums, channelBlock }: BackwardOptions) {
  const stops: Node[] = [];
  const type = loss.type?.type === "float64" ? "float64" : "float32";
  const dims = fixedDims(loss.type?.dims) ?? [];
  sums.add(loss, emit.constant(fromNumbers(type, dims, [1]), "one"));
  // A copy, because the loop appends nodes to the graph.
  for (const node of [...graph.nodesBackwards()]) {
    const upstream = node.outputs.map((output) => (output === undefined ? undefined : sums.sum(output)));
    const needsGradient = (input: number): boolean => {
      const value = node.inputs[input];
      return value !== undefined && dependents.has(value);
    };
    if (upstream.every((gradient) => gradient === undefined)) continue;
    // Operator definitions provide gradients of inputs, not of outer values that a subgraph reads.
    const outerValue = usedValues(node).find((value) => dependents.has(value) && !node.inputs.includes(value));
    if (outerValue !== undefined) {
      const place = `${nodeText(node)} has no gradient with respect to "${outerValue.name}"`;
      throw new PithError("E_NOT_DIFFERENTIABLE", `${place}: its subgraph reads that value from the outer graph.`, {
        hint: laterLayersHint,
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
    const role = straightThroughOf(node);
    const gradients =
      role === undefined ? operatorGradients(node, scope, inference) : surrogateGradients(node, role, scope, inference);
    gradients.forEach((gradient, input) => {
      const operand = node.inputs[input];
      if (gradient !== undefined && operand !== undefined && dependents.has(operand))
        sums.add(operand, sumTo(emit, gradient, operand));
    });
    if (node.inputs.some((_, input) => needsGradient(input) && gradients[input] === undefined)) stops.push(node);
  }
  return stops;
}

/** Returns the declared surrogate gradient for the first input, and the operator's gradients for the other inputs. */
function surrogateGradients(
  node: Node,
  role: StraightThrough,
  scope: GradientScope,
  inference: Inference,
): readonly (Value | undefined)[] {
  const [up, ...more] = scope.upstream;
  if (up === undefined || more.some((other) => other !== undefined)) {
    throw noGradientError(node, new Miss("it is straight-through, but the loss depends on other outputs of it too"));
  }
  const needsGradient = (input: number): boolean => input > 0 && scope.wanted(input);
  const gradients = node.inputs.some((_, input) => needsGradient(input))
    ? operatorGradients(node, { ...scope, wanted: needsGradient }, inference)
    : [];
  if (!scope.wanted(0)) return gradients;
  const first = surrogateGradient(scope.emit, node, role, up);
  if (first instanceof Miss) throw noGradientError(node, first);
  return [first, ...gradients.slice(1)];
}

function noGradientError(node: Node, { reason }: Miss): PithError {
  return new PithError("E_NOT_DIFFERENTIABLE", `${nodeText(node)} has no gradient: ${reason}.`, {
    hint: laterLayersHint,
  });
}

function operatorGradients(node: Node, scope: GradientScope, inference: Inference): readonly (Value | undefined)[] {
  const valueWithoutSize = [...node.inputs, ...node.outputs].find(
    (value) => value !== undefined && fixedDims(value.type?.dims) === undefined,
  );
  if (valueWithoutSize !== undefined) {
    throw shapeError(
      `${nodeText(node)}: the dimensions of "${valueWithoutSize.name}" are not fixed: ${dimsText(valueWithoutSize.type?.dims)}.`,
    );
  }
  const bound = inference.at(node);
  const gradients = bound instanceof Miss ? bound : bound.gradient(scope);
  if (gradients instanceof Miss) throw noGradientError(node, gradients);
  return gradients;
}

type GradientSums = ReturnType<typeof gradientSums>;

export function gradientSums(emit: Emit) {
  const sums = new Map<Value, Contribution>();
  const scale = ({ value, factor }: Contribution): Value => {
    if (factor === 1) return value;
    const type = value.type?.type === "float64" ? "float64" : "float32";
    return emit.Mul([value, emit.constant(fromNumbers(type, [], [factor]), "factor")]);
  };
  return {
    add(value: Value, gradient: Value, factor = 1): void {
      const previous = sums.get(value);
      const sum =
        previous === undefined
          ? { value: gradient, factor }
          : { value: emit.Add([scale(previous), gradient]), factor: 1 };
      sums.set(value, sum);
    },
    sum(value: Value): Value | undefined {
      const contribution = sums.get(value);
      return contribution && scale(contribution);
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

/** Adds an input c for each parameter, so that its gradient output is g + carry · c. */
export function addCarriedInputs(
  graph: Graph,
  parameters: readonly Value[],
  carry: number | undefined,
  sums: GradientSums,
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

/** Sums a gradient over broadcast axes, to the operand's shape. */
export function sumTo(emit: Emit, gradient: Value, operand: Value): Value {
  const [from, to] = [fixedDims(gradient.type?.dims), fixedDims(operand.type?.dims)];
  if (from === undefined || to === undefined || sameDims(from, to)) return gradient;
  const leading = from.length - to.length;
  const broadcastAxes = from.flatMap((dim, axis) =>
    axis < leading || (to[axis - leading] === 1 && dim !== 1) ? [axis] : [],
  );
  const summed = broadcastAxes.length === 0 ? gradient : emit.ReduceSum([gradient, broadcastAxes], { keepdims: 1 });
  return leading === 0 && broadcastAxes.length > 0 ? summed : emit.Reshape([summed, to]);
}

// A value with the role `straight-through` passes its gradient to the first input x of its node, by the declared surrogate:
//
//     slope · clip(x, low, high),   so   dx = slope · dy where low ≤ x ≤ high, else 0
//
// (Bengio et al. 2013, "Estimating or propagating gradients through stochastic neurons"; with bounds Hubara et al. 2016,
// "Binarized neural networks"). In a step through Boolean values (a comparison, then a cast), each value has the role.

export function straightThroughOf({ outputs: [output] }: Node): StraightThrough | undefined {
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
  const isBounded = low !== undefined || high !== undefined;
  if (isBounded && !(x.type !== undefined && isFloat(x.type.type))) {
    const actualType = `"${x.name}" is ${x.type?.type ?? "of unknown type"}`;
    return new Miss(`its straight-through bounds need floats, and ${actualType}`);
  }
  const scaledGradient = slope === undefined ? up : emit.Mul([up, slope]);
  const cutAbove = high === undefined ? scaledGradient : emit.Where([emit.LessOrEqual([x, high]), scaledGradient, 0]);
  return low === undefined ? cutAbove : emit.Where([emit.GreaterOrEqual([x, low]), cutAbove, 0]);
}

function canBroadcast(from: readonly number[] | undefined, to: readonly number[] | undefined): boolean {
  if (from === undefined || to === undefined || from.length > to.length) return false;
  return from.every((size, axis) => size === 1 || size === to[to.length - from.length + axis]);
}

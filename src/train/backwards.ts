/** The walk from the loss to the parameters: each node's entry is asked for dLoss/dInput given dLoss/dOutput. */
import type { Inference } from "../analysis/infer.ts";
import { Miss, PithError } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import { describe, type Graph, type Node, usedValues, type Value } from "../graph/graph.ts";
import type { StraightThrough } from "../graph/role.ts";
import type { Contribution, GradientScope } from "../ops/index.ts";
import { fromNumbers } from "../tensor/convert.ts";
import { dimsText, fixedDims } from "../tensor/dims.ts";
import { type Contributions, sumTo } from "./contributions.ts";
import { straightThroughAt, surrogateGradient } from "./straight-through.ts";

export const trainTheRest = "Train only the layers after it (layers), or leave it out of the loss.";

export interface Walk {
  readonly graph: Graph;
  readonly loss: Value;
  /** What depends on a parameter: only there gradients are asked for. */
  readonly varying: ReadonlySet<Value>;
  readonly inference: Inference;
  /** Writes at the end of the graph. */
  readonly emit: Emit;
  /** Where gradients are added up. */
  readonly sums: Contributions;
  readonly channelBlock: number | undefined;
}

export interface Walked {
  /** The first gradient that arrives at each node. */
  readonly arriving: ReadonlyMap<Node, Value>;
  /** Nodes that hand none on to an input that varies. */
  readonly ends: readonly Node[];
}

/** Adds up all gradients. @throws PithError E_NOT_DIFFERENTIABLE with the node that has none, E_SHAPE_MISMATCH if a dimension is not fixed. */
export function backwards({ graph, loss, varying, inference, emit, sums, channelBlock }: Walk): Walked {
  const arriving = new Map<Node, Value>();
  const ends: Node[] = [];
  const type = loss.type?.type === "float64" ? "float64" : "float32";
  const dims = fixedDims(loss.type?.dims) ?? [];
  sums.add(loss, emit.constant(fromNumbers(type, dims, [1]), "one"));
  // The walk appends nodes at the end; it must not meet them.
  for (const node of [...graph.nodesBackwards()]) {
    const upstream = node.outputs.map((output) => (output === undefined ? undefined : sums.sum(output)));
    const wanted = (input: number): boolean => {
      const value = node.inputs[input];
      return value !== undefined && varying.has(value);
    };
    const arrived = upstream.find((up) => up !== undefined);
    if (arrived === undefined) continue;
    arriving.set(node, arrived);
    // Entries give gradients of inputs; what a graph inside takes from outside is none.
    const taken = usedValues(node).find((value) => varying.has(value) && !node.inputs.includes(value));
    if (taken !== undefined) {
      const place = `${describe(node)} has no gradient by "${taken.name}"`;
      throw new PithError("E_NOT_DIFFERENTIABLE", `${place}: a graph inside it takes that from outside.`, {
        hint: trainTheRest,
      });
    }
    if (!node.inputs.some((_, input) => wanted(input))) continue;
    const take = (input: number): Contribution | undefined => {
      const value = node.inputs[input];
      return value === undefined || !wanted(input) ? undefined : sums.take(value);
    };
    const scope = { emit, inputs: node.inputs, outputs: node.outputs, upstream, wanted, take, channelBlock };
    const role = straightThroughAt(node);
    const found = role === undefined ? ask(node, scope, inference) : throughSurrogate(node, role, scope, inference);
    found.forEach((gradient, input) => {
      const operand = node.inputs[input];
      if (gradient !== undefined && operand !== undefined && varying.has(operand))
        sums.add(operand, sumTo(emit, gradient, operand));
    });
    if (node.inputs.some((_, input) => wanted(input) && found[input] === undefined)) ends.push(node);
  }
  return { arriving, ends };
}

/** The declared gradient by the first input; by others the operator's own. */
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
  const wanted = (input: number): boolean => input > 0 && scope.wanted(input);
  const others = node.inputs.some((_, input) => wanted(input)) ? ask(node, { ...scope, wanted }, inference) : [];
  if (!scope.wanted(0)) return others;
  const first = surrogateGradient(scope.emit, node, role, up);
  if (first instanceof Miss) throw withoutGradient(node, first);
  return [first, ...others.slice(1)];
}

function withoutGradient(node: Node, { reason }: Miss): PithError {
  return new PithError("E_NOT_DIFFERENTIABLE", `${describe(node)} has no gradient: ${reason}.`, { hint: trainTheRest });
}

function ask(node: Node, scope: GradientScope, inference: Inference): readonly (Value | undefined)[] {
  const open = [...node.inputs, ...node.outputs].find(
    (value) => value !== undefined && fixedDims(value.type?.dims) === undefined,
  );
  if (open !== undefined) {
    throw new PithError(
      "E_SHAPE_MISMATCH",
      `${describe(node)}: the dimensions of "${open.name}" are not fixed: ${dimsText(open.type?.dims)}.`,
    );
  }
  const bound = inference.at(node);
  const found = bound instanceof Miss ? bound : bound.gradient(scope);
  if (found instanceof Miss) throw withoutGradient(node, found);
  return found;
}

/**
 * Reverse-mode differentiation, graph to graph.
 *
 * The result is an ordinary ONNX graph for the stock runtime: parameters and a batch in, loss and gradients out.
 *
 *   1. lower fused operators that have no gradient of their own;
 *   2. walk the nodes backwards, ask each entry for dLoss/dInput given dLoss/dOutput, and add up what several consumers contribute;
 *      broadcasting is undone here, once: a gradient is summed over the axes along which its operand was repeated;
 *   3. parameters become inputs;
 *   4. cut off what no parameter influences (a teacher, a frozen backbone) as a graph of its own, if it multiplies matrices: there it runs
 *      optimized, with its weights stored, and its results can be kept.
 *
 * Where asked (`checkpoint`), what the backward pass reads of the forward pass is computed again instead of kept (`recompute.ts`).
 *
 * A value with the role `straight-through` passes its gradient on as the surrogate does that the role declares (`straight-through.ts`).
 * Dimensions must be fixed: gradients are written for one batch size.
 */
import { downstream } from "../analysis/downstream.ts";
import { type Inference, infer } from "../analysis/infer.ts";
import { Miss, PithError } from "../errors.ts";
import { type Emit, emitInto } from "../graph/emit.ts";
import { allGraphs, describe, type Graph, type Node, subgraphs, usedValues, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { replaceNode } from "../graph/replace.ts";
import type { StraightThrough } from "../graph/role.ts";
import { type Contribution, type GradientScope, operators } from "../ops/index.ts";
import { raiseOpset } from "../passes/raise-opset.ts";
import { removeUnused } from "../passes/remove-unused.ts";
import { fromNumbers } from "../tensor/convert.ts";
import { dimsText, fixedDims, sameDims } from "../tensor/dims.ts";
import { writeInBlocks } from "./blocks.ts";
import { cutFrozen } from "./frozen.ts";
import { chooseBoundaries } from "./memory-plan.ts";
import { recompute } from "./recompute.ts";
import { runInOrder } from "./run-order.ts";
import { straightThroughAt, surrogateGradient } from "./straight-through.ts";

export interface DifferentiateOptions {
  /** The scalar to differentiate. */
  readonly loss: string;
  /** The stored tensors to differentiate by. */
  readonly wrt: (value: Value) => boolean;
  /**
   * Gradients come out as g + carry · c, where c is fed: momentum, without a pass over memory of its own where a matrix product can take it
   * as its bias.
   */
  readonly carry?: number;
  /**
   * Values that are kept for the backward pass, while what lies between them is computed again there: less memory for the time of a second
   * forward pass. `true` chooses among the cut points those that need least memory.
   */
  readonly checkpoint?: readonly string[] | boolean;
  /** Stored tensor → the value that takes its place in the next step: an input and an output of the step. */
  readonly states?: ReadonlyMap<string, string>;
  /** How many channels a block has where the runtime convolves over blocks of them (`runtimeBlock`). */
  readonly block?: number | undefined;
}

export interface Training {
  /** What is computed once per batch without any trained parameter; its outputs are inputs of `step`. */
  readonly frozen: Model | undefined;
  /** Inputs: the batch, `frozen`'s outputs, and the parameters by name. Outputs: the loss and the gradients. */
  readonly step: Model;
  /** Parameter → name of the output with its gradient. */
  readonly gradients: ReadonlyMap<string, string>;
  /** Parameter → name of the input with what is carried, where `carry` was asked for. */
  readonly carried: ReadonlyMap<string, string>;
  /**
   * Parameter → a node that hands no gradient on (Round, a comparison, an index), where the loss depends on the parameter through such nodes
   * alone: it cannot be trained.
   */
  readonly stopped: ReadonlyMap<string, Node>;
}

/** The operator set in which gradients are written: the first with every form they use (ReduceSum, Split, Pad and Scatter of opset 18). */
export const gradientOpset = 18;

/**
 * The graph of a training step. The given model is not changed.
 * @throws PithError E_NOT_DIFFERENTIABLE with the node and reason, also where no gradient reaches any parameter, E_NAME if there is no such loss, E_SHAPE_MISMATCH if it is no scalar or
 * a dimension is not fixed.
 * @example
 * const { step, gradients } = differentiate(model, { loss: "loss", wrt: (value) => value.name === "fc1.weight" });
 */
export function differentiate(model: Model, options: DifferentiateOptions): Training {
  const step = model.clone();
  raiseOpset(step, gradientOpset);
  const { graph } = step;
  const loss = graph.value(options.loss);
  if (loss === undefined) throw new PithError("E_NAME", `There is no value "${options.loss}" to differentiate.`);
  const states = [...(options.states ?? [])].map(
    ([name, next]) => [carriedValue(graph, name), carriedValue(graph, next)] as const,
  );
  graph.setOutputs([loss, ...states.map(([, next]) => next)]);
  removeUnused(graph);
  const inference = lowerFused(step);
  const dims = fixedDims(loss.type?.dims);
  if (dims === undefined || dims.some((dim) => dim !== 1)) {
    throw new PithError(
      "E_SHAPE_MISMATCH",
      `The loss "${loss.name}" must be a scalar, got ${dimsText(loss.type?.dims)}.`,
    );
  }

  const inside = storedInside(graph, options.wrt);
  if (inside !== undefined) {
    const place = `"${inside.value.name}" is stored in a graph inside ${describe(inside.node)}`;
    throw new PithError("E_NOT_DIFFERENTIABLE", `${place}: no gradient comes out of there.`, { hint: trainTheRest });
  }
  const parameters = [...graph.values()].filter((value) => value.tensor !== undefined && options.wrt(value));
  if (parameters.length === 0)
    throw new PithError("E_NAME", "There is nothing to differentiate by: no parameter is selected.");
  const varying = downstream(graph, parameters, inference);
  const forward = new Set(graph.nodes());
  const emit = emitInto(step, {
    by: "differentiate",
    onNode: inference.visit,
  });
  const sums = contributions(emit);
  const inputs = carriedInputs(graph, parameters, options.carry, sums);
  const arriving = new Map<Node, Value>();
  const ends = backwards(graph, loss, varying, emit, inference, sums, arriving, options.block);

  const gradients = new Map<string, string>();
  const outputs: Value[] = [loss, ...states.map(([, next]) => next)];
  for (const parameter of parameters) {
    // Nothing was added to what is carried: the loss has no gradient here.
    if (sums.isOnly(parameter, inputs.get(parameter))) continue;
    const gradient = sums.sum(parameter);
    if (gradient === undefined) continue;
    const own = gradient.producer === undefined || forward.has(gradient.producer) || outputs.includes(gradient);
    const output = own ? emit.Identity([gradient]) : gradient;
    graph.rename(output, graph.freshName(`gradient(${parameter.name})`));
    gradients.set(parameter.name, output.name);
    outputs.push(output);
  }
  const lost = parameters.filter(({ name }) => !gradients.has(name));
  const stopped = new Map(
    lost.flatMap((parameter): [string, Node][] => {
      const reached = downstream(graph, [parameter], inference);
      const end = ends.find((node) => node.inputs.some((input) => input !== undefined && reached.has(input)));
      return end === undefined ? [] : [[parameter.name, end]];
    }),
  );
  const [first] = stopped;
  if (gradients.size === 0 && first !== undefined) {
    const place = `The loss depends on "${first[0]}" only through ${describe(first[1])}`;
    throw new PithError("E_NOT_DIFFERENTIABLE", `${place}, which hands no gradient on.`, { hint: trainTheRest });
  }
  graph.setOutputs(outputs);
  removeUnused(graph);
  const { checkpoint = false } = options;
  if (checkpoint !== false) {
    const differentiated = { model: step, inference, forward: new Set(remaining(graph, forward)), varying, arriving };
    const kept = checkpoint === true ? chooseBoundaries(differentiated, parameters) : named(graph, checkpoint);
    recompute(differentiated, kept);
    removeUnused(graph);
  }

  const trained = parameters.filter((parameter) => gradients.has(parameter.name));
  const fed = [...trained, ...states.map(([state]) => state)];
  for (const value of fed) value.tensor = undefined;
  graph.setInputs([...graph.inputs.filter((input) => !fed.includes(input)), ...fed]);
  const carried = new Map<string, string>();
  for (const [parameter, input] of inputs) if (input.uses.size > 0) carried.set(parameter.name, input.name);
  const frozen = cutFrozen(step, forward, fed, inference);
  if (options.block !== undefined) writeInBlocks(step, inference, options.block);
  runInOrder(step.graph);
  return { frozen, step, gradients, carried, stopped };
}

function remaining(graph: Graph, nodes: ReadonlySet<Node>): readonly Node[] {
  return [...graph.nodes()].filter((node) => nodes.has(node));
}

/** @throws PithError E_NAME for a value that the loss does not depend on, or that there is not. */
function named(graph: Graph, names: readonly string[]): ReadonlySet<Value> {
  return new Set(
    names.map((name) => {
      const value = graph.value(name);
      if (value?.producer === undefined)
        throw new PithError("E_NAME", `There is no value "${name}" on the way to the loss that could be kept.`);
      return value;
    }),
  );
}

/** @throws PithError E_NAME if there is none. */
function carriedValue(graph: Graph, name: string): Value {
  const value = graph.value(name);
  if (value === undefined) throw new PithError("E_NAME", `There is no value "${name}" that training carries on.`);
  return value;
}

/** Replaces nodes by their primitives, until there are none: all but those whose own gradient is the shorter one. */
function lowerFused(model: Model): Inference {
  const inference = infer(model);
  const { graph } = model;
  for (const node of graph.nodes()) {
    const bound = inference.at(node);
    if (bound instanceof Miss || straightThroughAt(node) !== undefined) continue;
    if (operators.find(node.domain, node.op)?.differentiatedWhole === true) continue;
    const emit = emitInto(model, { before: node, by: "lower", onNode: inference.visit });
    const lowered = bound.lower(emit, node.inputs);
    if (lowered instanceof Miss) continue;
    replaceNode(node, lowered);
  }
  return inference;
}

const trainTheRest = "Train only the layers after it (layers), or leave it out of the loss.";

/** What is to be trained and stands in a graph inside a node, and the node of the main graph that holds it. */
function storedInside(
  graph: Graph,
  wrt: DifferentiateOptions["wrt"],
): { readonly node: Node; readonly value: Value } | undefined {
  for (const node of graph.nodes()) {
    for (const outermost of subgraphs(node)) {
      for (const inner of allGraphs(outermost)) {
        for (const value of inner.values()) if (value.tensor !== undefined && wrt(value)) return { node, value };
      }
    }
  }
  return undefined;
}

interface Contributions {
  add(value: Value, gradient: Value, factor?: number): void;
  /** The sum of what was added. */
  sum(value: Value): Value | undefined;
  /** Whether the sum is this one contribution. */
  isOnly(value: Value, contribution: Value | undefined): boolean;
  /** Hands over what was added so far, to whoever returns it with more. */
  take(value: Value): Contribution | undefined;
}

function contributions(emit: Emit): Contributions {
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
function carriedInputs(
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

/** Adds up all gradients, notes the first that arrives at each node; returns the nodes that hand none on to an input that varies. */
function backwards(
  graph: Graph,
  loss: Value,
  varying: ReadonlySet<Value>,
  emit: Emit,
  inference: Inference,
  sums: Contributions,
  arriving: Map<Node, Value>,
  block: number | undefined,
): readonly Node[] {
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
    const scope = { emit, inputs: node.inputs, outputs: node.outputs, upstream, wanted, take, block };
    const role = straightThroughAt(node);
    const found = role === undefined ? ask(node, scope, inference) : throughSurrogate(node, role, scope, inference);
    found.forEach((gradient, input) => {
      const operand = node.inputs[input];
      if (gradient !== undefined && operand !== undefined && varying.has(operand))
        sums.add(operand, sumTo(emit, gradient, operand));
    });
    if (node.inputs.some((_, input) => wanted(input) && found[input] === undefined)) ends.push(node);
  }
  return ends;
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

/**
 * Reverse-mode differentiation that outputs an ordinary ONNX graph: parameters and a batch in, loss and gradients out. Dimensions must be fixed.
 * The part that no parameter influences (teacher, frozen backbone) is split off if it multiplies matrices: the runtime optimizes it with stored
 * weights, and its outputs can be cached.
 */
import { downstreamValues, type Inference, infer } from "#analysis";
import type { Graph, Model, Node, Value } from "#ir";
import {
  allValues,
  dimsText,
  emitInto,
  extract,
  fixedDims,
  Miss,
  nodeText,
  PithError,
  removeUnused,
  replaceNode,
  replaceUses,
  shapeError,
  subgraphs,
} from "#ir";
import { entryOf } from "../../core/ops/index.ts";
import { raiseOpset } from "../../rewrite/edit/raise-opset.ts";
import {
  addBackwardPass,
  addCarriedInputs,
  gradientSums,
  laterLayersHint,
  straightThroughOf,
} from "./backward-pass.ts";
import { writeInChannelBlocks } from "./channel-blocks.ts";

export interface DifferentiateOptions {
  readonly loss: string;
  /** Selects the stored tensors to differentiate by. */
  readonly wrt: (value: Value) => boolean;
  /** Each gradient output is g + carry · c, where c is usually the previous output (momentum). A matrix product adds c as its bias. */
  readonly carry?: number | undefined;
  /** Maps a stored tensor to its value in the next step. */
  readonly states?: ReadonlyMap<string, string>;
  /** Channels per block of convolutions, as `channelsPerBlock` returns it; the step then runs on that engine only. */
  readonly channelBlock?: number | undefined;
}

export interface TrainingGraphs {
  /** The part that depends on no trained parameter, computed once per batch; its outputs are inputs of `step`. */
  readonly frozen: Model | undefined;
  /** Inputs: the batch, `frozen`'s outputs, `carried`, parameters and states. Outputs: the loss, next states and gradients. */
  readonly step: Model;
  /** Parameter → name of the output with its gradient. */
  readonly gradients: ReadonlyMap<string, string>;
  /** With `carry`: parameter → name of the input c. */
  readonly carried: ReadonlyMap<string, string>;
  /** Untrainable parameters, each with a node without gradient at which its paths to the loss end. */
  readonly stopped: ReadonlyMap<string, Node>;
}

/** The first opset with every required form (ReduceSum, Split, Pad and Scatter of opset 18). */
export const gradientOpset = 18;

/**
 * Returns the graph of a training step without changing the model.
 * @throws PithError E_NOT_DIFFERENTIABLE with the node and reason, or if no parameter gets a gradient, E_NAME if there is no value of
 * the loss's name, E_SHAPE_MISMATCH if the loss is not a scalar or a dimension is not fixed.
 * @example
 * const { step, gradients } = differentiate(model, { loss: "loss", wrt: (value) => value.name === "fc1.weight" });
 */
export function differentiate(model: Model, options: DifferentiateOptions): TrainingGraphs {
  const step = model.clone();
  raiseOpset(step, gradientOpset);
  const { graph } = step;
  const loss = graph.value(options.loss);
  if (loss === undefined) throw new PithError("E_NAME", `There is no value "${options.loss}" to differentiate.`);
  const states = [...(options.states ?? [])].map(
    ([name, next]) => [requireStateValue(graph, name), requireStateValue(graph, next)] as const,
  );
  graph.setOutputs([loss, ...states.map(([, next]) => next)]);
  removeUnused(graph);
  const inference = lowerForGradients(step);
  const dims = fixedDims(loss.type?.dims);
  if (dims === undefined || dims.some((dim) => dim !== 1)) {
    const text = `The loss "${loss.name}" must be a scalar, got ${dimsText(loss.type?.dims)}.`;
    throw shapeError(text);
  }

  const nestedWeight = findStoredInside(graph, options.wrt);
  if (nestedWeight !== undefined) {
    const place = `"${nestedWeight.value.name}" is stored in a graph inside ${nodeText(nestedWeight.node)}`;
    throw new PithError("E_NOT_DIFFERENTIABLE", `${place}: gradients of subgraphs are not supported.`, {
      hint: laterLayersHint,
    });
  }
  const parameters = [...graph.values()].filter((value) => value.tensor !== undefined && options.wrt(value));
  if (parameters.length === 0)
    throw new PithError("E_NAME", "There is nothing to differentiate with respect to: no parameter is selected.");
  const dependents = downstreamValues(graph, parameters, inference);
  const forwardNodes = new Set(graph.nodes());
  const emit = emitInto(step, { by: "differentiate", onNode: inference.visit });
  const sums = gradientSums(emit);
  const inputs = addCarriedInputs(graph, parameters, options.carry, sums);
  const { channelBlock } = options;
  const stops = addBackwardPass({ graph, loss, dependents, inference, emit, sums, channelBlock });

  const gradients = new Map<string, string>();
  const outputs: Value[] = [loss, ...states.map(([, next]) => next)];
  for (const parameter of parameters) {
    // If the sum is only carry · c, the parameter has no gradient of the loss.
    if (sums.isOnly(parameter, inputs.get(parameter))) continue;
    const gradient = sums.sum(parameter);
    if (gradient === undefined) continue;
    const needsCopy =
      gradient.producer === undefined || forwardNodes.has(gradient.producer) || outputs.includes(gradient);
    const output = needsCopy ? emit.Identity([gradient]) : gradient;
    graph.rename(output, graph.freshName(`gradient(${parameter.name})`));
    gradients.set(parameter.name, output.name);
    outputs.push(output);
  }
  const untrainedParameters = parameters.filter(({ name }) => !gradients.has(name));
  const stopped = new Map(
    untrainedParameters.flatMap((parameter): [string, Node][] => {
      const reachedValues = downstreamValues(graph, [parameter], inference);
      const end = stops.find((node) => node.inputs.some((input) => input !== undefined && reachedValues.has(input)));
      return end === undefined ? [] : [[parameter.name, end]];
    }),
  );
  const [first] = stopped;
  if (gradients.size === 0) {
    const text =
      first === undefined
        ? "The loss depends on nothing that is trained."
        : `The loss depends on "${first[0]}" only through ${nodeText(first[1])}, which passes no gradient on.`;
    throw new PithError("E_NOT_DIFFERENTIABLE", text, { hint: laterLayersHint });
  }
  graph.setOutputs(outputs);
  removeUnused(graph);

  const trainedParameters = parameters.filter((parameter) => gradients.has(parameter.name));
  const fedValues = [...trainedParameters, ...states.map(([state]) => state)];
  for (const value of fedValues) value.tensor = undefined;
  const unusedInputs = new Set([...inputs.values()].filter(({ uses }) => uses.size === 0));
  graph.setInputs([
    ...graph.inputs.filter((input) => !fedValues.includes(input) && !unusedInputs.has(input)),
    ...fedValues,
  ]);
  const carried = new Map<string, string>();
  for (const [parameter, input] of inputs) if (!unusedInputs.has(input)) carried.set(parameter.name, input.name);
  const frozen = splitFrozen(step, forwardNodes, fedValues, inference);
  if (channelBlock !== undefined) writeInChannelBlocks(step, inference, channelBlock);
  runInOrder(step.graph);
  return { frozen, step, gradients, carried, stopped };
}

function requireStateValue(graph: Graph, name: string): Value {
  const value = graph.value(name);
  if (value === undefined) throw new PithError("E_NAME", `There is no value "${name}" that training carries on.`);
  return value;
}

/** Returns a value to train in a subgraph, and the node of the main graph that contains it. */
function findStoredInside(
  graph: Graph,
  wrt: DifferentiateOptions["wrt"],
): { readonly node: Node; readonly value: Value } | undefined {
  for (const node of graph.nodes()) {
    for (const outermost of subgraphs(node)) {
      for (const value of allValues(outermost)) if (value.tensor !== undefined && wrt(value)) return { node, value };
    }
  }
  return undefined;
}

/** Splits off forward nodes that depend on an input, but on no trained parameter and no state (both are in `trained`). */
function splitFrozen(
  step: Model,
  forwardNodes: ReadonlySet<Node>,
  trained: readonly Value[],
  inference: Inference,
): Model | undefined {
  const { graph } = step;
  const dependents = downstreamValues(graph, trained, inference);
  const inputDependents = downstreamValues(graph, graph.feeds, inference);
  const isFrozen = (node: Node): boolean =>
    forwardNodes.has(node) &&
    node.outputs.every((output) => output === undefined || (!dependents.has(output) && inputDependents.has(output)));
  const nodes = [...graph.nodes()].filter(isFrozen);
  if (nodes.every((node) => (inference.facet(node, "cost")?.macs ?? 0) === 0)) return undefined;
  const frozenNodes = new Set(nodes);
  const boundary = nodes
    .flatMap((node) => node.outputs)
    .filter(
      (value): value is Value => value !== undefined && [...value.uses].some((use) => !frozenNodes.has(use.node)),
    );
  const frozen = extract(step, boundary);
  const outputs = graph.outputs;
  for (const value of boundary) {
    const input = graph.addInput(graph.freshName(`${value.name}.frozen`), value.type);
    const { name } = value;
    replaceUses(value, input);
    graph.rename(value, graph.freshName(`${name}.replaced`));
    graph.rename(input, name);
  }
  graph.setOutputs(outputs);
  removeUnused(graph);
  graph.setInputs(graph.inputs.filter((input) => input.uses.size > 0));
  return frozen;
}

/** Replaces nodes by primitives, except straight-through nodes, and operators whose own gradient is faster. */
function lowerForGradients(model: Model): Inference {
  const inference = infer(model);
  const { graph } = model;
  for (const node of graph.nodes()) {
    const bound = inference.at(node);
    if (bound instanceof Miss || straightThroughOf(node) !== undefined) continue;
    if (entryOf(node)?.differentiatedWhole === true) continue;
    const emit = emitInto(model, { before: node, by: "lower", onNode: inference.visit });
    const loweredForm = bound.lower(emit, node.inputs);
    if (loweredForm instanceof Miss) continue;
    replaceNode(node, loweredForm);
  }
  return inference;
}

// ONNX Runtime starts from the last node that nothing reads and computes depth first. If that is the gradient of the first layer, all activations and
// gradients stay in memory to the end. So these nodes go to the end of the file in reverse order: the loss first, then the last layer.

function runInOrder(graph: Graph): void {
  const unread = [...graph.nodes()].filter((node) => node.outputs.every((output) => (output?.uses.size ?? 0) === 0));
  graph.moveToEnd(unread.reverse());
}

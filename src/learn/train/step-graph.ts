/** Writes the graph of a training step for one set of batch sizes, and loads it and its frozen part. */
import { infer, type Selection, storedRoot } from "#analysis";
import type { Batch, Model, Node, Value } from "#ir";
import { emitInto, int64, isFloat, Miss, nodeText, PithError, replaceNode } from "#ir";
import type { Context } from "#pass";
import type { Session } from "../../core/engine/engine.ts";
import { fuseForStep } from "../../rewrite/clean-up/fuse-nodes.ts";
import { peakBytes } from "./batch-size.ts";
import { channelsPerBlock } from "./channel-blocks.ts";
import { differentiate, type TrainingGraphs } from "./differentiate.ts";
import { type CacheBudget, type FrozenPart, selectTensors, withOutputCache } from "./frozen-cache.ts";
import type { Loss } from "./loss.ts";
import { writeLoss } from "./write-loss.ts";

interface StepGraph extends Pick<TrainingGraphs, "gradients" | "carried" | "stopped"> {
  readonly loss: string;
  /** Maps each state to the name of the output with its next value. */
  readonly states: ReadonlyMap<string, string>;
  readonly session: Session;
  readonly frozen: FrozenPart | undefined;
  readonly bytes: number;
  /** Returns the feeds for a batch, besides the parameters; `drawNumber` is the random number of the step. */
  feeds(batch: Batch, drawNumber: number): Promise<Batch>;
}

/** @throws PithError E_NOT_DIFFERENTIABLE, E_DATA if the data does not fit the model. */
export async function loadStepGraph(
  preparedModel: Model,
  example: Batch,
  trainedNames: ReadonlySet<string>,
  { loss, carry, threads }: StepOptions,
  budget: CacheBudget | undefined,
  context: Context,
): Promise<StepGraph> {
  const stepModel = preparedModel.clone();
  // The loss adds nodes of the teacher, which keep their inference form.
  const modelNodes = new Set(stepModel.graph.nodes());
  const lossGraph = await writeLoss(stepModel, example, loss, context.log);
  const { states, draw } = writeTrainingForms(stepModel, modelNodes, trainedNames);
  fuseForStep(stepModel);
  const { frozen, step, gradients, carried, stopped } = differentiate(stepModel, {
    loss: lossGraph.value.name,
    wrt: ({ name }) => trainedNames.has(name),
    states,
    channelBlock: await channelsPerBlock(context.engine),
    carry,
  });
  const session = await context.engine.load(step, { optimize: false, inPlace: true, threads });
  const frozenPart = await loadFrozen(frozen, threads, budget, context).catch(async (error: unknown) => {
    await session.release();
    throw error;
  });
  const stepInputs = new Set(step.graph.feeds.map(({ name }) => name));
  const frozenInputs = new Set(frozen?.graph.feeds.map(({ name }) => name));
  return {
    loss: lossGraph.value.name,
    gradients,
    carried,
    stopped,
    states,
    session,
    frozen: frozenPart,
    bytes: peakBytes(step) + (frozen === undefined ? 0 : peakBytes(frozen)),
    async feeds(batch, drawNumber) {
      const drawFeeds = draw === undefined ? {} : { [draw]: int64([], [drawNumber]) };
      const feeds = { ...lossGraph.feeds(batch), ...drawFeeds };
      const frozenOutputs =
        frozenPart === undefined ? {} : await frozenPart.run(selectTensors(feeds, (name) => frozenInputs.has(name)));
      return selectTensors({ ...feeds, ...frozenOutputs }, (name) => stepInputs.has(name));
    },
  };
}

async function loadFrozen(
  frozen: Model | undefined,
  threads: number | undefined,
  budget: CacheBudget | undefined,
  { engine }: Context,
): Promise<FrozenPart | undefined> {
  if (frozen === undefined) return undefined;
  const session = await engine.load(frozen, { threads });
  return budget === undefined ? session : withOutputCache(session, frozen, budget);
}

export async function releaseStepGraph({ session, frozen }: StepGraph): Promise<void> {
  await session.release();
  await frozen?.release();
}

// Some nodes compute something else in training: batch normalization uses batch statistics and updates its running ones, dropout
// drops values. They do so if the file says training_mode = 1, or if their states are stored tensors of the role `state` and one of
// their parameters, if they have any, is trained. Other nodes stay in inference mode.

/**
 * Writes nodes in their training form. Returns the name of the next value of each state. If a node needs random numbers, also returns the name of
 * the input for them: an odd number below 2³¹ per step.
 * @throws PithError E_NOT_DIFFERENTIABLE for a node whose training form cannot be written.
 */
function writeTrainingForms(model: Model, nodes: ReadonlySet<Node>, trained: ReadonlySet<string>) {
  const inference = infer(model);
  const { graph } = model;
  const states = new Map<string, Value>();
  let drawInput: Value | undefined;
  const draw = (): Value => {
    drawInput ??= graph.addInput(graph.freshName("draw"), { type: "int64", dims: [] });
    return drawInput;
  };
  for (const node of [...graph.nodes()].filter((node) => nodes.has(node))) {
    const form = inference.facet(node, "training");
    if (form === undefined) continue;
    const stateInputs = form.states.map((input) => node.inputs[input]);
    const hasStates =
      stateInputs.length > 0 && stateInputs.every((value) => value?.tensor && value.role?.kind === "state");
    const parameters = (inference.facet(node, "parameters") ?? []).map((input) => node.inputs[input]);
    const isTrained = parameters.some((value) => value !== undefined && trained.has(storedRoot(value)?.name ?? ""));
    if (!form.declared && !(hasStates && (isTrained || parameters.length === 0))) continue;
    // A second node with the same state reads the output of the first.
    const inputs = node.inputs.map((value) => (value === undefined ? value : (states.get(value.name) ?? value)));
    const emit = emitInto(model, { before: node, by: "train", onNode: inference.visit });
    const outputs = form.write(emit, inputs, draw);
    if (outputs instanceof Miss)
      throw new PithError("E_NOT_DIFFERENTIABLE", `${nodeText(node)} has no training form: ${outputs.reason}.`);
    for (const [input, next] of outputs.next) {
      const state = node.inputs[input];
      if (state?.tensor !== undefined && isFloat(state.tensor.type)) states.set(state.name, next);
    }
    replaceNode(node, outputs.outputs);
  }
  return { states: new Map([...states].map(([name, next]) => [name, next.name])), draw: drawInput?.name };
}

export interface StepOptions extends Selection {
  readonly loss: Loss;
  /** Train exactly these stored tensors, instead of the parameters of the selected layers. */
  readonly parameters?: readonly string[];
  readonly threads?: number | undefined;
  /** The graph adds this factor times the previous gradient to the gradient (`carry` of the optimizer). */
  readonly carry?: number | undefined;
  /** Keep the outputs of the part that is not trained, so that later epochs do not compute them again. */
  readonly cachesFrozen?: boolean | undefined;
  /** Number of samples per epoch, if known: a cache that is too small for all of them is not used. */
  readonly samples?: number | undefined;
}

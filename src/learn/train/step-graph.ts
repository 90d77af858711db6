/** A session of the step graph for one set of batch sizes, and a session of its frozen part. */
import { infer } from "../../core/analysis/infer.ts";
import type { Selection } from "../../core/analysis/selection.ts";
import { storedRoot } from "../../core/analysis/stored-root.ts";
import type { Session } from "../../core/engine/engine.ts";
import { Miss, PithError } from "../../core/errors.ts";
import { emitInto } from "../../core/graph/emit.ts";
import { describe, type Node, type Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { replaceNode } from "../../core/graph/replace.ts";
import type { Context } from "../../core/pass/pass.ts";
import { isFloat } from "../../core/tensor/convert.ts";
import { int64 } from "../../core/tensor/dense.ts";
import type { Batch, Tensor } from "../../core/tensor/types.ts";
import { fuseForStep } from "../../rewrite/clean-up/fuse-pairs.ts";
import { channelBlock } from "./channel-blocks.ts";
import { differentiate, type Training } from "./differentiate.ts";
import { type CacheBudget, type FrozenPart, isDearerThanHash, only, withAnswersKept } from "./frozen-cache.ts";
import type { Loss } from "./loss.ts";
import { peakBytes } from "./memory.ts";
import { type Progress, writeLoss } from "./write-loss.ts";

interface StepGraph extends Pick<Training, "gradients" | "carried" | "stopped"> {
  readonly loss: string;
  readonly own: ReadonlyMap<string, Tensor>;
  readonly states: ReadonlyMap<string, string>;
  readonly draws: boolean;
  readonly session: Session;
  readonly frozen: FrozenPart | undefined;
  readonly bytes: number;
  /** Returns the feeds for a batch, besides the parameters; `drawn` is the random number of the step. */
  feeds(batch: Batch, drawn: number, progress: Progress): Promise<Batch>;
}

/** @throws PithError E_NOT_DIFFERENTIABLE, E_DATA if the data does not fit the model. */
export async function loadStepGraph(
  prepared: Model,
  example: Batch,
  wanted: ReadonlySet<string>,
  { loss, carry, threads, checkpointing = false }: StepOptions,
  kept: CacheBudget | undefined,
  context: Context,
): Promise<StepGraph> {
  const working = prepared.clone();
  // Taken before the loss adds the teacher's nodes.
  const modelNodes = new Set(working.graph.nodes());
  const written = await writeLoss(working, example, loss, context);
  const tensors = written.parameters.flatMap((name) => working.graph.value(name)?.tensor ?? []);
  const { states, draw } = writeTrainingForms(working, modelNodes, wanted);
  fuseForStep(working);
  const { frozen, step, gradients, carried, stopped } = differentiate(working, {
    loss: written.value.name,
    wrt: ({ name }) => wanted.has(name) || written.parameters.includes(name),
    states,
    checkpoint: checkpointing,
    channelBlock: await channelBlock(context.engine),
    carry,
  });
  const limit = { threads };
  const session = await context.engine.load(step, { optimize: false, inPlace: true, ...limit });
  const frozenSession =
    frozen === undefined
      ? undefined
      : await context.engine.load(frozen, limit).catch(async (error: unknown) => {
          await session.release();
          throw error;
        });
  const frozenPart =
    kept === undefined || frozen === undefined || frozenSession === undefined || !isDearerThanHash(frozen)
      ? frozenSession
      : withAnswersKept(frozenSession, frozen, kept);
  const stepInputs = new Set(step.graph.feeds.map(({ name }) => name));
  const frozenInputs = new Set(frozen?.graph.feeds.map(({ name }) => name));
  return {
    loss: written.value.name,
    own: new Map(written.parameters.flatMap((name, at) => (tensors[at] === undefined ? [] : [[name, tensors[at]]]))),
    gradients,
    carried,
    stopped,
    states,
    draws: draw !== undefined,
    session,
    frozen: frozenPart,
    bytes: peakBytes(step) + (frozen === undefined ? 0 : peakBytes(frozen)),
    async feeds(batch, drawn, progress) {
      const draws = draw === undefined ? {} : { [draw]: int64([], [drawn]) };
      const feeds = { ...written.feeds(batch, progress), ...draws };
      const fixed = frozenPart === undefined ? {} : await frozenPart.run(only(feeds, (name) => frozenInputs.has(name)));
      return only({ ...feeds, ...fixed }, (name) => stepInputs.has(name));
    },
  };
}

export async function releaseStepGraph({ session, frozen }: StepGraph): Promise<void> {
  await session.release();
  await frozen?.release();
}

// Some nodes compute something else in training: batch normalization uses batch statistics and updates its running ones, dropout
// drops values. They do so if a stored tensor that they read has the role `state`, or if the file says training_mode = 1. Nodes
// whose parameters are not trained stay in inference mode.

interface TrainingForms {
  readonly states: ReadonlyMap<string, string>;
  /** The input with a random odd number below 2³¹ per step, if any node draws. */
  readonly draw: string | undefined;
}

/** @param wanted the trained tensors. @throws PithError E_NOT_DIFFERENTIABLE for a node whose training form cannot be written. */
function writeTrainingForms(model: Model, nodes: ReadonlySet<Node>, wanted: ReadonlySet<string>): TrainingForms {
  const inference = infer(model);
  const { graph } = model;
  const states = new Map<string, Value>();
  let drawn: Value | undefined;
  const draw = (): Value => {
    drawn ??= graph.addInput(graph.freshName("draw"), { type: "int64", dims: [] });
    return drawn;
  };
  for (const node of [...graph.nodes()].filter((node) => nodes.has(node))) {
    const bound = inference.at(node);
    const form = bound instanceof Miss ? undefined : bound.training();
    if (bound instanceof Miss || form === undefined) continue;
    const stateInputs = form.states.map((input) => node.inputs[input]);
    const asked =
      stateInputs.length > 0 &&
      stateInputs.every((value) => value?.tensor !== undefined && value.role?.kind === "state");
    const parameters = bound.parameters().map((input) => node.inputs[input]);
    const trained = parameters.some((value) => value !== undefined && wanted.has(storedRoot(value)?.name ?? ""));
    if (!form.declared && !(asked && (trained || parameters.length === 0))) continue;
    // A second node with the same state reads the output of the first.
    const now = node.inputs.map((value) => (value === undefined ? value : (states.get(value.name) ?? value)));
    const emit = emitInto(model, { before: node, by: "train", onNode: inference.visit });
    const written = form.write(emit, now, draw);
    if (written instanceof Miss)
      throw new PithError("E_NOT_DIFFERENTIABLE", `${describe(node)} has no training form: ${written.reason}.`);
    for (const [input, next] of written.next) {
      const state = node.inputs[input];
      if (state?.tensor !== undefined && isFloat(state.tensor.type)) states.set(state.name, next);
    }
    replaceNode(node, written.outputs);
  }
  return {
    states: new Map([...states].map(([name, next]) => [name, next.name])),
    draw: drawn?.name,
  };
}

export interface StepOptions extends Selection {
  readonly loss: Loss;
  /** Train exactly these stored tensors, instead of the parameters of the selected layers. */
  readonly parameters?: readonly string[];
  /** Stored masks that are fed and differentiated by. */
  readonly masks?: readonly string[] | undefined;
  readonly threads?: number | undefined;
  /** The graph adds this factor of the previous gradient to the gradient: an optimizer's `carry`. */
  readonly carry?: number | undefined;
  /** Caches outputs of frozen parts, for `samples` per epoch. */
  readonly cachesFrozen?: boolean | undefined;
  readonly samples?: number | undefined;
  /** Recompute activations in the backward pass instead of keeping them: less memory, a third more time. */
  readonly checkpointing?: boolean | undefined;
}

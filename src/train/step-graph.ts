/** The graph of a step for batches of certain sizes, in a session, and what is computed before it without any trained parameter in another. */
import type { Session } from "../engine/engine.ts";
import type { Node } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { fuseForStep } from "../passes/fuse-pairs.ts";
import type { Context } from "../passes/index.ts";
import { int64 } from "../tensor/dense.ts";
import type { Batch } from "../tensor/types.ts";
import { channelBlock } from "./channel-blocks.ts";
import { differentiate } from "./differentiate.ts";
import { writeLoss } from "./loss.ts";
import type { StepOptions } from "./step-options.ts";
import { writeTrainingForms } from "./training-forms.ts";

export interface StepGraph {
  readonly loss: string;
  /** Parameter → name of the output with its gradient. */
  readonly gradients: ReadonlyMap<string, string>;
  /** Parameter → name of the input with what is carried. */
  readonly carried: ReadonlyMap<string, string>;
  /** Parameter → the node that keeps it from being trained. */
  readonly stopped: ReadonlyMap<string, Node>;
  /** State → name of the output with the next. */
  readonly states: ReadonlyMap<string, string>;
  readonly draws: boolean;
  readonly session: Session;
  readonly frozen: Session | undefined;
  /** What the session is fed with for a batch, besides the parameters; `drawn` is the step's random number. */
  feeds(batch: Batch, drawn: number): Promise<Batch>;
}

/**
 * Writes the loss on top, differentiates, loads.
 * @throws PithError E_NOT_DIFFERENTIABLE, E_DATA if the data does not fit the model.
 */
export async function loadStepGraph(
  prepared: Model,
  example: Batch,
  wanted: ReadonlySet<string>,
  { loss, carry, threads, checkpointing = false }: StepOptions,
  context: Context,
): Promise<StepGraph> {
  const working = prepared.clone();
  // Not a teacher, which the loss brings along.
  const own = new Set(working.graph.nodes());
  const written = await writeLoss(working, example, loss, context);
  const { states, draw } = writeTrainingForms(working, own, wanted);
  fuseForStep(working);
  const { frozen, step, gradients, carried, stopped } = differentiate(working, {
    loss: written.value.name,
    wrt: (candidate) => wanted.has(candidate.name),
    states,
    checkpoint: checkpointing,
    channelBlock: await channelBlock(context.engine),
    ...(carry === undefined ? {} : { carry }),
  });
  const limit = threads === undefined ? {} : { threads };
  const session = await context.engine.load(step, { optimize: false, inPlace: true, ...limit });
  const frozenSession =
    frozen === undefined
      ? undefined
      : await context.engine.load(frozen, limit).catch(async (error: unknown) => {
          await session.release();
          throw error;
        });
  const stepInputs = new Set(step.graph.feeds.map(({ name }) => name));
  const frozenInputs = new Set(frozen?.graph.feeds.map(({ name }) => name));
  return {
    loss: written.value.name,
    gradients,
    carried,
    stopped,
    states,
    draws: draw !== undefined,
    session,
    frozen: frozenSession,
    async feeds(batch, drawn) {
      const feeds = { ...written.feeds(batch), ...(draw === undefined ? {} : { [draw]: int64([], [drawn]) }) };
      const fixed = frozenSession === undefined ? {} : await frozenSession.run(only(feeds, frozenInputs));
      return only({ ...feeds, ...fixed }, stepInputs);
    },
  };
}

export async function releaseStepGraph({ session, frozen }: StepGraph): Promise<void> {
  await session.release();
  await frozen?.release();
}

function only(batch: Batch, names: ReadonlySet<string>): Batch {
  return Object.fromEntries(Object.entries(batch).filter(([name]) => names.has(name)));
}

/** A model with a loss on top: what is differentiated, and what is run forward to see how far a training has come. */
import { infer } from "../analysis/infer.ts";
import { statesText } from "../data/states.ts";
import { PithError } from "../errors.ts";
import { feedingOf } from "../evaluate/feeding.ts";
import { emitInto } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { type Context, fixInputs } from "../passes/index.ts";
import { dimsText } from "../tensor/dims.ts";
import type { Batch } from "../tensor/types.ts";
import type { Loss } from "./loss.ts";

export interface LossGraph {
  readonly value: Value;
  /** What the inputs are fed with: those of the model, and those that the loss added. */
  feeds(batch: Batch): Batch;
}

/** What a graph is written for: batches of other sizes need one of their own. */
export function sizesOf(batch: Batch): string {
  return Object.entries(batch)
    .map(([name, { dims }]) => `${name}${dimsText(dims)}`)
    .join();
}

/**
 * Writes a loss onto a model, which becomes one for batches like `example`.
 * @throws PithError E_DATA if the data does not fit the model, E_UNSUPPORTED if it carries states that the data does not give, and what the
 * loss throws.
 */
export async function writeLoss(
  model: Model,
  example: Batch,
  loss: Loss,
  context: Pick<Context, "open">,
): Promise<LossGraph> {
  const binding = feedingOf(model, example, "training data");
  if (binding.states.length > 0) {
    const carried = statesText(binding.states);
    throw new PithError(
      "E_UNSUPPORTED",
      `The model carries states (${carried}), and training does not go through time.`,
      {
        hint: "Data with a column for each state trains single steps.",
      },
    );
  }
  const fed = binding.feeds(example);
  fixInputs(model, Object.fromEntries(Object.entries(fed).map(([name, { dims }]) => [name, dims])));
  const inference = infer(model);
  const emit = emitInto(model, { by: "loss", onNode: inference.visit });
  const outputs = new Map(model.graph.outputs.map((output) => [output.name, output]));
  const built = await loss.build({ emit, model, outputs, open: context.open });
  return { value: built.value, feeds: (batch) => ({ ...binding.feeds(batch), ...built.feeds(batch) }) };
}

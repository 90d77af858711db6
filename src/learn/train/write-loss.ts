/** Adds a loss to a model as nodes, for one set of batch sizes. */
import { infer } from "#analysis";
import { statesText } from "#batches";
import { type Batch, dimsText, emitInto, extract, getOrAdd, type Model, unsupportedError, type Value } from "#ir";
import type { Context } from "#pass";
import { fixInputs } from "../../rewrite/edit/set-input-shapes.ts";
import { feedingOf } from "../../runtime/run/feeding.ts";
import { type Loss, type NamedValues, namedValues } from "./loss.ts";
import { addTeacher } from "./teacher.ts";

export interface LossGraph {
  readonly value: Value;
  feeds(batch: Batch): Batch;
}

export function sizesOf(batch: Batch): string {
  return Object.entries(batch)
    .map(([name, { dims }]) => `${name}${dimsText(dims)}`)
    .join();
}

/** Adds a loss in place and fixes inputs to the sizes of `example`. @throws PithError E_DATA, E_UNSUPPORTED for states without a column, as the loss. */
export async function writeLoss(model: Model, example: Batch, loss: Loss, log: Context["log"]): Promise<LossGraph> {
  const binding = feedingOf(model, example, "training data");
  if (binding.states.length > 0) {
    const text = `The model carries states (${statesText(binding.states)}), and backpropagation through time is not supported.`;
    throw unsupportedError(text, { hint: "Provide a column per state to train single steps." });
  }
  const exampleFeeds = binding.feeds(example);
  fixInputs(model, Object.fromEntries(Object.entries(exampleFeeds).map(([name, { dims }]) => [name, dims])));
  const inference = infer(model);
  const emit = emitInto(model, { by: "loss", onNode: inference.visit });
  const { graph } = model;
  const outputs = new Map(graph.outputs.map((output) => [output.name, output]));
  const valuesByName = new Map(Array.from(graph.values(), (value) => [value.name, value]));
  let modelWithoutLoss: Model | undefined;
  const modelValues = namedValues("model", outputs, valuesByName, () => {
    modelWithoutLoss ??= extract(model, [...outputs.values()]);
    return modelWithoutLoss;
  });
  const teachers = new Map<Model, NamedValues>();
  const builtLoss = await loss.build({
    ...modelValues,
    emit,
    model,
    log,
    teacher(reference) {
      return getOrAdd(teachers, reference, () => addTeacher(model, emit, reference));
    },
  });
  return { value: builtLoss.value, feeds: (batch) => ({ ...binding.feeds(batch), ...builtLoss.feeds(batch) }) };
}

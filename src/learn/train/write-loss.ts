import { infer } from "#analysis";
import type { Batch, Model, Value } from "#ir";
import { dimsText, emitInto, extract, float32, inMemory, memoize, PithError, parameter } from "#ir";
import type { Context } from "#pass";
import { statesText } from "../../data/batches/states.ts";
import { fixInputs } from "../../rewrite/clean-up/fix-inputs.ts";
import { feedingOf } from "../../runtime/run/feeding.ts";
import { type Loss, type NamedValues, namedValues } from "./loss.ts";
import { addTeacher } from "./teacher.ts";

export interface LossGraph {
  readonly value: Value;
  readonly parameters: readonly string[];
  feeds(batch: Batch): Batch;
}

export function sizesOf(batch: Batch): string {
  return Object.entries(batch)
    .map(([name, { dims }]) => `${name}${dimsText(dims)}`)
    .join();
}

/**
 * Adds a loss to a model, in place, and fixes its inputs to the sizes of `example`.
 * @param values Current values of the loss's parameters, by name; parameters that are not listed get their initial values.
 * @throws PithError E_DATA if the data does not fit the model, E_UNSUPPORTED if the model has recurrent states without a column, and
 * the errors of the loss.
 */
export async function writeLoss(
  model: Model,
  example: Batch,
  loss: Loss,
  context: Pick<Context, "seed" | "log">,
  values: ReadonlyMap<string, Float32Array> = new Map(),
): Promise<LossGraph> {
  const binding = feedingOf(model, example, "training data");
  if (binding.states.length > 0) {
    const text = `The model carries states (${statesText(binding.states)}), and backpropagation through time is not supported.`;
    throw new PithError("E_UNSUPPORTED", text, { hint: "Provide a column per state to train single steps." });
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
  const parameters: string[] = [];
  const built = await loss.build({
    ...modelValues,
    emit,
    model,
    seed: context.seed,
    log: context.log,
    teacher(reference) {
      return memoize(teachers, reference, () => addTeacher(model, emit, reference));
    },
    parameter(name, start) {
      const fullName = graph.freshName(`loss/${name}`);
      parameters.push(fullName);
      return graph.addTensor(fullName, inMemory(float32(start.dims, values.get(fullName) ?? start.data)), parameter);
    },
  });
  return { value: built.value, parameters, feeds: (batch) => ({ ...binding.feeds(batch), ...built.feeds(batch) }) };
}

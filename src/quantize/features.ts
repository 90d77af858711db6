/** How many numbers an activation has, which its scale is shared by. */
import { infer } from "../analysis/infer.ts";
import type { Dataset } from "../data/index.ts";
import { oneRun } from "../evaluate/feeding.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { fixInputs } from "../passes/fix-inputs.ts";

/** The numbers that each value has for one sample, the model being run on samples like the first. What only a run can tell counts as one. */
export async function featuresOf(
  model: Model,
  values: readonly Value[],
  data: Dataset,
): Promise<ReadonlyMap<Value, number>> {
  const { feeds, size } = await oneRun(model, data);
  const copy = model.clone();
  fixInputs(copy, Object.fromEntries(Object.entries(feeds).map(([name, { dims }]) => [name, dims])));
  infer(copy);
  return new Map(
    values.map((value) => {
      const dims = copy.graph.value(value.name)?.type?.dims ?? [];
      const elements = dims.reduce<number>((count, dim) => count * (typeof dim === "number" ? dim : 1), 1);
      return [value, Math.max(1, elements / size)];
    }),
  );
}

/** How many numbers an activation has, which its scale is shared by. */
import { infer } from "../analysis/infer.ts";
import { bindInputs, type Dataset } from "../data/index.ts";
import { firstBatch } from "../data/select.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { fixInputs } from "../passes/fix-inputs.ts";

/** The numbers that each value has for one sample, the model being run on samples like the first. What only a run can tell counts as one. */
export async function featuresOf(
  model: Model,
  values: readonly Value[],
  data: Dataset,
): Promise<ReadonlyMap<Value, number>> {
  const first = await firstBatch(data);
  const { size = 1 } = bindInputs(model.graph.feeds, first, data.name);
  const batch = size === 1 ? first : await firstBatch(data, size);
  const fed = bindInputs(model.graph.feeds, batch, data.name).feeds(batch);
  const copy = model.clone();
  fixInputs(copy, Object.fromEntries(Object.entries(fed).map(([name, { dims }]) => [name, dims])));
  infer(copy);
  return new Map(
    values.map((value) => {
      const dims = copy.graph.value(value.name)?.type?.dims ?? [];
      const elements = dims.reduce<number>((count, dim) => count * (typeof dim === "number" ? dim : 1), 1);
      return [value, Math.max(1, elements / size)];
    }),
  );
}

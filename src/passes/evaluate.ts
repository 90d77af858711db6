/**
 * Evaluates values that depend on stored tensors alone, wherever in the model they are: what they need is a model of its own, which the
 * engine runs once. The model itself is not changed.
 */
import type { Engine } from "../engine/index.ts";
import { PithError } from "../errors.ts";
import { extract } from "../graph/extract.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Dense } from "../tensor/types.ts";

/**
 * The elements of values whose producers lead back to stored tensors.
 * @throws PithError E_MODEL if one depends on something else, E_ENGINE if the runtime cannot do it.
 */
export async function evaluate(
  model: Model,
  values: readonly Value[],
  engine: Engine,
): Promise<ReadonlyMap<Value, Dense>> {
  if (values.length === 0) return new Map();
  const work = extract(model, values);
  const [needed] = work.graph.feeds;
  if (needed !== undefined) {
    const names = values.map(({ name }) => `"${name}"`).join(", ");
    throw new PithError("E_MODEL", `${names} cannot be evaluated without the input "${needed.name}".`);
  }
  // Up to IR 3 a weight must be an input.
  work.header.irVersion = Math.max(work.header.irVersion, 4);
  const session = await engine.load(work, { optimize: false });
  try {
    const results = await session.run({});
    return new Map(
      values.map((value, index) => {
        const result = results[work.graph.outputs[index]?.name ?? ""];
        if (result === undefined) throw new PithError("E_MODEL", `"${value.name}" could not be evaluated.`);
        return [value, result];
      }),
    );
  } finally {
    await session.release();
  }
}

/** Feeds constant values to inputs, also instead of columns of these names: the option `set`, such as `{ sr: 16000 }`. */
import { gatherRows, rowCount } from "#batches";
import { type Dense, fixedDims, type Model, shapeError } from "#ir";
import { type Dataset, mapBatches } from "../../data/index.ts";
import { contentOf, hasValue } from "../../rewrite/clean-up/set-inputs.ts";

/** By name: one number for all elements, or a list. */
export type Settings = Readonly<Record<string, number | number[]>>;

/** @throws PithError as `contentOf`; E_SHAPE_MISMATCH for an input without a fixed size. */
export function toConstantTensors(model: Model, set: Settings): ReadonlyMap<string, Dense> {
  return new Map(
    Object.entries(set).flatMap(([name, values]) => {
      if (hasValue(model, name, values)) return [];
      const content = contentOf(model, name, values);
      if (fixedDims(model.graph.value(name)?.type?.dims ?? []) !== undefined) return [[name, content]];
      throw shapeError(`\`set\`: input "${name}" has no fixed size that would fit all samples.`);
    }),
  );
}

export function withConstantInputs(dataset: Dataset, constants: ReadonlyMap<string, Dense>): Dataset {
  if (constants.size === 0) return dataset;
  return mapBatches(dataset, (batch) => {
    const repeatForBatch = (dense: Dense): Dense =>
      gatherRows({ ...dense, dims: [1, ...dense.dims] }, new Uint32Array(rowCount(batch)));
    return { ...batch, ...Object.fromEntries([...constants].map(([name, dense]) => [name, repeatForBatch(dense)])) };
  });
}

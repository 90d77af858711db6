/** What inputs of a model are set to, beside the samples that the others are fed. */
import { type Dataset, gatherRows, mapBatches } from "../../data/index.ts";
import { PithError } from "../../errors.ts";
import type { Model } from "../../graph/model.ts";
import { contentOf } from "../../passes/set-inputs.ts";
import { fixedDims } from "../../tensor/dims.ts";
import type { Batch, Dense } from "../../tensor/types.ts";
import type { Settings } from "../set.ts";

/** What inputs are set to, as tensors. @throws PithError as `contentOf`, E_SHAPE_MISMATCH for an input that is not of one size. */
export function contents(model: Model, set: Settings): ReadonlyMap<string, Dense> {
  return new Map(
    set.map(([name, given]) => {
      const content = contentOf(model, name, given);
      if (fixedDims(model.graph.value(name)?.type?.dims ?? []) !== undefined) return [name, content];
      throw new PithError("E_SHAPE_MISMATCH", `--set: input "${name}" has no fixed size that would fit all samples.`);
    }),
  );
}

/** The values set for inputs of this model; other names are skipped, since several models need not have the same inputs. @throws PithError as `contentOf` */
export function contentsFor(model: Model, set: Settings): Batch {
  const own = set.filter(([name]) => model.graph.feeds.some((feed) => feed.name === name));
  return Object.fromEntries(own.map(([name, given]) => [name, contentOf(model, name, given)]));
}

/** The same of each model. @throws PithError E_NAME for an input that none has. */
export function contentsOfEach(models: readonly Model[], set: Settings): readonly Batch[] {
  const contents = models.map((model) => contentsFor(model, set));
  const [first] = models;
  for (const [name, given] of set)
    if (first !== undefined && !contents.some((batch) => name in batch)) contentOf(first, name, given);
  return contents;
}

/** Each sample with these as well, the same for all. */
export function withContents(dataset: Dataset, fixed: ReadonlyMap<string, Dense>): Dataset {
  if (fixed.size === 0) return dataset;
  return mapBatches(dataset, (batch) => {
    const count = Object.values(batch)[0]?.dims[0] ?? 0;
    const repeated = (dense: Dense): Dense =>
      gatherRows({ ...dense, dims: [1, ...dense.dims] }, new Uint32Array(count));
    return { ...batch, ...Object.fromEntries([...fixed].map(([name, dense]) => [name, repeated(dense)])) };
  });
}

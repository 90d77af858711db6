/** A model over batches of a data set, whatever number of samples it takes at a time. */
import { type Binding, bindInputs } from "../data/bind.ts";
import { gatherRows, joinRows, mapColumns, sampleCount, sliceRows } from "../data/rows.ts";
import type { Engine, LoadOptions } from "../engine/engine.ts";
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import type { Batch, Dense } from "../tensor/types.ts";

export interface Runner {
  /** All outputs for all samples of a batch of the data set; axis 0 of an output counts samples. */
  run(batch: Batch): Promise<Batch>;
  release(): Promise<void>;
}

/**
 * Loads a model to be run on batches of a data set. A model that fixes its number of samples gets that many at a time, the last ones
 * padded; one without a batch axis gets sample by sample.
 */
export async function createRunner(
  engine: Engine,
  model: Model,
  owner: string,
  options?: LoadOptions,
): Promise<Runner> {
  const session = await engine.load(model, options);
  let binding: Binding | undefined;
  return {
    async run(batch) {
      binding ??= bindInputs(model.graph.feeds, batch, owner);
      const { size, feeds } = binding;
      if (size === undefined) return session.run(feeds(batch));
      const count = sampleCount(batch, owner);
      const parts: Batch[] = [];
      for (let start = 0; start < count; start += size) {
        const outputs = await session.run(feeds(window(batch, start, Math.min(size, count - start), size)));
        parts.push(mapColumns(outputs, (dense) => perSample(dense, size, Math.min(size, count - start))));
      }
      return join(parts, owner);
    },
    release: () => session.release(),
  };
}

/** `count` samples from `start`, the last one repeated until there are `size`. */
function window(batch: Batch, start: number, count: number, size: number): Batch {
  if (count === size) return mapColumns(batch, (dense) => sliceRows(dense, start, start + size));
  const positions = Uint32Array.from({ length: size }, (_, index) => start + Math.min(index, count - 1));
  return mapColumns(batch, (dense) => gatherRows(dense, positions));
}

function perSample(dense: Dense, size: number, count: number): Dense {
  // One sample may come out without an axis that counts it.
  if (size === 1) return dense.dims[0] === 1 ? dense : ({ ...dense, dims: [1, ...dense.dims] } as Dense);
  return dense.dims[0] === size && count < size ? sliceRows(dense, 0, count) : dense;
}

function join(parts: readonly Batch[], owner: string): Batch {
  const [first] = parts;
  if (first === undefined) throw new PithError("E_DATA", `${owner}: a batch has no samples.`);
  if (parts.length === 1) return first;
  const names = Object.keys(first);
  return Object.fromEntries(
    names.map((name) => [
      name,
      joinRows(
        name,
        parts.map((part) => part[name]),
        `Output of ${owner}`,
      ),
    ]),
  );
}

/** Remembers a model's outputs per sample, because several steps run the original on the same samples. */
import { hasRandomNodes } from "#analysis";
import {
  elementBytes,
  findStates,
  gatherRows,
  joinBatches,
  mapColumns,
  padRows,
  quickHash,
  sliceBatch,
} from "#batches";
import { type Batch, getOrAdd, type Model } from "#ir";
import type { Engine } from "../../core/engine/engine.ts";
import type { Runner } from "./runner.ts";

/** Maximum bytes of the outputs of one sample, and of all samples of a model at one batch size. */
const [maxSampleBytes, maxBytes] = [2 ** 16, 2 ** 27];

interface Outputs {
  readonly revision: number;
  readonly rows: Map<string, Batch>;
  bytes: number;
}

/** By copy: the copied model, and the revisions of both at that time. */
const copies = new WeakMap<Model, { readonly revision: number; readonly of: Model; readonly revisionOf: number }>();

/** Returns a copy that shares the known outputs of the model, while both are unchanged. */
export function cloneWithKnownOutputs(model: Model): Model {
  const copy = model.clone();
  copies.set(copy, { revision: copy.graph.revision, of: model, revisionOf: model.graph.revision });
  return copy;
}

const outputsByModel = new WeakMap<Engine, WeakMap<Model, Map<number, Outputs>>>();

/** Returns a runner that runs only samples whose outputs are not known. The model must not change while the runner is used. */
export function withKnownOutputs(load: () => Promise<Runner>, engine: Engine, net: Model, batchSize: number): Runner {
  const copy = copies.get(net);
  const isCopy = copy?.revision === net.graph.revision && copy.revisionOf === copy.of.graph.revision;
  const model = isCopy ? copy.of : net;
  const { revision, feeds } = model.graph;
  const models = getOrAdd(outputsByModel, engine, () => new WeakMap<Model, Map<number, Outputs>>());
  const sizes = getOrAdd(models, model, () => new Map<number, Outputs>());
  const earlierOutputs = sizes.get(batchSize);
  const outputs = earlierOutputs?.revision === revision ? earlierOutputs : { revision, rows: new Map(), bytes: 0 };
  sizes.set(batchSize, outputs);
  let isSuitable = !hasRandomNodes(model);
  let runner: Promise<Runner> | undefined;
  const runAll = async (batch: Batch): Promise<Batch> => {
    runner ??= load();
    return (await runner).run(batch);
  };
  const readsLabel = feeds.some(({ name }) => name === "label");
  return {
    async run(batch) {
      const { label: _, ...otherColumns } = batch;
      const columns = readsLabel ? batch : otherColumns;
      const [count = 0] = Object.values(columns)[0]?.dims ?? [];
      isSuitable &&= count > 0 && findStates(model, Object.keys(columns)).length === 0;
      if (!isSuitable) return runAll(batch);
      const keys = Array.from({ length: count }, (_, sample) => keyOf(sliceBatch(columns, sample, sample + 1)));
      const missing = Uint32Array.from(keys.keys()).filter((sample) => !outputs.rows.has(keys[sample] ?? ""));
      if (missing.length > 0) {
        const isAll = missing.length === count;
        const computedOutputs = await runAll(isAll ? batch : mapColumns(batch, (dense) => gatherRows(dense, missing)));
        const bytes = Object.values(computedOutputs).reduce((sum, dense) => sum + elementBytes(dense).length, 0);
        isSuitable =
          bytes <= maxSampleBytes * missing.length &&
          outputs.bytes + bytes <= maxBytes &&
          Object.values(computedOutputs).every(({ dims }) => dims[0] === missing.length);
        if (!isSuitable) return isAll ? computedOutputs : runAll(batch);
        outputs.bytes += bytes;
        for (const [row, sample] of missing.entries())
          outputs.rows.set(keys[sample] ?? "", sliceBatch(computedOutputs, row, row + 1));
        if (isAll) return computedOutputs;
      }
      const rows = keys.map((key) => outputs.rows.get(key) ?? {});
      return joinBatches(rows, "remembered outputs", padRows);
    },
    release: async () => (await runner)?.release(),
  };
}

const keyOf = (sample: Batch): string =>
  Object.entries(sample)
    .map(([name, dense]) => `${name} ${dense.type} ${dense.dims} ${quickHash(elementBytes(dense))}`)
    .join("\n");

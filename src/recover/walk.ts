/**
 * A walk through a model with all samples in hand: what has been computed up to some node is kept, so that layer after layer costs the way from
 * one to the next, not from the inputs to each.
 *
 *     x → a → b → c → …          at b: the values of a are kept, and only b runs
 *
 * Kept are the values that are computed before the node and used from it on, as far as they count samples, in memory or, where that is short,
 * on disk; whatever else is needed (sizes, masks) is computed again. States are columns like any other: what the model carried to each sample when
 * the walk began.
 */
import { infer } from "../analysis/infer.ts";
import { isStored } from "../analysis/stored-root.ts";
import { ownArrays, sampleCount } from "../data/rows.ts";
import type { BatchStore, Storage } from "../data/store.ts";
import type { Dataset } from "../data/types.ts";
import type { Engine } from "../engine/engine.ts";
import { stopIfAsked } from "../errors.ts";
import { feedingOf } from "../evaluate/feeding.ts";
import { createRunner, type Runner } from "../evaluate/run.ts";
import { extract } from "../graph/extract.ts";
import { type Node, usedValues, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { isFloat } from "../tensor/convert.ts";
import type { Dim } from "../tensor/dims.ts";
import type { Batch } from "../tensor/types.ts";

export interface WalkOptions {
  readonly engine: Engine;
  readonly signal: AbortSignal;
  /** Samples at a time. */
  readonly batch: number;
  /** Where values are kept; whoever opened it releases it. */
  readonly storage: Storage;
}

export class Walk {
  readonly model: Model;
  /** Inputs that carry states. */
  readonly states: readonly string[];
  readonly #owner: string;
  readonly #options: WalkOptions;
  #store: BatchStore;
  /** Names of values in the store that are not the model's inputs. */
  #kept: readonly string[] = [];

  private constructor(model: Model, owner: string, store: BatchStore, states: readonly string[], options: WalkOptions) {
    this.model = model;
    this.states = states;
    this.#owner = owner;
    this.#store = store;
    this.#options = options;
  }

  /** Reads the samples. The model may change at nodes that the walk has not passed. */
  static async through(model: Model, data: Dataset, options: WalkOptions): Promise<Walk> {
    const store = options.storage.store(data.name);
    let states: readonly string[] | undefined;
    let runner: Runner | undefined;
    try {
      for await (const read of data.batches({ size: options.batch })) {
        const batch = named(read, model);
        states ??= feedingOf(model, batch, data.name).states.map(({ input }) => input);
        if (states.length > 0)
          runner ??= await createRunner(options.engine, model, data.name, { optimize: false, observed: states });
        await store.add(ownArrays({ ...batch, ...(await runner?.run(batch)) }));
      }
    } finally {
      await runner?.release();
    }
    return new Walk(model, data.name, store, states ?? [], options);
  }

  /** What some values of the model, or of a copy that differs behind what is kept, are for each batch. */
  async *values(names: readonly string[], model: Model = this.model): AsyncGenerator<Batch> {
    for await (const { before, found } of this.#run(names, model)) {
      const kept = Object.entries(before).filter(([name]) => names.includes(name));
      yield { ...Object.fromEntries(kept), ...found };
    }
  }

  /** For each batch what is kept of it, and those of some values that are not, computed. */
  async *#run(
    names: readonly string[],
    model: Model,
  ): AsyncGenerator<{ readonly before: Batch; readonly found: Batch }> {
    const { engine, signal } = this.#options;
    const { columns } = this.#store;
    const missing = names.filter((name) => !columns.includes(name));
    const part = missing.length === 0 ? undefined : this.#part(model, missing);
    const runner = part === undefined ? undefined : await createRunner(engine, part, this.#owner, { optimize: false });
    // Of what is kept only what is needed is read.
    const read = new Set([...names, ...(part?.graph.inputs.map(({ name }) => name) ?? [])]);
    const wanted = columns.filter((name) => read.has(name) || !this.#kept.includes(name));
    try {
      for await (const before of this.#store.batches(wanted)) {
        stopIfAsked(signal, "Recovery was stopped.");
        yield { before, found: (await runner?.run(before)) ?? {} };
      }
    } finally {
      await runner?.release();
    }
  }

  /** The model from what is kept to some values. */
  #part(model: Model, names: readonly string[]): Model {
    const part = extract(model, valuesOf(model, names), valuesOf(model, this.#kept));
    part.graph.setInputs(part.graph.inputs.filter(({ uses }) => uses.size > 0));
    return part;
  }

  /** Keeps what is known before a node, from which on everything may change. */
  async reach(node: Node): Promise<void> {
    const still = liveAt(this.model, node);
    const wanted = still.filter((name) => !this.#kept.includes(name));
    if (wanted.length === 0) return;
    const [before, next] = [this.#store, this.#options.storage.store(this.#owner)];
    const kept = before.columns.filter((name) => !this.#kept.includes(name) || still.includes(name));
    for await (const { before: known, found } of this.#run([...kept, ...wanted], this.model)) {
      const count = sampleCount(known, this.#owner);
      if (Object.values(found).some(({ dims }) => dims[0] !== count)) return next.release();
      const lasting = Object.entries(known).filter(([name]) => kept.includes(name));
      await next.add({ ...Object.fromEntries(lasting), ...found });
    }
    await before.release();
    this.#store = next;
    this.#kept = [...this.#kept.filter((name) => still.includes(name)), ...wanted];
  }
}

function valuesOf(model: Model, names: readonly string[]): readonly Value[] {
  return names.flatMap((name) => model.graph.value(name) ?? []);
}

/** The only column goes to the only input, whatever it is called. */
function named(batch: Batch, { graph }: Model): Batch {
  const columns = Object.keys(batch).filter((name) => name !== "label");
  const [[input, ...others], [column, ...more]] = [graph.feeds, columns];
  const dense = column === undefined ? undefined : batch[column];
  if (input === undefined || dense === undefined || others.length + more.length > 0) return batch;
  return { [input.name]: dense };
}

/** Floats that are computed before a node, count samples, and are used by it or later. */
function liveAt(model: Model, node: Node): readonly string[] {
  infer(model);
  const { graph } = model;
  const [first] = graph.feeds;
  const samples = first?.type?.dims?.[0];
  const before = new Set<Value>();
  const live = new Set<string>();
  let reached = false;
  const note = (value: Value): void => {
    if (before.has(value)) live.add(value.name);
  };
  for (const each of graph.nodes()) {
    reached ||= each === node;
    if (reached) for (const value of usedValues(each)) note(value);
    else for (const value of each.outputs) if (value !== undefined && isPerSample(value, samples)) before.add(value);
  }
  for (const value of graph.outputs) note(value);
  return [...live];
}

function isPerSample(value: Value, samples: Dim | undefined): boolean {
  const { type } = value;
  if (type === undefined || !isFloat(type.type) || samples === undefined) return false;
  return type.dims?.[0] === samples && !isStored(value);
}

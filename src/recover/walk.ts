/**
 * A walk through a model with all samples in hand: what has been computed up to some node is kept, so that layer after layer costs the way from
 * one to the next, not from the inputs to each.
 *
 *     x → a → b → c → …          at b: the values of a are kept, and only b runs
 *
 * Kept are the values that are computed before the node and used from it on, as far as they count samples and there is room; whatever else is
 * needed (sizes, masks) is computed again.
 */
import { infer } from "../analysis/infer.ts";
import { sampleCount } from "../data/rows.ts";
import type { Dataset } from "../data/types.ts";
import type { Engine } from "../engine/engine.ts";
import { PithError } from "../errors.ts";
import { createRunner } from "../evaluate/run.ts";
import { extract } from "../graph/extract.ts";
import { type Node, usedValues, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { isStored } from "../passes/stored.ts";
import { isFloat } from "../tensor/convert.ts";
import { type Dim, elementCount } from "../tensor/dims.ts";
import type { Batch } from "../tensor/types.ts";

/** Bytes that are kept of a model. */
const mostBytes = 512 * 2 ** 20;

export interface WalkOptions {
  readonly engine: Engine;
  readonly signal: AbortSignal;
  /** Samples at a time. */
  readonly batch: number;
}

export class Walk {
  readonly model: Model;
  readonly #owner: string;
  readonly #options: WalkOptions;
  #batches: readonly Batch[];
  /** Names of values in `#batches` that are not the model's inputs. */
  #kept: readonly string[] = [];

  private constructor(model: Model, owner: string, batches: readonly Batch[], options: WalkOptions) {
    this.model = model;
    this.#owner = owner;
    this.#batches = batches;
    this.#options = options;
  }

  /** Reads the samples into memory. The model may change at nodes that the walk has not passed. */
  static async through(model: Model, data: Dataset, options: WalkOptions): Promise<Walk> {
    const batches: Batch[] = [];
    for await (const batch of data.batches({ size: options.batch })) batches.push(named(batch, model));
    return new Walk(model, data.name, batches, options);
  }

  /** What some values of the model, or of a copy that differs behind what is kept, are for each batch. */
  async *values(names: readonly string[], model: Model = this.model): AsyncGenerator<Batch> {
    const { engine, signal } = this.#options;
    const [known = {}] = this.#batches;
    const missing = names.filter((name) => known[name] === undefined);
    const runner =
      missing.length === 0
        ? undefined
        : await createRunner(engine, this.#part(model, missing), this.#owner, { optimize: false });
    try {
      for (const batch of this.#batches) {
        if (signal.aborted) throw new PithError("E_STOPPED", "Recovery was stopped.", { cause: signal.reason });
        const found = await runner?.run(batch);
        const kept = Object.entries(batch).filter(([name]) => names.includes(name));
        yield { ...Object.fromEntries(kept), ...found };
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
    const wanted = liveAt(this.model, node).filter((name) => !this.#kept.includes(name));
    const still = new Set(liveAt(this.model, node));
    if (wanted.length === 0) return;
    const next: Batch[] = [];
    let [bytes, at] = [0, 0];
    for await (const found of this.values(wanted)) {
      const before = this.#batches[at++] ?? {};
      const count = sampleCount(before, this.#owner);
      if (Object.values(found).some(({ dims }) => dims[0] !== count)) return;
      const kept = Object.entries(before).filter(([name]) => !this.#kept.includes(name) || still.has(name));
      for (const { dims } of Object.values(found)) bytes += 4 * elementCount(dims);
      if (bytes > mostBytes) return;
      next.push({ ...Object.fromEntries(kept), ...found });
    }
    this.#batches = next;
    this.#kept = [...this.#kept.filter((name) => still.has(name)), ...wanted];
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

/**
 * Collects statistics of layer inputs, layer by layer, while the caller changes the layers. The values before the current node are stored:
 *
 *     x → a → b → c → …          at b: the values of a are stored, and only b runs
 */
import { infer, isStored, type Layer, layers } from "#analysis";
import type { BatchStore, Dataset, Storage } from "#batches";
import { copyArrays, draw, firstBatch, mapColumns, openStorage, sampleCount, selectColumns, take } from "#batches";
import type { Batch, Dense, Dim, Model, Node, Value } from "#ir";
import { extract, fromNumbers, isFloat, Miss, throwIfAborted, usedValues } from "#ir";
import { type Context, completeContext } from "#pass";
import type { Engine } from "../../core/engine/engine.ts";
import { type EngineMultiply, engineMultiply } from "../../core/engine/multiply.ts";
import type { Multiply } from "../../core/math/matrix.ts";
import { trainPart } from "../../data/sources/open.ts";
import { type Feeding, feedingOf } from "../../runtime/run/feeding.ts";
import { PickedElements } from "../../runtime/run/picked-elements.ts";
import { createRunner, type Runner } from "../../runtime/run/runner.ts";
import { type Features, type Layout, readFeatures } from "./features.ts";
import { featuresOf, type LayerFeatures, samplesThatFit } from "./layer-features.ts";
import { type Place, type Running, type Statistic, writeObserved } from "./statistic.ts";
import { zipAsync } from "./zip-async.ts";

export interface CalibrateOptions {
  /** Samples, which need no labels, or the path of a data set, of which the train split is used. */
  readonly data: Dataset | string;
  /** Number of samples (256), drawn at random. For a stream, or a model with recurrent states, the first samples are used. */
  readonly samples?: number | undefined;
}

/**
 * Starts a calibration: statistics of layer inputs, in layer order, while the model is changed on the way. A layer can be changed
 * after `collect`; later layers see the change. Values are kept in memory or on disk until `release`.
 * @throws PithError E_DATA if the data does not fit or has no samples, E_STOPPED on the signal.
 * @example
 * const seen = await calibrate(model, { data: calibration, samples: 128 });
 * for (const layer of layers(model, infer(model))) {
 *   const reach = await seen.collect(layer, columnNorms);
 *   if (!(reach instanceof Miss)) console.log(layer.name, Math.max(...reach)); // and change layer.weight.tensor
 * }
 * await seen.release();
 */
export async function calibrate(
  model: Model,
  { data, samples = 256 }: CalibrateOptions,
  context: Partial<Context> = {},
): Promise<Calibration> {
  const { engine, signal, seed } = completeContext(context);
  const dataset = await trainPart(data);
  const isOrdered = feedingOf(model, await firstBatch(dataset), dataset.name).states.length > 0;
  const selectedSamples = isOrdered ? take(dataset, samples) : draw(dataset, samples, seed);
  const batch = Math.max(1, Math.floor(Math.min(samplesAtOnce, samplesThatFit(layers(model, infer(model))))));
  const storage = openStorage({ memory: roomInMemory });
  try {
    return await Calibration.begin(model, selectedSamples, { engine, signal, batch, storage });
  } catch (error) {
    await storage.release();
    throw error;
  }
}

export const samplesAtOnce = 16;

/** Maximum bytes of values in memory; further values are stored on disk and read in order. */
const roomInMemory = 256 * 2 ** 20;

const stopText = "Stopped while values were measured.";

export interface WalkOptions {
  readonly engine: Engine;
  readonly signal: AbortSignal;
  readonly batch: number;
  readonly storage: Storage;
  readonly optimize?: boolean;
}

/** Adds nodes to a copy of a part of the model. Returns the values to compute. */
type Write = (part: Model) => readonly Value[];

/** A calibration of the original with the same samples, and the layers that correspond to the observed ones, in the same order. */
interface Original {
  readonly calibration: Calibration;
  readonly layers: readonly Layer[];
}

export class Calibration {
  readonly model: Model;
  readonly states: readonly string[];
  readonly #dataName: string;
  readonly #options: WalkOptions;
  readonly #products: EngineMultiply;
  #store: BatchStore;
  readonly #takesAnyCount: boolean;
  /** Names of stored values that are not model inputs. */
  #storedNames: readonly string[] = [];
  readonly #corrections = new Map<string, (value: Dense) => Dense>();

  private constructor(
    model: Model,
    dataName: string,
    store: BatchStore,
    feeding: Pick<Feeding, "size" | "states"> | undefined,
    options: WalkOptions,
  ) {
    this.model = model;
    this.states = feeding?.states.map(({ input }) => input) ?? [];
    this.#takesAnyCount = feeding?.size === undefined && this.states.length === 0;
    this.#dataName = dataName;
    this.#store = store;
    this.#options = options;
    this.#products = engineMultiply(options.engine);
  }

  /** Reads and stores the samples. */
  static async begin(model: Model, data: Dataset, options: WalkOptions): Promise<Calibration> {
    infer(model);
    const store = options.storage.store(data.name);
    let feeding: Feeding | undefined;
    let runner: Runner | undefined;
    try {
      for await (const dataBatch of data.batches({ size: options.batch })) {
        const batch = bindInput(dataBatch, model);
        feeding ??= feedingOf(model, batch, data.name);
        const states = feeding.states.map(({ input }) => input);
        if (states.length > 0)
          runner ??= await createRunner(options.engine, model, data.name, { optimize: false, observed: states });
        await store.add(copyArrays({ ...batch, ...(await runner?.run(batch)) }));
      }
    } finally {
      await runner?.release();
    }
    return new Calibration(model, data.name, store, feeding, options);
  }

  /**
   * Returns a statistic of the inputs of a layer, or of several layers jointly (the earliest first), or a Miss if these inputs
   * cannot be observed. Afterwards the (first) layer and the model after it can change.
   * @param original calibration of the original model, whose layer inputs the statistic also receives.
   * @throws PithError E_STOPPED on the signal.
   */
  async collect<R>(layer: Layer | readonly Layer[], statistic: Statistic<R>, original?: Original): Promise<R | Miss> {
    const all = "node" in layer ? [layer] : layer;
    const isTable = all.every(({ role }) => role.kind === "lookup");
    const running = this.#begin((isTable ? statistic.ofTables : undefined) ?? statistic);
    for (const [index, reader] of all.entries()) {
      const features = featuresOf(reader, statistic);
      if (features instanceof Miss) return features;
      if (index === 0) await this.reach(reader.node);
      const originalLayer = original?.layers[index];
      const originalFeatures = originalLayer && featuresOf(originalLayer, statistic);
      if (originalFeatures instanceof Miss) return originalFeatures;
      if (index === 0 && originalLayer !== undefined) await original?.calibration.reach(originalLayer.node);
      await this.#add(
        running,
        features,
        statistic,
        original && originalFeatures && [original.calibration, originalFeatures],
      );
    }
    return running.end();
  }

  /** @param original calibration of the original with the same samples, and the corresponding value of its model. */
  async observe<R>(place: Place, statistic: Statistic<R>, original?: readonly [Calibration, Place]): Promise<R> {
    const running = this.#begin(statistic);
    await this.#add(running, place, statistic, original);
    return running.end();
  }

  async #add<R>(
    running: Running<R>,
    place: Place | LayerFeatures,
    statistic: Statistic<R>,
    original: readonly [Calibration, Place | LayerFeatures] | undefined,
  ): Promise<void> {
    const batches = this.features(place, statistic);
    if (original === undefined) for await (const batch of batches) await running.add(batch);
    else {
      const [calibration, originalPlace] = original;
      for await (const [batch, originalBatch] of zipAsync(batches, calibration.features(originalPlace, statistic)))
        await running.add(batch, originalBatch);
    }
  }

  #begin<R>(statistic: Statistic<R>): Running<R> {
    const stoppable =
      (multiply: Multiply): Multiply =>
      (a, b) => {
        throwIfAborted(this.#options.signal, stopText);
        return multiply(a, b);
      };
    return statistic.begin(stoppable(this.#products.multiply), stoppable(this.#products.multiplyTransposed));
  }

  #rankOf(name: string): number | undefined {
    return this.model.graph.value(name)?.type?.dims?.length;
  }

  async *features(
    place: Place | LayerFeatures,
    statistic: Pick<Statistic<unknown>, "reduce"> = {},
  ): AsyncGenerator<Features> {
    const pick = "pick" in place ? place.pick : undefined;
    let layout: Place & Layout = { ...place, rank: this.#rankOf(place.name) };
    const write = (part: Model): readonly Value[] => {
      pick?.(part);
      const { value, ...reduced } = writeObserved(part, place, statistic);
      if (statistic.reduce !== undefined) layout = { name: value.name, ...reduced };
      return [value];
    };
    const { source = "" } = "source" in place && statistic.reduce === undefined ? place : {};
    const picks = await this.#picksOf(place.name, source, write);
    const isUnchanged = pick === undefined && statistic.reduce === undefined;
    const name = picks === undefined ? place.name : source;
    for await (const batch of this.values([name], isUnchanged || picks !== undefined ? undefined : write)) {
      const dense = batch[picks === undefined ? layout.name : source];
      if (dense !== undefined) yield readFeatures(dense, layout, picks);
    }
  }

  /** Finds the elements of `source` that `write` picks. */
  async #picksOf(name: string, source: string, write: Write): Promise<PickedElements | undefined> {
    if (!this.hasRows(source) || !this.hasRows(name)) return undefined;
    const part = extract(this.model, valuesOf(this.model, [name]), valuesOf(this.model, [source]));
    part.graph.setOutputs(write(part));
    part.graph.setInputs(part.graph.inputs.filter(({ uses }) => uses.size > 0));
    return part.graph.inputs[0]?.name === source ? PickedElements.create(part, this.#options.engine) : undefined;
  }

  /** Yields values of the model per batch, or the outputs of `write`. */
  async *values(names: readonly string[], write?: Write): AsyncGenerator<Batch> {
    for await (const { stored, computed } of this.#run(names, write))
      yield { ...selectColumns(stored, names), ...computed };
  }

  async *#run(
    names: readonly string[],
    write?: Write,
  ): AsyncGenerator<{ readonly stored: Batch; readonly computed: Batch }> {
    const { signal } = this.#options;
    const { columns } = this.#store;
    const missingNames = write === undefined ? names.filter((name) => !columns.includes(name)) : names;
    const part = missingNames.length === 0 ? undefined : this.#part(missingNames, write);
    const runner = part === undefined ? undefined : await this.#load(part);
    const readNames = new Set([...names, ...(part?.graph.inputs.map(({ name }) => name) ?? [])]);
    const neededColumns = columns.filter((name) => readNames.has(name) || !this.#storedNames.includes(name));
    try {
      for await (const batch of this.#store.batches(neededColumns)) {
        throwIfAborted(signal, stopText);
        const stored = mapColumns(batch, (dense, name) => this.#corrections.get(name)?.(dense) ?? dense);
        yield { stored, computed: (await runner?.run(stored)) ?? {} };
      }
    } finally {
      await runner?.release();
    }
  }

  /** Skips the binding of inputs where it can: binding takes longer than the run of a small layer. */
  async #load(part: Model): Promise<Runner> {
    const { engine, optimize = false } = this.#options;
    const names = part.graph.inputs.map(({ name }) => name);
    if (!this.#takesAnyCount || !names.every((name) => this.#storedNames.includes(name)))
      return createRunner(engine, part, this.#dataName, { optimize });
    const session = await engine.load(part, { optimize, threads: 1, spinning: false });
    return { run: (batch) => session.run(selectColumns(batch, names)), release: () => session.release() };
  }

  #part(names: readonly string[], write: Write | undefined): Model {
    const part = extract(this.model, valuesOf(this.model, names), valuesOf(this.model, this.#storedNames));
    if (write !== undefined) part.graph.setOutputs(write(part));
    part.graph.setInputs(part.graph.inputs.filter(({ uses }) => uses.size > 0));
    return part;
  }

  /**
   * Runs the model up to a node, and stores the values that the node and later nodes read, so that these nodes can change.
   * @param isPassed whether the node runs, too. @param also names of further values to store.
   */
  async reach(node: Node, isPassed = false, also: readonly string[] = []): Promise<void> {
    const names = [...liveValuesOf(this.model, node, isPassed), ...also.filter((name) => this.hasRows(name))];
    const liveNames = [...new Set(names)];
    const newNames = liveNames.filter((name) => !this.#storedNames.includes(name));
    if (newNames.length === 0) return;
    const [oldStore, newStore] = [this.#store, this.#options.storage.store(this.#dataName)];
    const keptNames = oldStore.columns.filter((name) => !this.#storedNames.includes(name) || liveNames.includes(name));
    for await (const { stored, computed } of this.#run([...keptNames, ...newNames])) {
      const count = sampleCount(stored, this.#dataName);
      if (Object.values(computed).some(({ dims }) => dims[0] !== count)) return newStore.release();
      await newStore.add({ ...selectColumns(stored, keptNames), ...computed });
    }
    await oldStore.release();
    this.#store = newStore;
    this.#corrections.clear();
    this.#storedNames = [...this.#storedNames.filter((name) => liveNames.includes(name)), ...newNames];
  }

  /** Returns whether a value has floats for each sample, so that it can be stored. */
  hasRows(name: string): boolean {
    const { graph } = this.model;
    const value = graph.value(name);
    return value !== undefined && isPerSample(value, graph.feeds[0]?.type?.dims?.[0]);
  }

  /** Applies a layer's correction to its stored output: f · value + shift for each channel. */
  correct({ name, axis }: Place, factors: Float64Array, shift: Float64Array): void {
    if (!this.#storedNames.includes(name)) return;
    // A float32 array in memory is corrected in place, once.
    const correctedArrays = new WeakSet<object>();
    this.#corrections.set(name, (dense) => {
      const { type, dims, data } = dense;
      if (!isFloat(type) || correctedArrays.has(data)) return dense;
      const { inner, columns, values } = readFeatures(dense, { axis, rank: this.#rankOf(name) });
      const correctedValues = values();
      for (let start = 0, run = 0; start < correctedValues.length; start += inner, run++) {
        const [factor = 1, addend = 0] = [factors[run % columns], shift[run % columns]];
        for (let index = start; index < start + inner; index++)
          correctedValues[index] = factor * (correctedValues[index] ?? 0) + addend;
      }
      if (correctedValues !== data) return fromNumbers(type, dims, correctedValues);
      correctedArrays.add(data);
      return dense;
    });
  }

  async release(): Promise<void> {
    await this.#products.release();
    await this.#options.storage.release();
  }
}

function valuesOf(model: Model, names: readonly string[]): readonly Value[] {
  return names.flatMap((name) => model.graph.value(name) ?? []);
}

/** Renames the only column to the only input. */
function bindInput(batch: Batch, { graph: { feeds } }: Model): Batch {
  const columns = Object.entries(batch).filter(([name]) => name !== "label");
  const [[input], [column]] = [feeds, columns];
  return input === undefined || column === undefined || feeds.length + columns.length > 2
    ? batch
    : { [input.name]: column[1] };
}

/** Returns the per-sample values computed before a node and read from there on. @param isPassed whether the node is computed, too. */
function liveValuesOf({ graph }: Model, node: Node, isPassed: boolean): readonly string[] {
  const [first] = graph.feeds;
  const samples = first?.type?.dims?.[0];
  const computedValues = new Set<Value>();
  const liveNames = new Set<string>();
  let isReached = false;
  const addIfStored = (value: Value): void => {
    if (computedValues.has(value)) liveNames.add(value.name);
  };
  for (const graphNode of graph.nodes()) {
    isReached ||= graphNode === node && !isPassed;
    if (isReached) for (const value of usedValues(graphNode)) addIfStored(value);
    else
      for (const value of graphNode.outputs)
        if (value !== undefined && isPerSample(value, samples)) computedValues.add(value);
    isReached ||= graphNode === node;
  }
  for (const value of graph.outputs) addIfStored(value);
  return [...liveNames];
}

function isPerSample(value: Value, samples: Dim | undefined): boolean {
  const { type } = value;
  if (type === undefined || !isFloat(type.type) || samples === undefined) return false;
  return type.dims?.[0] === samples && !isStored(value);
}

/** Runs a model over batches of a data set, whatever its batch size and recurrent states. */
import { dataDependentSizes, infer, requiredIntervals, withFixedSeeds } from "#analysis";
import { findStates, joinBatches, mapColumns, padRows, sampleCount, selectColumns, sliceRows } from "#batches";
import type { Batch, DataType, Dense, Model } from "#ir";
import { dataError, fromNumbers, isFloat, PithError, removeUnused, toFloat64, toNumbers } from "#ir";
import type { Engine, LoadOptions } from "../../core/engine/engine.ts";
import { Feeder } from "./feeding.ts";

export interface RunnerOptions extends LoadOptions {
  readonly observed?: readonly string[] | undefined;
  /** Whether the next run overwrites the outputs, which saves copies and allocations. */
  readonly overwrites?: boolean | undefined;
}

export interface Runner {
  /** Returns the tensor outputs, or the observed values; axis 0 counts samples. */
  run(batch: Batch): Promise<Batch>;
  release(): Promise<void>;
}

/**
 * Loads a model for runs on batches of a data set. A model without a batch axis or with states runs on one sample at a time.
 * States are zeros at each start of a sequence. @throws PithError E_NAME for an unknown value to observe.
 */
export async function createRunner(
  engine: Engine,
  model: Model,
  owner: string,
  { observed, overwrites = false, ...load }: RunnerOptions = {},
): Promise<Runner> {
  const loadedModel = withFixedSeeds(observed === undefined ? model : withOutputs(model, observed));
  // Results are processed on one thread between runs, so the runtime's threads must not spin.
  const session = await engine.load(loadedModel, { spinning: false, ...load, inPlace: overwrites });
  let feeder: Feeder | undefined;
  let dependentSizes: ReturnType<typeof dataDependentSizes> | undefined;
  const withSampleAxis = (outputs: Batch): Batch => {
    // Deferred, because it requires an inference that other models do not need.
    dependentSizes ??= dataDependentSizes(model);
    const isDependent = dependentSizes;
    return mapColumns(outputs, (dense, name) => addSampleAxis(dense, isDependent(name, 0)));
  };
  const buffers = overwrites ? outputBuffers(loadedModel, observed ?? []) : undefined;
  /** @param isOnly whether the outputs are not joined with those of other runs. */
  const run = async (feeds: Batch, names: readonly string[] | undefined, isOnly: boolean): Promise<Batch> => {
    const reusedOutputs = isOnly ? buffers?.of(feeds) : undefined;
    try {
      const outputs = await session.run(feeds, reusedOutputs ?? names);
      return isOnly && buffers !== undefined ? buffers.keep(feeds, outputs) : outputs;
    } catch (error) {
      throw explainRunError(error, model, feeds);
    }
  };
  const selectObserved = (outputs: Batch): Batch =>
    observed === undefined ? outputs : selectColumns(outputs, observed);
  return {
    async run(batch) {
      feeder ??= new Feeder(model, batch, owner);
      const { size, feeding } = feeder;
      const carries = feeding.states.length > 0;
      const names = observed && [...new Set([...observed, ...feeding.states.map(({ output }) => output)])];
      const isOnly = !carries && (size === undefined || sampleCount(batch, owner) <= size);
      const parts: Batch[] = [];
      for (const { feeds, samples } of feeder.runs(batch)) {
        const outputs = await run(feeds, names, isOnly);
        if (carries) feeder.carry(outputs);
        const selected = selectObserved(outputs);
        if (size === undefined) parts.push(selected);
        else if (size === 1) parts.push(withSampleAxis(selected));
        else parts.push(mapColumns(perSampleOutputsOf(selected), (dense) => withoutPadding(dense, size, samples)));
      }
      return joinRuns(parts, owner);
    },
    release: () => session.release(),
  };
}

/** Reuses the outputs of a run as buffers of the next run. */
function outputBuffers(model: Model, observedNames: readonly string[]) {
  let last: { readonly sizes: string; readonly outputs: Batch } | undefined;
  let isDependent: ReturnType<typeof dataDependentSizes> | undefined;
  return {
    of: (feeds: Batch): Batch | undefined => (last?.sizes === sizesOf(feeds) ? last.outputs : undefined),
    /** Observed inputs are not computed, so they cannot be buffers. */
    keep(feeds: Batch, outputs: Batch): Batch {
      const observedInputs = Object.entries(feeds).filter(([name]) => observedNames.includes(name));
      if (last?.outputs === outputs) return { ...outputs, ...Object.fromEntries(observedInputs) };
      isDependent ??= dataDependentSizes(model);
      const computedEntries = Object.entries(outputs).filter(([name]) => feeds[name] === undefined);
      const canReuse = computedEntries.every(
        ([name, { type }]) =>
          type !== "string" && isDependent?.(name) === false && model.graph.value(name)?.producer !== undefined,
      );
      last = canReuse ? { sizes: sizesOf(feeds), outputs: Object.fromEntries(computedEntries) } : undefined;
      return outputs;
    },
  };
}

const sizesOf = (feeds: Batch): string => JSON.stringify(Object.entries(feeds).map(([name, { dims }]) => [name, dims]));

export function withOutputs(model: Model, names: readonly string[]): Model {
  const declared = model.graph.outputs;
  if (declared.length === new Set(names).size && declared.every(({ name }) => names.includes(name))) return model;
  const work = model.clone();
  const observedValues = names.map((name) => {
    const value = work.graph.value(name);
    if (value === undefined) throw new PithError("E_NAME", `The model has no value "${name}" to observe.`);
    return value;
  });
  // Without states, nodes that no observed value depends on need not run.
  const { feeds, outputs } = work.graph;
  const hasStates = feeds.length > 1 || findStates(work, []).length > 0;
  work.graph.setOutputs([...new Set([...(hasStates ? outputs : []), ...observedValues])]);
  if (!hasStates) removeUnused(work.graph);
  return work;
}

export function feedsFor({ graph }: Model, feeds: Batch): Batch {
  const inputs = graph.feeds.flatMap(({ name, type }) => {
    const dense = feeds[name];
    return dense === undefined ? [] : [[name, convertFloatType(dense, type?.type)] as const];
  });
  return Object.fromEntries(inputs);
}

function convertFloatType(dense: Dense, type: DataType | undefined): Dense {
  if (type === undefined || type === dense.type || !isFloat(type) || !isFloat(dense.type)) return dense;
  return fromNumbers(type, dense.dims, toFloat64(dense));
}

/** Removes scalars, which belong to no single sample. @throws PithError E_DATA if no output remains. */
function perSampleOutputsOf(outputs: Batch): Batch {
  const perSampleOutputs = Object.entries(outputs).filter(([, { dims }]) => dims.length > 0);
  const [single] = Object.keys(outputs);
  if (perSampleOutputs.length === 0 && single !== undefined) {
    throw dataError(`The model has one output value for all samples of a batch, "${single}".`, {
      hint: "Only outputs with a batch axis can be evaluated.",
    });
  }
  return Object.fromEntries(perSampleOutputs);
}

/** @param isDependent whether the first axis depends on the sample's values, so that it cannot count samples. */
function addSampleAxis(dense: Dense, isDependent: boolean): Dense {
  return dense.dims[0] === 1 && !isDependent ? dense : ({ ...dense, dims: [1, ...dense.dims] } as Dense);
}

function withoutPadding(dense: Dense, size: number, count: number): Dense {
  return dense.dims[0] === size && count < size ? sliceRows(dense, 0, count) : dense;
}

function joinRuns(parts: readonly Batch[], owner: string): Batch {
  const [first] = parts;
  if (first === undefined) throw dataError(`${owner}: a batch has no samples.`);
  return parts.length === 1 ? first : joinBatches(parts, `Output of ${owner}`, padRows);
}

/** Returns an error that names an invalid input value as the cause, if there is one; else the error itself. */
export function explainRunError(error: unknown, model: Model, feeds: Batch): unknown {
  if (!(error instanceof PithError) || error.code !== "E_ENGINE") return error;
  const copy = model.clone();
  for (const [name, intervals] of requiredIntervals(copy, infer(copy))) {
    const dense = feeds[name];
    if (dense === undefined || dense.type === "string" || isFloat(dense.type)) continue;
    const numbers = toNumbers(dense);
    for (const { low, high, strict } of intervals) {
      if (!strict || typeof low !== "number" || typeof high !== "number") continue;
      // Negative indices count from the end.
      const first = low - (high - low + 1);
      const invalid = numbers.find((number) => number > high || number < first);
      if (invalid !== undefined)
        return dataError(`Input "${name}" holds ${invalid}: the model takes ${low} to ${high}.`, {
          hint: "They index an embedding table of the model: the data or its tokenizer may belong to another model.",
          cause: error,
        });
    }
  }
  return error;
}

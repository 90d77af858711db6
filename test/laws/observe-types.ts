/**
 * Determines types by running the model, for values that inference does not know: an unknown operator, or a rank that depends on the data.
 *
 * The observed types hold only for the given inputs: a size that depends on the data or on the batch is one example.
 */
import { type Inference, infer } from "../../src/core/analysis/infer.ts";
import type { Engine } from "../../src/core/engine/engine.ts";
import { internalTypes } from "../../src/core/engine/screen-model.ts";
import { Miss, PithError } from "../../src/core/errors.ts";
import { emitInto } from "../../src/core/graph/emit.ts";
import { type Container, isContainer, type Value, type ValueType } from "../../src/core/graph/graph-elements.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { fromNumbers, toNumbers } from "../../src/core/tensor/convert.ts";
import { type Batch, type DataType, type Dense, typeCodes } from "../../src/core/tensor/types.ts";

export interface ObservedTypes {
  /** Name of a value of the main graph → its type in this run. */
  readonly types: ReadonlyMap<string, ValueType>;
  /** Name of a sequence of tensors → the types of its elements. */
  readonly sequences: ReadonlyMap<string, readonly ValueType[]>;
  /** Values of the run, if JavaScript supports their element type. */
  readonly results: Batch;
  /** Values that could not be observed, with the reason. */
  readonly misses: readonly Miss[];
}

/**
 * Returns the types of values in one run: all become outputs of a copy of the model, which runs once, without graph optimization
 * (twice if there are sequences, for their elements).
 *
 * @param names values that nodes of the main graph produce; if absent, those whose type or rank inference does not know.
 * @throws PithError E_NAME for a name that no such value has, E_ENGINE if the runtime refuses the model or fails.
 * @example
 * const { types } = await observeTypes(createEngine(), model, { input: float32([1, 3], [1, 2, 3]) });
 */
export async function observeTypes(
  engine: Engine,
  model: Model,
  feeds: Batch,
  names?: readonly string[],
): Promise<ObservedTypes> {
  const work = model.clone();
  const inference = infer(work);
  const requested = names?.map((name) => produced(work, name)) ?? unknownValues(work, inference);
  const misses: Miss[] = [];
  const types = new Map<string, ValueType>();
  const casts = new Map<string, { readonly name: string; readonly type: DataType }>();
  const lengths = new Map<string, Value>();
  const outputs: Value[] = [];
  // The types that the file declares can be wrong, so they are removed.
  for (const value of work.graph.values()) if (value.producer !== undefined) value.type = undefined;
  const emit = emitInto(work);
  for (const value of requested) {
    const inferredType = inference.operand(value);
    if (isSequence(inferredType?.container)) {
      const length = emit.SequenceLength([value]);
      lengths.set(length.name, value);
      outputs.push(length);
    } else if (inferredType?.container !== undefined || value.foreign?.type !== undefined) {
      misses.push(new Miss(`is not a tensor, but of kind ${inferredType?.container?.kind ?? "unknown"}`, value.name));
    } else if (inferredType !== undefined && internalTypes.has(inferredType.type)) {
      // Complex numbers have no Cast; the other types have a Cast, or a Shape.
      const float = inferredType.type.startsWith("complex")
        ? emit.Shape([value])
        : emit.Cast([value], { to: typeCodes.float32 });
      casts.set(float.name, { name: value.name, type: inferredType.type });
      outputs.push(float);
    } else outputs.push(value);
  }
  const results: Record<string, Dense> = {};
  const counts = new Map<Value, number>();
  for (const [name, dense] of Object.entries(await runOnce(engine, work, outputs, feeds))) {
    const cast = casts.get(name);
    const sequence = lengths.get(name);
    if (sequence !== undefined) counts.set(sequence, toNumbers(dense)[0] ?? 0);
    else if (cast === undefined) {
      results[name] = dense;
      types.set(name, { type: dense.type, dims: dense.dims });
    } else types.set(cast.name, { type: cast.type, dims: dense.type === "int64" ? toNumbers(dense) : dense.dims });
  }
  return { types, sequences: await elementsOf(engine, work, counts, feeds), results, misses };
}

/** Returns whether the container is a sequence whose element type JavaScript supports. */
function isSequence(container: Container | undefined): boolean {
  return container?.kind === "sequence" && !isContainer(container.of) && !internalTypes.has(container.of.type);
}

async function runOnce(engine: Engine, model: Model, outputs: readonly Value[], feeds: Batch): Promise<Batch> {
  if (outputs.length === 0) return {};
  model.graph.setOutputs(outputs);
  const session = await engine.load(model, { optimize: false });
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

/** Returns the elements of sequences in a second run, which requires their lengths from the first. */
async function elementsOf(
  engine: Engine,
  work: Model,
  counts: ReadonlyMap<Value, number>,
  feeds: Batch,
): Promise<ReadonlyMap<string, readonly ValueType[]>> {
  const emit = emitInto(work);
  const parts = [...counts].map(([sequence, count]) => ({
    name: sequence.name,
    elements: Array.from({ length: count }, (_, index) =>
      emit.SequenceAt([sequence, emit.constant(fromNumbers("int64", [], [index]), "at")]),
    ),
  }));
  const results = await runOnce(
    engine,
    work,
    parts.flatMap(({ elements }) => elements),
    feeds,
  );
  return new Map(
    parts.map(({ name, elements }) => [
      name,
      elements.flatMap((element): ValueType[] => {
        const dense = results[element.name];
        return dense === undefined ? [] : [{ type: dense.type, dims: dense.dims }];
      }),
    ]),
  );
}

function produced(model: Model, name: string): Value {
  const value = model.graph.ownValue(name);
  if (value?.producer !== undefined) return value;
  throw new PithError("E_NAME", `No node of the main graph produces "${name}".`);
}

function unknownValues(model: Model, inference: Inference): readonly Value[] {
  return [...model.graph.nodes()].flatMap((node) =>
    node.outputs.flatMap((value) => {
      if (value === undefined) return [];
      const inferredType = inference.operand(value);
      return inferredType?.container === undefined && inferredType?.dims === undefined ? [value] : [];
    }),
  );
}

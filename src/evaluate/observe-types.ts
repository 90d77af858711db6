/**
 * Types by running: where inference ends (an operator without an entry, a rank that only the data decide), the runtime knows.
 *
 * What is observed holds for what was fed: a size that depends on the data, or on the size of a batch, is one example of itself. Observed
 * types are therefore kept apart from inferred ones, and say so wherever they are shown.
 */
import type { Inference } from "../analysis/infer.ts";
import { infer } from "../analysis/infer.ts";
import type { Engine } from "../engine/engine.ts";
import { Miss, PithError } from "../errors.ts";
import { emitInto } from "../graph/emit.ts";
import type { Value, ValueType } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { toNumbers } from "../tensor/convert.ts";
import type { Batch, DataType } from "../tensor/types.ts";

export interface ObservedTypes {
  /** Name of a value of the main graph → its type in this run. */
  readonly types: ReadonlyMap<string, ValueType>;
  /** What came out, for those values whose elements JavaScript can hold. */
  readonly results: Batch;
  /** Values that could not be observed, with the reason. */
  readonly misses: readonly Miss[];
}

/** Element types that cannot leave the runtime: only their dimensions are observed, and only where the element type is inferred. */
export const insideOnly: ReadonlySet<DataType> = new Set<DataType>([
  "int4",
  "uint4",
  "int2",
  "uint2",
  "float4e2m1",
  "bfloat16",
  "float8e4m3fn",
  "float8e4m3fnuz",
  "float8e5m2",
  "float8e5m2fnuz",
  "float8e8m0",
  "complex64",
  "complex128",
]);

/**
 * The types of values in one run: all of them are made outputs of a copy of the model, which runs once, without graph optimization.
 *
 * @param names values that nodes of the main graph produce; if absent, those whose type or rank inference does not know.
 * @throws PithError E_NAME for a name that no such value has, E_ENGINE if the runtime refuses the model or fails.
 * @example
 * const { types } = await observeTypes(createEngine(), model, { input: float32([1, 3], [1, 2, 3]) });
 * const inference = infer(model, { observed: types });
 */
export async function observeTypes(
  engine: Engine,
  model: Model,
  feeds: Batch,
  names?: readonly string[],
): Promise<ObservedTypes> {
  const work = model.clone();
  const inference = infer(work);
  const wanted = names?.map((name) => produced(work, name)) ?? unknownValues(work, inference);
  const misses: Miss[] = [];
  const types = new Map<string, ValueType>();
  const casts = new Map<string, { readonly name: string; readonly type: DataType }>();
  const outputs: Value[] = [];
  // What the file states of a value may be wrong: the runtime is asked without it.
  for (const value of work.graph.values()) if (value.producer !== undefined) value.type = undefined;
  const emit = emitInto(work);
  for (const value of wanted) {
    const known = inference.operand(value);
    if (known?.container !== undefined || value.foreign?.type !== undefined) {
      misses.push(new Miss(`is a ${known?.container?.kind ?? "value"} and no tensor`, value.name));
    } else if (known !== undefined && insideOnly.has(known.type)) {
      // Complex numbers cast to nothing; the rest has a Cast where it has no Shape.
      const float = known.type.startsWith("complex") ? emit.Shape([value]) : emit.Cast([value], { to: 1 });
      casts.set(float.name, { name: value.name, type: known.type });
      outputs.push(float);
    } else outputs.push(value);
  }
  if (outputs.length === 0) return { types, results: {}, misses };
  work.graph.setOutputs(outputs);
  const session = await engine.load(work, { optimize: false });
  try {
    const results = await session.run(feeds);
    for (const [name, dense] of Object.entries(results)) {
      const cast = casts.get(name);
      if (cast === undefined) types.set(name, { type: dense.type, dims: dense.dims });
      else types.set(cast.name, { type: cast.type, dims: dense.type === "int64" ? toNumbers(dense) : dense.dims });
    }
    return { types, results, misses };
  } finally {
    await session.release();
  }
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
      const known = inference.operand(value);
      return known?.container === undefined && known?.dims === undefined ? [value] : [];
    }),
  );
}

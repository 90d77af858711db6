/** The elements of a value that only picks elements of another value or 0, such as the patches of a convolution. */
import { type Dense, elementCount, fixedDims, getOrAdd, type Model, toFloat64 } from "#ir";
import type { Engine } from "../../core/engine/engine.ts";

/** Indices in the other value, -1 for a zero. */
interface Selection {
  readonly indices: Int32Array;
  readonly data: Float64Array;
}

export class PickedElements {
  /** Dimensions of the value for the first samples. */
  readonly dims: readonly number[];
  readonly #elements: Int32Array;
  readonly #selections = new WeakMap<ArrayLike<number>, Map<number | undefined, Selection>>();

  private constructor(dense: Dense) {
    this.dims = dense.dims;
    this.#elements = Int32Array.from(toFloat64(dense));
  }

  /** Runs a model that picks elements of its only input on the indices of these elements. */
  static async create(model: Model, engine: Engine): Promise<PickedElements | undefined> {
    const [input, other] = model.graph.inputs;
    const [samples, ...sizes] = input?.type?.dims ?? [];
    const dims = fixedDims([typeof samples === "number" ? samples : 1, ...sizes]);
    const count = elementCount(dims ?? []);
    if (input?.type?.type !== "float32" || other !== undefined || dims === undefined || count > 2 ** 24)
      return undefined;
    const session = await engine.load(model, { optimize: false, threads: 1, spinning: false });
    const data = Float32Array.from({ length: count }, (_, index) => index + 1);
    const results = await session.run({ [input.name]: { type: "float32", dims, data } }).finally(session.release);
    const [picked] = Object.values(results);
    return picked && new PickedElements(picked);
  }

  /** Converts positions in this value to a selection, once for each array of rows. */
  select(rows: ArrayLike<number>, group: number | undefined, size: number, find: () => Int32Array): Selection {
    return getOrAdd(
      getOrAdd(this.#selections, rows, () => new Map<number | undefined, Selection>()),
      group,
      () => {
        const elements = this.#elements;
        const indices = find().map((position) => {
          const repeat = Math.floor(position / elements.length);
          const element = elements[position - repeat * elements.length] ?? 0;
          return element === 0 ? -1 : repeat * size + element - 1;
        });
        return { indices, data: new Float64Array(indices.length) };
      },
    );
  }
}

/** Multiplies large matrices on the runtime. */
import { emitInto, getOrAdd, Model, symbol, typeCodes, type Value } from "#graph";
import { type Matrix, type Multiply, multiply as multiplySync, transpose } from "../math/matrix.ts";
import type { Engine, Session } from "./engine.ts";

/** The minimum number of multiplications for which the runtime is faster than JavaScript. */
const minEngineMultiplications = 100_000;

export interface EngineMultiply {
  readonly multiply: Multiply;
  /** Computes aᵀ · b in float32. The next call can replace the values of the result. */
  readonly multiplyTransposed: Multiply;
  release(): Promise<void>;
}

/** Returns functions that multiply large matrices on the engine. `release` frees its session. */
export function engineMultiply(engine: Engine): EngineMultiply {
  const sessions = new Map<boolean, Promise<Session>>();
  let buffer = new Float64Array();
  const multiplyBy =
    (isTransposed: boolean): Multiply =>
    async (a, b) => {
      const [rows, inner] = isTransposed ? [a.columns, a.rows] : [a.rows, a.columns];
      const multiplyInJavaScript = (): Matrix => multiplySync(isTransposed ? transpose(a) : a, b);
      if (rows * inner * b.columns < minEngineMultiplications) return multiplyInJavaScript();
      const session = await getOrAdd(sessions, isTransposed, () =>
        engine.load(productModel(isTransposed), { spinning: false, ...(isTransposed && { threads: 1 }) }),
      );
      const toDense = (matrix: Matrix) =>
        ({ type: "float64", dims: [matrix.rows, matrix.columns], data: matrix.data }) as const;
      const feeds = { a: toDense(a), b: toDense(b) };
      if (isTransposed) {
        if (buffer.length !== rows * b.columns) buffer = new Float64Array(rows * b.columns);
        const result = { rows, columns: b.columns, data: buffer };
        await session.run(feeds, { product: toDense(result) });
        return result;
      }
      const { product } = await session.run(feeds);
      if (product?.type !== "float64") return multiplyInJavaScript();
      return { rows, columns: b.columns, data: product.data };
    };
  const release = async (): Promise<void> => {
    const loadedSessions = [...sessions.values()];
    sessions.clear();
    for (const session of loadedSessions) await (await session).release();
  };
  return { multiply: multiplyBy(false), multiplyTransposed: multiplyBy(true), release };
}

function productModel(isTransposed: boolean): Model {
  const model = new Model();
  const addInput = (name: string, dims: readonly string[]): Value =>
    model.graph.addInput(name, { type: "float64", dims: dims.map((dim) => symbol(dim)) });
  const [a, b] = [addInput("a", isTransposed ? ["k", "m"] : ["m", "k"]), addInput("b", ["k", "n"])];
  const emit = emitInto(model);
  const named = emit.named("product");
  const toFloat = (value: Value): Value => emit.Cast([value], { to: typeCodes.float32 });
  const product = isTransposed
    ? named.Cast([emit.MatMul([emit.Transpose([toFloat(a)], { perm: [1, 0] }), toFloat(b)])], { to: typeCodes.float64 })
    : named.MatMul([a, b]);
  product.type = { type: "float64", dims: [symbol("m"), symbol("n")] };
  model.graph.addOutput(product);
  return model;
}

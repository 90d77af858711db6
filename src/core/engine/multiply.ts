/** Multiplies large float64 matrices on the runtime, 4 to 30 times faster than in JavaScript. */
import { emitInto, Model, symbol } from "#graph";
import { type Matrix, type Multiply, multiply as multiplyHere } from "../math/matrix.ts";
import type { Engine, Session } from "./engine.ts";

/** The minimum number of multiplications for which the runtime is faster than JavaScript, despite its overhead of about 0.1 ms. */
const minEngineMultiplications = 100_000;

export interface EngineMultiply {
  readonly multiply: Multiply;
  release(): Promise<void>;
}

/** Returns a function that multiplies matrices and uses the engine for large ones. The first large product loads a session, which `release` frees. */
export function engineMultiply(engine: Engine): EngineMultiply {
  let session: Promise<Session> | undefined;
  const multiply: Multiply = async (a, b) => {
    if (a.rows * a.columns * b.columns < minEngineMultiplications) return multiplyHere(a, b);
    session ??= engine.load(productModel(), { spinning: false });
    const loaded = await session;
    const toDense = (matrix: Matrix) =>
      ({ type: "float64", dims: [matrix.rows, matrix.columns], data: matrix.data }) as const;
    const { product } = await loaded.run({ a: toDense(a), b: toDense(b) });
    if (product?.type !== "float64") return multiplyHere(a, b);
    return { rows: a.rows, columns: b.columns, data: product.data };
  };
  const release = async (): Promise<void> => {
    const loaded = await session;
    session = undefined;
    await loaded?.release();
  };
  return { multiply, release };
}

function productModel(): Model {
  const model = new Model();
  const a = model.graph.addInput("a", { type: "float64", dims: [symbol("m"), symbol("k")] });
  const b = model.graph.addInput("b", { type: "float64", dims: [symbol("k"), symbol("n")] });
  const product = emitInto(model).named("product").MatMul([a, b]);
  product.type = { type: "float64", dims: [symbol("m"), symbol("n")] };
  model.graph.addOutput(product);
  return model;
}

/** A model whose smallest channel alone encodes the class of some samples, and recipes that remove a channel. */
import { parseModel } from "../../src/core/graph/text.ts";
import type { Dataset } from "../../src/data/batches/dataset.ts";
import { memory } from "../../src/data/index.ts";
import { recipe } from "./blobs.ts";

export const seed = 5;
export const count = 300;
export const candidates = ["first", "second"].map((name) => ({
  name,
  recipe: recipe({ prune: { structured: true, amount: 0.34, layers: "fc1" } }),
}));
/** Adds inputs that no channel uses, so that removing a channel saves more bytes than its record takes. */
const wide = (row: readonly number[]) => [...row, ...new Array<number>(61).fill(0)];
const rows = [
  [1, 0, 0],
  [0, 1, 0],
  [0, 0, 0.5],
].map(wide);
/** A model whose third channel has the smallest weights, but alone encodes the class of every tenth sample. */
export const reliant = parseModel(`opset 21
graph (input: float32[batch, 64]) -> (logits: float32[batch, 2]) {
  fc1.weight: float32[3, 64] parameter = ${JSON.stringify(rows)}
  fc2.weight: float32[2, 3] parameter = [[1, 0, 0], [0, 1, 1]]
  hidden = Gemm "fc1" (input, fc1.weight) {transB=1}
  active = Relu(hidden)
  logits = Gemm "fc2" (active, fc2.weight) {transB=1}
}
`);

/** Returns samples of which every tenth has its class only in the third channel: without it, a tenth of the predictions is wrong. */
export function relying(samples: Uint32Array): Dataset {
  const wrong = new Set(samples.filter((_, place) => place % 10 === 0));
  const rows = Array.from({ length: count }, (_, at) =>
    wrong.has(at) ? [1, 0.9, 1] : at % 2 === 0 ? [1, 0, 0] : [0, 1, 0],
  );
  const labels = rows.map((row, at) => (wrong.has(at) ? 1n : row[0] === 1 ? 0n : 1n));
  return memory("relying", {
    input: { type: "float32", dims: [count, 64], data: Float32Array.from(rows.flatMap(wide)) },
    label: { type: "int64", dims: [count], data: BigInt64Array.from(labels) },
  });
}

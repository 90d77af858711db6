/** A model with states, and samples for it. */
import { createEngine } from "../../src/core/engine/index.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { fromNumbers } from "../../src/core/tensor/convert.ts";
import { random } from "../../src/core/tensor/random.ts";
import { memory } from "../../src/data/index.ts";

const count = 160;

export const engine = createEngine();

const numbers = random(1, "states");

const list = (rows: number, columns: number): string =>
  JSON.stringify(Array.from({ length: rows }, () => Array.from({ length: columns }, () => numbers.normal() / 4)));

/** A recurrent network: h′ = tanh(x W + h U), y = h′ V. The state has its samples along axis 1. */
const text = `opset 21
graph (x: float32[batch, 6], state: float32[2, batch, 8]) -> (y: float32[batch, 3], stateN: float32[2, batch, 8]) {
  first: int64[] = 0
  again: float32[2, 1, 1] = [[[1]], [[0.5]]]
  along: int64[1] = [0]
  fc1.weight: float32[6, 8] parameter = ${list(6, 8)}
  fc2.weight: float32[8, 8] parameter = ${list(8, 8)}
  fc3.weight: float32[8, 3] parameter = ${list(8, 3)}
  before = Gather(state, first)
  new = MatMul "fc1" (x, fc1.weight)
  kept = MatMul "fc2" (before, fc2.weight)
  sum = Add(new, kept)
  h = Tanh(sum)
  y = MatMul "fc3" (h, fc3.weight)
  wide = Unsqueeze(h, along)
  stateN = Mul(wide, again)
}`;

export const model = () => parseModel(text);

export const samples = () =>
  memory("steps", {
    x: fromNumbers(
      "float32",
      [count, 6],
      Float64Array.from({ length: count * 6 }, () => numbers.normal()),
    ),
    begin: { type: "bool", dims: [count], data: Uint8Array.from({ length: count }, (_, at) => Number(at % 40 === 0)) },
  });

import { expect, test } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import type { OptionValues } from "../../core/pass/pass.ts";
import { completeContext } from "../../core/pass/run-pass.ts";
import { inMemory, viewBytes } from "../../core/tensor/dense.ts";
import { random } from "../../core/tensor/random.ts";
import { fitToDownload } from "./size-budget.ts";

const mebibyte = 2 ** 20;

/** Returns a model of 9 MiB of zeros. `noise` bytes are random, in a part that an estimate of the compressed size does not read. */
function modelWith(noise: number) {
  const values = new Uint8Array(9 * mebibyte);
  const numbers = random(1, "noise");
  for (let at = 0; at < noise; at++) values[2 ** 18 + at] = numbers.integer(256);
  const model = parseModel(`opset 21
graph (x: float32[1]) -> (y: float32[1]) {
  y = Relu(x)
}`);
  model.graph.addTensor("table", inMemory(viewBytes("int8", [values.length], values)));
  return model;
}

const pass = { downloadSettings: () => [0, 1000, 12_000, 30_000].map((noise) => ({ noise })) };
const run = async ({ noise }: OptionValues) => ({ model: modelWith(Number(noise)), changes: [], misses: [] });

test("compresses large files whole before it accepts a setting", async () => {
  const options = await fitToDownload({ pass, options: {}, run }, 10_000, completeContext({}));
  expect(options).toEqual({ noise: 1000 });
});

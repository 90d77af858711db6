/** Counts how often weights are read, and checks that they are released: large models are quantized weight by weight. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { allTensors } from "../../../src/core/graph/graph.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import { type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";

setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");

/** Large enough that even 4-bit values are computed only when they are read. */
const width = 1536;
const layers = 4;

test.each<QuantizeOptions>([
  { scheme: "dynamic" },
  { scheme: "weights" },
  { scheme: "weights", perChannel: false, equalize: false },
  { dtype: "q4" },
])("%j: reads a weight once for range, once for values, and releases it", async (options) => {
  const names = Array.from({ length: layers }, (_, at) => `w${at}`);
  const model = parseModel(`opset 17
graph (x0: float32[1, ${width}]) -> (x${layers}: float32[1, ${width}]) {
${names.map((name) => `  ${name}: float32[${width}, ${width}] = random(seed 1)`).join("\n")}
${names.map((name, at) => `  x${at + 1} = MatMul (x${at}, ${name})`).join("\n")}
}`);
  const reads = new Map<string, number>();
  const dataRefs: WeakRef<Float32Array>[] = [];
  let maxReachable = 0;
  for (const [seed, name] of names.entries()) {
    const value = model.graph.value(name);
    if (value === undefined) throw new Error("no weight");
    const dims = [width, width];
    const read = async () => {
      // Arrays of earlier reads must be unreachable, except for the array of the last read.
      await new Promise((resolve) => setTimeout(resolve, 0));
      collectGarbage();
      maxReachable = Math.max(maxReachable, dataRefs.filter((one) => one.deref() !== undefined).length);
      reads.set(name, (reads.get(name) ?? 0) + 1);
      const data = new Float32Array(width * width);
      for (let at = 0; at < data.length; at++) data[at] = ((at + seed) % 255) - 127;
      dataRefs.push(new WeakRef(data));
      return float32(dims, data);
    };
    value.tensor = { type: "float32", dims, bytes: 4 * width * width, small: undefined, stored: undefined, read };
  }
  await quantize(model, options);
  for (const tensor of allTensors(model.graph)) await tensor.read();
  // With integer arithmetic, a third read computes the sums of neighbors, which must not overflow.
  expect([...reads.values()]).toEqual(new Array(layers).fill(options.scheme === "dynamic" ? 3 : 2));
  expect(maxReachable).toBeLessThanOrEqual(1);
});

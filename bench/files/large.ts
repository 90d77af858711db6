/** A model of any size: a chain of MatMul with weights of equal size, which are generated while the file is written. */
import { Model } from "../../src/core/graph/model.ts";
import { save } from "../../src/core/onnx/index.ts";
import { random } from "../../src/core/tensor/random.ts";
import type { Dense, Tensor } from "../../src/core/tensor/types.ts";

/** Weights have 16 MiB by default. */
const usualWidth = 2048;
export const weightBytes = 4 * usualWidth * usualWidth;
export const editedWeight = "w1";

/** Numbers of about the size of weights; every tensor others, since equal pages might be stored once. */
export function weightOf(seed: number, width = usualWidth): Dense<"float32"> {
  const numbers = random(seed, "large");
  const bits = new Uint32Array(width * width);
  let state = numbers.bits() | 1;
  for (let index = 0; index < bits.length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    // ± 2⁻⁷ … 2⁻³: sign, three bits of exponent, mantissa.
    bits[index] = (state & 0x81ff_ffff) | 0x3c00_0000;
  }
  return { type: "float32", dims: [width, width], data: new Float32Array(bits.buffer) };
}

/** Writes a model with weights of the given number of MiB, in matrices of `matrix` MiB, which is a power of 4. */
export async function writeLarge(path: string, mebibytes: number, externalData: boolean, matrix = 16): Promise<void> {
  const width = Math.sqrt((matrix * 2 ** 20) / 4);
  const model = new Model();
  const { graph } = model;
  let x = graph.addInput("x", { type: "float32", dims: [1, width] });
  const count = Math.floor(mebibytes / matrix);
  for (let layer = 0; layer < count; layer++) {
    const tensor: Tensor = {
      type: "float32",
      dims: [width, width],
      bytes: 4 * width * width,
      small: undefined,
      stored: undefined,
      read: () => Promise.resolve(weightOf(layer, width)),
    };
    const weight = graph.addTensor(`w${layer}`, tensor);
    const node = graph.addNode({ op: "MatMul", name: `layer${layer}`, inputs: [x, weight], outputs: [`y${layer}`] });
    const [y] = node.outputs;
    if (y === undefined) throw new Error("internal: a node without output");
    x = y;
  }
  x.type = { type: "float32", dims: [1, width] };
  graph.addOutput(x);
  await save(model, path, { externalData });
}

import { between, type Example, table } from "../define.examples.ts";

const wide = { feeds: { x: between(-4, 4) } };
const unrun = { except: { run: "ONNX Runtime has a kernel for it on GPU alone" } };

export const microsoftGeluExamples: readonly Example[] = [
  ...["Gelu", "FastGelu", "QuickGelu"].flatMap(
    (name) => table(wide)`
    ${name} of Microsoft of a batch | (x: float32[batch, 3]) y = com.microsoft.${name}(x)
    ${name} of Microsoft of a vector | (x: float32[5]) y = com.microsoft.${name}(x)
    ${name} of Microsoft of nothing | (x: float32[2, 0]) y = com.microsoft.${name}(x)
  `,
  ),
  ...table()`
    FastGelu with a bias | (x: float32[batch, 2, 3]) b: float32[3] = random(seed 1); y = com.microsoft.FastGelu(x, b)
    BiasGelu of a sequence | (x: float32[batch, 4, 3]) b: float32[3] = random(seed 1); y = com.microsoft.BiasGelu(x, b)
    BiasGelu with a fed bias | (x: float32[2, 4], b: float32[4]) y = com.microsoft.BiasGelu(x, b)
  `,
  ...table(wide)`
    QuickGelu with another slope | (x: float32[batch, 3]) y = com.microsoft.QuickGelu(x) {alpha=1.5}
    BiasGelu of a batch | (x: float32[batch, 3]) b: float32[3] = random(seed 1); y = com.microsoft.BiasGelu(x, b)
  `,
  ...table(unrun)`
    BiasSplitGelu in half precision |
      (x: float16[batch, seq, 6]) b: float16[6] = random(seed 1); y: float16[batch, seq, 3] = com.microsoft.BiasSplitGelu(x, b)
      | sizes seq: 3
    BiasSplitGelu of a sequence |
      (x: float32[batch, 4, 6]) b: float32[6] = random(seed 1); y: float32[batch, 4, 3] = com.microsoft.BiasSplitGelu(x, b)
    BiasSplitGelu of one place |
      (x: float32[1, 1, 2]) b: float32[2] = random(seed 1); y: float32[1, 1, 1] = com.microsoft.BiasSplitGelu(x, b)
    BiasSoftmax with a bias for all samples |
      (x: float32[batch, 4, 3], b: float32[4, 3]) y: float32[batch, 4, 3] = com.microsoft.BiasSoftmax(x, b) {axis=2, is_inner_broadcast=0}
    BiasSoftmax with a bias for all places |
      (x: float32[batch, 4, 3], b: float32[batch, 1, 3]) y: float32[batch, 4, 3] = com.microsoft.BiasSoftmax(x, b)
      {axis=2, is_inner_broadcast=1}
    BiasSoftmax over the last two axes |
      (x: float32[batch, 4, 3], b: float32[4, 3]) y: float32[batch, 4, 3] = com.microsoft.BiasSoftmax(x, b) {axis=1, is_inner_broadcast=0}
  `,
];

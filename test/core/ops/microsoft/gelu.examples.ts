import { between, type Example, table } from "../define.examples.ts";

const wide = { feeds: { x: between(-4, 4) } };

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
];

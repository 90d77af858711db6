import { describe, expect, test } from "vitest";
import { plottedGraphs, plottedMarkup } from "../../../../test/report/plot-data.ts";
import { faults } from "../../../../test/report/well-formed.ts";
import { infer } from "../../../core/analysis/infer.ts";
import type { Model } from "../../../core/graph/model.ts";
import { parseModel } from "../../../core/graph/text.ts";
import {
  conv2d,
  flatten,
  globalAveragePool,
  linear,
  network,
  relu,
  residual,
  sequential,
} from "../../../learn/nn/index.ts";
import { factorize } from "../../../techniques/factorize/index.ts";
import { keepLayers, prune } from "../../../techniques/prune/index.ts";
import { quantize } from "../../../techniques/quantize/index.ts";
import { plotPage } from "./plot.ts";

const block = () =>
  residual(sequential({ conv1: conv2d(8, 8, 3, { padding: 1 }), act: relu(), conv2: conv2d(8, 8, 3, { padding: 1 }) }));

const resnet = (): Model =>
  network(
    {
      stem: conv2d(3, 8, 3, { padding: 1 }),
      stages: sequential({ 0: block(), 1: block() }),
      pool: globalAveragePool(),
      flat: flatten(),
      fc: linear(8, 4),
    },
    { input: ["batch", 3, 8, 8], seed: 1 },
  );

const evil = "</script><script>x</script>";

async function compared(small: Model, original: Model, name = "resnet.onnx") {
  const options = { name: "small.onnx", original: { name, model: original } };
  const page = await plotPage(small, infer(small), options);
  expect(faults(plottedMarkup(page))).toEqual([]);
  const [{ boxes, layers }] = await plottedGraphs(small, options);
  const texts = layers.flatMap((layer, at) => (layer === null ? [] : [[boxes[at]?.name, layer.original] as const]));
  return { page, layers: new Map(texts) };
}

describe("a plot with the original", () => {
  test("shows shape, type and bytes of each layer in both models if it was pruned and quantized", async () => {
    const small = resnet();
    await prune(small, { structured: 0.5, layers: "stages.0.conv1" });
    await quantize(small, { scheme: "weights", layers: "stages.*" });
    const { page, layers } = await compared(small, resnet());
    expect(faults(page)).toEqual([]);
    expect(layers.get("stages.0.conv1")).toEqual({
      brief: "2.30 kB → 288 bytes, 4×8×3×3 int8",
      full: "original: 8×8×3×3 float32 2.30 kB → 4×8×3×3 int8 288 bytes",
    });
    expect(layers.get("stages.1.conv1")?.brief).toBe("2.30 kB → 576 bytes, int8");
    expect(layers.get("stem")?.brief).toBe("864 bytes → 864 bytes");
    expect(page).toMatch(
      /<p>original resnet\.onnx: [\d.]+ kB → [\d.]+ kB \([\d.]+ %\), 4 of 6 layers differ in shape or type<\/p>/,
    );
    expect(page).not.toContain("<details>");
  });

  test("shows shape and bits of a palette, not of the bytes that hold its indices", async () => {
    const small = resnet();
    await quantize(small, { scheme: "weights", weights: "palette", bits: 4, layers: "stages.0.*" });
    await quantize(small, { scheme: "weights", weights: "palette", bits: 3, layers: "stages.1.conv1" });
    const { layers } = await compared(small, resnet());
    expect(layers.get("stages.0.conv1")).toEqual({
      brief: "2.30 kB → 288 bytes, palette of 4 bits",
      full: "original: 8×8×3×3 float32 2.30 kB → 8×8×3×3, palette of 4 bits 288 bytes",
    });
    expect(layers.get("stages.1.conv1")?.brief).toBe("2.30 kB → 216 bytes, palette of 3 bits");
  });

  test("lists the layers of the original that were removed, with their bytes", async () => {
    const small = resnet();
    await keepLayers(small, { keep: ["stages.0"] });
    const { page, layers } = await compared(small, resnet());
    expect([...layers.keys()]).toEqual(["stem", "stages.0.conv1", "stages.0.conv2", "fc"]);
    expect(page).toContain("<summary>2 layers of the original without a counterpart, 4.61 kB</summary>");
    expect(page).toContain("<li>stages.1.conv1: 8×8×3×3 float32 2.30 kB</li>");
    expect(page).toContain("0 of 4 layers differ in shape or type");
  });

  test("shows both factors next to the layer that they replace", async () => {
    const mlp = (): Model =>
      network({ fc1: linear(32, 32), act: relu(), fc2: linear(32, 4) }, { input: ["n", 32], seed: 1 });
    const small = mlp();
    await factorize(small, { rank: 4, layers: "fc1" });
    const { page, layers } = await compared(small, mlp());
    const [first, second] = [...layers].filter(([name]) => name?.startsWith("fc1"));
    for (const factor of [first, second])
      expect(factor?.[1]?.full).toMatch(/^original fc1: 32×32 float32 4\.10 kB → .* 512 bytes, and 1 more layer$/);
    expect(page).not.toContain("without a counterpart");
  });

  test("shows a layer that the original lacks as new", async () => {
    const source = (more: string) => `opset 21
graph (x: float32[n, 2]) -> (y) {
  a.weight: float32[2, 2] parameter = [[1, 2], [3, 4]]
  b.weight: float32[2, 2] parameter = [[1, 2], [3, 4]]
  h = MatMul (x, a.weight)
${more}
}`;
    const { layers } = await compared(
      parseModel(source("  y = MatMul (h, b.weight)")),
      parseModel(source("  y = Relu (h)")),
    );
    expect(layers.get("b")?.brief).toBe("new, 16 bytes");
  });

  test("keeps a name from the original as text", async () => {
    const source = (name: string) =>
      `opset 21\ngraph (x: float32[n, 2]) -> (y) {\n  "${name}.weight": float32[2, 2] parameter = [[1, 2], [3, 4]]\n  a.weight: float32[2, 2] parameter = [[1, 2], [3, 4]]\n  h = MatMul (x, a.weight)\n  y = MatMul (h, "${name}.weight")\n}`;
    const small = parseModel(
      "opset 21\ngraph (x: float32[n, 2]) -> (h) {\n  a.weight: float32[2, 2] parameter = [[1, 2], [3, 4]]\n  h = MatMul (x, a.weight)\n}",
    );
    const { page } = await compared(small, parseModel(source(evil)), evil);
    expect(faults(page)).toEqual([]);
    expect(page).not.toContain(evil);
    expect(page).toContain("&#60;/script&#62;");
  });

  test("fails if no layer of the two models corresponds", async () => {
    const other = parseModel(
      "opset 21\ngraph (x: float32[n, 2]) -> (other) {\n  w: float32[2, 2] parameter = [[1, 2], [3, 4]]\n  other = MatMul (x, w)\n}",
    );
    await expect(compared(resnet(), other)).rejects.toMatchObject({
      code: "E_OPTION",
      message: 'No layer of "resnet.onnx" has the name or the output of a layer of the model.',
    });
  });
});

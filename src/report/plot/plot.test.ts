import { describe, expect, test } from "vitest";
import { faults, scripts } from "../../../test/report/well-formed.ts";
import { infer } from "../../analysis/infer.ts";
import { parseModel } from "../../graph/text.ts";
import { escapeText } from "../markup.ts";
import { plotPage } from "./plot.ts";
import { plotArithmetic } from "./script.ts";
import { removedCount } from "./weights.ts";

const evil = '</script><script>alert("x")</script>';

const text = `opset 21
graph (features: float32[batch, 4]) -> (logits) {
  fc1.weight: float32[4, 6] parameter = [[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 9]]
  fc2.weight_quantized: int8[6, 2] = [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10], [11, 12]]
  fc2.scale: float32[] = 0.5
  fc2.weight = DequantizeLinear (fc2.weight_quantized, fc2.scale)
  h = MatMul "${evil.replaceAll('"', '\\"')}" (features, fc1.weight)
  r = Relu "act" (h)
  shape = Shape (r)
  same = Reshape (r, shape)
  unknown = org.example.Magic (same)
  logits = MatMul (same, fc2.weight)
}`;

const pageOf = async (source: string, amount?: number): Promise<string> => {
  const model = parseModel(source);
  return plotPage(model, infer(model), { name: "net.onnx", ...(amount === undefined ? {} : { amount }) });
};

interface Data {
  readonly boxes: readonly { readonly family: string; readonly title: string; readonly name: string }[];
  readonly layers: readonly (Record<string, unknown> | null)[];
}

const dataOf = (page: string): Data =>
  JSON.parse(/<script id="data" type="application\/json">([\s\S]*?)<\/script>/.exec(page)?.[1] ?? "") as Data;

describe("a plot", () => {
  test("is well formed, asks for nothing from outside, and its JavaScript parses", async () => {
    const page = await pageOf(text);
    expect(faults(page)).toEqual([]);
    expect(scripts(page)).toHaveLength(1);
    for (const script of scripts(page)) expect(() => new Function(script)).not.toThrow();
  });

  test("draws ports and nodes by what they are for, but not what only prepares constants", async () => {
    const { boxes } = dataOf(await pageOf(text));
    expect(boxes.map(({ title, family }) => `${title} ${family}`)).toEqual([
      "features port",
      "MatMul layer",
      "Relu compute",
      "Shape shape",
      "Reshape move",
      "org.example.Magic unknown",
      "MatMul layer",
      "logits port",
    ]);
  });

  test("tells for each layer its name, shape and what the amount removes", async () => {
    const page = await pageOf(text, 0.25);
    for (const part of [">fc1<", ">MatMul [4, 6], 24<", ">6 of 24 removed<", ">fc2<"]) expect(page).toContain(part);
    expect(dataOf(page).layers[6]).toMatchObject({ reason: "not pruned: it is stored as int8" });
  });

  test("a name from the file stays text", async () => {
    const named = text.replaceAll("fc1.weight", `"${evil.replaceAll('"', '\\"')}"`);
    const page = await pageOf(named);
    expect(page).not.toContain(evil);
    expect(faults(page)).toEqual([]);
    expect(page).toContain(escapeText(`MatMul ${evil}`));
    expect(dataOf(page).boxes[1]?.name).toBe(evil);
  });

  test("a weight that two layers share is counted once", async () => {
    const { layers } = dataOf(
      await pageOf(`opset 21
graph (x: float32[1, 2]) -> (y) {
  w: float32[2, 2] parameter = [[1, 2], [3, 4]]
  h = MatMul (x, w)
  y = MatMul (h, w)
}`),
    );
    expect(layers.flatMap((layer) => (layer === null ? [] : [layer.first]))).toEqual([true, false]);
  });

  test("amounts outside 0 to 1 are refused, and the signal stops it", async () => {
    await expect(pageOf(text, 1.5)).rejects.toMatchObject({ code: "E_OPTION" });
    await expect(pageOf(text, Number.NaN)).rejects.toMatchObject({ code: "E_OPTION" });
    const model = parseModel(text);
    const stopped = plotPage(model, infer(model), { name: "x", signal: AbortSignal.abort() });
    await expect(stopped).rejects.toMatchObject({ code: "E_STOPPED" });
  });

  test("a model without nodes is a page too", async () => {
    const page = await pageOf("opset 21\ngraph (x: float32[1]) -> (x) {\n}");
    expect(faults(page)).toEqual([]);
  });

  test("a value that a thousand nodes read costs one line, not a thousand", async () => {
    const blocks = Array.from({ length: 1000 }, (_, index) => `  h${index + 1} = Add (h${index}, m)`);
    const page = await pageOf(`opset 21
graph (h0: float32[2], m: float32[2]) -> (h1000) {
${blocks.join("\n")}
}`);
    expect(page.length).toBeLessThan(1_000_000);
    expect(dataOf(page).boxes).toHaveLength(1003);
  });
});

describe("the arithmetic in the page", () => {
  interface Layer {
    readonly entries: number;
    readonly channels: number;
    readonly cells: number;
    readonly order: string;
    readonly curves: string;
  }
  interface Arithmetic {
    removed(amount: number, size: number): number;
    unpack(layer: Layer, steps: number): object;
    shares(layer: object, mode: string, amount: number): number[];
    amountOf(layer: object, mode: string, amount: number): { readonly gone: number; readonly size: number };
  }
  const page = new Function(`${plotArithmetic}; return { removed, unpack, shares, amountOf };`)() as Arithmetic;

  test("counts as the library counts, at every place of the slider", () => {
    for (let percent = 0; percent <= 100; percent++) {
      for (const size of [0, 1, 2, 5, 7, 10, 33, 2304, 200_705])
        expect(page.removed(percent / 100, size)).toBe(removedCount(percent / 100, size));
    }
  });

  test("shows whole channels gone exactly as many as it counts", async () => {
    const { layers } = dataOf(await pageOf(text));
    const layer = page.unpack(layers[1] as Partial<Layer> as Layer, 20);
    // Norms rise with the channel: the first two of six go.
    expect(page.amountOf(layer, "channels", 0.33)).toEqual({ gone: 2, size: 6 });
    expect(page.shares(layer, "channels", 0.33)).toEqual([1, 1, 0, 0, 0, 0]);
    expect(page.shares(layer, "entries", 0)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(page.shares(layer, "entries", 1)).toEqual([1, 1, 1, 1, 1, 1]);
    const half = page.shares(layer, "entries", 0.5);
    expect(half.reduce((sum, share) => sum + share * 4, 0)).toBeCloseTo(12, 0);
  });
});

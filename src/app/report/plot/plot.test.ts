import { describe, expect, test } from "vitest";
import { plottedGraphs, plottedMarkup } from "../../../../test/report/plot-data.ts";
import { faults, scripts } from "../../../../test/report/well-formed.ts";
import { topologies, topology } from "../../../../test/zoo/topologies.ts";
import { infer } from "../../../core/analysis/infer.ts";
import { parseModel } from "../../../core/graph/text.ts";
import { countOf } from "../../../techniques/prune/amount.ts";
import { prune } from "../../../techniques/prune/index.ts";
import { plotPage } from "./plot.ts";
import { plotArithmetic } from "./script.ts";

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

const pageOf = async (source: string): Promise<string> => {
  const model = parseModel(source);
  return plotPage(model, infer(model), { name: "net.onnx" });
};

const graphsOf = (source: string) => plottedGraphs(parseModel(source));
const mainOf = async (source: string) => (await graphsOf(source))[0];

describe("a plot", () => {
  test("is well formed, asks for nothing from outside, and its JavaScript parses", async () => {
    const page = await pageOf(text);
    expect(faults(page)).toEqual([]);
    expect(faults(plottedMarkup(page))).toEqual([]);
    expect(scripts(page)).toHaveLength(1);
    for (const script of scripts(page)) expect(() => new Function(script)).not.toThrow();
  });

  test("draws ports and nodes by what they are for, but not what only prepares constants", async () => {
    const { boxes } = await mainOf(text);
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

  test("tells for each layer its name, shape, bits, and why it is not pruned", async () => {
    const { boxes, layers } = await mainOf(text);
    expect([boxes[1]?.name, boxes[6]?.name]).toEqual(["fc1", "fc2"]);
    expect(layers[1]).toMatchObject({ facts: "[4, 6], 24", entries: 24, units: 6 });
    expect(layers[6]).toMatchObject({ facts: "[6, 2], 12, 8 bits", reason: "its weight is quantized already" });
    expect(layers[6]).toMatchObject({ kept: "they are an output of the model (logits)" });
  });

  test("a quantized weight has a strip of what its codes stand for, and nothing that pruning could take", async () => {
    const { layers } = await mainOf(`opset 21
graph (x: float32[1, 2]) -> (y) {
  codes: int8[2, 3] = [[127, 127, 0], [0, 0, 127]]
  scales: float32[3] = [1, 4, 2]
  w = DequantizeLinear (codes, scales) {axis=1}
  y = MatMul (x, w)
}`);
    const layer = layers.find((one) => one !== null);
    expect(layer).toMatchObject({ cells: 3, heat: [0.25, 1, 0.5], reason: "its weight is quantized already" });
    expect(layer).not.toHaveProperty("entries");
    expect(layer).not.toHaveProperty("curves");
  });

  test("a name from the file stays text", async () => {
    const named = text.replaceAll("fc1.weight", `"${evil.replaceAll('"', '\\"')}"`);
    const page = await pageOf(named);
    expect(page).not.toContain(evil);
    expect(faults(page)).toEqual([]);
    expect(page).not.toContain("alert");
    expect(faults(plottedMarkup(page))).toEqual([]);
    expect(plottedMarkup(page)).not.toContain("<script");
    expect((await mainOf(named)).boxes[1]?.name).toBe(evil);
  });

  test("a weight that two layers share is counted once", async () => {
    const { layers } = await mainOf(`opset 21
graph (x: float32[1, 2]) -> (y) {
  w: float32[2, 2] parameter = [[1, 2], [3, 4]]
  h = MatMul (x, w)
  y = MatMul (h, w)
}`);
    expect(layers.flatMap((layer) => (layer === null ? [] : [layer.first]))).toEqual([true, false]);
  });

  test("the signal stops it", async () => {
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
    const source = `opset 21
graph (h0: float32[2], m: float32[2]) -> (h1000) {
${blocks.join("\n")}
}`;
    expect((await pageOf(source)).length).toBeLessThan(200_000);
    expect((await mainOf(source)).boxes).toHaveLength(1003);
  });

  test("a graph inside a node is a picture of its own, with what it takes from outside as inputs", async () => {
    const [main, then, otherwise] = await graphsOf(`opset 21
graph (x: float32[batch, 4], flag: bool[]) -> (y) {
  y = If "choice" (flag) {then_branch=graph () -> (a) {
    w: float32[4, 4] = random(seed 1)
    a = MatMul "fc" (x, w)
  }, else_branch=graph () -> (b) { b = Neg(x) }}
}`);
    const holder = main.boxes.findIndex(({ title }) => title === "If");
    expect(main.boxes[holder]).toMatchObject({
      label: "If ▸",
      graphs: [
        ["then_branch", 1],
        ["else_branch", 2],
      ],
    });
    expect(then).toMatchObject({ title: "choice then_branch", parent: [0, holder] });
    expect(then?.boxes.map(({ title, family }) => `${title} ${family}`)).toEqual(["x port", "MatMul layer", "a port"]);
    expect(then?.layers[1]).toMatchObject({ facts: "[4, 4], 16", reason: "it lies inside a node" });
    expect(otherwise?.boxes.map(({ title }) => title)).toEqual(["x", "Neg", "b"]);
  });

  test("a graph inside a graph inside a node knows the way back", async () => {
    const graphs = await graphsOf(`opset 21
graph (x: float32[2], flag: bool[]) -> (y) {
  y = If (flag) {then_branch=graph () -> (a) {
    a = If (flag) {then_branch=graph () -> (c) { c = Abs(x) }, else_branch=graph () -> (d) { d = Neg(x) }}
  }, else_branch=graph () -> (b) { b = Neg(x) }}
}`);
    expect(graphs.map(({ parent }) => parent?.[0])).toEqual([undefined, 0, 1, 1, 0]);
    for (const [index, { boxes }] of graphs.entries())
      for (const { graphs: innerGraphs } of boxes)
        for (const [, inner] of innerGraphs) expect(graphs[inner]?.parent?.[0]).toBe(index);
  });

  test("codes say their bits, in a layer and where numbers become codes", async () => {
    const { boxes } = await mainOf(`opset 21
graph (x: float32[1, 4]) -> (y) {
  w_q: int4[4, 2] = [[1, 2], [3, 4], [5, 6], [7, -8]]
  scale: float32[] = 0.5
  zero: uint8[] = 3
  q = QuantizeLinear (x, scale, zero)
  d = DequantizeLinear (q, scale, zero)
  w = DequantizeLinear (w_q, scale)
  y = MatMul (d, w)
}`);
    expect(boxes.map(({ label }) => label)).toEqual([
      "x",
      "QuantizeLinear · 8 bits",
      "DequantizeLinear · 8 bits",
      "MatMul · 4 bits",
      "y",
    ]);
  });

  test("sizes are sizes, also where stored ones stand beside them", async () => {
    const { boxes } = await mainOf(`opset 21
graph (x: float32[batch, 3]) -> (y: int64[3]) {
  one: int64[1] = [1]
  s = Shape (x)
  y = Concat (s, one) {axis=0}
}`);
    expect(boxes.map(({ family }) => family)).toEqual(["port", "shape", "shape", "port"]);
  });

  test("what looks up or adds a trained table is called after it", async () => {
    const { boxes } = await mainOf(`opset 21
graph (ids: int64[batch, 3]) -> (y: float32[batch, 3, 4]) {
  "embeddings.words.weight": float32[10, 4] = random(seed 1)
  "embeddings.positions": float32[1, 3, 4] = random(seed 2)
  bias: float32[4] = zeros
  e = Gather "node_embedding" ("embeddings.words.weight", ids)
  p = Add "add_positions" (e, "embeddings.positions")
  y = Add "add_bias" (p, bias)
}`);
    expect(boxes.map(({ label, name }) => `${label}, ${name}`)).toEqual([
      "ids, ids",
      "Gather, embeddings.words",
      "Add · positions, embeddings.positions",
      "Add, add_bias",
      "y, y",
    ]);
  });

  test("says of each layer which technique would leave it alone, and why", async () => {
    const [first, second] = (await mainOf(text)).boxes.flatMap(({ offers }) => (offers.length === 0 ? [] : [offers]));
    expect(first?.map(({ technique, refused }) => [technique, refused])).toEqual([
      ["prune", false],
      ["prune --structured", false],
      ["quantize", false],
      ["factorize", false],
    ]);
    expect(second?.map(({ text, refused }) => (refused ? text : ""))).toEqual([
      "its weight is quantized already",
      "they are an output of the model (logits)",
      "its weight is quantized already",
      "its weight is quantized already: `quantize` must be a later step",
    ]);
  });

  test("frames repeated blocks, and only those", async () => {
    const block = (n: number, from: string, to: string): string =>
      ["Abs", "Neg", "Exp"]
        .map(
          (op, k) =>
            `  ${k === 2 ? to : `${from}${k}`} = ${op} "/net/layers.${n}/${op}" (${k === 0 ? from : `${from}${k - 1}`})`,
        )
        .join("\n");
    const { frames } = await mainOf(`opset 21
graph (a: float32[2]) -> (e) {
${block(0, "a", "b")}
${block(1, "b", "c")}
  d = Abs "/head.7/Abs" (c)
  e = Abs "/head.7/Abs_1" (d)
}`);
    expect(frames.map(({ label }) => label)).toEqual(["layers.0", "layers.1"]);
  });

  test("what is written beside the foot of a box does not reach into the next box", async () => {
    const names = Array.from({ length: 5 }, (_, index) => `p${index}`);
    const { boxes } = await mainOf(`opset 21
graph (x: float32[batch, sequence, 4]) -> (${names.join(", ")}) {
${names.map((name) => `  ${name} = Transpose (x) {perm=[2, 0, 1]}`).join("\n")}
}`);
    const row = boxes.filter(({ title }) => title === "Transpose").toSorted((a, b) => a.x - b.x);
    expect(new Set(row.map(({ y }) => y)).size).toBe(1);
    row.slice(1).forEach((box, index) => {
      const before = row[index];
      expect(box.x - box.width / 2).toBeGreaterThan((before?.x ?? 0) + 6 + 5 * (before?.note?.length ?? 0));
    });
  });
});

describe("the arithmetic in the page", () => {
  interface Arithmetic {
    removed(amount: number, size: number): number;
    shares(layer: object, mode: string, amount: number): number[];
    amountOf(
      layer: object,
      mode: string,
      amount: number,
    ): { readonly count: number; readonly size: number } | undefined;
    search(texts: readonly Text[], words: string): readonly Text[];
    prunedText(layer: object, mode: string, amount: number): string;
    cutOff(text: string, maxLength: number): string;
  }
  interface Text {
    readonly names: string;
    readonly text: string;
  }
  const page = new Function(
    `${plotArithmetic}; return { removed, shares, amountOf, search, prunedText, cutOff };`,
  )() as Arithmetic;

  test("computes the same counts as the library at each position of the slider", () => {
    for (let percent = 0; percent <= 100; percent++) {
      for (const size of [0, 1, 2, 5, 7, 10, 33, 2304, 200_705])
        expect(page.removed(percent / 100, size)).toBe(countOf({ fraction: percent / 100 }, size));
    }
  });

  test("shades as many channels as it counts", async () => {
    const { layers } = await mainOf(text);
    const layer = layers[1] ?? {};
    // Norms rise with the channel, so the first two of six are removed.
    expect(page.amountOf(layer, "channels", 0.33)).toEqual({ count: 2, size: 6 });
    expect(page.shares(layer, "channels", 0.33)).toEqual([1, 1, 0, 0, 0, 0]);
    expect(page.shares(layer, "entries", 0)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(page.shares(layer, "entries", 1)).toEqual([1, 1, 1, 1, 1, 1]);
    const half = page.shares(layer, "entries", 0.5);
    expect(half.reduce((sum, share) => sum + share * 4, 0)).toBeCloseTo(12, 0);
  });

  test("shows how much pruning would remove, or why it would remove nothing", async () => {
    const { layers } = await mainOf(text);
    const [plain, quantized] = [1, 6].map((at) => layers[at] ?? {});
    expect(page.prunedText(plain ?? {}, "entries", 0.5)).toBe("12 of 24 would be removed");
    expect(page.prunedText(plain ?? {}, "channels", 0.33)).toBe("2 of 6 channels would be removed");
    expect(page.prunedText(quantized ?? {}, "entries", 0.5)).toBe("its weight is quantized already");
    expect(page.prunedText(quantized ?? {}, "channels", 0.5)).toBe("they are an output of the model (logits)");
  });

  test("truncates a reason that is too long for a box after a whole word", () => {
    expect(page.cutOff("its weight is quantized already", 40)).toBe("its weight is quantized already");
    expect(page.cutOff("its weight contains constants, which are not trained", 40)).toBe(
      "its weight contains constants, which …",
    );
    expect(page.cutOff("its weight holds constants, which", 28)).toBe("its weight holds constants …");
  });

  test("lists matching names before nodes that read them", () => {
    const slice = { names: "slice", text: "embeddings.positions: int64 [1, 64]" };
    const gather = { names: "gather\nword_embeddings", text: "ids: int64 [batch]" };
    expect(page.search([slice, gather], "embedding")).toEqual([gather, slice]);
    expect(page.search([slice, gather], "softmax")).toEqual([]);
  });

  test.each(topologies.map(({ name }) => name))("says of %s what prune does, layer by layer", async (name) => {
    const { text } = topology(name);
    const { boxes, layers } = await mainOf(text);
    for (const amount of [0.1, 0.3, 0.55, 1]) {
      for (const [mode, options, ending] of [
        ["entries", { amount }, "pruned"],
        ["channels", { structured: amount }, "channels cut"],
      ] as const) {
        const shown = layers.flatMap((layer, index) => {
          const pruned = layer?.first === true ? page.amountOf(layer, mode, amount) : undefined;
          return pruned === undefined || pruned.count === 0
            ? []
            : [`${boxes[index]?.name} ${pruned.count} of ${pruned.size}`];
        });
        const { changes } = await prune(parseModel(text), options);
        // A box shows one weight of its node: of a recurrent layer that of its inputs.
        const done = changes.flatMap(({ at, what }) =>
          what.startsWith("0 ") || at.endsWith(".recurrence")
            ? []
            : [`${at} ${what.slice(0, what.indexOf(` ${ending}`))}`],
        );
        expect(shown.toSorted(), `${mode}, ${amount}`).toEqual(done.toSorted());
      }
    }
  });
});

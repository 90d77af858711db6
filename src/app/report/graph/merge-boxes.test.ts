import { describe, expect, test } from "vitest";
import { topologies } from "../../../../test/zoo/topologies.ts";
import { infer } from "../../../core/analysis/infer.ts";
import { layers } from "../../../core/analysis/layers.ts";
import { parseModel } from "../../../core/graph/text.ts";
import { collectPicture } from "./picture.ts";
import { type Drawing, placePicture } from "./placement.ts";

function drawingOf(text: string): Drawing {
  const model = parseModel(text);
  model.graph.sort();
  const inference = infer(model);
  return placePicture(collectPicture(model.graph, inference, layers(model, inference)));
}

/** Returns the lines as "title → title". */
const linksOf = ({ boxes, lines }: Drawing): readonly string[] =>
  lines.map(({ from, to }) => `${boxes[from]?.title} → ${boxes[to]?.title}`).toSorted();

const attention = `opset 21
graph (ids: int64[batch, n], attention_mask: int64[batch, n]) -> (y: float32[batch, n, n]) {
  words: float32[10, 4] = random(seed 1)
  query.weight: float32[4, 4] = random(seed 2)
  axes: int64[1] = [1]
  zero: float32[] = 0
  low: float32[] = -10000
  none: int64[] = 0
  h = Gather (words, ids)
  q = MatMul "query" (h, query.weight)
  k = Transpose (h) {perm=[0, 2, 1]}
  scores = MatMul "scores" (q, k)
  kept = Cast (attention_mask) {to=9}
  size = Shape (ids)
  wide = Unsqueeze (kept, axes)
  sizes = Gather (size, none) {axis=0}
  some = Greater (sizes, none)
  both = And (wide, some)
  added = Where (both, zero, low)
  y = Add (scores, added)
}`;

describe("nodes that compute a mask of shapes and indices", () => {
  test("are one box with their number, between what they read and what reads them", () => {
    const main = drawingOf(attention);
    const group = main.boxes.find(({ title }) => title.startsWith("mask"));
    expect(group).toMatchObject({
      title: "mask, shapes · 7 nodes",
      label: "mask, shapes · 7 nodes ▸",
      family: "shape",
    });
    expect(group?.inputs).toEqual(["attention_mask: int64 [batch, n]", "ids: int64 [batch, n]"]);
    expect(linksOf(main)).toEqual(
      [
        "ids → Gather",
        "Gather → MatMul",
        "Gather → Transpose",
        "MatMul → MatMul",
        "Transpose → MatMul",
        "MatMul → Add",
        "Add → y",
        "ids → mask, shapes · 7 nodes",
        "attention_mask → mask, shapes · 7 nodes",
        "mask, shapes · 7 nodes → Add",
      ].toSorted(),
    );
  });

  test("stay as they are where they are few", () => {
    const main = drawingOf(`opset 21
graph (x: float32[n, 4]) -> (y: float32[n, 4]) {
  zero: int64[] = 0
  axes: int64[1] = [0]
  four: int64[1] = [4]
  s = Shape (x)
  n = Gather (s, zero) {axis=0}
  u = Unsqueeze (n, axes)
  y = Expand (x, u)
}`);
    expect(main.boxes.map(({ title }) => title)).toEqual(["x", "Shape", "Gather", "Unsqueeze", "Expand", "y"]);
  });

  test("are two groups where a layer stands between", () => {
    const part = (from: string, n: number, with_: string): string => `
  s${n} = Shape (${from})
  a${n} = Gather (s${n}, zero) {axis=0}
  b${n} = Mul (a${n}, ${with_})
  c${n} = Add (b${n}, zero)
  d${n} = Unsqueeze (c${n}, axes)
  e${n} = Concat (d${n}, four) {axis=0}
  f${n} = Reshape (${from}, e${n})`;
    const main = drawingOf(`opset 21
graph (x: float32[n, 4]) -> (y) {
  zero: int64[] = 0
  one: int64[] = 1
  axes: int64[1] = [0]
  four: int64[1] = [4]
  w: float32[4, 4] = random(seed 1)${part("x", 1, "one")}
  h = MatMul "fc" (f1, w)${part("h", 2, "c1")}
  y = Relu (f2)
}`);
    const groups = main.boxes.filter(({ isCompound }) => isCompound);
    expect(groups.map(({ title }) => title)).toEqual(["shapes, indices · 6 nodes", "shapes, indices · 6 nodes"]);
    const y = main.lines.map(({ from, to }) => [main.boxes[from]?.y ?? 0, main.boxes[to]?.y ?? 0]);
    expect(y.filter(([from = 0, to = 0]) => from >= to)).toEqual([]);
  });
});

test.each(topologies)("lines of $name lead down", ({ text }) => {
  const { boxes, lines } = drawingOf(text);
  for (const { from, to } of lines) expect(boxes[from]?.y ?? 0).toBeLessThan(boxes[to]?.y ?? 0);
});

import { describe, expect, test } from "vitest";
import { parseModel } from "../graph/text.ts";
import { float32 } from "../tensor/dense.ts";
import { random } from "../tensor/random.ts";
import { outputPartsOf } from "./measured-parts.ts";
import { selectPart } from "./output-parts.ts";

/** Boxes from 0 to 640 and scores from 0 to 1, as the branches of a detector compute them. */
const branches = `  size: float32[] = 640
  b = Sigmoid(boxes)
  scaled = Mul(b, size)
  s = Sigmoid(scores)
  joined = Concat(boxes, scores) {axis=1}`;

function parsed(body: string, dims: string, out: string) {
  return parseModel(`opset 17
graph (boxes: float32[N, 4, 8], scores: float32[N, 5, 8]) -> (${out}: float32[${dims}]) {
${branches}
${body}
}`);
}

function partNames(body: string, dims = "N, 9, 8", out = "y"): readonly string[] {
  return outputPartsOf(parsed(body, dims, out), out).map(({ name }) => name);
}

describe("parts of an output that a Concat has joined", () => {
  test("are the inputs of a Concat of channels", () => {
    expect(partNames("  y = Concat(scaled, s) {axis=1}")).toEqual(["y[:, 0:4]", "y[:, 4:9]"]);
  });

  test("are those of all samples if a Concat has joined samples", () => {
    const text = `opset 17
graph (a: float32[1, 4, 8], b: float32[1, 5, 8]) -> (y: float32[2, 9, 8], z: float32[2, 4, 8]) {
  c = Concat(a, b) {axis=1}
  y = Concat(c, c) {axis=0}
  z = Concat(a, a) {axis=0}
}`;
    const names = ["y", "z"].map((name) => outputPartsOf(parseModel(text), name).map((part) => part.name));
    expect(names).toEqual([["y[:, 0:4]", "y[:, 4:9]"], ["z"]]);
  });

  test("are the inputs of a Concat along the last axis", () => {
    const body = `  p = Transpose(scaled) {perm=[0, 2, 1]}
  q = Transpose(s) {perm=[0, 2, 1]}
  y = Concat(p, q) {axis=-1}`;
    expect(partNames(body, "N, 8, 9")).toEqual(["y[:, :, 0:4]", "y[:, :, 4:9]"]);
  });

  test("follow a Transpose, a Cast and a product with a stored vector", () => {
    const body = `  f: float32[8] = [1, 2, 3, 4, 5, 6, 7, 8]
  c = Concat(scaled, s) {axis=1}
  m = Mul(c, f)
  t = Transpose(m) {perm=[0, 2, 1]}
  y = Cast(t) {to=1}`;
    expect(partNames(body, "N, 8, 9")).toEqual(["y[:, :, 0:4]", "y[:, :, 4:9]"]);
  });

  test("follow a Reshape that merges or divides the axis", () => {
    const join = "  c = Concat(scaled, s) {axis=1}";
    const merge = `${join}\n  coords = Flatten(c)`;
    expect(partNames(merge, "N, 72", "coords")).toEqual(["coords[:, 0:32]", "coords[:, 32:72]"]);
    const divide = `${merge.replace("coords =", "f =")}\n  shape: int64[3] = [-1, 9, 8]\n  y = Reshape(f, shape)`;
    expect(partNames(divide)).toEqual(["y[:, 0:4]", "y[:, 4:9]"]);
    const interleave = `${join}\n  t = Transpose(c) {perm=[0, 2, 1]}\n  coords = Flatten(t)`;
    expect(partNames(interleave, "N, 72", "coords")).toEqual([
      "coords[:, (0, 1, 2, 3, … 66)]",
      "coords[:, (4, 5, 6, 7, … 71)]",
    ]);
  });

  test("have the range of the Sigmoid that computes them, before or after the Concat", () => {
    const ranges = (body: string) =>
      outputPartsOf(parsed(`  y = ${body}`, "N, 9, 8", "y"), "y").map(({ range }) => range);
    expect(ranges("Concat(scaled, s) {axis=1}")).toEqual([undefined, 1]);
    const before = ranges("Concat(boxes, scores) {axis=1}");
    expect(before).toEqual([undefined, undefined]);
    expect(ranges("Sigmoid(joined)")).toEqual([1, 1]);
  });

  test("divide an output that only its shape shows to be class scores if their scales differ", () => {
    const model = parsed("  c = Concat(scaled, s) {axis=1}\n  y = Flatten(c)", "N, 72", "y");
    const values = (scale: number) => {
      const { normal } = random(1, "values");
      return [
        float32(
          [16, 72],
          Array.from({ length: 16 * 72 }, (_, index) => (index % 72 < 32 ? scale : 1) * normal()),
        ),
      ];
    };
    expect(outputPartsOf(model, "y").map(({ name }) => name)).toEqual(["y"]);
    expect(outputPartsOf(model, "y", values(2)).map(({ name }) => name)).toEqual(["y"]);
    expect(outputPartsOf(model, "y", values(640)).map(({ name }) => name)).toEqual(["y[:, 0:32]", "y[:, 32:72]"]);
  });

  test("are the parts of all joined values if one Concat follows another", () => {
    const body = `  c = Concat(scaled, s) {axis=1}
  d = Concat(s, scaled) {axis=1}
  y = Concat(c, d) {axis=2}`;
    expect(partNames(body, "N, 9, 16")).toEqual([
      "y[:, 0:4, 0:8]",
      "y[:, 4:9, 0:8]",
      "y[:, 0:5, 8:16]",
      "y[:, 5:9, 8:16]",
    ]);
  });

  test("end at nodes that mix the joined axis, and at sums with a computed value", () => {
    const mixed = "  c = Concat(scaled, s) {axis=1}\n  y = Softmax(c) {axis=1}";
    expect(partNames(mixed)).toEqual(["y"]);
    const summed = `  w: float32[8, 8] = ${JSON.stringify(Array.from({ length: 8 }, () => Array(8).fill(1)))}
  c = Concat(scaled, s) {axis=1}
  d = MatMul(boxes, w)
  e = ReduceMean(d) {axes=[1]}
  y = Add(c, e)`;
    expect(partNames(summed)).toHaveLength(2);
    const residual = `  c = Concat(scaled, s) {axis=1}
  r = Concat(boxes, scores) {axis=1}
  t = Softmax(r) {axis=1}
  y = Add(c, t)`;
    expect(partNames(residual)).toEqual(["y"]);
  });

  test("are absent in an embedding, along the axis of samples and along an axis of unknown size", () => {
    expect(partNames("  embedding = Concat(scaled, s) {axis=1}", "N, 9, 8", "embedding")).toEqual(["embedding"]);
    expect(partNames("  y = Concat(scaled, scaled) {axis=0}", "M, 4, 8")).toEqual(["y"]);
  });
});

function modelOf(name: string, dims: string) {
  return parseModel(`opset 17
graph (x: float32[${dims}]) -> (${name}: float32[${dims}]) {
  two: float32[] = 2
  ${name} = Mul(x, two)
}`);
}

/** Values whose index i along axis 1 has the standard deviation `scales[i]`. */
function valuesOf(scales: readonly number[], inner = 6) {
  const { normal } = random(1, "values");
  const samples = 16;
  const data = Array.from({ length: samples }, () =>
    scales.map((scale) => Array.from({ length: inner }, () => 3 * scale + scale * normal())),
  );
  return [float32([samples, scales.length, inner], data.flat(2))];
}

describe("parts of an output that measured scales divide", () => {
  const names = (scales: readonly number[], name = "y") =>
    outputPartsOf(modelOf(name, `N, ${scales.length}, 6`), name, valuesOf(scales)).map((part) => part.name);

  test("are spans whose standard deviations differ by more than 10", () => {
    expect(names([150, 120, 80, 90, 0.1, 0.03, 0.2, 0.05])).toEqual(["y[:, 0:4]", "y[:, 4:8]"]);
  });

  test("are one part if the scales of all indices differ by less", () => {
    expect(names([1, 4, 2, 3, 0.7, 5, 1, 2])).toEqual(["y"]);
    expect(names([8, 4, 2, 1, 0.5, 0.25, 0.12, 0.06, 0.03])).toEqual(["y"]);
  });

  test("are one part if two scales alternate, as with an outlier among features", () => {
    expect(names([1, 2, 1, 900, ...Array<number>(36).fill(2)])).toEqual(["y"]);
    expect(names([1, 2, 1, 900, 1, 2, 3, 1], "logits")).toEqual(["logits"]);
  });

  test("are columns of a table of numbers in any order", () => {
    expect(names([100, 0.1, 90, 0.2, 0.3, 120])).toEqual(["y[:, (0, 2, 5)]", "y[:, (1, 3, 4)]"]);
  });

  test("are the same columns of repeated records", () => {
    const record = [100, 90, 0.1];
    const scales = Array.from({ length: 17 }, () => record).flat();
    const [coordinates = "", scores] = names(scales);
    expect(coordinates).toBe("y[:, (0, 1, 3, 4, … 49)]");
    expect(scores).toBe("y[:, 2:51:3]");
  });

  test("are channels of an image, and not its rows", () => {
    const namesOf = (dims: readonly number[], scaleOf: (row: number, column: number) => number) => {
      const { normal } = random(1, "values");
      const [rows = 0, columns = 0, inner = 0] = dims;
      const values = Array.from({ length: 16 * rows * columns * inner }, (_, index) => {
        const [row, column] = [Math.floor(index / columns / inner) % rows, Math.floor(index / inner) % columns];
        return normal() * scaleOf(row, column);
      });
      return outputPartsOf(modelOf("y", `N, ${dims.join(", ")}`), "y", [float32([16, ...dims], values)]).map(
        ({ name }) => name,
      );
    };
    const isLow = (index: number) => (index < 2 ? 0.01 : 1);
    expect(namesOf([4, 6, 6], (_, row) => isLow(row))).toEqual(["y"]);
    expect(namesOf([1, 6, 8], (_, row) => isLow(row))).toEqual(["y"]);
    expect(namesOf([6, 8, 3], isLow)).toEqual(["y"]);
    expect(namesOf([4, 6, 6], isLow)).toEqual(["y[:, 0:2]", "y[:, 2:4]"]);
  });

  test("are absent in an embedding and without enough values", () => {
    expect(names([150, 120, 0.1, 0.03], "embedding")).toEqual(["embedding"]);
    const few = valuesOf([150, 0.1], 1).map(({ data }) => float32([3, 2, 1], data.slice(0, 6)));
    expect(outputPartsOf(modelOf("y", "N, 2, 1"), "y", few)).toHaveLength(1);
    // Layer errors are measured in batches of four samples.
    const batch = valuesOf([150, 0.1], 1).map(({ data }) => float32([4, 2, 1], data.slice(0, 8)));
    expect(outputPartsOf(modelOf("y", "N, 2, 1"), "y", batch)).toHaveLength(2);
  });

  test("contain constant indices in the span before them", () => {
    expect(names([0, 150, 120, 0, 0.1, 0])).toEqual(["y[:, 0:4]", "y[:, 4:6]"]);
  });
});

test("a part selects its elements in the order of the output", () => {
  const dense = float32(
    [2, 3, 2],
    Array.from({ length: 12 }, (_, index) => index),
  );
  const indices = new Map([[1, [0, 2]]]);
  const selected = selectPart(dense, { indices });
  expect(selected.dims).toEqual([2, 2, 2]);
  expect([...selected.data]).toEqual([0, 1, 4, 5, 6, 7, 10, 11]);
});

import { describe, expect, it } from "vitest";
import { parseModel } from "../graph/text.ts";
import { dimsText } from "../tensor/dims.ts";
import { infer } from "./infer.ts";

const model = (nodes: string, input = "x: float32[batch, 3, 4]") =>
  parseModel(`opset 21\ngraph (${input}) -> (y) {\n${nodes}\n}`);

describe("infer", () => {
  it("types every value, with named dimensions", () => {
    const net = model("  w: float32[5, 12] = zeros\n  f = Flatten (x)\n  y = Gemm (f, w) {transB=1}");
    expect(infer(net).misses).toEqual([]);
    expect(dimsText(net.graph.value("f")?.type?.dims)).toBe("[batch, 12]");
    expect(dimsText(net.graph.value("y")?.type?.dims)).toBe("[batch, 5]");
  });

  it("follows shape contents through Shape, Gather, Concat and Reshape", () => {
    const net = model(`  zero: int64[1] = [0]
  rest: int64[1] = [-1]
  s = Shape (x)
  first = Gather (s, zero)
  target = Concat (first, rest) {axis=0}
  y = Reshape (x, target)`);
    infer(net);
    expect(dimsText(net.graph.value("y")?.type?.dims)).toBe("[batch, 12]");
  });

  it.each([10 ** 9, 2 ** 31 - 1, 2 ** 53])("reads an end of %d as the end of the axis", (end) => {
    const net = model(`  start: int64[1] = [0]\n  end: int64[1] = [${end}]\n  y = Slice (x, start, end, start)`);
    infer(net);
    expect(dimsText(net.graph.value("y")?.type?.dims)).toBe("[batch, 3, 4]");
  });

  it("states that a Slice has no step of 0", () => {
    const net = model("  zero: int64[1] = [0]\n  end: int64[1] = [3]\n  y = Slice (x, zero, end, zero, zero)");
    expect(infer(net).misses.map(({ reason }) => reason)).toEqual(["a step is 0"]);
  });

  it("states that the scale of a Resize is not a positive number", () => {
    const net = model("  scales: float32[3] = [1, nan, 1]\n  y = Resize (x, _, scales)");
    expect(infer(net).misses.map(({ reason }) => reason)).toEqual(["has a scale that is not positive"]);
  });

  it("gives a layer before opset 7 that broadcasts along inner axes the dimensions of its first operand", () => {
    const net = parseModel(
      "opset 6\ngraph (x: float32[batch, 3, 4]) -> (y) {\n  s: float32[3] = zeros\n  y = PRelu (x, s)\n}",
    );
    expect(infer(net).misses.map(({ reason }) => reason)).toEqual(["broadcasts along inner axes, as before opset 7"]);
    expect(dimsText(net.graph.value("y")?.type?.dims)).toBe("[batch, 3, 4]");
  });

  it("states that pieces without length cannot be split off", () => {
    const net = model(
      "  size: int64[] = [0]\n  at: int64[] = [0]\n  s = SplitToSequence (x, size)\n  y = SequenceAt (s, at)",
    );
    expect(infer(net).misses.map(({ reason }) => reason)).toContain("its pieces have no length");
  });

  it.each(["float32[3, 4]", "float32[4, 5, 3, 7]"])("states that a transposed stack is not multiplied by %s", (b) => {
    const net = parseModel(`opset 21, com.microsoft 1
graph (x: float32[2, 5, 3], b: ${b}) -> (y) {
  y = com.microsoft.FusedMatMul(x, b) {transBatchA=1}
}`);
    expect(infer(net).misses.map(({ reason }) => reason)).toEqual(["transposed batches need equal ranks above 2"]);
  });

  it("marks values that depend only on stored tensors", () => {
    const net = model("  w: float32[4] = zeros\n  m: float32[4] mask = ones\n  p = Mul (w, m)\n  y = Mul (x, p)");
    const inference = infer(net);
    const stored = (name: string) => {
      const value = net.graph.value(name);
      return value === undefined ? undefined : inference.operand(value)?.stored;
    };
    expect([stored("p"), stored("y"), stored("x")]).toEqual([true, false, false]);
  });

  it("does not mark random values as stored", () => {
    const net = model("  w: float32[4] = zeros\n  n = RandomNormalLike (w)\n  p = Add (w, n)\n  y = Mul (x, p)");
    const inference = infer(net);
    const stored = ["w", "n", "p"].map((name) => {
      const value = net.graph.value(name);
      return value === undefined ? undefined : inference.operand(value)?.stored;
    });
    expect(stored).toEqual([true, false, false]);
  });

  it("reports an operator without a definition and keeps its declared output type", () => {
    const net = parseModel(`opset 21, my.domain 1
graph (x: float32[2]) -> (y: float32[2]) {
  y = my.domain.Mystery (x)
}`);
    const { misses } = infer(net);
    expect(misses.map(({ at, reason }) => `${at}: ${reason}`)).toEqual([
      'my.domain.Mystery "y": Pith does not know this operator',
    ]);
    expect(dimsText(net.graph.value("y")?.type?.dims)).toBe("[2]");
  });

  it("throws an error that names an inconsistent node", () => {
    expect(() => infer(model("  y = Softmax (x) {axis=7}"))).toThrow(
      'Softmax "y": axis 7 lies outside a tensor of rank 3.',
    );
  });

  it.each(["0, 1, 3", "-1, -2, -3", "0, 0, 1", "1, 0"])("throws for a Transpose of three axes by %s", (perm) => {
    expect(() => infer(model(`  y = Transpose (x) {perm=[${perm}]}`))).toThrow(
      `Transpose "y": attribute "perm" orders 3 axes, got [${perm}].`,
    );
  });

  it.each([
    ["Conv", "  w: float32[5, 2, 3, 3] = zeros\n  y = Conv (m, w) {group=2}", "float32[?, 4, ?, ?]"],
    ["ConvTranspose", "  w: float16[4, 5, 3] = zeros\n  y = ConvTranspose (m, w)", "float16[?, 4, ?]"],
    ["Gemm", "  w: float32[4, 5] = zeros\n  y = Gemm (m, w)", "float32[?, ?]"],
    ["MatMul", "  w: float64[4, 5] = zeros\n  y = MatMul (m, w)", "float64"],
    [
      "GRU",
      "  w: float32[1, 6, 4] = zeros\n  r: float32[1, 6, 2] = zeros\n  y = GRU (m, w, r) {hidden_size=2}",
      "float32[?, ?, 4]",
    ],
    ["DynamicQuantizeLinear", "  y, s, z = DynamicQuantizeLinear (m)", "float32"],
  ])("infers as much about an unknown operator's output as %s requires", (_, reader, expected) => {
    const net = parseModel(
      `opset 21, custom 1\ngraph (x: float32[batch, 3]) -> (y) {\n  m = custom.F (x)\n${reader}\n}`,
    );
    const inference = infer(net);
    const { type, dims } = net.graph.value("m")?.type ?? {};
    const text = dims?.map((dim) => (typeof dim === "number" ? dim : "?")).join(", ");
    expect(`${type}${text === undefined ? "" : `[${text}]`}`).toBe(expected);
    expect(inference.misses.map(({ at }) => at)).toEqual(['custom.F "m"']);
    expect(net.graph.value("y")?.type).toBeDefined();
  });
});

it("joins tensors without elements, whatever their number of rows", () => {
  const model = parseModel(`opset 21
graph (x: float32[batch, 2]) -> (y: int64[1099511627776, 0]) {
  none: int64[1099511627776, 0] = []
  y = Concat(none, none) {axis=1}
}`);
  expect(infer(model).misses).toEqual([]);
});

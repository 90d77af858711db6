/** Tests the inference of subgraphs, sequences and model functions. `test/laws/types.test.ts` tests individual operators. */
import { describe, expect, it } from "vitest";
import { allGraphs } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { parseModel } from "../graph/text.ts";
import { encodeToBytes } from "../onnx/encode.ts";
import { open } from "../onnx/index.ts";
import { dimsText, dimText } from "../tensor/dims.ts";
import { infer } from "./infer.ts";

const model = (nodes: string, inputs = "x: float32[batch, 3], flag: bool[], n: int64[]", outputs = "y") =>
  parseModel(`opset 21\ngraph (${inputs}) -> (${outputs}) {\n${nodes}\n}`);

/** The type of a value anywhere in the model, as text. */
function typeIn(net: Model, name: string): string {
  const inference = infer(net);
  for (const graph of allGraphs(net.graph)) {
    const value = graph.ownValue(name);
    const operand = value === undefined ? undefined : inference.operand(value);
    if (operand !== undefined)
      return operand.container === undefined ? `${operand.type}${dimsText(operand.dims)}` : operand.container.kind;
  }
  return "nothing";
}

const missesOf = (net: Model): string[] => infer(net).misses.map(({ at, reason }) => `${at}: ${reason}`);

describe("If", () => {
  const branches = (yes: string, no: string, condition = "flag") =>
    model(`  y = If (${condition}) {then_branch=graph () -> (a) { ${yes} }, else_branch=graph () -> (b) { ${no} }}`);

  it("gives the type that both branches share", () => {
    expect(typeIn(branches("a = Relu(x)", "b = Neg(x)"), "y")).toBe("float32[batch, 3]");
    expect(typeIn(branches("a = Relu(x)", "b = Concat(x, x) {axis=0}"), "y")).toBe("float32[?y.0, 3]");
    expect(typeIn(branches("a = Relu(x)", "b = ReduceSum(x) {keepdims=0}"), "y")).toBe("float32?");
  });

  it("reports an unknown type if the branches have different types", () => {
    const net = branches("a = Relu(x)", "b = Shape(x)");
    expect(typeIn(net, "y")).toBe("nothing");
    expect(missesOf(net)).toEqual(['If "y": the type of output 0 is not known']);
  });

  it("takes one branch of a known condition and reports an error of the other", () => {
    const net = model(`  r: int64[] = [2]
  s = Shape (x)
  k = Size (s)
  c = Equal (k, r)
  y = If (c) {then_branch=graph () -> (a) { a = Relu(x) }, else_branch=graph () -> (b) { b = Softmax(x) {axis=7} }}`);
    expect(typeIn(net, "y")).toBe("float32[batch, 3]");
    expect(missesOf(net)).toEqual(['If "y": Softmax "b": axis 7 lies outside a tensor of rank 2.']);
  });

  it("throws an error of a branch that can be taken", () => {
    expect(() => infer(branches("a = Relu(x)", "b = Softmax(x) {axis=7}"))).toThrow("axis 7 lies outside");
  });

  it("gives its output a new size if both branches use one value name", () => {
    const net = model(`  y = If (flag) {then_branch=graph () -> (a) { p = NonZero(x)
 a = Identity(p) }, else_branch=graph () -> (b) { p = NonZero(x)
 b = Identity(p) }}`);
    expect(typeIn(net, "y")).toBe("int64[2, ?y.1]");
  });
});

describe("Loop", () => {
  const loop = (body: string, inputs = "n, flag, x") =>
    model(
      `  y, z = Loop (${inputs}) {body=graph (i: int64[], go: bool[], s: float32[m, k]) -> (on, t, e) { ${body} }}`,
    );

  it("carries constant sizes and makes changing sizes unknown", () => {
    const net = loop("on = Identity(go)\n t = Concat(s, x) {axis=0}\n e = Shape(s)");
    expect(typeIn(net, "y")).toBe("float32[?y.0, 3]");
    // The body has its own name for an unknown size.
    expect(typeIn(net, "s")).toBe("float32[m, 3]");
    expect(typeIn(net, "z")).toBe("int64[?z.0, 2]");
  });

  it("makes a changing rank unknown", () => {
    expect(
      typeIn(loop("on = Identity(go)\n t = Unsqueeze(s, axes)\n axes: int64[1] = [0]\n e = Identity(i)"), "y"),
    ).toBe("float32?");
  });

  it("reports a state whose type changes", () => {
    const net = loop("on = Identity(go)\n t = Shape(s)\n e = Identity(i)");
    expect(missesOf(net)[0]).toContain("the type of loop-carried value 1 changes between iterations");
  });

  it("runs as many iterations as its limit if no condition ends it", () => {
    const net = model(`  m: int64[] = [4]
  y, z = Loop (m, _, x) {body=graph (i: int64[], go: bool[], s: float32[p, q]) -> (on, t, e) { on = Identity(go)
 t = Neg(s)
 e = ReduceSum(s) {keepdims=0} }}`);
    expect([typeIn(net, "y"), typeIn(net, "z")]).toEqual(["float32[batch, 3]", "float32[4]"]);
  });

  it("carries growing sequences", () => {
    const net = model(`  none = SequenceEmpty ()
  all = Loop (n, _, none) {body=graph (i: int64[], go: bool[], s) -> (on, t) { on = Identity(go)
 t = SequenceInsert(s, x) }}
  y = ConcatFromSequence (all) {axis=0}`);
    expect(typeIn(net, "all")).toBe("sequence");
    expect(typeIn(net, "y")).toBe("float32[?y.0, 3]");
    expect(missesOf(net)).toEqual([]);
  });

  it("converges inside another Loop", () => {
    const net =
      model(`  y = Loop (n, flag, x) {body=graph (i: int64[], go: bool[], s: float32[p, q]) -> (on, t) { on = Identity(go)
 t = Loop (n, go, s) {body=graph (j: int64[], h: bool[], u: float32[p, q]) -> (k, v) { k = Identity(h)
 v = Concat(u, s) {axis=1} }} }}`);
    expect(typeIn(net, "y")).toBe("float32[batch, ?y.1]");
  });
});

describe("infer on values that are not tensors", () => {
  it("reports a sequence input of an operator that requires tensors", () => {
    const net = model("  s = SequenceConstruct (x, x)\n  y = Relu (s)");
    expect(missesOf(net)).toEqual(['Relu "y": does not take a sequence']);
  });

  it("uses the declared type of a sequence input and saves it unchanged", async () => {
    // y = SequenceAt(s, at), with s: seq(tensor(float[4, n])).
    const bytes = Uint8Array.from(
      atob(
        "CAg6WQoWCgFzCgJhdBIBeSIKU2VxdWVuY2VBdBIBZ1oYCgFzEhMiEQoPCg0IARIJCgIIBAoDEgFuWgwKAmF0EgYKBAgHEgBiFAoBeRIPCg0IARIJCgIIBAoDEgFuQgQKABAR",
      ),
      (letter) => letter.charCodeAt(0),
    );
    const net = await open(bytes);
    for (const output of net.graph.outputs) output.type = undefined;
    expect([typeIn(net, "s"), typeIn(net, "y")]).toEqual(["sequence", "float32[4, n]"]);
    const again = await open(bytes);
    infer(again);
    expect(await encodeToBytes(again.clone())).toEqual(bytes);
  });
});

describe("infer on functions of the model", () => {
  /** Pooled(x, low) {slope, keep=1} = ReduceSum(LeakyRelu(x), axis 1) above low; Twice calls it; Endless calls itself. */
  const file =
    "CAg6rAIKNAoFaW5wdXQKBHplcm8SAXUSAXYiBlBvb2xlZCoPCgVzbG9wZRWamZk+oAEBOgZteS5saWIKOwoFaW5wdXQSAXMSAXQiBlBvb2xlZCoLCgRrZWVwGACgAQIqDwoFc2xvcGUVmpmZPqABAToGbXkubGliChkKBWlucHV0EgF3IgVUd2ljZToGbXkubGliChwKBWlucHV0EgJ6eiIHRW5kbGVzczoGbXkubGliEgFnKg4QASIEAAAAAEIEemVyb1ocCgVpbnB1dBITChEIARINCgMSAW4KAggDCgIIBGIaCgF1EhUKEwgBEg8KAxIBYQoDEgFiCgMSAWNiFQoBcxIQCg4IARIKCgMSAWEKAxIBYmIaCgF3EhUKEwgBEg8KAxIBYQoDEgFiCgMSAWNCBAoAEBFCCgoGbXkubGliEAHKAcYBCgZQb29sZWQiAXgiA2xvdyoBeSoBbDIFc2xvcGU6JQoBeBIBbCIJTGVha3lSZWx1KhIKBWFscGhhoAEBqgEFc2xvcGU6IxIEYXhlcyIIQ29uc3RhbnQqEQoKdmFsdWVfaW50c0ABoAEHOi0KAWwKBGF4ZXMSAXIiCVJlZHVjZVN1bSoUCghrZWVwZGltc6ABAqoBBGtlZXA6EQoBcgoDbG93EgF5IgRDbGlwSgQKABARUgZteS5saWJaCwoEa2VlcBgBoAECygFtCgVUd2ljZSIBYSoBYzo3CgFhEgFwEgFxIgZQb29sZWQqCwoEa2VlcBgAoAECKg8KBXNsb3BlFc3MzD2gAQE6Bm15LmxpYjoLCgFxEgFjIgNOZWdKBAoAEBFKCgoGbXkubGliEAFSBm15LmxpYsoBQgoHRW5kbGVzcyIBYSoBYzoXCgFhEgFjIgdFbmRsZXNzOgZteS5saWJKBAoAEBFKCgoGbXkubGliEAFSBm15LmxpYg==";
  const bytes = Uint8Array.from(atob(file), (letter) => letter.charCodeAt(0));

  it("infers each call with its attributes, defaults and omitted inputs", async () => {
    const net = await open(bytes);
    for (const output of net.graph.outputs) output.type = undefined;
    expect(["u", "v", "s", "t", "w"].map((name) => typeIn(net, name))).toEqual([
      "float32[n, 1, 4]",
      "float32[n, 3, 4]",
      "float32[n, 4]",
      "float32[n, 3, 4]",
      "float32[n, 3, 4]",
    ]);
    expect(typeIn(net.clone(), "s")).toBe("float32[n, 4]");
  });

  it("reports a function that calls itself", async () => {
    expect(missesOf(await open(bytes))).toContain('my.lib.Endless "c": calls itself');
  });

  it("gives no definition for a function call, and suggests simplify", async () => {
    const net = await open(bytes);
    const [node] = net.graph.nodes();
    expect(node === undefined ? undefined : infer(net).at(node)).toMatchObject({
      reason: "calls a function of the model: run `simplify` first, which inlines it",
    });
  });

  it("leaves functions unchanged in the saved file, even ones that cannot be read", async () => {
    const net = await open(bytes);
    infer(net);
    expect(await encodeToBytes(net)).toEqual(bytes);
    net.header.functions = [...net.header.functions, Uint8Array.of(0x3a, 0x7f, 0x01)];
    const broken = await encodeToBytes(net);
    const again = await open(broken);
    expect([again.functions.length, again.header.functions.length]).toEqual([3, 4]);
    expect(await encodeToBytes(again)).toEqual(broken);
  });
});

describe("infer on contents of values", () => {
  const contents = (net: Model, name: string): string | undefined => {
    const value = net.graph.value(name);
    return value === undefined ? undefined : infer(net).operand(value)?.elements?.map(dimText).join(", ");
  };

  it("follows tables: pads as PyTorch exports them", () => {
    const net = model(
      `  given: int64[2] = [0, 32]
  two: int64[1] = [2]
  zeros = ConstantOfShape (two) {value=int64[1] [0]}
  all = Concat (given, zeros) {axis=0}
  pairs: int64[2] = [-1, 2]
  table = Reshape (all, pairs)
  last: int64[1] = [-1]
  least: int64[1] = [-9223372036854775807]
  axis: int64[1] = [0]
  back = Slice (table, last, least, axis, last)
  turned = Transpose (back) {perm=[1, 0]}
  pads = Reshape (turned, last)
  y = Pad (x, pads)`,
      "x: float32[batch, 3]",
    );
    expect(contents(net, "pads")).toBe("0, 0, 0, 32");
    expect(typeIn(net, "y")).toBe("float32[batch, 35]");
  });

  it("follows sizes multiplied by fractions, with rounding", () => {
    const net = model(
      `  s = Shape (x) {start=2}
  f = Cast (s) {to=1}
  half: float32[] = [0.5]
  h = Mul (f, half)
  d = Floor (h)
  i = Cast (d) {to=7}
  third: float32[2] = [3, 1.5]
  q = Div (f, third)
  up = Ceil (q)
  y = Cast (up) {to=7}`,
      "x: float32[1, 3, height, 24]",
    );
    expect(contents(net, "i")).toBe("floor((height)/2), 12");
    expect(contents(net, "y")).toBe("ceil((height)/3), 16");
  });

  it("computes in float32 as the runtime does", () => {
    const net = model(`  ten: float32[] = [10]
  share: float32[] = [0.7]
  p = Mul (ten, share)
  d = Floor (p)
  y = Cast (d) {to=7}`);
    expect(contents(net, "y")).toBe("7");
  });
});

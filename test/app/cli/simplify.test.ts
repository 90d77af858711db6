/** Tests the results, messages and errors of `pith simplify`. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { temporaryFolder } from "../../temporary.ts";
import { json, pith } from "./run.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);

beforeAll(async () => {
  const text = `opset 21
graph (x: float32[batch, seq, 4], rate: int64[]) -> (y: float32[batch, seq, 4], z: float32[batch, seq, 4]) {
  w: float32[4, 4] = random(seed 1)
  high: int64[] = 16000
  is_high = Equal(rate, high)
  h = Identity(x)
  y = If(is_high) {then_branch=graph yes () -> (y_yes) {
    y_yes = MatMul(h, w)
  }, else_branch=graph no () -> (y_no) {
    y_no = Neg(h)
  }}
  z = Exp(x)
}`;
  await save(parseModel(text), at("model.onnx"));
});

describe("pith simplify", () => {
  test("writes model.simplified.onnx next to the model by default", async () => {
    const { code, out } = await pith("simplify", at("model.onnx"), "--set", "rate=16000");
    expect(code).toBe(0);
    expect(out).toContain("model.simplified.onnx");
    expect(existsSync(at("model.simplified.onnx"))).toBe(true);
  });

  test("writes a model with fewer nodes and equal outputs, and prints both", async () => {
    const { code, out } = await pith("simplify", at("model.onnx"), "--set", "rate=16000", "-o", at("high.onnx"));
    expect(code).toBe(0);
    expect(out).toMatch(/nodes\s+6\s+2\s+3\.0/);
    expect(out).toContain("change: outputs are equal to the original's, on 4 random inputs");
    const model = await open(at("high.onnx"));
    expect([...model.graph.nodes()].map(({ op }) => op)).toEqual(["MatMul", "Exp"]);
    expect(model.graph.inputs.map(({ name }) => name)).toEqual(["x"]);
    expect(statSync(at("high.onnx")).size).toBeLessThan(statSync(at("model.onnx")).size);
  });

  test("--target raises the operator set for an operator of the runtime, and names unknown runtimes", async () => {
    const text = `opset 18
graph (x: float32[batch, 4]) -> (y: float32[batch, 4]) {
  axes: int64[1] = [-1]
  two: float32[] = [2]
  epsilon: float32[] = [0.00001]
  scale: float32[4] = random(seed 1)
  q = Pow(x, two)
  m = ReduceMean(q, axes)
  e = Add(m, epsilon)
  r = Sqrt(e)
  n = Div(x, r)
  y = Mul(n, scale)
}`;
    await save(parseModel(text), at("norm.onnx"));
    const { out } = await pith("simplify", at("norm.onnx"), "--target", "node,webgpu", "-o", at("normed.onnx"));
    expect(out).toContain("RMSNormalization becomes one operator");
    const model = await open(at("normed.onnx"));
    expect([...model.graph.nodes()].map(({ op }) => op)).toEqual(["RMSNormalization"]);
    expect(model.opsets.get("")).toBe(23);
    expect((await pith("simplify", at("norm.onnx"), "--target", "phone")).code).toBe(2);
  });

  test("prints how many equal constants it stores once", async () => {
    const text = `opset 21
graph (x: float32[batch, 4]) -> (y: float32[batch, 4], z: float32[batch, 4]) {
  w: float32[4, 4] = random(seed 1)
  v: float32[4, 4] = random(seed 1)
  y = MatMul(x, w)
  h = Neg(x)
  z = MatMul(h, v)
}`;
    await save(parseModel(text), at("twice.onnx"));
    const { out } = await pith("simplify", at("twice.onnx"));
    expect(out).toMatch(/^ +1 × +duplicate constants merged$/m);
  });

  test("shows each rule that applied with --explain, and leaves out those of --skip", async () => {
    const words = ["simplify", at("model.onnx"), "--set", "rate=16000", "-o", at("explained.onnx")];
    const { out } = await pith(...words, "--explain");
    expect(out).toMatch(/^rule +times +saves +result +at$/m);
    expect(out).toMatch(/^remove-identities +1 +\d+ bytes +identity removed +Identity/m);
    const skipped = await pith(...words, "--skip", "remove-identities");
    expect(skipped.out).not.toContain("remove-identities");
    expect([...(await open(at("explained.onnx"))).graph.nodes()].map(({ op }) => op)).toContain("Identity");
  });

  test.each([["--explain"], ["--explain", "-o", at("unwritten.onnx")]])("writes nothing with %s", async (...flags) => {
    const files = readdirSync(folder);
    const { code, out } = await pith("simplify", at("model.onnx"), "--set", "rate=16000", ...flags);
    expect(code).toBe(0);
    expect(out).toMatch(/^Nothing was written: --explain only shows what would change/m);
    expect(readdirSync(folder)).toEqual(files);
  });

  test("states with --explain how much larger the file would be without a rule", async () => {
    const [full, without] = [at("full.onnx"), at("without.onnx")];
    const words = ["simplify", at("model.onnx"), "--set", "rate=16000"];
    const { saved } = await json(...words, "--explain");
    await pith(...words, "-o", full);
    await pith(...words, "--skip", "remove-identities", "-o", without);
    expect(saved).toMatchObject({ "remove-identities": statSync(without).size - statSync(full).size });
  });

  test("names the first of several places with --explain", async () => {
    const text = `opset 21
graph (x: float32[2, 3]) -> (y: float32[2, 3]) {
  a = Relu(x)
  b = Identity(a)
  c = Neg(b)
  d = Identity(c)
  y = Exp(d)
}`;
    await save(parseModel(text), at("copies.onnx"));
    const { out } = await pith("simplify", at("copies.onnx"), "--explain");
    expect(out).toMatch(/^remove-identities +2 +\d+ bytes +identity removed +Identity "b" and 1 more$/m);
  });

  test("applies only the rules of --only", async () => {
    const words = ["--only", "remove-identities", "--json", "-o", at("only.onnx")];
    const { changes } = await json("simplify", at("model.onnx"), ...words);
    expect(changes).toMatchObject([{ rule: "remove-identities" }]);
  });

  test("rejects an unknown rule, and suggests a similar one", async () => {
    const { code, err } = await pith("simplify", at("model.onnx"), "--skip", "remove-identity", "-o", at("none.onnx"));
    expect(code).toBe(2);
    expect(err).toContain('There is no rule "remove-identity".');
    expect(err).toContain('Did you mean "remove-identities"?');
    expect(existsSync(at("none.onnx"))).toBe(false);
  });

  test("keeps tensors with training roles, and folds them with --finalize", async () => {
    const text = `opset 21
graph (x: float32[batch, 4]) -> (y: float32[batch, 4]) {
  w: float32[4, 4] parameter = random(seed 1)
  kept: float32[4, 4] mask = [[1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 1, 1], [1, 1, 1, 0]]
  scale: float32[4] parameter = random(seed 2)
  bias: float32[4] parameter = random(seed 3)
  mean: float32[4] state = random(seed 4)
  variance: float32[4] state = [1, 2, 3, 4]
  masked = Mul(w, kept)
  h = Gemm "fc" (x, masked)
  y = BatchNormalization(h, scale, bias, mean, variance)
}`;
    await save(parseModel(text), at("middle.onnx"));
    const words = ["simplify", at("middle.onnx"), "-o", at("end.onnx")];
    const before = await pith(...words);
    expect(before.out).toMatch(/nodes +3 +3 /);
    expect(before.out).toContain(
      "kept for training: 6 tensors that training changes or needs; --finalize merges or removes them\n",
    );
    const { code, out } = await pith(...words, "--finalize");
    expect(code).toBe(0);
    expect(out).toMatch(/nodes +3 +1 /);
    expect(out).not.toContain("--finalize");
    const { graph } = await open(at("end.onnx"));
    expect([...graph.values()].filter(({ role }) => role !== undefined)).toEqual([]);
    expect([...graph.nodes()].map(({ op }) => op)).toEqual(["Gemm"]);
  });

  test("--set accepts values for an input with two free dimensions if --fix sets one", async () => {
    const text = "opset 21\ngraph (ids: int64[s77, seq]) -> (y: int64[s77, seq]) {\n  y = Neg(ids)\n}";
    await save(parseModel(text), at("ids.onnx"));
    const words = ["simplify", at("ids.onnx"), "--set", "ids=1,2,3", "-o", at("ids.set.onnx")];
    const { err } = await pith(...words);
    expect(err).toContain("hint: Fix the sizes of named dimensions as well, with --fix: s77=1.");
    expect(await pith(...words, "--fix", "s77=1")).toMatchObject({ code: 0, err: "" });
  });

  test("--fix accepts the expression of a dimension, and compares on inputs of that size", async () => {
    const model = parseModel(`opset 17
graph (a: float32["2*N + 1"], b: float32[N]) -> (y, z) {
  y = Neg (a)
  z = Neg (b)
}`);
    await save(model, at("expression.onnx"));
    const words = ["simplify", at("expression.onnx"), "--fix", "2*N + 1=5", "-o", at("expression.out.onnx")];
    expect(await pith(...words)).toMatchObject({ code: 0, out: expect.stringContaining("outputs are equal") });
  });

  test("fixes dimensions and keeps only the outputs of --keep-output", async () => {
    const words = ["--fix", "batch=1,seq=3", "--keep-output", "z"];
    const data = await json("simplify", at("model.onnx"), ...words, "-o", at("z.onnx"));
    expect(data).toMatchObject({ code: 0, after: { nodes: 1 }, comparison: { inputs: 4, difference: 0 } });
    const { graph } = await open(at("z.onnx"));
    expect(graph.outputs.map(({ name, type }) => [name, type?.dims])).toEqual([["z", [1, 3, 4]]]);
    expect(graph.inputs.map(({ name }) => name)).toEqual(["x"]);
  });

  test.each([
    ["an unknown input", ["--set", "volume=1"], 2, 'no input "volume"'],
    ["a word instead of a number", ["--set", "rate=fast"], 2, "--set: expected input=number"],
    ["an input without a value", ["--set", "rate"], 2, "--set: expected input=number"],
    ["a size that is not a number", ["--fix", "batch=one"], 2, "--fix: expected name=size"],
    ["the model itself as output", ["-o", at("model.onnx")], 2, "is the model itself"],
    ["a missing folder", ["-o", at("none/out.onnx")], 1, "does not exist"],
  ])("rejects %s, and writes nothing", async (_, words, code, says) => {
    const before = readdirSync(folder).toSorted();
    const target = words.includes("-o") ? [] : ["-o", at("never.onnx")];
    const ran = await pith("simplify", at("model.onnx"), ...target, ...words);
    expect(ran.code).toBe(code);
    expect(ran.err).toContain(says);
    expect(readdirSync(folder).toSorted()).toEqual(before);
  });

  test("requires --force if operators that the runtime does not know leave nothing to compare", async () => {
    const text = `opset 21, strange 1
graph (x: float32[n, 4]) -> (y: float32[n, 4]) {
  h = Identity(x)
  y = strange.Mystery(h)
}`;
    await save(parseModel(text), at("strange.onnx"));
    const words = ["simplify", at("strange.onnx"), "-o", at("strange.simple.onnx")];
    const rejected = await pith(...words);
    expect(rejected).toMatchObject({ code: 1, err: expect.stringContaining("--force writes the result") });
    const { code, out } = await pith(...words, "--force");
    expect(code).toBe(0);
    expect(out).toContain("not compared with the original: this runtime has no strange.Mystery, and without it");
    const { graph } = await open(at("strange.simple.onnx"));
    expect([...graph.nodes()].map(({ op }) => op)).toEqual(["Mystery"]);
  });

  test("compares the rest of the network around unknown operators", async () => {
    const text = `opset 21, strange 1
graph (x: float32[n, 4]) -> (y: float32[n, 4]) {
  one: float32[] = 1
  h = Mul(x, one)
  a = Sigmoid(h)
  m: float32[n, 4] = strange.Mystery(a)
  b = Add(m, m)
  y = Identity(b)
}`;
    await save(parseModel(text), at("around.onnx"));
    const { code, out } = await pith("simplify", at("around.onnx"), "-o", at("around.simple.onnx"));
    expect(code).toBe(0);
    expect(out).toContain(
      "change: outputs are equal to the original's, on 4 random inputs; without strange.Mystery, which this runtime does not have",
    );
  });

  test("compares a quantized model with the original node by node", async () => {
    const text = `opset 21
graph (x: float32[n, 4]) -> (y: float32[n, 4]) {
  s: float32[] = 0.02
  z: uint8[] = 100
  w: float32[4, 4] = random(seed 1)
  b: float32[4] = random(seed 2)
  i = Identity(x)
  h = MatMul(i, w)
  a = Add(h, b)
  q = QuantizeLinear(a, s, z)
  y = DequantizeLinear(q, s, z)
}`;
    await save(parseModel(text), at("codes.onnx"));
    const { code, out } = await pith("simplify", at("codes.onnx"), "-o", at("codes.simple.onnx"));
    expect(code).toBe(0);
    expect(out).toContain("change: outputs are equal to the original's, on 4 random inputs, run node by node");
    const { graph } = await open(at("codes.simple.onnx"));
    expect([...graph.nodes()].map(({ op }) => op)).toEqual(["MatMul", "Add", "QuantizeLinear", "DequantizeLinear"]);
  });
});

test("keeps weights of the input model if the result stores weights under the same name", async () => {
  mkdirSync(at("kept"));
  const [input, output] = [at("kept/in.onnx"), at("kept/out.onnx")];
  const model = parseModel(`opset 21
graph (x: float32[batch, 64]) -> (y) {
  w: float32[64, 64] = random(seed 1)
  h = Identity(x)
  y = MatMul(h, w)
}`);
  await save(model, output, { externalData: true });
  copyFileSync(output, input);
  expect(readdirSync(at("kept"))).toContain("out.onnx_data");
  const weight = async (of: Model) => (await of.graph.value("w")?.tensor?.read())?.data;
  for (let round = 0; round < 2; round++) {
    expect(await pith("simplify", input, "-o", output)).toMatchObject({ code: 0 });
    for (const path of [input, output]) expect(await weight(await open(path))).toEqual(await weight(model));
  }
});

test("warns that inputs with stored values become constants, only if a result is written", async () => {
  const model = parseModel(`opset 17
graph (x: float32[n, 16]) -> (y: float32[n, 16]) {
  s: float32[1] = [2]
  w: float32[16, 64] = random(seed 1)
  v: float32[64, 16] = random(seed 2)
  a = Mul (x, s)
  b = Identity (a)
  h = MatMul "h" (b, w)
  r = Relu (h)
  y = MatMul (r, v)
}`);
  const { graph } = model;
  graph.setInputs([...graph.inputs, ...["s", "w", "v"].flatMap((name) => graph.value(name) ?? [])]);
  const path = join(folder, "defaults.onnx");
  await save(model, path);
  expect((await open(path)).graph.inputs.map(({ name }) => name)).toEqual(["x", "s", "w", "v"]);
  const constants =
    'callers may override the stored value of "s", "w" and "v": in the result they are constants, not an input\n';
  for (const words of [["simplify"], ["quantize", "--scheme", "weights"], ["prune", "--structured", "30%"]]) {
    const out = join(folder, "constants.onnx");
    const { code, err } = await pith(...words, path, "-o", out);
    expect(code).toBe(0);
    expect(err).toContain(constants);
    expect((await open(out)).graph.inputs.map(({ name }) => name)).toEqual(["x"]);
  }
  for (const words of [
    ["quantize", "--scheme", "weights", "--dry-run"],
    ["prune", "--structured", "95%"],
  ]) {
    const out = join(folder, "unwritten.onnx");
    const { err } = await pith(...words, path, "-o", out);
    expect(existsSync(out)).toBe(false);
    expect(err).not.toContain("callers may override");
  }
});

import { expect, test } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { type Identity, modelHash, requireSameTraining } from "./checkpoint.ts";

const now: Identity = { model: "1f0c", clip: null, weightDecay: 0.5, data: "a stream, 00000000" };

test("accepts an equal identity, also after JSON", () => {
  const reread = JSON.parse(JSON.stringify(now)) as Identity;
  expect(() => requireSameTraining({ path: "last.onnx" }, reread, now)).not.toThrow();
});

test.each<[Identity, string]>([
  [{ model: "ffff" }, "is a checkpoint of another model, or of other values that are not trained."],
  [{ clip: 1 }, "was trained with `clip` 1, not without."],
  [{ weightDecay: null }, "was trained without `weightDecay`, not with 0.5."],
  [{ data: "20 samples, 1f0c99ab" }, "was trained with `data` 20 samples, 1f0c99ab, not a stream, 00000000."],
])("rejects %j", (before, message) => {
  expect(() => requireSameTraining({ path: "last.onnx" }, { ...now, ...before }, now)).toThrow(message);
});

test("the hash of a model depends on values that are not trained, and on the sizes of trained ones", async () => {
  const hash = (trained: string, frozen: string) => {
    const model = parseModel(`opset 21
graph (x: float32[n, 2]) -> (y) {
  a: ${trained}
  b: ${frozen}
  h = MatMul(x, a)
  y = Add(h, b)
}`);
    return modelHash(model, new Set(["a"]));
  };
  const first = await hash("float32[2, 2] = [[1, 2], [3, 4]]", "float32[] = 1");
  expect(await hash("float32[2, 2] = [[5, 6], [7, 8]]", "float32[] = 1")).toBe(first);
  expect(await hash("float32[2, 2] = [[1, 2], [3, 4]]", "float32[] = 2")).not.toBe(first);
  expect(await hash("float32[2, 1] = [[1], [3]]", "float32[] = 1")).not.toBe(first);
});

test("the hash of a model depends on domains, attributes and tensors of its nodes, also in subgraphs", async () => {
  const hashes = await Promise.all(
    ["LeakyRelu(t) {alpha=0.1}", "LeakyRelu(t) {alpha=0.9}", "lab.LeakyRelu(t) {alpha=0.1}"]
      .flatMap((node) => ["float32[] 1", "float32[] 2"].map((value) => [node, value] as const))
      .map(([node, value]) =>
        modelHash(
          parseModel(`opset 21, lab 1
graph (x: float32[n, 2], flag: bool[]) -> (y: float32[n, 2]) {
  c = Constant() {value=${value}}
  t = Add(x, c)
  y = If(flag) {then_branch=graph () -> (a) { a = ${node} }, else_branch=graph () -> (b) { b = Neg(t) }}
}`),
        ),
      ),
  );
  expect(new Set(hashes).size).toBe(6);
});

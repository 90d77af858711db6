/** What commands say of figures: what is lost, what there was to gain, and what figures cannot tell. */
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { parseModel } from "../../src/graph/text.ts";
import { save } from "../../src/onnx/index.ts";
import { temporaryFolder } from "../temporary.ts";
import { pith } from "./run.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);

/** Two layers: each feature twice, and the sums. The class is the greater feature. */
const sums = `opset 21
graph (features: float32[batch, 2]) -> (logits: float32[batch, 2]) {
  fc1.weight: float32[4, 2] parameter = [[1, 0], [0, 1], [0.5, 0], [0, 0.5]]
  fc1.bias: float32[4] parameter = zeros
  fc2.weight: float32[2, 4] parameter = [[1, 0, 1, 0], [0, 1, 0, 1]]
  fc2.bias: float32[2] parameter = zeros
  between = Gemm "fc1" (features, fc1.weight, fc1.bias) {transB=1}
  active = Relu(between)
  logits = Gemm "fc2" (active, fc2.weight, fc2.bias) {transB=1}
}
`;

beforeAll(() => save(parseModel(sums), at("sums.onnx")));

test("prune that keeps its masks says that the file grew", async () => {
  const { out } = await pith("prune", at("sums.onnx"), "--amount", "50%", "--keep-masks", "-o", at("masked.onnx"));
  expect(out).toMatch(
    /\nThe zeros are stored: the file grew to \S+ \S+ and compressed it grew, too \(\S+ \S+ after .*\)\./,
  );
  expect(out).not.toContain("as large as before");
});

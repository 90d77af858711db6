import { expect, test } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { encodedSource } from "../../core/onnx/encode.ts";
import { completeContext } from "../../core/pass/run-pass.ts";
import { measurePair, measureSizeAndCost } from "./measured-pair.ts";

test("the size of a compressed copy is not estimated again", async () => {
  const model = parseModel(
    "opset 21\ngraph (x: float32[n, 400]) -> (y) {\n  w: float32[400, 400] = ones\n  y = MatMul(x, w)\n}",
  );
  const stored = { model, files: [await encodedSource(model)] };
  const request = {
    original: { ...stored, weight: await measureSizeAndCost(stored) },
    result: stored,
    samples: undefined,
    isForDownload: false,
    variant: undefined,
    reference: { path: "original.onnx", model },
  };
  const [exact, estimated] = await Promise.all(
    [{ brotli: 1000 }, {}].map(
      async (copies) => (await measurePair({ ...request, copySizes: copies }, completeContext())).after,
    ),
  );
  expect(exact).toMatchObject({ brotli: 1000, sampled: false });
  expect(estimated).toMatchObject({ sampled: true });
});

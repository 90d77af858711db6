import { expect, test } from "vitest";
import { preprocessingKey } from "../data/recorded.ts";
import type { Model } from "../graph/model.ts";
import { parseModel } from "../graph/text.ts";
import { type DataRequest, withRecorded } from "./data.ts";

const prepared = (how?: string): Model => {
  const model = parseModel("opset 18\ngraph (x: float32[batch, 3]) -> (y) {\n  y = Relu(x)\n}");
  if (how !== undefined) model.header.metadata.set(preprocessingKey, how);
  return model;
};
const request: DataRequest = {
  path: "data",
  preprocess: undefined,
  set: [],
  states: [],
  samples: undefined,
  batch: 64,
};

test("how data is prepared is what was said, else what one of the models says, or both alike", () => {
  expect(withRecorded({ ...request, preprocess: "unit" }, [prepared("raw"), prepared("imagenet")]).preprocess).toBe(
    "unit",
  );
  expect(withRecorded(request, [prepared(), prepared("raw")])).toMatchObject({ preprocess: "raw", recorded: true });
  expect(withRecorded(request, [prepared("raw"), prepared("raw")]).preprocess).toBe("raw");
  expect(withRecorded(request, [prepared(), prepared()])).toBe(request);
});

test("models that are fed with the same and say different things of it are refused", () => {
  expect(() => withRecorded(request, [prepared("raw"), prepared("imagenet")])).toThrow(
    expect.objectContaining({
      code: "E_DATA",
      message: 'The model says that its data is prepared as "raw", the other one "imagenet".',
    }),
  );
});

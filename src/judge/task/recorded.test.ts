import { expect, test } from "vitest";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { presets } from "../../data/index.ts";
import { preprocessingKey } from "../../data/sidecars/preprocessing-spec.ts";
import { statedPreprocessing } from "./open-task.ts";

const prepared = (how?: string): Model => {
  const model = parseModel("opset 18\ngraph (x: float32[batch, 3]) -> (y) {\n  y = Relu(x)\n}");
  if (how !== undefined) model.header.metadata.set(preprocessingKey, how);
  return model;
};

test("prefers the stated preprocessing, else uses the one that the models record", () => {
  const name = (preprocess: string | undefined, models: readonly Model[]) => {
    const { stated, isRecorded: recorded } = statedPreprocessing(preprocess, models);
    return [stated.images?.name, recorded];
  };
  expect(name("unit", [prepared("raw"), prepared("imagenet")])).toEqual(["unit", false]);
  expect(name(undefined, [prepared(), prepared("raw")])).toEqual(["raw", true]);
  expect(name(undefined, [prepared("raw"), prepared("raw")])).toEqual(["raw", true]);
  expect(name(undefined, [prepared(), prepared()])).toEqual([undefined, false]);
  expect(statedPreprocessing(presets.caffe, [prepared("raw")]).stated.images).toBe(presets.caffe);
});

test("rejects models that record different preprocessing", () => {
  expect(() => statedPreprocessing(undefined, [prepared("raw"), prepared("imagenet")])).toThrow(
    expect.objectContaining({
      code: "E_DATA",
      message: 'The model declares the preprocessing "raw", the other model "imagenet".',
    }),
  );
});

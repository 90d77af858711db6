import { expect, test } from "vitest";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { presets } from "../../data/index.ts";
import { preprocessingKey } from "../../data/sidecars/preprocessing-spec.ts";
import { statedFor } from "./open-task.ts";

const prepared = (how?: string): Model => {
  const model = parseModel("opset 18\ngraph (x: float32[batch, 3]) -> (y) {\n  y = Relu(x)\n}");
  if (how !== undefined) model.header.metadata.set(preprocessingKey, how);
  return model;
};

test("how data is prepared is what was said, else what one of the models says, or both alike", () => {
  const name = (preprocess: string | undefined, models: readonly Model[]) => {
    const { stated, recorded } = statedFor(preprocess, models);
    return [stated.images?.name, recorded];
  };
  expect(name("unit", [prepared("raw"), prepared("imagenet")])).toEqual(["unit", false]);
  expect(name(undefined, [prepared(), prepared("raw")])).toEqual(["raw", true]);
  expect(name(undefined, [prepared("raw"), prepared("raw")])).toEqual(["raw", true]);
  expect(name(undefined, [prepared(), prepared()])).toEqual([undefined, false]);
  expect(statedFor(presets.caffe, [prepared("raw")]).stated.images).toBe(presets.caffe);
});

test("models that are fed with the same and say different things of it are refused", () => {
  expect(() => statedFor(undefined, [prepared("raw"), prepared("imagenet")])).toThrow(
    expect.objectContaining({
      code: "E_DATA",
      message: 'The model declares the preprocessing "raw", the other model "imagenet".',
    }),
  );
});

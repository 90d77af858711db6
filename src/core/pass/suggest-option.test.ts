import { expect, test } from "vitest";
import { unknownOptionHint } from "./suggest-option.ts";

const names = ["learningRate", "weightDecay", "batch", "epochs", "warmup"];

test.each([
  ["lr", "learningRate"],
  ["learning_rate", "learningRate"],
  ["LearningRate", "learningRate"],
  ["batch_size", "batch"],
  ["wd", "weightDecay"],
  ["epoch", "epochs"],
])("suggests for %s the option %s", (typed, meant) => {
  expect(unknownOptionHint(typed, names)).toBe(`Did you mean "${meant}"?`);
});

test("suggests flags in the same way as keys", () => {
  expect(unknownOptionHint("--lr", ["--batch", "--learning-rate"])).toBe("Did you mean --learning-rate?");
  expect(unknownOptionHint("--weightDecay", ["--weight-decay"])).toBe("Did you mean --weight-decay?");
  expect(unknownOptionHint("--against", ["--data", "--original"])).toBe("Did you mean --original?");
});

test("suggests only existing names", () => {
  expect(unknownOptionHint("lr", ["amount", "scope"])).toBeUndefined();
  expect(unknownOptionHint("zzzzzz", names)).toBeUndefined();
});

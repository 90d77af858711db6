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

test("suggests flags as it suggests keys", () => {
  expect(unknownOptionHint("--lr", ["--batch", "--learning-rate"])).toBe("Did you mean --learning-rate?");
  expect(unknownOptionHint("--weightDecay", ["--weight-decay"])).toBe("Did you mean --weight-decay?");
});

test("suggests only names that exist", () => {
  expect(unknownOptionHint("lr", ["amount", "scope"])).toBeUndefined();
  expect(unknownOptionHint("zzzzzz", names)).toBeUndefined();
});

test("names the replacement of an option that was removed, not one that is spelled like it", () => {
  expect(unknownOptionHint("--tune", ["--time"])).toBe("It was removed: set the learning rate, temperature and alpha.");
  expect(unknownOptionHint("ownTexts", names)).toMatch(/^It was removed: /);
});

import { expect, test } from "vitest";
import { optionMeant } from "./suggest-option.ts";

const names = ["learningRate", "weightDecay", "batch", "epochs", "warmup"];

test.each([
  ["lr", "learningRate"],
  ["learning_rate", "learningRate"],
  ["LearningRate", "learningRate"],
  ["batch_size", "batch"],
  ["wd", "weightDecay"],
  ["epoch", "epochs"],
])("%s is %s", (typed, meant) => {
  expect(optionMeant(typed, names)).toBe(meant);
});

test("flags are met like keys", () => {
  expect(optionMeant("--lr", ["--batch", "--learning-rate"])).toBe("--learning-rate");
  expect(optionMeant("--weightDecay", ["--weight-decay"])).toBe("--weight-decay");
});

test("what is not among the names is not proposed", () => {
  expect(optionMeant("lr", ["amount", "scope"])).toBeUndefined();
  expect(optionMeant("zzzzzz", names)).toBeUndefined();
});

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
  expect(unknownOptionHint("--original", ["--data", "--against"])).toBe("Did you mean --against?");
});

test("suggests only existing names", () => {
  expect(unknownOptionHint("lr", ["amount", "scope"])).toBeUndefined();
  expect(unknownOptionHint("zzzzzz", names)).toBeUndefined();
});

test.each([
  ["--tune", ["--time", "--alpha"], "set the learning rate, temperature and alpha."],
  ["ownTexts", ["alpha"], "the student learns from the texts of the data."],
  ["--joint", ["--join", "--rank"], "layers with the same input are factorized separately."],
  ["--student", ["--stride", "--alpha"], "name the student as the argument of distill."],
  ["--nesterov", ["--momentum"], "sgd has plain momentum."],
  ["rates", ["rate", "momentum"], "`except` freezes layers, and `layers` trains only these."],
  ["--frozen-cache", ["--momentum"], "outputs of frozen parts are cached if that saves time."],
  ["--multiple", ["--rank", "--budget"], "set the rank, or a budget that decides the ranks."],
  ["allocation", ["budget", "method"], "a budget is spread by singular values."],
])("advises on %s, which was removed from the command with the options %j", (typed, names, advice) => {
  expect(unknownOptionHint(typed, names)).toBe(`It was removed: ${advice}`);
});

test.each([
  ["--tune", ["--time"], "Did you mean --time?"],
  ["--own-texts", ["--rank"], undefined],
  ["--ratio", ["--rank", "--alpha"], undefined],
  ["--multiple", ["--amount", "--round-to"], "Did you mean --round-to?"],
])("suggests existing options for %s if the command never had it", (typed, names, hint) => {
  expect(unknownOptionHint(typed, names)).toBe(hint);
});

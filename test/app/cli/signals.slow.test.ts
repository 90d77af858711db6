/** The signals of signals.test.ts, sent to more commands. */
import { test } from "vitest";
import { smallModels } from "./small-models.ts";
import { expectNothingLeft, neverYielding } from "./stopped.ts";

const { at } = smallModels();
const busy = neverYielding();

test.concurrent.each([
  ["SIGINT", 130, ["compress", "--data", "points.csv", "-o", "out"]],
  ["SIGTERM", 143, ["debug", "other.onnx", "-o", "model.html"]],
  ["SIGTERM", 143, ["eval", "--data", "points.csv"]],
  ["SIGINT", 130, ["train", "--data", "points.csv", "-o", "trained.onnx"]],
] as const)("%s ends a command with %d and leaves no files: %j", async (signal, expected, words) => {
  await expectNothingLeft(signal, expected, words, { busy, at });
});

/** Tests swapped models in each command that compares two. */
import { expect, test } from "vitest";
import { pith } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at } = smallModels();

test("reports swapped models with the command in the right order", async () => {
  const [original, result] = [at("hidden.onnx"), at("hidden.int8.onnx")];
  expect((await pith("quantize", original, "--scheme", "weights", "-o", result, "--force")).code).toBe(0);
  const pruned = at("hidden.pruned.onnx");
  expect((await pith("prune", original, "--structured", "50%", "-o", pruned, "--force")).code).toBe(0);
  const lines = (before: string, after: string) => [
    ["debug", before, after],
    ["bench", before, after, "--rounds", "1"],
    ["eval", after, "--original", before, "--data", at("points.csv")],
  ];
  for (const [index, words] of lines(result, original).entries()) {
    const { err } = await pith(...words);
    const right = (lines(original, result)[index] ?? []).filter((word) => !/^(--rounds|1|--data|.*\.csv)$/.test(word));
    expect(err).toContain(
      `swapped: "${result}" was given as the original, and looks like a result of "${original}": its weights are quantized. Did you mean: pith ${right.join(" ")}\n`,
    );
  }
  expect((await pith("debug", pruned, original)).err).toContain("its channels were cut by Pith");
  for (const [before, after] of [
    [original, result],
    [original, pruned],
    [pruned, result],
  ])
    for (const words of lines(before ?? "", after ?? "")) expect((await pith(...words)).err).not.toContain("swapped");
});

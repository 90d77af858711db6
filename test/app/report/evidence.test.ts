/** A recipe's report contains the samples and the layers in which two models differ. */
import { decode } from "fast-png";
import { describe, expect, test } from "vitest";
import { reportPage } from "../../../src/app/report/report-page.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { memory, preprocess, presets } from "../../../src/data/index.ts";
import { accuracy } from "../../../src/judge/index.ts";
import { recipeFrom } from "../../../src/judge/recipe/check-recipe.ts";
import type { Run } from "../../../src/judge/record/run-record.ts";
import { runRecipe } from "../../../src/judge/run/compress.ts";
import { faults } from "./well-formed.ts";

const network = (): Model =>
  parseModel(`opset 18
graph (x: float32[batch, 1, 8, 8]) -> (logits: float32[batch, 5]) {
  fc1.weight: float32[24, 64] = random(seed 1)
  fc2.weight: float32[24, 24] = random(seed 2)
  fc3.weight: float32[5, 24] = random(seed 3)
  flat = Flatten (x)
  h1 = Gemm "fc1" (flat, fc1.weight) {transB=1}
  a1 = Relu (h1)
  h2 = Gemm "fc2" (a1, fc2.weight) {transB=1}
  a2 = Relu (h2)
  logits = Gemm "fc3" (a2, fc3.weight) {transB=1}
}`);

const numbers = random(4, "images");
const bytes = Uint8Array.from({ length: 60 * 64 }, () => Math.floor(256 * numbers.uniform()));
const classes = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "ibis", "jay"];
const images = memory(
  "noise",
  {
    image: { type: "uint8", dims: [60, 8, 8], data: bytes },
    label: { type: "int64", dims: [60], data: BigInt64Array.from({ length: 60 }, (_, index) => BigInt(index % 5)) },
  },
  classes,
);

async function run(steps: readonly object[]): Promise<Run> {
  const net = network();
  const [input] = net.graph.feeds;
  if (input === undefined) throw new Error("The network has no input.");
  const test = preprocess(images, input, presets.mnist);
  const task = { test, metric: accuracy(), shownSamples: images };
  const result = await runRecipe(net, recipeFrom({ steps }), task, { force: true, rounds: 0 });
  return result.run;
}

describe("a recipe's report", () => {
  test("shows up to ten samples with different predictions, in their stored colors", async () => {
    const evidence = await run([{ prune: { amount: 0.6 } }]);
    expect(evidence.disagreements).toHaveLength(10);
    for (const { sample, original, variant, shown } of evidence.disagreements) {
      expect(original).not.toBe(variant);
      if (shown?.kind !== "image") throw new Error("The sample has no image.");
      const { data } = decode(Buffer.from(shown.address.split(",")[1] ?? "", "base64"));
      expect([...data]).toEqual([...bytes.subarray(sample * 64, (sample + 1) * 64)]);
    }
    const page = reportPage(JSON.parse(JSON.stringify(evidence)) as Run);
    expect(faults(page)).toEqual([]);
    expect(page.match(/<img /g)).toHaveLength(10);
  });

  test("names the classes of these samples if the data does", async () => {
    const { data, disagreements } = await run([{ prune: { amount: 0.6 } }]);
    const mentioned = disagreements.flatMap(({ label = -1, original, variant }) => [label, original, variant]);
    expect(data.classes).toEqual(Object.fromEntries(mentioned.map((value) => [value, classes[value]])));
  });

  test("states the error of each layer, and which layers cannot be compared", async () => {
    const { noise } = await run([{ prune: { amount: 0.3, layers: "fc2" } }]);
    expect(noise?.samples).toBe(16);
    expect(noise?.layers.map(({ layer, signalToNoise }) => [layer, signalToNoise === undefined])).toEqual([
      ["fc1", true],
      ["fc2", false],
      ["fc3", false],
    ]);
    const cut = (await run([{ prune: { amount: 0.5, structured: true } }])).noise;
    expect(cut?.layers.map(({ layer }) => layer)).toEqual(["fc3"]);
    expect(cut?.misses[0]).toEqual({
      at: "fc1",
      reason: expect.stringMatching(/the output is \[\d+, 24\] in the original and \[\d+, 12\] in the model/),
    });
  });
});

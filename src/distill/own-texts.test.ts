import { describe, expect, test } from "vitest";
import { memory } from "../data/index.ts";
import type { Dataset } from "../data/types.ts";
import { emitInto } from "../graph/emit.ts";
import { embedding, linear, network } from "../nn/index.ts";
import { float32, inMemory, int64 } from "../tensor/dense.ts";
import type { Batch } from "../tensor/types.ts";
import { train } from "../train/index.ts";
import { distill } from "./distill.ts";
import { distillation } from "./distillation.ts";
import { ownTexts } from "./own-texts.ts";

const words = 5;
const dims = ["batch", "tokens"] as const;

/** After word w comes w + step, all but surely: a table of scores for each word. */
function following(step: number) {
  const model = network(
    { next: embedding(words, words) },
    { input: { input_ids: { type: "int64", dims }, attention_mask: { type: "int64", dims } }, seed: 1 },
  );
  const table = model.graph.value("next.weight");
  const numbers = Float32Array.from({ length: words * words }, (_, at) =>
    (Math.floor(at / words) + step) % words === at % words ? 20 : 0,
  );
  if (table !== undefined) table.tensor = inMemory(float32([words, words], numbers));
  return model;
}

const texts = memory("texts", {
  input_ids: int64([2, 6], [0, 0, 3, 3, 3, 3, 2, 2, 4, 4, 0, 0]),
  attention_mask: int64([2, 6], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]),
  label: int64([2, 6], [0, 3, 3, 3, 3, -100, 2, 4, 4, -100, -100, -100]),
});

async function first(data: Dataset): Promise<Record<string, number[]>> {
  const batches: Batch[] = [];
  for await (const batch of data.batches({ size: 2 })) batches.push(batch);
  return Object.fromEntries(
    Object.entries(batches[0] ?? {}).map(([name, { data: numbers }]) => [
      name,
      Array.from(numbers as ArrayLike<unknown>, Number),
    ]),
  );
}

describe("texts that the student writes", () => {
  test("go on from the prompt as it would, up to the padding, and only what it wrote is learnt", async () => {
    const found = await first(ownTexts(following(1), texts, { share: 1, prompt: 2 }));
    expect(found.input_ids).toEqual([0, 0, 1, 2, 3, 4, 2, 2, 3, 4, 0, 0]);
    expect(found.label).toEqual([-100, 1, 2, 3, 4, -100, -100, 3, 4, -100, -100, -100]);
  });

  test("are drawn by its scores, also behind an output of hidden states", async () => {
    const student = following(1);
    const [scores] = student.graph.outputs;
    if (scores === undefined) throw new Error("the student has no output");
    student.graph.rename(scores, "logits");
    const hidden = emitInto(student).named("hidden").Neg([scores]);
    student.graph.setOutputs([hidden, scores]);
    const found = await first(ownTexts(student, texts, { share: 1, prompt: 2 }));
    expect(found.input_ids).toEqual([0, 0, 1, 2, 3, 4, 2, 2, 3, 4, 0, 0]);
  });

  test("are those of the student as it is when an epoch begins", async () => {
    const student = following(1);
    const own = ownTexts(student, texts, { share: 1, prompt: 1 });
    expect((await first(own)).input_ids?.slice(0, 6)).toEqual([0, 1, 2, 3, 4, 0]);
    const [table, other] = [student, following(2)].map((model) => model.graph.value("next.weight"));
    if (table !== undefined) table.tensor = other?.tensor;
    expect((await first(own)).input_ids?.slice(0, 6)).toEqual([0, 2, 4, 1, 3, 0]);
  });

  test("are none at a share of 0, and the same for the same seed", async () => {
    expect(await first(ownTexts(following(1), texts, { share: 0 }))).toEqual(await first(texts));
    const drawn = (seed: number) =>
      first(ownTexts(following(1), texts, { share: 1, prompt: 1, temperature: 20 }, { seed }));
    expect(await drawn(3)).toEqual(await drawn(3));
    expect((await drawn(3)).input_ids).not.toEqual((await drawn(4)).input_ids);
  });

  test("teach it what the teacher would have written", async () => {
    const student = network(
      { words: embedding(words, 8), next: linear(8, words) },
      { input: { input_ids: { type: "int64", dims }, attention_mask: { type: "int64", dims } }, seed: 2 },
    );
    const data = ownTexts(student, texts, { share: 1, prompt: 1 }, { seed: 1 });
    const loss = distillation({ teacher: following(1), loss: "gkd(beta=0.5)" });
    await train(student, { data, loss, epochs: 150, batch: 2, learningRate: 0.05, schedule: "constant" });
    const { input_ids: ids } = await first(ownTexts(student, texts, { share: 1, prompt: 1, temperature: 0.1 }));
    expect(ids).toEqual([0, 1, 2, 3, 4, 0, 2, 3, 4, 0, 0, 0]);
  });

  test("are an option of distill, whose loss then leaves labels out", async () => {
    const student = network(
      { words: embedding(words, 8), next: linear(8, words) },
      { input: { input_ids: { type: "int64", dims }, attention_mask: { type: "int64", dims } }, seed: 2 },
    );
    const told: string[] = [];
    const log = ({ text }: { readonly text: string }) => told.push(text);
    await distill(
      student,
      {
        teacher: following(1),
        data: texts,
        ownTexts: 1,
        epochs: 200,
        batch: 2,
        learningRate: 0.05,
        schedule: "constant",
      },
      { log },
    );
    expect(told.join("\n")).toContain("loss: 1 * hinton(temperature=4)");
    const { input_ids: ids } = await first(ownTexts(student, texts, { share: 1, prompt: 1, temperature: 0.1 }));
    expect(ids).toEqual([0, 1, 2, 3, 4, 0, 2, 3, 4, 0, 0, 0]);
  });

  test.each([
    [{ share: 2 }, "The share must lie between 0 and 1, got 2."],
    [{ prompt: 0 }, "The prompt must be 1 token or more, got 0."],
    [{ temperature: 0 }, "The temperature must be above 0, got 0."],
  ])("%o is refused", (options, message) => {
    expect(() => ownTexts(following(1), texts, options)).toThrow(message);
  });

  test("a model of vectors is refused, and data without tokens", async () => {
    const classifier = network({ fc: linear(4, 2) }, { input: ["batch", 4], seed: 1 });
    expect(() => ownTexts(classifier, texts)).toThrow("cannot write texts");
    await expect(first(ownTexts(following(1), memory("none", { x: float32([2, 1], [1, 2]) })))).rejects.toThrow(
      'The data has no tokens "input_ids"',
    );
  });
});

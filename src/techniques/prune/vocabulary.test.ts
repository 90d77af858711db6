import { describe, expect, test } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { verify } from "../../core/graph/verify.ts";
import { toNumbers } from "../../core/tensor/convert.ts";
import { int64 } from "../../core/tensor/dense.ts";
import { takeIndices } from "../../core/tensor/take.ts";
import type { Dense } from "../../core/tensor/types.ts";
import { trimVocabulary } from "./index.ts";

const kept = [0, 2, 3, 7];

const languageText = (head: string): string =>
  `opset 18
graph (input_ids: int64[batch, sequence]) -> (logits: float32[batch, sequence, 8]) {
  table: float32[8, 4] parameter = random(seed 1)
  places: float32[8, 4] parameter = random(seed 5)
  w: float32[4, 4] parameter = random(seed 2)
  h = Gather(table, input_ids)
  g = MatMul(h, w)
  ${head}
}`;
const languageModel = (head: string): Model => parseModel(languageText(head));

const tied = `turned = Transpose(table) {perm=[1, 0]}
  logits = MatMul(g, turned)`;
const separateHead = `head: float32[4, 8] parameter = random(seed 3)
  bias: float32[8] parameter = random(seed 4)
  scores = MatMul(g, head)
  logits = Add(scores, bias)`;

async function logits(model: Model, ids: readonly number[]): Promise<Dense> {
  const session = await createEngine().load(model);
  const { logits: scores = expect.fail("no logits") } = await session.run({ input_ids: int64([1, ids.length], ids) });
  await session.release();
  return scores;
}

describe("trimVocabulary", () => {
  test.each([
    ["tied to the transposed table", tied],
    ["separate, with a bias", separateHead],
  ])("keeps the scores of kept tokens if the head is %s", async (_, head) => {
    const [original, model] = [languageModel(head), languageModel(head)];
    const { changes, scores } = await trimVocabulary(model, kept);
    expect(verify(model)).toEqual([]);
    expect(changes.map(({ what }) => what)).toEqual(["4 of 8 tokens kept", "4 of 8 tokens kept"]);
    expect([...scores]).toEqual([["logits", 2]]);
    expect(model.graph.value("table")?.tensor?.dims).toEqual([4, 4]);
    expect(model.graph.value("places")?.tensor?.dims).toEqual([8, 4]);
    expect(model.graph.outputs[0]?.type?.dims?.[2]).toBe(4);
    const expected = takeIndices(await logits(original, [7, 2, 0, 3]), 2, kept);
    expect(toNumbers(await logits(model, [3, 1, 0, 2]))).toEqual(toNumbers(expected));
  });

  test("keeps the scores of kept tokens if the head scores the last position only", async () => {
    const head = `head: float32[4, 8] parameter = random(seed 3)
  last: int64[1] = [-1]
  axes: int64[1] = [1]
  one = Gather(g, last) {axis=1}
  h1 = Squeeze(one, axes)
  logits = MatMul(h1, head)`;
    const text = (head: string) => parseModel(languageText(head).replace("[batch, sequence, 8]", "[batch, 8]"));
    const [original, model] = [text(head), text(head)];
    const { scores } = await trimVocabulary(model, kept);
    expect([...scores]).toEqual([["logits", 1]]);
    const expected = takeIndices(await logits(original, [7, 2, 0, 3]), 1, kept);
    expect(toNumbers(await logits(model, [3, 1, 0, 2]))).toEqual(toNumbers(expected));
  });

  test("skips a head with more scores than the table has rows", async () => {
    const head = "head: float32[4, 16] parameter = random(seed 3)\n  logits = MatMul(g, head)";
    const model = parseModel(languageText(head).replace("sequence, 8]", "sequence, 16]"));
    expect(await trimVocabulary(model, kept)).toMatchObject({
      changes: [],
      misses: [{ reason: "it scores 16 tokens, but the embedding table has 8 rows", at: "logits" }],
    });
  });

  test("trims the table of words in a classifier, but not its outputs or other tables", async () => {
    const model = parseModel(`opset 18
graph (input_ids: int64[batch, 5], token_type_ids: int64[batch, 5]) -> (y: float32[batch, 5, 4]) {
  words: float32[8, 4] parameter = random(seed 1)
  types: float32[8, 4] parameter = random(seed 2)
  a = Gather(words, input_ids)
  b = Gather(types, token_type_ids)
  y = Add(a, b)
}`);
    await trimVocabulary(model, kept);
    expect(model.graph.value("words")?.tensor?.dims).toEqual([4, 4]);
    expect(model.graph.value("types")?.tensor?.dims).toEqual([8, 4]);
  });

  test.each([
    ["the output is probabilities over all tokens", "s = MatMul(g, head)\n  logits = LogSoftmax(s) {axis=2}"],
    [
      "another node reads the maximum over all tokens",
      "s = MatMul(g, head)\n  best = ReduceMax(s) {axes=[2]}\n  logits = Sub(s, best)",
    ],
  ])("changes nothing if %s", async (_, nodes) => {
    const model = languageModel(
      `head: float32[4, 8] parameter = random(seed 3)\n  ${nodes.replace(" {axes=[2]}", "")}`,
    );
    const { changes, misses } = await trimVocabulary(model, kept);
    expect(changes).toEqual([]);
    expect(misses).toHaveLength(1);
    expect(model.graph.value("table")?.tensor?.dims).toEqual([8, 4]);
  });

  test("changes nothing without an embedding table", async () => {
    const model = parseModel(`opset 18
graph (x: float32[batch, 4]) -> (y) {
  w: float32[4, 8] parameter = random(seed 1)
  y = MatMul(x, w)
}`);
    expect(await trimVocabulary(model, kept)).toMatchObject({ changes: [], hasTables: false });
  });

  test("changes nothing for all tokens, and rejects ids that are missing or not ascending", async () => {
    const all = [0, 1, 2, 3, 4, 5, 6, 7];
    expect(await trimVocabulary(languageModel(tied), all)).toMatchObject({
      changes: [],
      misses: [{ reason: "all tokens are kept" }],
    });
    for (const wrong of [[], [8], [3, 2], [1, 1]])
      await expect(trimVocabulary(languageModel(tied), wrong)).rejects.toMatchObject({ code: "E_OPTION" });
  });
});

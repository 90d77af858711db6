import { expect, test } from "vitest";
import { parseModel } from "../graph/text.ts";
import { channelGroups } from "./channels.ts";
import { infer } from "./infer.ts";
import { keptChannelsKey, originalChannelsOf } from "./provenance.ts";
import { removeChannels } from "./remove-channels.ts";

const chain = () =>
  parseModel(`opset 17
graph (x: float32[n, 2]) -> (y: float32[n, 3]) {
  a.weight: float32[6, 2] = random(seed 1)
  b.weight: float32[3, 6] = random(seed 2)
  h = Gemm "a" (x, a.weight) {transB=1}
  y = Gemm "b" (h, b.weight) {transB=1}
}`);

async function cutUnits(model: ReturnType<typeof chain>, units: readonly number[]): Promise<void> {
  const group = channelGroups(model, infer(model)).find(({ layers }) => layers.some(({ name }) => name === "a"));
  if (group === undefined) throw new Error("a has no channels");
  await removeChannels(model, [{ group, units }]);
}

test("records which channels of the original remain, also after a second cut", async () => {
  const model = chain();
  expect(originalChannelsOf(model, "a")).toBeUndefined();
  await cutUnits(model, [1, 4]);
  expect(model.header.metadata.get(keptChannelsKey)).toBe('{"a":"0,2-3,5"}');
  await cutUnits(model, [1]);
  expect(originalChannelsOf(model, "a")).toEqual([0, 3, 5]);
  expect(originalChannelsOf(model, "b")).toBeUndefined();
});

test.each(["{", "[]", '{"a":3}', '{"a":"0-"}', '{"a":"3-9999999"}', '{"a":"-1"}', "null"])(
  "ignores invalid metadata: %s",
  (text) => {
    const model = chain();
    model.header.metadata.set(keptChannelsKey, text);
    expect(originalChannelsOf(model, "a")).toBeUndefined();
  },
);

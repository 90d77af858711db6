import { expect, test } from "vitest";
import { channelGroups, countFree, freeUnits } from "../../core/analysis/channels.ts";
import { infer } from "../../core/analysis/infer.ts";
import { parseModel } from "../../core/graph/text.ts";
import { freeChannels, partVectors } from "./free-channels.ts";

const network = () =>
  parseModel(`opset 17
graph (x: float32[batch, 4]) -> (y: float32[batch, 6]) {
  a.weight: float32[4, 6] = random(seed 1)
  b.weight: float32[6, 6] = random(seed 2)
  c.weight: float32[6, 6] = random(seed 3)
  zeros: float32[6] = zeros
  one: float32[] = 1
  p = Gemm "a" (x, a.weight, zeros)
  q = Gemm "b" (p, b.weight, zeros)
  r = Gemm "c" (q, c.weight, zeros)
  y = Mul (r, one)
}`);

test("partVectors gives each reader of a bias a separate value with the same tensor", async () => {
  const model = network();
  const { changes } = await partVectors(model);
  expect(changes.map(({ at, kind }) => [at, kind])).toEqual([
    ['Gemm "b"', "vector parted"],
    ['Gemm "c"', "vector parted"],
  ]);
  const biases = [...model.graph.nodes()].flatMap(({ op, inputs }) => (op === "Gemm" ? [inputs[2]] : []));
  expect(new Set(biases).size).toBe(3);
  expect(new Set(biases.map((bias) => bias?.tensor)).size).toBe(1);
  expect((await partVectors(model)).changes).toEqual([]);
});

test("freeChannels separates channel groups of layers that share only a bias", async () => {
  const free = (model: ReturnType<typeof network>) =>
    channelGroups(model, infer(model)).map(
      (group) => `${group.layers.map(({ name }) => name)} ${freeUnits(group).length}`,
    );
  const model = network();
  expect(free(model)).toEqual(["a,b,c 0"]);
  await freeChannels(model, (candidate) => ({ free: countFree(channelGroups(candidate, infer(candidate))) }));
  expect(free(model)).toEqual(["a 6", "b 6", "c 0"]);
});

import { expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { save } from "../../core/onnx/index.ts";
import { float32, int64 } from "../../core/tensor/dense.ts";
import { memory } from "../../data/index.ts";
import { linear, network } from "../nn/index.ts";
import { lastFile, readCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import { train } from "./train.ts";

const net = () => network({ fc: linear(3, 2) }, { input: ["batch", 3], seed: 1 });

test("reads and writes non-finite numbers and texts that look like them", async () => {
  const path = lastFile(temporaryFolder());
  const progress = { figures: [Number.NaN, Infinity, -Infinity, -0.5], name: "loss", none: null, text: "NaN" };
  await writeCheckpoint(path, { model: net(), state: { "fc.weight/first": float32([2], [1, 2]) }, progress });
  const stored = await readCheckpoint(path);
  expect(stored.progress).toEqual(progress);
  expect(stored.state).toEqual({ "fc.weight/first": float32([2], [1, 2]) });
  expect(stored.model.header.metadata.size).toBe(0);
});

test.each(["", "{", "{}", "null", "3", '{ "counters": {} }'])("rejects progress %j", async (text) => {
  const checkpoint = temporaryFolder();
  const broken = net();
  broken.header.metadata.set("pith.training", text);
  await save(broken, lastFile(checkpoint));
  const data = memory("two", { input: float32([2, 3], [1, 0, 0, 0, 1, 0]), label: int64([2], [0, 1]) });
  await expect(train(net(), { data, checkpoint, resume: true })).rejects.toMatchObject({
    code: "E_DATA",
    message: `"${lastFile(checkpoint)}" is not a training checkpoint.`,
  });
});

import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { data, expectContinued, net, stopAfter, trained, weights } from "../../../test/train/corners.ts";
import type { Model } from "../../core/graph/model.ts";
import { open } from "../../core/onnx/index.ts";
import { prune, remove } from "../../techniques/prune/index.ts";
import { rewind, train } from "./index.ts";

const at = (model: Model, name: string): Promise<unknown> =>
  (model.graph.value(name)?.tensor?.read() ?? Promise.resolve(undefined)).then((dense) => dense?.data);

const names = ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"];
const options = { data, batch: 24, schedule: "constant" } as const;

/** Returns the network after the given number of the thirty steps. */
async function after(steps: number): Promise<Model> {
  if (steps === 0) return net();
  const checkpoint = temporaryFolder();
  await trained({ schedule: "constant", checkpoint }, stopAfter(steps)).catch(() => {});
  return open(`${checkpoint}/last.onnx`);
}

describe("kept weights", () => {
  test.each([0, 4, 10, 30])("equal those of a training of %i steps", async (keepStep) => {
    const { model } = await trained({ schedule: "constant", keepStep });
    await rewind(model);
    const then = await after(keepStep);
    for (const name of names) expect(await at(model, name)).toEqual(await at(then, name));
  });

  test("do not affect outputs, and stay until masks are folded in", async () => {
    const { model } = await trained({ keepStep: 0 });
    for (let round = 0; round < 2; round++) {
      await prune(model, { amount: 0.5, keepMasks: true });
      await rewind(model);
    }
    expect(await at(model, "fc1.weight_orig")).toEqual(await at(net(), "fc1.weight"));
    await remove(model);
    expect([...model.graph.values()].filter(({ name }) => name.startsWith("pith."))).toEqual([]);
    await expect(rewind(model)).rejects.toMatchObject({ code: "E_OPTION" });
  });

  test("rewound weights under a mask equal the initial weights times the mask", async () => {
    const { model } = await trained({ keepStep: 0 });
    await prune(model, { amount: 0.5, keepMasks: true });
    const { changes, misses } = await rewind(model);
    expect(changes.map(({ at: name }) => name)).toEqual(names);
    expect(misses).toEqual([]);
    await train(model, { ...options, epochs: 1 }, { seed: 1 });
    const mask = (await at(model, "fc1.weight_mask")) as Float32Array;
    expect(mask.filter((kept) => kept === 0).length).toBe(12);
    await remove(model);
    const remaining = (await at(model, "fc1.weight")) as Float32Array;
    expect(mask.every((kept, index) => kept === 1 || remaining[index] === 0)).toBe(true);
  });

  test("skip a layer that was pruned since", async () => {
    const { model } = await trained({ keepStep: 0 });
    await prune(model, { structured: 0.5, layers: "fc1" });
    const { misses } = await rewind(model);
    expect(misses.map(({ at: name, reason }) => [name, reason])).toEqual(
      ["fc1.weight", "fc1.bias", "fc2.weight"].map((name) => [name, "it was cut since its weights were kept"]),
    );
  });

  test("are stored in checkpoints", async () => {
    await expectContinued({ keepStep: 5 });
  });

  test("fail for a step after the training, and without kept weights", async () => {
    await expect(trained({ keepStep: 31 })).rejects.toMatchObject({
      code: "E_OPTION",
      message: "keepStep: expected at most 30, the number of steps, got 31.",
    });
    await expect(rewind(net())).rejects.toMatchObject({
      code: "E_OPTION",
      message: "rewind: the model contains no weights of an earlier step.",
    });
    expect(Object.keys(await weights(net()))).toEqual(names);
  });
});

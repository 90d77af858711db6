/** A resumed training of a network ends with the same bits. */
import { describe, expect, test } from "vitest";
import { train } from "../../../src/learn/train/index.ts";
import { temporaryFolder } from "../../temporary.ts";
import { everything, imageNet, stripes, textNet, texts } from "./small-nets.ts";

describe("networks learn, and compute the same after saving and opening", () => {
  test.each([
    ["dropout", textNet, texts(64)],
    ["running statistics", imageNet, stripes(64)],
  ] as const)("a resumed training ends with the bits of an uninterrupted one: %s", async (_, make, data) => {
    const settings = { data, epochs: 2, batch: 16, validation: data, every: 3 };
    const uninterrupted = make();
    await train(uninterrupted, settings, { seed: 1 });
    const checkpoint = temporaryFolder();
    const controller = new AbortController();
    const progress = (done: number): void => {
      if (done >= 3) controller.abort();
    };
    const resumable = { ...settings, checkpoint };
    await expect(train(make(), resumable, { seed: 1, signal: controller.signal, progress })).rejects.toMatchObject({
      code: "E_STOPPED",
    });
    const continued = make();
    await train(continued, { ...resumable, resume: true }, { seed: 1 });
    expect(await everything(continued)).toEqual(await everything(uninterrupted));
  });
});

import { describe, expect, test } from "vitest";
import { float32, int64 } from "../../core/tensor/dense.ts";
import { memory } from "../../data/index.ts";
import { linear, network } from "../nn/index.ts";
import { train } from "./train.ts";

const nowhere = "there/is/no/such/place";
const net = () => network({ fc: linear(3, 2) }, { input: ["batch", 3], seed: 1 });

test("rejects a path without data", async () => {
  await expect(train(net(), { data: nowhere })).rejects.toMatchObject({ code: "E_FILE" });
});

describe("invalid options are rejected before data is opened", () => {
  test.each([
    [{ loss: "hinge" }, '"hinge" is not a loss; the losses are cross-entropy, ', /^Losses can be added/],
    [{ loss: "mse(delta=2)" }, "The loss mse has no setting", undefined],
    [{ augment: "crop=4 blur" }, 'train: "augment": "blur" is not known, only crop, ', /^For instance "crop=4/],
    [{ augment: "crop=-1" }, 'train: "augment": crop: ', /^For instance/],
    [{ augment: "crop flip" }, 'train: "augment": crop takes a number: crop=4.', /^For instance/],
    [{ augment: { flip: false } }, 'train: "augment": no augmentation is given.', /^For instance/],
    [{ validation: "110%" }, "takes a share between 0 and 1, like 10%", undefined],
    [{ validation: "0%" }, "takes a share between 0 and 1, like 10%", undefined],
    [{ validation: 10 }, "takes a share between 0 and 1, like 10%", undefined],
    [{ schedule: "zigzag" }, '"schedule"', undefined],
  ])("%j", async (given, message, hint) => {
    const refused = await train(net(), { data: nowhere, ...(given as object) }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "E_OPTION", message: expect.stringContaining(message) });
    expect(refused).toMatchObject({ hint: hint === undefined ? undefined : expect.stringMatching(hint) });
  });
});

test("a percentage is a held-out share, and other text is a path", async () => {
  const labels = Array.from({ length: 20 }, (_, row) => row % 2);
  const data = memory("twenty", {
    input: float32(
      [20, 3],
      labels.flatMap((l) => [l, 1, 0]),
    ),
    label: int64([20], labels),
  });
  const { training } = await train(net(), { data, epochs: 1, batch: 4, validation: "10%" });
  expect(training).toMatchObject({ samples: 18, chosen: { samples: 2 } });
  await expect(train(net(), { data, validation: nowhere })).rejects.toMatchObject({
    code: "E_FILE",
    message: expect.stringContaining(nowhere),
  });
});

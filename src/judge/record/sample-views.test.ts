import { decode } from "fast-png";
import { describe, expect, test } from "vitest";
import { random } from "../../core/tensor/random.ts";
import type { Batch, Dense } from "../../core/tensor/types.ts";
import { type Dataset, memory, preprocess, presets } from "../../data/index.ts";
import { sampleViewOf, sampleViewsOf } from "./sample-views.ts";

const noise = (count: number): Uint8Array => {
  const numbers = random(1, "test");
  return Uint8Array.from({ length: count }, () => Math.floor(256 * numbers.uniform()));
};
const pixels = (view: ReturnType<typeof sampleViewOf>) => {
  if (view?.kind !== "image") throw new Error("No image.");
  const { data, channels, width, height } = decode(Buffer.from(view.address.split(",")[1] ?? "", "base64"));
  expect([width, height]).toEqual([view.width, view.height]);
  return { data: [...data], channels };
};
const image = (data: Uint8Array, dims: readonly number[]): Batch => ({ image: { type: "uint8", dims, data } });

describe("the view of an image", () => {
  test("interleaves the channels of stored planes", () => {
    const data = noise(3 * 10 * 9);
    const actual = pixels(sampleViewOf(undefined, image(data, [1, 3, 10, 9])));
    expect(actual).toEqual({
      channels: 3,
      data: Array.from({ length: 3 * 90 }, (_, index) => data[(index % 3) * 90 + Math.floor(index / 3)]),
    });
  });

  test("equals stored pixels, also in grayscale", () => {
    const color = noise(8 * 8 * 3);
    expect(pixels(sampleViewOf(undefined, image(color, [1, 8, 8, 3]))).data).toEqual([...color]);
    const grey = noise(28 * 28);
    expect(pixels(sampleViewOf(undefined, image(grey, [1, 28, 28])))).toEqual({ channels: 1, data: [...grey] });
  });

  test("is downscaled by averaging if the image is large", () => {
    const data = Uint8Array.from({ length: 192 * 100 }, (_, index) => (index % 2) * 200);
    const view = sampleViewOf(undefined, image(data, [1, 1, 100, 192]));
    expect(view).toMatchObject({ kind: "image", width: 96, height: 50 });
    expect(new Set(pixels(view).data)).toEqual(new Set([100]));
  });
});

test("viewOf shows the original text, truncated if it is long", () => {
  const text: Dense = { type: "string", dims: [1], data: ["x".repeat(1000)] };
  const ready: Batch = { input_ids: { type: "int64", dims: [1, 2], data: BigInt64Array.from([1n, 2n]) } };
  expect(sampleViewOf(ready, { text })).toEqual({ kind: "text", text: `${"x".repeat(280)}…` });
});

test("viewOf shows the first values of each input, but not the label", () => {
  const x: Dense = { type: "float32", dims: [1, 30], data: Float32Array.from({ length: 30 }, (_, index) => index / 3) };
  const label: Dense = { type: "int64", dims: [1], data: BigInt64Array.from([7n]) };
  const view = sampleViewOf({ x, label });
  expect(view).toMatchObject({ kind: "numbers", inputs: [{ name: "x", count: 30 }] });
  expect(view?.kind === "numbers" && view.inputs[0]?.numbers.slice(0, 3)).toEqual([0, 0.3333, 0.6667]);
  expect(sampleViewOf({ label })).toBeUndefined();
});

describe("viewsOf", () => {
  const images = memory("digits", { image: { type: "uint8", dims: [40, 8, 8], data: noise(40 * 64) } });
  const input = { name: "x", type: { type: "float32", dims: [1, 1, 8, 8] } } as const;
  const ready = preprocess(images, input, presets.mnist);

  test("returns the samples at the given positions, in their stored colors", async () => {
    const views = await sampleViewsOf([3, 39], ready, images);
    const { data } = (await images.gather(Uint32Array.of(39))).image ?? {};
    expect(pixels(views[1]).data).toEqual([...(data as Uint8Array)]);
    expect(pixels(views[0]).data).not.toEqual(pixels(views[1]).data);
  });

  test("reads a stream only up to the last requested sample", async () => {
    let read = 0;
    const stream: Dataset = {
      name: "stream",
      count: undefined,
      async *batches(options) {
        for await (const batch of ready.batches(options)) {
          read += batch.x?.dims[0] ?? 0;
          yield batch;
        }
      },
    };
    const [actual, beyond] = await sampleViewsOf([17, 99], stream, undefined);
    expect([actual?.kind, beyond]).toEqual(["numbers", undefined]);
    read = 0;
    await sampleViewsOf([5], stream, undefined);
    expect(read).toBeLessThanOrEqual(16);
  });

  test("ignores images of a data set with another number of samples", async () => {
    const other = memory("other", { image: { type: "uint8", dims: [39, 8, 8], data: noise(39 * 64) } });
    const [[before], [after]] = [await sampleViewsOf([3], ready, other), await sampleViewsOf([3], ready, undefined)];
    expect(before).toEqual(after);
  });
});

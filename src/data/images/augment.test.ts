import { describe, expect, it, test } from "vitest";
import { PithError } from "../../core/errors.ts";
import { float32, int64 } from "../../core/tensor/dense.ts";
import type { Batch, Dense } from "../../core/tensor/types.ts";
import { type Augmentation, augmented, type Dataset, memory, preprocess, presets, split } from "../index.ts";
import { parseAugmentation } from "./augment-options.ts";

/** Builds images of the values 1 … 24: [count, 3, 2, 4], or with channels last. */
function counting(count: number, dims: readonly number[] = [3, 2, 4]) {
  const each = dims.reduce((size, dim) => size * dim, 1);
  const data = Float32Array.from({ length: count * each }, (_, at) => (at % each) + 1);
  return memory("counting", {
    image: float32([count, ...dims], data),
    label: int64(
      [count],
      Array.from({ length: count }, (_, row) => row % 3),
    ),
  });
}

async function batches(data: Dataset, shuffle?: number, size = 64): Promise<readonly Batch[]> {
  const result: Batch[] = [];
  for await (const batch of data.batches({ size, ...(shuffle === undefined ? {} : { shuffle }) })) result.push(batch);
  return result;
}

async function rows(data: Dataset, shuffle?: number): Promise<readonly (readonly number[])[]> {
  return (await batches(data, shuffle)).flatMap(({ image }) => {
    const count = image?.dims[0] ?? 1;
    const numbers = Array.from(image?.data ?? [], Number);
    const width = numbers.length / count;
    return Array.from({ length: count }, (_, row) => numbers.slice(row * width, (row + 1) * width));
  });
}

/** Crops an image of [channels, height, width] from a frame of zeros and mirrors it, as a reference. */
function cut(
  image: readonly number[],
  dims: readonly [number, number, number],
  down: number,
  right: number,
  mirror: boolean,
) {
  const [channels, height, width] = dims;
  const at = (channel: number, row: number, column: number): number =>
    row < 0 || row >= height || column < 0 || column >= width
      ? 0
      : (image[(channel * height + row) * width + column] ?? 0);
  const values: number[] = [];
  for (let channel = 0; channel < channels; channel++)
    for (let row = 0; row < height; row++)
      for (let column = 0; column < width; column++)
        values.push(at(channel, row + down, (mirror ? width - 1 - column : column) + right));
  return values;
}

const transposed = (image: readonly number[], [channels, height, width]: readonly [number, number, number]) =>
  Array.from({ length: image.length }, (_, at) => {
    const [channel, place] = [at % channels, Math.floor(at / channels)];
    return image[channel * height * width + place] ?? 0;
  });

const image = Array.from({ length: 24 }, (_, at) => at + 1);
const text = (numbers: readonly number[]): string => numbers.join();
const seen = (data: Dataset, how: Augmentation, seed = 1) => augmented(data, how, { seed });

describe("augmented with crop and flip", () => {
  const shape = [3, 2, 4] as const;
  const places = [-1, 0, 1].flatMap((down) =>
    [-1, 0, 1].flatMap((right) => [false, true].map((mirror) => ({ down, right, mirror }))),
  );

  test("gives only pixels of one of the possible crops, and all crops occur", async () => {
    const all = new Set(places.map(({ down, right, mirror }) => text(cut(image, shape, down, right, mirror))));
    expect(all.size).toBe(18);
    const views = await rows(seen(counting(600), { crop: 1, flip: true }), 1);
    expect(new Set(views.map(text))).toEqual(all);
  });

  test("gives the same images with channels last", async () => {
    const all = new Set(
      places.map(({ down, right, mirror }) => text(transposed(cut(image, shape, down, right, mirror), shape))),
    );
    const last = memory("last", {
      image: float32([300, 2, 4, 3], Array.from({ length: 300 }, () => transposed(image, shape)).flat()),
    });
    expect(new Set((await rows(seen(last, { crop: 1, flip: true }), 1)).map(text))).toEqual(all);
  });

  test("mirrors half of the images", async () => {
    const mirrored = text(cut(image, shape, 0, 0, true));
    const views = (await rows(seen(counting(2000), { flip: true }), 1)).map(text);
    expect(new Set(views)).toEqual(new Set([mirrored, text(image)]));
    // Four standard deviations of 2000 samples are 89.
    const count = views.filter((row) => row === mirrored).length;
    expect(Math.abs(count - 1000)).toBeLessThan(90);
  });

  test("selects each crop equally often", async () => {
    const views = (await rows(seen(counting(1800), { crop: 1 }), 3)).map(text);
    for (const down of [-1, 0, 1])
      for (const right of [-1, 0, 1]) {
        const count = views.filter((row) => row === text(cut(image, shape, down, right, false))).length;
        // The expected count is 200 of 1800, with a standard deviation of 13.3.
        expect(Math.abs(count - 200)).toBeLessThan(54);
      }
  });
});

describe("random augmentation", () => {
  const how: Augmentation = { crop: 2, flip: true };

  test("depends on the seed, the epoch and the sample", async () => {
    const data = counting(50);
    const first = await rows(seen(data, how), 1);
    expect(await rows(seen(data, how), 1)).toEqual(first);
    expect(await rows(seen(data, how), 2)).not.toEqual(first);
    expect(await rows(seen(data, how, 2), 1)).not.toEqual(first);
    expect(new Set(first.map(text)).size).toBeGreaterThan(15);
  });

  test("does not depend on a sample's position in the batch", async () => {
    const data = augmented(counting(50), how, { seed: 1 });
    const imagesAt = async (...positions: number[]) => (await data.gather(Uint32Array.from(positions), 7)).image?.data;
    const [both, turned, alone] = [await imagesAt(3, 9), await imagesAt(9, 3), await imagesAt(9)];
    expect([...(both ?? [])].slice(24)).toEqual([...(alone ?? [])]);
    expect([...(turned ?? [])].slice(0, 24)).toEqual([...(alone ?? [])]);
  });

  test("differs by epoch through preprocess and split", async () => {
    const bytes = memory("bytes", {
      image: { type: "uint8", dims: [20, 1, 4, 4], data: Uint8Array.from({ length: 320 }, (_, at) => at % 251) },
    });
    const [part] = split(seen(bytes, { crop: 2 }), [0.8, 0.2], 1);
    if (part === undefined) throw new Error("no part");
    const ready = preprocess(part, { name: "image", type: { type: "float32", dims: [1, 1, 4, 4] } }, presets.unit);
    const sorted = async (epoch: number) => (await rows(ready, epoch)).map(text).toSorted();
    expect(await sorted(1)).toEqual(await sorted(1));
    expect(await sorted(1)).not.toEqual(await sorted(2));
  });

  test("depends on the position in a stream", async () => {
    const source = counting(10);
    const stream: Dataset = {
      name: "stream",
      count: undefined,
      batches: (options) => source.batches({ size: options.size }),
    };
    const complete = await rows(seen(stream, how), 1);
    const parts = (await batches(seen(stream, how), 1, 3)).flatMap(({ image }) =>
      Array.from(image?.data ?? [], Number),
    );
    expect(parts).toEqual(complete.flat());
    expect(await rows(seen(stream, how), 2)).not.toEqual(complete);
  });

  test("does not modify the source dataset", async () => {
    const data = counting(10);
    const before = await rows(data);
    await rows(seen(data, how, 1), 1);
    expect(await rows(data)).toEqual(before);
  });
});

describe("augmentation errors", () => {
  it.each([
    ["an unknown name", "blur=3", /augment: "blur" is not known, only crop/],
    ["half a pixel", "crop=1.5", /augment: crop: must be a whole number\./],
    ["a value for a flag", "flip=3", /augment: flip: .*boolean.* received 3/],
    ["a text for a number", "crop=big", /augment: crop: .*number.* received "big"/],
    ["a missing value", "crop", /augment: crop takes a number: crop=4\./],
    ["a repeated setting", "crop=2 crop=3", /"crop" is given twice/],
    ["no settings", "", /no augmentation is given/],
    ["settings without effect", "crop=0 layout=NCHW", /no augmentation is given/],
  ])("rejects %s", (_, words, message) => {
    expect(() => parseAugmentation(words)).toThrow(message);
    expect(() => parseAugmentation(words)).toThrow(PithError);
  });

  it("parseAugmentation reads a text like an object", () => {
    const words = "crop=4 flip, layout=NHWC";
    const all = { crop: 4, flip: true, layout: "NHWC" } as const;
    expect(parseAugmentation(words)).toEqual(all);
    expect(parseAugmentation(all)).toEqual(all);
  });

  const image = float32([2, 1, 2, 2], new Float32Array(8));
  it.each<readonly [string, Readonly<Record<string, Dense>>, Augmentation, RegExp]>([
    [
      "vectors",
      { x: float32([2, 4], new Float32Array(8)) },
      { flip: true },
      /one column of images.* got "x" float32\[2, 4\]/,
    ],
    ["two image columns", { a: image, b: image }, { flip: true }, /one column of images/],
    [
      "float64 images",
      { a: { type: "float64", dims: [2, 1, 2, 2], data: new Float64Array(8) } },
      { flip: true },
      /float32 or uint8/,
    ],
    [
      "labels with the shape of images",
      { a: image, label: float32([2, 2, 2], new Float32Array(8)) },
      { flip: true },
      /"label" is \[2, 2, 2\]/,
    ],
    [
      "an ambiguous channel axis",
      { a: float32([1, 7, 8, 9], new Float32Array(504)) },
      { flip: true },
      /the channel axis of .* is ambiguous/,
    ],
  ])("rejects %s", async (_, columns, how, message) => {
    const data = seen(memory("data", columns), how);
    await expect(batches(data, 1)).rejects.toThrow(message);
    await expect(batches(data, 1)).rejects.toMatchObject({ code: "E_DATA" });
  });
});

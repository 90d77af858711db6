import { describe, expect, it } from "vitest";
import { symbol } from "../../core/tensor/dims.ts";
import type { Batch, Dense } from "../../core/tensor/types.ts";
import { bindInputs, type ModelInput } from "../batches/bind.ts";
import { memory, parsePreprocessing, preprocess, presets } from "../index.ts";
import { findImages, preprocessBatch, usedGeometryText } from "./preprocess.ts";
import { candidatePreprocessings, parsePreprocessorConfig } from "./presets.ts";

const n = symbol("N");

function input(
  dims: NonNullable<ModelInput["type"]>["dims"],
  type: "float32" | "float16" | "uint8" | "int64" = "float32",
): ModelInput {
  return { name: "x", type: { type, dims } };
}

/** Two samples of 3×2×2, where each byte is 100 sample + 10 channel + pixel. */
const planes: Batch = {
  image: {
    type: "uint8",
    dims: [2, 3, 2, 2],
    data: Uint8Array.from(
      [0, 1].flatMap((s) => [0, 1, 2].flatMap((c) => [0, 1, 2, 3].map((p) => 100 * s + 10 * c + p))),
    ),
  },
  label: { type: "int64", dims: [2], data: BigInt64Array.of(1n, 0n) },
};

function numbers(batch: Batch): number[] {
  return Array.from((batch.x as Dense<"float32">).data);
}

it.each([
  ["raw filter=bicubic", ""],
  ["raw resize=3", "resize=3 crop=2"],
])("states the geometry of stored images under %s", (text, expected) => {
  expect(usedGeometryText(planes, input([n, 3, 2, 2]), parsePreprocessing(text))).toBe(expected);
});

describe("preprocessBatch", () => {
  it("keeps N×C×H×W, and transposes to N×H×W×C if the input requires it", () => {
    expect(preprocessBatch(planes, input([n, 3, 2, 2]), presets.raw, "d").x?.dims).toEqual([2, 3, 2, 2]);
    expect(numbers(preprocessBatch(planes, input([n, 3, 2, 2]), presets.raw, "d")).slice(0, 6)).toEqual([
      0, 1, 2, 3, 10, 11,
    ]);
    const pixels = preprocessBatch(planes, input([n, 2, 2, 3]), presets.raw, "d");
    expect(pixels.x?.dims).toEqual([2, 2, 2, 3]);
    expect(numbers(pixels).slice(0, 6)).toEqual([0, 10, 20, 1, 11, 21]);
    expect(numbers(pixels).slice(12, 15)).toEqual([100, 110, 120]);
    expect(pixels.label).toBe(planes.label);
  });

  it("reads stored N×H×W×C and N×H×W images like N×C×H×W", () => {
    const pixels = { pic: preprocessBatch(planes, input([n, 2, 2, 3], "uint8"), presets.raw, "d").x as Dense };
    expect(findImages(pixels)).toEqual({ name: "pic", layout: "NHWC", channels: 3, height: 2, width: 2 });
    expect(numbers(preprocessBatch(pixels, input([n, 3, 2, 2]), presets.raw, "d"))).toEqual(
      numbers(preprocessBatch(planes, input([n, 3, 2, 2]), presets.raw, "d")),
    );
    const gray: Batch = { image: { type: "uint8", dims: [1, 2, 3], data: Uint8Array.of(0, 1, 2, 3, 4, 255) } };
    expect(preprocessBatch(gray, input([1, 1, 2, 3]), presets.raw, "d").x?.dims).toEqual([1, 1, 2, 3]);
  });

  it("reshapes to the input, such as N×784, 1×784×1, or without a batch axis", () => {
    const gray: Batch = {
      image: { type: "uint8", dims: [2, 1, 2, 3], data: Uint8Array.from({ length: 12 }, (_, index) => index) },
    };
    for (const [declared, expected] of [
      [
        [n, 6],
        [2, 6],
      ],
      [
        [1, 6, 1],
        [2, 6, 1],
      ],
      [[6], [2, 6]],
      [
        [n, 2, 3],
        [2, 2, 3],
      ],
    ] as const) {
      const batch = preprocessBatch(gray, input(declared), presets.raw, "d");
      expect(batch.x?.dims).toEqual(expected);
      expect(numbers(batch)).toEqual(Array.from({ length: 12 }, (_, index) => index));
    }
  });

  it("scales, centers and divides per channel before it swaps channels", () => {
    const how = { name: "own", scale: 0.5, mean: [1, 2, 3], std: [1, 2, 4], channels: "BGR" } as const;
    const values = numbers(preprocessBatch(planes, input([n, 3, 2, 2]), how, "d")).slice(0, 12);
    const channel = (c: number): number[] =>
      [0, 1, 2, 3].map((p) => ((10 * c + p) * 0.5 - (how.mean[c] ?? 0)) / (how.std[c] ?? 1));
    expect(values).toEqual([...channel(2), ...channel(1), ...channel(0)]);
  });

  it("rounds once, from float64", () => {
    const batch: Batch = { image: { type: "uint8", dims: [1, 1, 1, 1], data: Uint8Array.of(77) } };
    expect(numbers(preprocessBatch(batch, input([n, 1, 1, 1]), presets.mnist, "d"))).toEqual([
      Math.fround((77 / 255 - 0.1307) / 0.3081),
    ]);
  });

  it("returns the input's type, and uint8 only for unchanged bytes", () => {
    expect(preprocessBatch(planes, input([n, 3, 2, 2], "float16"), presets.unit, "d").x?.type).toBe("float16");
    expect(preprocessBatch(planes, input([n, 3, 2, 2], "uint8"), presets.raw, "d").x?.data).toEqual(planes.image?.data);
    expect(() => preprocessBatch(planes, input([n, 3, 2, 2], "uint8"), presets.unit, "d")).toThrow(
      'takes uint8, which preprocessing "unit" cannot produce',
    );
    expect(() => preprocessBatch(planes, input([n, 3, 2, 2], "int64"), presets.raw, "d")).toThrow("takes int64");
  });

  it("rejects wrong sizes, wrong channels, and data without images", () => {
    expect(() => preprocessBatch(planes, input([n, 3, 32, 32]), presets.unit, "d")).toThrow(
      'Input "x" takes [N, 3, 32, 32], the images are 2×2 with 3 channels.',
    );
    expect(() => preprocessBatch(planes, input([n, 1, 2, 2]), presets.unit, "d")).toThrow(
      "the images are 2×2 with 3 channels",
    );
    expect(() => preprocessBatch(planes, input([n, 2, 3, 2]), presets.unit, "d")).toThrow("takes [N, 2, 3, 2]");
    expect(() => preprocessBatch(planes, input([n], "uint8"), presets.unit, "d")).toThrow(
      'Input "x" takes uint8[N], which is not the shape of an image: the images are 2×2 with 3 channels.',
    );
    expect(() => preprocessBatch(planes, input([n, n], "int64"), presets.unit, "d")).toThrow(
      expect.objectContaining({
        message: 'Input "x" takes int64[N, N], which is not the shape of an image: the images are 2×2 with 3 channels.',
        hint: "Is this the data for this model?",
      }),
    );
    expect(() => preprocessBatch(planes, input([n, 3, 2, 2]), { ...presets.unit, layout: "NHWC" }, "d")).toThrow(
      "takes [N, 3, 2, 2]",
    );
    expect(() => preprocessBatch(planes, input([n, 3, 4, 4]), parsePreprocessing("crop=2 mean=1,2"), "d")).toThrow(
      expect.objectContaining({
        message: 'Preprocessing "crop=2 mean=1,2" has 2 values of mean, the images have 3 channels.',
        hint: "Give one value of mean, or 3 separated by commas.",
      }),
    );
    expect(() => preprocessBatch(planes, input([n, 3, 4, 4]), parsePreprocessing("crop=2 mean=1"), "d")).toThrow(
      expect.objectContaining({ hint: 'Resize or crop them: `preprocess: "mean=1 crop=4"`.' }),
    );
    expect(() =>
      preprocessBatch(
        { image: { type: "uint8", dims: [1, 1, 2, 2], data: new Uint8Array(4) } },
        input([n, 1, 2, 2]),
        presets.imagenet,
        "d",
      ),
    ).toThrow('"imagenet" has 3 values of mean, the images have one channel');
    expect(() =>
      preprocessBatch(
        { x: { type: "float32", dims: [1, 3, 2, 2], data: new Float32Array(12) } },
        input([n, 3, 2, 2]),
        presets.unit,
        "d",
      ),
    ).toThrow("d has no stored images");
  });

  it("rejects images of several channels that would have to be reshaped", () => {
    expect(() => preprocessBatch(planes, input([n, 4, 3]), presets.raw, "d")).toThrow("takes [N, 4, 3]");
    expect(() => preprocessBatch(planes, input([n, 3, 4]), presets.raw, "d")).toThrow("takes [N, 3, 4]");
  });

  it("keeps count and random access in the dataset of preprocess", async () => {
    const dataset = preprocess(memory("m", planes), input([n, 3, 2, 2]), presets.raw);
    expect(dataset.count).toBe(2);
    expect(numbers(await dataset.gather(Uint32Array.of(1)))[0]).toBe(100);
  });
});

describe("parsePreprocessing", () => {
  it("reads presets, settings and fractions", () => {
    expect(parsePreprocessing("imagenet")).toEqual(presets.imagenet);
    expect(parsePreprocessing("mean=.5 std=1/4 layout=NHWC")).toEqual({
      ...presets.unit,
      mean: [0.5],
      std: [0.25],
      layout: "NHWC",
      name: "mean=.5 std=1/4 layout=NHWC",
    });
    expect(parsePreprocessing("cifar10 channels=BGR")).toMatchObject({ mean: presets.cifar10.mean, channels: "BGR" });
  });

  it.each([
    "imagnet",
    "scale",
    "scale=",
    "scale=a",
    "std=0",
    "std=-1",
    "scale=0",
    "mean=1,,2",
    "channels=RGBA",
    "unit raw",
  ])("rejects %j", (text) => {
    expect(() => parsePreprocessing(text)).toThrow(expect.objectContaining({ code: "E_OPTION" }));
  });

  it("offers candidates with one mean, or one for each channel", () => {
    for (const channels of [1, 3]) {
      for (const { mean } of candidatePreprocessings(channels)) expect([1, channels]).toContain(mean.length);
    }
  });
});

describe("fromPreprocessorConfig", () => {
  it("reads the config that transformers writes", () => {
    const config = {
      do_rescale: true,
      rescale_factor: 0.00392156862745098,
      do_normalize: true,
      image_mean: [0.5, 0.5, 0.5],
      image_std: [0.5, 0.5, 0.5],
    };
    expect(parsePreprocessorConfig(config)).toMatchObject({
      scale: 1 / 255,
      mean: [0.5, 0.5, 0.5],
      std: [0.5, 0.5, 0.5],
      channels: "RGB",
    });
    expect(parsePreprocessorConfig({ do_rescale: false, do_normalize: false })).toMatchObject({
      scale: 1,
      mean: [0],
      std: [1],
    });
    expect(() => parsePreprocessorConfig("x")).toThrow("should hold an object");
  });
});

describe("bindInputs", () => {
  const x = (dims: readonly number[]): Dense => ({
    type: "float32",
    dims,
    data: new Float32Array(dims.reduce((a, b) => a * b, 1)),
  });

  it("finds columns by name, or the only column for the only input", () => {
    const batch = { a: x([2, 3]), label: x([2]) };
    expect(bindInputs([input([n, 3])], batch, "d").feeds(batch)).toEqual({ x: batch.a });
    expect(() => bindInputs([input([n, 3])], { a: x([2, 3]), b: x([2, 3]) }, "d")).toThrow(
      'd has no column "x" for the model\'s input, only a, b.',
    );
    expect(() =>
      bindInputs([input([n, 3]), { name: "y", type: undefined }], { x: x([2, 3]), z: x([2, 3]) }, "d"),
    ).toThrow('no column "y"');
  });

  it("returns the fixed number of samples per run", () => {
    expect(bindInputs([input([n, 3])], { x: x([4, 3]) }, "d").size).toBeUndefined();
    expect(bindInputs([input(undefined)], { x: x([4, 3]) }, "d").size).toBeUndefined();
    expect(bindInputs([input([2, 3])], { x: x([4, 3]) }, "d").size).toBe(2);
    expect(bindInputs([input([3])], { x: x([4, 3]) }, "d").size).toBe(1);
    const two: ModelInput[] = [input([2, 3]), { name: "y", type: { type: "float32", dims: [4, 3] } }];
    expect(() => bindInputs(two, { x: x([4, 3]), y: x([4, 3]) }, "d")).toThrow("different fixed batch sizes");
  });

  it("reads flat rows, adds axes of size 1, and drops the sample axis of models without one", () => {
    const shaped = (declared: readonly (number | typeof n)[], dims: readonly number[]): readonly number[] | undefined =>
      bindInputs([input(declared)], { x: x(dims) }, "d").feeds({ x: x(dims) }).x?.dims;
    expect(shaped([1, 784, 1], [1, 784])).toEqual([1, 784, 1]);
    expect(shaped([n, 784], [5, 1, 28, 28])).toEqual([5, 784]);
    expect(shaped([784], [1, 784])).toEqual([784]);
    expect(shaped([28, 28], [1, 784])).toEqual([28, 28]);
    expect(shaped([2, 1, 128], [1, 2, 1, 128])).toEqual([2, 1, 128]);
    expect(() => shaped([n, 100], [5, 784])).toThrow('d: array "x" is [N, 784], input "x" takes [N, 100].');
  });

  it.each([
    { array: [2, 32, 32, 3], declared: [n, 3, 32, 32], hint: "array.transpose(0, 3, 1, 2)" },
    { array: [2, 8, 5, 3], declared: [n, 3, n, 8], hint: "array.transpose(0, 3, 2, 1)" },
    { array: [2, 6, 4], declared: [n, 2, 3, 4], hint: "array.reshape(-1, 2, 3, 4)" },
    { array: [3, 8, 8], declared: [n, 3, 8, 8], hint: "array[None]" },
    { array: [2, 7, 7], declared: [n, 3, 8, 8], hint: undefined },
  ])("never reshapes $array for $declared", ({ array, declared, hint }) => {
    const message = `array "x" is [N, ${array.slice(1).join(", ")}], input "x" takes [N, ${declared
      .slice(1)
      .map((dim) => (typeof dim === "number" ? dim : dim.text))
      .join(", ")}].`;
    expect(() => bindInputs([input(declared)], { x: x(array) }, "d")).toThrow(
      expect.objectContaining({
        code: "E_DATA",
        message: expect.stringContaining(message),
        hint: hint && expect.stringContaining(hint),
      }),
    );
  });

  it("rejects a later batch that would have to be reshaped", () => {
    const { feeds } = bindInputs([input([n, 2, 3])], { x: x([4, 2, 3]) }, "d");
    expect(feeds({ x: x([1, 2, 3]) }).x?.dims).toEqual([1, 2, 3]);
    for (const dims of [
      [4, 3, 2],
      [4, 6],
    ])
      expect(() => feeds({ x: x(dims) })).toThrow(`array "x" is [N, ${dims.slice(1).join(", ")}]`);
  });

  it("states which rows are flat", () => {
    const notes = (declared: readonly (number | typeof n)[], dims: readonly number[]): readonly string[] =>
      bindInputs([input(declared)], { x: x(dims) }, "d").notes;
    expect(notes([n, 3, 2, 2], [5, 12])).toEqual([
      'd: each sample of "x" [12] is read as [3, 2, 2], in the same order of elements',
    ]);
    expect(notes([n, 12], [5, 3, 2, 2])).toEqual([
      'd: each sample of "x" [3, 2, 2] is read as [12], in the same order of elements',
    ]);
    expect(notes([n, 1, 4], [5, 4])).toEqual([]);
  });

  it("widens integers, and rejects bytes, fractions and texts with the reason", () => {
    const ids: Batch = { x: { type: "int32", dims: [1, 2], data: Int32Array.of(3, 4) } };
    expect(bindInputs([input([n, 2], "int64")], ids, "d").feeds(ids).x?.data).toEqual(BigInt64Array.of(3n, 4n));
    const bytes: Batch = { x: { type: "uint8", dims: [1, 2], data: Uint8Array.of(3, 4) } };
    expect(() => bindInputs([input([n, 2])], bytes, "d").feeds(bytes)).toThrow("preprocessing is missing");
    const fractions: Batch = { x: { type: "float32", dims: [1, 2], data: Float32Array.of(0.5, 1) } };
    expect(() => bindInputs([input([n, 2], "int64")], fractions, "d").feeds(fractions)).toThrow(
      '"x" has non-integer values, input "x" takes int64',
    );
    const text: Batch = { x: { type: "string", dims: [1, 2], data: ["a", "b"] } };
    expect(() => bindInputs([input([n, 2])], text, "d").feeds(text)).toThrow('"x" is string, input "x" takes float32');
  });
});

describe("hints for data that does not fit the model", () => {
  it("mentions texts if the input takes numbers", () => {
    const text: Batch = { text: { type: "string", dims: [2], data: ["a", "b"] } };
    for (const dims of [[1, 784, 1], [n, 3, 8, 8], [n]])
      expect(() => bindInputs([input(dims)], text, "d").feeds(text)).toThrow(
        expect.objectContaining({
          hint: expect.stringContaining("The column contains text, and the input takes numbers"),
        }),
      );
    const numbers: Batch = { a: { type: "float32", dims: [2, 5], data: new Float32Array(10) } };
    expect(() => bindInputs([input([n, 3])], numbers, "d")).toThrow(expect.objectContaining({ hint: undefined }));
  });

  it("mentions one image channel if the input takes three", () => {
    const grey: Batch = { image: { type: "uint8", dims: [1, 28, 28], data: new Uint8Array(784) } };
    expect(() => preprocessBatch(grey, input([n, 3, 32, 32]), presets.unit, "d")).toThrow(
      "images of 3 channels; the images are 28×28 with one channel.",
    );
  });

  it("mentions three image channels if the input takes one", () => {
    const colour: Batch = { image: { type: "uint8", dims: [1, 3, 6, 6], data: new Uint8Array(108) } };
    for (const dims of [
      [n, 1, 28, 28],
      [n, 28, 28, 1],
    ])
      expect(() => preprocessBatch(colour, input(dims), presets.unit, "d")).toThrow(
        expect.objectContaining({
          message: expect.stringMatching(/images of one channel; the images are 6×6 with 3 channels/),
          hint: expect.stringContaining("Is this the data for this model?"),
        }),
      );
  });
});

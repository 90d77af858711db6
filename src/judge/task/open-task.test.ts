import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { encode } from "fast-png";
import { zipSync } from "fflate";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { createEngine } from "../../core/engine/index.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { open, save } from "../../core/onnx/index.ts";
import { toFloat64 } from "../../core/tensor/convert.ts";
import { float32, inMemory, zeros } from "../../core/tensor/dense.ts";
import { sampleCount } from "../../data/batches/rows.ts";
import { firstBatch } from "../../data/batches/select.ts";
import { npzBytes } from "../../data/files/npy.ts";
import { type Dataset, presets } from "../../data/index.ts";
import { preprocessingKey } from "../../data/sidecars/preprocessing-spec.ts";
import { trainedOnKey } from "../../data/sidecars/trained-on.ts";
import { evaluate } from "../../runtime/metrics/evaluate.ts";
import { openTask, type TaskOptions } from "./open-task.ts";

/** Predicts class 1 if the pixel is above one half: for bytes above 127 with the preprocessing "unit". */
const aboveHalf = (): Model =>
  parseModel(`opset 21
graph (image: float32[batch, 1, 1, 1]) -> (logits: float32[batch, 2]) {
  fc.weight: float32[2, 1] parameter = [[-9], [9]]
  fc.bias: float32[2] parameter = [4.5, -4.5]
  flat = Flatten(image)
  logits = Gemm "fc" (flat, fc.weight, fc.bias) {transB=1}
}
`);

/** An MNIST folder of images of one pixel, alternately dark (class 0) and bright (class 1). */
function pixels(parts: readonly ("train" | "t10k")[], [dark, bright] = [100, 160], count = 80): string {
  const folder = join(temporaryFolder(), "pixels");
  mkdirSync(folder);
  const labels = Array.from({ length: count }, (_, sample) => sample % 2);
  const header = [0, 0, 0, count];
  for (const part of parts) {
    const bytes = labels.map((label) => (label === 1 ? bright : dark));
    const images = Uint8Array.of(0, 0, 8, 3, ...header, 0, 0, 0, 1, 0, 0, 0, 1, ...bytes);
    writeFileSync(join(folder, `${part}-images-idx3-ubyte`), images);
    writeFileSync(join(folder, `${part}-labels-idx1-ubyte`), Uint8Array.of(0, 0, 8, 1, ...header, ...labels));
  }
  return folder;
}

/** A folder with one image of one gray pixel. */
function unlabelled(): string {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "a.png"), encode({ width: 1, height: 1, channels: 1, data: Uint8Array.of(7) }));
  return folder;
}

async function opened(model: Model, options: TaskOptions) {
  const logged: string[] = [];
  const task = await openTask(model, options, { log: ({ id, text }) => logged.push(`${id}: ${text}`) });
  return { task, logged };
}

/** Opens samples, and records in the model that it was trained on them. */
async function recordTraining(model: Model, options: TaskOptions) {
  const result = await opened(model, options);
  result.task.recordIn(model);
  model.header.metadata.set(trainedOnKey, result.task.trained ?? "");
  return result;
}

test("does not run the model to guess preprocessing if required labels are missing", async () => {
  const engine = { ...createEngine(), load: () => Promise.reject(new Error("a model is run")) };
  for (const preprocess of [undefined, "mnist"]) {
    const task = await openTask(aboveHalf(), { data: unlabelled(), preprocess, needsLabels: true }, { engine });
    expect([task.labelled, task.preprocessing !== undefined]).toEqual([false, preprocess !== undefined]);
  }
  const guessing = openTask(aboveHalf(), { data: pixels(["t10k"]) }, { engine });
  await expect(guessing).rejects.toThrow("a model is run");
});

describe("a mean that does not fit the scale", () => {
  const warningsOf = async (preprocess: string): Promise<readonly string[]> =>
    (await opened(aboveHalf(), { data: pixels(["t10k"]), preprocess })).logged.filter((text) =>
      text.includes("Is mean meant for pixels of another scale?"),
    );

  test.each(["mean=1", "mean=123.7 std=58.4", "scale=1 mean=0.485 std=0.229"])("logs a warning: %s", async (how) => {
    expect(await warningsOf(how)).toHaveLength(1);
  });

  test.each(["mnist", "raw", "scale=1 mean=117", "scale=1/127.5 mean=1", "scale=1 mean=127.5 std=127.5"])(
    "%s is not",
    async (how) => {
      expect(await warningsOf(how)).toEqual([]);
    },
  );
});

describe("images with labels", () => {
  test("are prepared with the best score, which a model records on request", async () => {
    const model = aboveHalf();
    const { task, logged } = await opened(model, { data: pixels(["train", "t10k"]), calibrate: 40 });
    expect(task).toMatchObject({ preset: "unit", labelled: true, atChance: false, warnings: [] });
    expect(task.preprocessing).toMatch(
      /^guessed "unit".*If your application prepares images in another way, set `preprocess`\.$/,
    );
    expect(task.tried?.[0]).toMatchObject({ name: "unit", accuracy: { value: 1 }, fits: true });
    expect(logged).toEqual([]);
    expect([task.train?.count, task.calibrate?.count, task.test.count]).toEqual([40, 40, 80]);
    expect(task.metric.name).toBe("accuracy");
    expect((await evaluate(createEngine(), model, task.test, task.metric)).estimate.value).toBe(1);
    expect(model.header.metadata).toEqual(new Map());
    task.recordIn(model);
    expect(model.header.metadata).toEqual(new Map([[preprocessingKey, "unit"]]));
    // The next call uses the recorded preprocessing.
    const { preprocessing, tried } = await openTask(model, { data: pixels(["t10k"]) });
    expect([preprocessing, tried]).toEqual(["unit, recorded in the model", undefined]);
  });

  test("cause a warning at chance level, and the guess is recorded only for training", async () => {
    const data = pixels(["train", "t10k"], [10, 10]);
    const model = aboveHalf();
    const { task, logged } = await opened(model, { data });
    expect(task.atChance).toBe(true);
    expect(logged).toEqual([expect.stringMatching(/^chance: .*\(50\.0 % against 50\.0 % on 80 samples tried\)\./)]);
    expect(task.warnings).toEqual(logged.map((text) => text.slice("chance: ".length)));
    task.recordIn(model);
    expect(model.header.metadata.has(preprocessingKey)).toBe(false);
    const learning = await opened(model, { data, learns: "labels" });
    expect(learning.logged[0]).toMatch(/untrained network .* too\.$/);
    learning.task.recordIn(model);
    expect(model.header.metadata.has(preprocessingKey)).toBe(true);
  });

  test("cause only a warning about NaN if the model outputs NaN", async () => {
    const data = pixels(["train", "t10k"], [10, 10]);
    const model = aboveHalf();
    const weight = model.graph.value("fc.weight");
    if (weight !== undefined) weight.tensor = inMemory(float32([2, 1], [Number.NaN, 0]));
    for (const preprocess of ["mnist", undefined]) {
      const { task, logged } = await opened(model, { data, ...(preprocess === undefined ? {} : { preprocess }) });
      expect(task).toMatchObject({ atChance: true, preprocessing: expect.not.stringContaining("fit about as well") });
      expect(logged).toEqual([
        expect.stringMatching(
          /^nan: With preprocessing "\w+" the model outputs NaN or infinity on 80 of 80 samples tried\.$/,
        ),
      ]);
    }
  });

  test("cause a warning with the name of the teacher if it is at chance level", async () => {
    const path = join(temporaryFolder(), "teacher.onnx");
    await save(aboveHalf(), path);
    const data = pixels(["train", "t10k"], [10, 10]);
    const { logged } = await opened(aboveHalf(), { data, learns: "answers", reference: await open(path) });
    expect(logged[0]).toMatch(/^chance: With preprocessing "\w+" \S+teacher\.onnx scores no better .* the model\.$/);
  });

  test("are guessed with the reference model", async () => {
    const damaged = aboveHalf();
    const weight = damaged.graph.value("fc.weight");
    if (weight !== undefined) weight.tensor = inMemory(float32([2, 1], [0, 0]));
    const { task } = await opened(damaged, { data: pixels(["t10k"]), reference: aboveHalf() });
    expect(task).toMatchObject({ preset: "unit", atChance: false });
  });
});

test("uses the files next to the original for a result in another folder", async () => {
  const [folder, other] = [temporaryFolder(), temporaryFolder()];
  await save(aboveHalf(), join(folder, "model.onnx"));
  const settings = { do_rescale: true, rescale_factor: 0.5, do_normalize: false };
  writeFileSync(join(folder, "preprocessor_config.json"), JSON.stringify(settings));
  await save(aboveHalf(), join(other, "small.onnx"));
  const [original, small] = [await open(join(folder, "model.onnx")), await open(join(other, "small.onnx"))];
  const { task } = await opened(small, { data: pixels(["t10k"]), reference: original });
  expect(toFloat64((await firstBatch(task.test, 1)).image ?? zeros("float32", [0]))).toEqual(Float64Array.of(50));
});

describe("a preprocessing that the model records", () => {
  /** [40, 1, 1, 1] in a .npy file. */
  function npy(type: "|u1" | "<f4", values: Uint8Array | Float32Array): Uint8Array {
    const header = `{'descr': '${type}', 'fortran_order': False, 'shape': (40, 1, 1, 1), }`.padEnd(117);
    const bytes = new Uint8Array(values.buffer);
    return Buffer.concat([Buffer.from("\x93NUMPY\x01\x00\x76\x00", "latin1"), Buffer.from(`${header}\n`), bytes]);
  }
  const values = Array.from({ length: 40 }, (_, sample) => (sample % 2 === 1 ? 160 : 100));
  const half = 0.5;

  test.each([
    ["bytes of a .npz are images, and prepared by it", "a.npz", npy("|u1", Uint8Array.from(values)), 100 / 255],
    [
      "floats of a .npz are fed unchanged",
      "b.npz",
      npy(
        "<f4",
        Float32Array.from(values, () => half),
      ),
      half,
    ],
    ["numbers of a .csv are fed as they are", "c.csv", `image\n${values.map(() => half).join("\n")}\n`, half],
  ])("%s", async (_, file, content, expected) => {
    const path = join(temporaryFolder(), file);
    const text = typeof content === "string" ? content : zipSync({ "image.npy": content });
    writeFileSync(path, text);
    const model = aboveHalf();
    model.header.metadata.set(preprocessingKey, "unit");
    const { task, logged } = await opened(model, { data: path, part: "all", metric: "agreement" });
    expect(logged).toEqual([]);
    const pixelsFed = [...((await firstBatch(task.test)).image?.data ?? [])].map(Number);
    expect(Math.min(...pixelsFed)).toBeCloseTo(expected, 6);
    const isPrepared = file === "a.npz";
    expect(task.preprocessing).toBe(isPrepared ? "unit, recorded in the model" : undefined);
    // The record is kept for callers that feed images.
    expect(model.header.metadata.get(preprocessingKey)).toBe("unit");
    if (isPrepared) {
      const stated = await openTask(model, { data: path, part: "all", metric: "agreement", preprocess: "raw" });
      expect(Number((await firstBatch(stated.test)).image?.data[0])).toBeGreaterThanOrEqual(100);
    }
  });
});

describe("floats for a model that records the preprocessing of images", () => {
  const table = (values: readonly number[]): string => {
    const path = join(temporaryFolder(), "image.csv");
    writeFileSync(path, `image\n${values.join("\n")}\n`);
    return path;
  };
  const warningsOf = async (how: string | undefined, values: readonly number[]) => {
    const model = aboveHalf();
    if (how !== undefined) model.header.metadata.set(preprocessingKey, how);
    const data = table(values);
    const { task, logged } = await opened(model, { data, part: "all", metric: "agreement" });
    expect(task.warnings.map((text) => `preprocessing: ${text}`)).toEqual(logged);
    return logged.map((text) => text.replace(data, "image.csv"));
  };

  test.each([
    ["unit", [0, 100, 255], "0 … 255", "0 … 1"],
    ["symmetric", [0, 100, 255], "0 … 255", "−1 … 1"],
    ["raw", [0, 0.5, 1], "0 … 1", "0 … 255"],
  ])("of another range are a warning with both: %s", async (how, values, given, wanted) => {
    expect(await warningsOf(how, values)).toEqual([
      `preprocessing: The values of image.csv (${given}) are fed unchanged, but preprocessing "${how}" of the model gives ${wanted}: apply it, or provide images as bytes (uint8), to which Pith applies it.`,
    ]);
  });

  test.each([
    ["unit", [0, 0.3, 0.9]],
    ["unit", [0.5, 0.5, 0.5]],
    ["symmetric", [0, 0.5, 1]],
    ["raw", [0, 100, 255]],
    [undefined, [0, 100, 255]],
  ])("of about its range are none: %s, %o", async (how, values) => {
    expect(await warningsOf(how, values)).toEqual([]);
  });
});

test("reads the preprocessing from files next to the model, unless it is stated", async () => {
  const folder = temporaryFolder();
  const path = join(folder, "model.onnx");
  await save(aboveHalf(), path);
  const config = { do_normalize: true, image_mean: [0.5], image_std: [0.5], do_rescale: true, rescale_factor: 1 / 255 };
  writeFileSync(join(folder, "preprocessor_config.json"), JSON.stringify(config));
  const data = pixels(["t10k"]);
  const pixel = async (options: Partial<TaskOptions> = {}): Promise<number | undefined> => {
    const { test } = await openTask(await open(path), { data, ...options });
    return Number((await firstBatch(test)).image?.data[0]);
  };
  expect(await pixel()).toBeCloseTo((100 / 255 - 0.5) / 0.5);
  expect(await pixel({ preprocess: presets.raw })).toBe(100);
  expect(await pixel({ preprocess: "scale=1/100" })).toBeCloseTo(1);
});

test("compares with the original without labels, and requires a preprocessing for images", async () => {
  const table = join(temporaryFolder(), "plain.csv");
  writeFileSync(table, `x\n${"0.5\n".repeat(20)}`);
  const numbers = parseModel("opset 21\ngraph (x: float32[batch]) -> (y: float32[batch]) {\n  y = Relu(x)\n}");
  const { task } = await opened(numbers, { data: table });
  expect(task).toMatchObject({ labelled: false, preprocessing: undefined, metric: { truth: "original" } });
  expect(sampleCount(await firstBatch(task.test, 3), "test")).toBe(3);
  await expect(openTask(aboveHalf(), { data: unlabelled() })).rejects.toMatchObject({
    code: "E_DATA",
    hint: expect.stringMatching(/the application or the model card uses: `preprocess: "imagenet"`/),
  });
});

test("logs that outputs are assumed to be class scores, and the metric for numbers", async () => {
  const table = join(temporaryFolder(), "plain.csv");
  writeFileSync(table, `a,b\n${"0.5,1\n".repeat(20)}`);
  const model = (name: string) =>
    parseModel(`opset 21\ngraph (x: float32[n, 2]) -> (${name}: float32[n, 3]) {
  w: float32[2, 3] = random(seed 1)\n  ${name} = MatMul(x, w)\n}`);
  const { task, logged } = await opened(model("output"), { data: table });
  expect(task).toMatchObject({ assumesScores: true, metric: { name: "agreement" } });
  expect(logged).toContain(
    'metric: "output" [n, 3] is treated as class scores, and results are compared by the class with the highest score: if it scores no classes, `metric: "r-squared"` tells more',
  );
  for (const [name, options, metric] of [
    ["logits", {}, "agreement"],
    ["actions", {}, "R²"],
    ["output", { metric: "agreement" }, "agreement"],
    ["output", { metric: "r-squared" }, "R²"],
  ] as const) {
    const { task, logged } = await opened(model(name), { data: table, ...options });
    expect(task).toMatchObject({ assumesScores: false, metric: { name: metric } });
    expect(logged.join()).not.toContain("metric: ");
  }
});

test("generates random inputs for learning another model's outputs, in disjoint splits, with a warning", async () => {
  const model = aboveHalf();
  const { task, logged } = await opened(model, { data: "random", learns: "answers", samples: 100 });
  expect(task).toMatchObject({
    labelled: false,
    metric: { truth: "original" },
    train: { count: 100 },
    test: { count: 100 },
  });
  expect(logged).toEqual([expect.stringMatching(/^random-data: random inputs are used instead of samples/)]);
  const pixelsOf = async (data = task.test) => [
    ...toFloat64((await firstBatch(data, 100)).image ?? zeros("float32", [0])),
  ];
  expect(new Set([...(await pixelsOf()), ...(await pixelsOf(task.train))]).size).toBe(200);
  const again = await opened(aboveHalf(), { data: "random", learns: "answers", samples: 100 });
  expect(await pixelsOf(again.task.test)).toEqual(await pixelsOf());
  await expect(opened(model, { data: "random" })).rejects.toMatchObject({ code: "E_FILE" });
});

test("does not use labels to evaluate embeddings, and logs it", async () => {
  const table = join(temporaryFolder(), "pairs.csv");
  writeFileSync(table, `x,label\n${"0.5,3\n0.25,1\n".repeat(20)}`);
  const vectors = parseModel(
    "opset 21\ngraph (x: float32[batch, 1]) -> (embedding: float32[batch, 1]) {\n  embedding = Relu(x)\n}",
  );
  const { task, logged } = await opened(vectors, { data: table });
  expect(task.metric).toMatchObject({ name: "cosine", truth: "original" });
  expect(logged).toEqual([
    expect.stringMatching(/^labels: the labels of .*pairs\.csv .*are not used, because .* an embedding$/),
  ]);
});

test("keeps labels of running text in one split, and uses others for testing only", async () => {
  const folder = temporaryFolder();
  writeFileSync(
    join(folder, "text_u16le.bin"),
    Uint8Array.from({ length: 2 * 1290 }, (_, at) => (at % 2 === 0 ? at % 7 : 0)),
  );
  const language = parseModel(`opset 21
graph (input_ids: int64[batch, length]) -> (logits: float32[batch, length, 7]) {
  table: float32[7, 7] parameter = zeros
  logits = Gather (table, input_ids) {axis=0}
}`);
  const learning = { learns: "answers", unlabeledTraining: Number.POSITIVE_INFINITY, samples: 6 } as const;
  const { task, logged } = await opened(language, { data: join(folder, "text_u16le.bin"), ...learning });
  expect([task.train?.count, task.test.count, logged.length]).toEqual([6, 2, 1]);
  expect(logged[0]).toMatch(
    /^parts: .*text_u16le\.bin has no predefined split: its 10 samples are split at random into 8 for training and 2 for the test; commands that do not train split them otherwise$/,
  );
  expect((await firstBatch(task.train ?? task.test)).label?.dims).toEqual([1, 128]);
  const images = await opened(aboveHalf(), { data: pixels(["t10k"]), ...learning });
  expect(images.logged.at(-1)).toMatch(/^labels: .* has one part: its labels are used for testing/);
  expect([images.task.train?.count, images.task.test.count]).toEqual([6, 6]);
  expect(Object.keys(await firstBatch(images.task.train ?? images.task.test))).toEqual(["image"]);
  expect(Object.keys(await firstBatch(images.task.test))).toContain("label");
});

test("rejects folders named by years as classes, with their names", async () => {
  const folder = temporaryFolder();
  for (const year of ["2024", "2025"]) {
    mkdirSync(join(folder, year));
    const pixel = encode({ width: 2, height: 2, channels: 1, data: new Uint8Array(4).fill(7) });
    for (const name of ["a.png", "b.png"]) writeFileSync(join(folder, year, name), pixel);
  }
  const model = parseModel(`opset 21
graph (image: float32[batch, 1, 2, 2]) -> (logits: float32[batch, 2]) {
  fc.weight: float32[2, 4] parameter = zeros
  flat = Flatten(image)
  logits = Gemm "fc" (flat, fc.weight) {transB=1}
}
`);
  for (const preprocess of [undefined, "unit"])
    await expect(openTask(model, { data: folder, preprocess })).rejects.toMatchObject({
      code: "E_DATA",
      message: "The folders 2024, 2025 were taken as class labels, and the model has 2 classes (0 to 1).",
      hint: "Put photos without labels in one folder.",
    });
});

describe("values that are not finite", () => {
  const model = (): Model =>
    parseModel("opset 21\ngraph (x: float32[batch, 2]) -> (y: float32[batch, 2]) {\n  y = Relu(x)\n}");
  const warningsOf = async (rows: readonly number[]): Promise<readonly string[]> => {
    const path = join(temporaryFolder(), "rows.npz");
    writeFileSync(path, await npzBytes({ x: float32([rows.length / 2, 2], rows) }));
    const { logged } = await opened(model(), { data: path });
    return logged.filter((text) => text.startsWith("not-finite"));
  };

  test("are counted by sample in a warning", async () => {
    const [text] = await warningsOf([1, Number.NaN, Number.NaN, Number.NaN, 5, 6, Number.POSITIVE_INFINITY, 8]);
    expect(text).toMatch(/^not-finite: 3 of 4 samples in .*rows\.npz contain NaN or infinite values/);
  });

  test("are not mentioned if there are none", async () => {
    expect(await warningsOf([1, 2, 3, 4])).toEqual([]);
  });
});

describe("a table without parts", () => {
  const relu = () => parseModel("opset 21\ngraph (x: float32[batch, 1]) -> (y: float32[batch, 1]) {\n  y = Relu(x)\n}");
  const table = (rows = 40): string => {
    const path = join(temporaryFolder(), "rows.csv");
    writeFileSync(path, `x,label\n${Array.from({ length: rows }, (_, row) => `${row},${row % 2}\n`).join("")}`);
    return path;
  };
  const rowsOf = async (data: Dataset) => {
    const { label: _, ...columns } = await firstBatch(data, 100);
    const [rows] = Object.values(columns);
    if (rows === undefined) throw new Error("there is no column");
    return [...toFloat64(rows)];
  };

  test("is used for testing completely, and logs samples drawn for other uses", async () => {
    const data = table();
    const alone = await opened(relu(), { data });
    expect([alone.task.test.count, alone.logged]).toEqual([40, []]);
    const calibrated = await opened(relu(), { data, calibrate: 10 });
    expect(calibrated.logged).toEqual([
      `parts: ${data} has no predefined split: its 40 samples are split at random into 10 for calibration and 30 for the test`,
      "calibration: calibrated on 10 samples only, which may not represent others: use 100 or more",
    ]);
    const large = await opened(relu(), { data: table(200), calibrate: 200 });
    expect([large.task.calibrate?.count, large.logged.length]).toEqual([40, 1]);
    const part = await opened(relu(), { data, part: "test" });
    expect(part.logged).toEqual([
      `parts: ${data} has no predefined split: 8 of its 40 samples, drawn at random, are for the test`,
    ]);
  });

  test("is tested on samples that the model was not trained on, except on request", async () => {
    const data = table();
    const model = relu();
    const { task, logged } = await recordTraining(model, { data, learns: "labels" });
    expect(logged).toEqual([
      `parts: ${data} has no predefined split: its 40 samples are split at random into 32 for training and 8 for the test; commands that do not train split them otherwise`,
    ]);
    const later = await opened(model, { data });
    expect(await rowsOf(later.task.test)).toEqual(await rowsOf(task.test));
    expect(later.logged).toEqual([
      `parts: ${data} has no predefined split: 8 of its 40 samples, drawn at random, are for the test; the model was trained on the others`,
    ]);
    const calibrated = await opened(model, { data, calibrate: 10 });
    expect([calibrated.task.calibrate?.count, await rowsOf(calibrated.task.test)]).toEqual([
      10,
      await rowsOf(task.test),
    ]);
    expect((await opened(model, { data, part: "all" })).task.test.count).toBe(40);
    // A smaller number of samples does not hide it.
    const some = await opened(model, { data, samples: 5 });
    const [few, tested] = [await rowsOf(some.task.test), await rowsOf(task.test)];
    expect(few).toHaveLength(5);
    expect(tested).toEqual(expect.arrayContaining(few));
    expect(some.logged.join()).toContain("the model was trained on the others");
    // Another file of the same name.
    expect((await opened(model, { data: table(30) })).task.test.count).toBe(30);
  });

  test("is recognized as training data by content, not by name", async () => {
    const data = table();
    const [model, copy, names] = [relu(), join(temporaryFolder(), "copy.csv"), basename(data)];
    copyFileSync(data, copy);
    const { task } = await recordTraining(model, { data, learns: "labels" });
    const later = await opened(model, { data: copy });
    expect(await rowsOf(later.task.test)).toEqual(await rowsOf(task.test));
    expect(later.logged).toEqual([
      `parts: ${copy} has no predefined split: 8 of its 40 samples, drawn at random, are for the test; the model was trained on the others (in ${names})`,
    ]);
    // A model that is also trained on the copy records one of them.
    await recordTraining(model, { data: copy, learns: "labels" });
    expect(JSON.parse(model.header.metadata.get(trainedOnKey) ?? "")).toEqual([
      ["copy.csv", 40, expect.stringMatching(/^[0-9a-f]{16}$/)],
    ]);
    const other = table();
    const [header, ...rows] = readFileSync(other, "utf8").trim().split("\n");
    writeFileSync(other, [header, ...rows.map((row) => row.replace(/^\d+/, (number) => `${number}.5`))].join("\n"));
    expect((await opened(model, { data: other })).task.test.count).toBe(40);
    // Metadata in an unknown form comes from another tool.
    model.header.metadata.set(trainedOnKey, JSON.stringify([[names, 40]]));
    expect((await opened(model, { data })).task.test.count).toBe(40);
  });
});

describe("samples that a model was trained on", () => {
  const write = (name: string, rows: number, first = 0): string => {
    const path = join(temporaryFolder(), name);
    const lines = Array.from({ length: rows }, (_, row) => `${first + row},${row % 2}\n`);
    writeFileSync(path, `x,label\n${lines.join("")}`);
    return path;
  };
  const relu = () => parseModel("opset 21\ngraph (x: float32[batch, 1]) -> (y: float32[batch, 1]) {\n  y = Relu(x)\n}");
  const learning = { learns: "answers", unlabeledTraining: Number.POSITIVE_INFINITY } as const;
  const copied = (path: string, name: string): string => {
    const copy = join(temporaryFolder(), name);
    copyFileSync(path, copy);
    return copy;
  };

  test("are excluded if any of the tested models was trained on them", async () => {
    const [data, trained] = [write("rows.csv", 40), relu()];
    await recordTraining(trained, { data, ...learning });
    for (const models of [{ secondModel: trained }, { reference: trained }]) {
      const { task, logged } = await opened(relu(), { data, ...models });
      expect(task.test.count).toBe(8);
      expect(logged.join()).toContain("one of the models was trained on the others");
    }
    expect((await opened(relu(), { data, secondModel: relu() })).task.test.count).toBe(40);
  });

  test.each(["rows_dev.csv", "rows_train.csv", "rows.csv"])("are recorded for any file name: %s", async (name) => {
    const [data, model] = [write(name, 40), relu()];
    await recordTraining(model, { data, ...learning });
    expect(JSON.parse(model.header.metadata.get(trainedOnKey) ?? "[]")).toEqual([[name, 40, expect.any(String)]]);
    for (const part of [undefined, "test"] as const)
      expect((await opened(model, { data, part })).task.test.count).toBe(8);
    expect((await opened(model, { data: copied(data, "copy.csv") })).task.test.count).toBe(8);
    expect((await opened(model, { data: write(name, 40, 1) })).task.test.count).toBe(40);
  });

  test("are excluded from a test file next to a training file", async () => {
    const [data, model] = [write("rows_dev.csv", 40), relu()];
    await recordTraining(model, { data, ...learning });
    writeFileSync(data.replace("dev", "train"), "x,label\n100,0\n101,1\n");
    const { task, logged } = await opened(model, { data: dirname(data) });
    expect(task.test.count).toBe(8);
    expect(logged).toEqual([
      `parts: ${data} (test): 8 samples, drawn at random, are for the test; the model was trained on the others (in rows_dev.csv)`,
    ]);
  });

  test("cause a warning if no other samples remain", async () => {
    const [data, model] = [write("rows_train.csv", 40), relu()];
    writeFileSync(data.replace("train", "dev"), "x,label\n100,0\n101,1\n");
    await recordTraining(model, { data, learns: "labels" });
    expect((await opened(model, { data })).logged).toEqual([]);
    const copy = copied(data, "copy.csv");
    const { task, logged } = await opened(model, { data: copy });
    expect(task.test.count).toBe(40);
    expect(logged).toEqual([`trained-on: ${copy}: the model was trained on these samples (in rows_train.csv)`]);
  });

  test("are recognized in images by content, not by path", async () => {
    const [folder, copy, model] = [temporaryFolder(), temporaryFolder(), aboveHalf()];
    for (let index = 0; index < 10; index++) {
      const png = encode({ width: 1, height: 1, channels: 1, data: Uint8Array.of(20 * index) });
      for (const root of [folder, copy]) writeFileSync(join(root, `${index}.png`), png);
    }
    await recordTraining(model, { data: folder, preprocess: "unit", ...learning });
    expect((await opened(model, { data: copy })).task.test.count).toBe(2);
  });
});

test.each([
  [{ preprocess: "imagenet" }, "E_OPTION", "`preprocess` is for stored images"],
  [{ learns: "labels" }, "E_DATA", "there are no training samples"],
  [{ set: { rate: 1 } }, "E_NAME", 'no input "rate"'],
  [{ states: ["a=b"] }, "E_NAME", 'no input "b"'],
] as const)("rejects %o", async (options, code, message) => {
  const text = join(temporaryFolder(), "data_test.csv");
  writeFileSync(text, "x\n1\n2\n");
  const model = parseModel("opset 21\ngraph (x: float32[batch]) -> (y: float32[batch]) {\n  y = Relu(x)\n}");
  await expect(openTask(model, { data: text, ...options })).rejects.toMatchObject({
    code,
    message: expect.stringContaining(message),
  });
});

test("feeds states without a change of the model, and records them on request", async () => {
  const model = parseModel(
    "opset 21\ngraph (x: float32[batch, 1], s: float32[batch, 1]) -> (y: float32[batch, 1], t: float32[batch, 1]) {\n  t = Add(x, s)\n  y = Relu(t)\n}",
  );
  const path = join(temporaryFolder(), "rows.csv");
  writeFileSync(path, "x\n1\n2\n3\n");
  const { task } = await opened(model, { data: path, states: ["y=s"] });
  expect(task.preprocessing).toBe("carried: s from y");
  expect(model.header.metadata).toEqual(new Map());
  task.recordIn(model);
  expect(model.header.metadata).toEqual(new Map([["pith.states", '[["y","s"]]']]));
});

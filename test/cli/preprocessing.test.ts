/** Published networks on published data, with nothing said of how images are prepared; and what the guess is made on. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encode } from "fast-png";
import { describe, expect, test } from "vitest";
import { parseModel } from "../../src/graph/text.ts";
import { open, save } from "../../src/onnx/index.ts";
import { random } from "../../src/tensor/random.ts";
import { temporaryFolder } from "../temporary.ts";
import { json, pith } from "./run.ts";

/** An MNIST folder of images of one pixel: by part, the bytes that are of class 0 and of class 1, by turns. */
function onePixel(
  name: string,
  parts: Readonly<Record<"train" | "t10k", readonly [number, number]>>,
  count = 80,
): string {
  const folder = join(temporaryFolder(), name);
  mkdirSync(folder);
  for (const [part, bytes] of Object.entries(parts)) {
    const labels = Array.from({ length: count }, (_, sample) => sample % 2);
    const pixels = labels.map((label) => bytes[label] ?? 0);
    const header = [0, 0, 0, count];
    const images = Uint8Array.of(0, 0, 8, 3, ...header, 0, 0, 0, 1, 0, 0, 0, 1, ...pixels);
    writeFileSync(join(folder, `${part}-images-idx3-ubyte`), images);
    writeFileSync(join(folder, `${part}-labels-idx1-ubyte`), Uint8Array.of(0, 0, 8, 1, ...header, ...labels));
  }
  return folder;
}

/** Class 1 where the pixel is above one half: of bytes above 127 as "unit" prepares them, above 72 as "mnist" does. */
async function aboveHalf(): Promise<string> {
  const file = join(temporaryFolder(), "half.onnx");
  const text = `opset 21
graph (image: float32[batch, 1, 1, 1]) -> (logits: float32[batch, 2]) {
  fc.weight: float32[2, 1] parameter = [[-9], [9]]
  fc.bias: float32[2] parameter = [4.5, -4.5]
  flat = Flatten(image)
  logits = Gemm "fc" (flat, fc.weight, fc.bias) {transB=1}
}
`;
  await save(parseModel(text), file);
  return file;
}

test("the guess is made on the test samples, not on those to train on", async () => {
  const model = await aboveHalf();
  const data = onePixel("apart", { train: [10, 100], t10k: [100, 160] });
  const result = await json("eval", model, "--data", data);
  expect(result.preprocessing).toMatch(/^guessed "unit"[.;]/);
  expect(result.figures).toMatchObject([{ estimate: { value: 1 } }]);
});

test("a doubt about preprocessing says how many samples it comes from", async () => {
  const model = await aboveHalf();
  const data = onePixel("alike", { train: [10, 10], t10k: [10, 10] });
  const { code, err } = await pith("eval", model, "--data", data);
  expect(code).toBe(1);
  expect(err).toMatch(/^chance: .*\(50\.0 % against 50\.0 % on \d+ samples tried\)\. .*\n$/);
});

describe("what was found out of a preprocessing", () => {
  const pixels = { train: [10, 100], t10k: [100, 160] } as const;
  const quick = ["--epochs", "1", "--batch", "8"];

  test("goes with the result: who trains it afterwards does not guess again, and says where it is from", async () => {
    const folder = temporaryFolder();
    const data = onePixel("found", pixels);
    const [pruned, trained] = [join(folder, "pruned.onnx"), join(folder, "trained.onnx")];
    const first = await json("prune", await aboveHalf(), "--amount", "1", "--data", data, "--force", "-o", pruned);
    expect(first.preprocessing).toMatch(/^guessed "unit"/);
    // All of its weights are gone: any preprocessing would do as well.
    const next = await json("train", pruned, "--data", data, ...quick, "-o", trained);
    expect(next).toMatchObject({ code: 0, preprocessing: "unit, recorded in the model" });
    expect(await json("eval", trained, "--data", data)).toMatchObject({
      preprocessing: "unit, recorded in the model",
    });
    expect((await open(trained)).header.metadata.get("pith.preprocessing")).toBe("unit");
    expect((await pith("inspect", trained)).out).toContain("preprocessing: unit\n");
  });

  test("what is stated comes before it, and takes its place; the original is asked where a result says nothing", async () => {
    const folder = temporaryFolder();
    const data = onePixel("said", pixels);
    const [empty, stated] = [join(folder, "empty.onnx"), join(folder, "stated.onnx")];
    const model = await aboveHalf();
    await pith("prune", model, "--amount", "1", "--force", "-o", empty);
    expect((await open(empty)).header.metadata.has("pith.preprocessing")).toBe(false);
    const words = ["distill", empty, "--teacher", model, "--data", data, ...quick, "--force", "-o", stated];
    expect((await json(...words)).preprocessing).toMatch(/^guessed "unit"/);
    expect(await json(...words, "--preprocess", "raw")).toMatchObject({ preprocessing: "raw" });
    expect((await open(stated)).header.metadata.get("pith.preprocessing")).toBe("raw");
    expect((await pith("train", stated, "--data", data, ...quick, "--force", "-o", empty)).out).toContain(
      "preprocessing: raw, recorded in the model\n",
    );
  });

  test("is used for samples to choose weights by too, which may not be those that judge", async () => {
    const [folder, data] = [temporaryFolder(), onePixel("mine", pixels)];
    const other = onePixel("other", { train: [10, 100], t10k: [20, 200] });
    const words = ["train", await aboveHalf(), "--data", data, ...quick, "-o", join(folder, "out.onnx")];
    const found = await pith(...words, "--validation", other);
    // Prepared as "unit" all of them are answered rightly.
    expect(found.err).toMatch(/after 10 steps: validation accuracy 100\.00 %/);
    const same = await pith(...words, "--validation", data);
    expect(same).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^E_DATA: --validation .*mine: .*mine \(test\) is test data already\.$/m),
    });
  });
});

test("so few samples that they do not tell presets apart are warned of, unless it is stated", async () => {
  const model = await aboveHalf();
  const pixels = { train: [0, 255], t10k: [0, 255] } as const;
  const few = await pith("eval", model, "--data", onePixel("few", pixels, 8));
  expect(few.err).toMatch(
    /preprocessing: 8 samples do not distinguish preprocessing "\w+" from ".*: set it with --preprocess\.\n$/,
  );
  const stated = await pith("eval", model, "--data", onePixel("stated", pixels, 8), "--preprocess", "unit");
  expect(stated).toMatchObject({ code: 0, err: "" });
  expect((await pith("eval", model, "--data", onePixel("enough", pixels))).err).toBe("");
});

test("a preprocessing with which the model is less sure than with a usual one is doubted, with labels or without", async () => {
  const folder = temporaryFolder();
  // The surer, the farther from 0.
  const text = `opset 21
graph (image: float32[batch, 1, 2, 2]) -> (logits: float32[batch, 2]) {
  fc.weight: float32[2, 4] parameter = [[1, 1, 1, 1], [-1, -1, -1, -1]]
  flat = Flatten(image)
  logits = Gemm "fc" (flat, fc.weight) {transB=1}
}
`;
  const model = join(folder, "apart.onnx");
  await save(parseModel(text), model);
  const photos = join(folder, "photos");
  mkdirSync(photos);
  for (let at = 0; at < 20; at++)
    writeFileSync(
      join(photos, `${at}.png`),
      encode({ width: 2, height: 2, channels: 1, data: new Uint8Array(4).fill(3 * at) }),
    );
  const out = join(folder, "out.onnx");
  const words = ["quantize", model, "--scheme", "weights", "--force", "-o", out, "--data", photos, "--preprocess"];
  const doubted = await pith(...words, "mnist");
  expect(doubted.err).toMatch(
    /preprocessing: With preprocessing "mnist" the model is less sure of its answers \(mean top probability \d\d\.\d %\) than with "symmetric" \(\d\d\.\d %, on 20 images\): is it the one that the model was trained with\? Otherwise set --preprocess symmetric\.\n/,
  );
  expect((await pith(...words, "symmetric")).err).not.toContain("less sure");
  // What is recorded was decided before.
  await pith(...words, "mnist");
  const again = await pith("eval", out, "--against", model, "--data", photos);
  expect(again.out).toMatch(/^preprocessing: mnist.*, recorded in the model$/m);
  expect(again.err).not.toContain("less sure");
  writeFileSync(
    join(photos, "labels.csv"),
    `file,label\n${Array.from({ length: 20 }, (_, at) => `${at}.png,${at % 2}`).join("\n")}\n`,
  );
  expect((await pith("eval", model, "--data", photos, "--preprocess", "mnist")).err).toContain("less sure");
});

test("where presets of other ranges fit about as well, calibration says which one it took", async () => {
  const folder = temporaryFolder();
  const model = join(folder, "sign.onnx");
  // Brighter on the left or on the right, whatever the scale.
  const text = `opset 21
graph (image: float32[batch, 1, 1, 2]) -> (logits: float32[batch, 2]) {
  fc1.weight: float32[4, 2] parameter = [[1, -1], [-1, 1], [1, 0], [0, 1]]
  fc2.weight: float32[2, 4] parameter = [[1, -1, 1, -1], [-1, 1, -1, 1]]
  flat = Flatten(image)
  hidden = Gemm "fc1" (flat, fc1.weight) {transB=1}
  active = Relu(hidden)
  logits = Gemm "fc2" (active, fc2.weight) {transB=1}
}
`;
  await save(parseModel(text), model);
  const count = 400;
  const number = [0, 0, count >> 8, count & 255];
  const data = join(folder, "pairs");
  mkdirSync(data);
  const pixels = Array.from(
    { length: 2 * count },
    (_, at) => ((7 * (at >> 1)) % 200) + (at % 2 === (at >> 1) % 2 ? 40 : 0),
  );
  const images = Uint8Array.of(0, 0, 8, 3, ...number, 0, 0, 0, 1, 0, 0, 0, 2, ...pixels);
  const labels = Uint8Array.from([0, 0, 8, 1, ...number, ...Array.from({ length: count }, (_, at) => at % 2)]);
  for (const part of ["train", "t10k"]) {
    writeFileSync(join(data, `${part}-images-idx3-ubyte`), images);
    writeFileSync(join(data, `${part}-labels-idx1-ubyte`), labels);
  }
  const out = join(folder, "q.onnx");
  const words = ["quantize", model, "--data", data, "--force", "-o", out, "--scheme"];
  const warning =
    /^preprocessing: Calibrated with preprocessing "(unit|symmetric)", the narrowest of those that fit about as well \(.*"raw".*\): fed with inputs of a wider range, the result loses accuracy\. Set the one that the model is fed with: --preprocess\.$/m;
  expect((await pith(...words, "static")).err).toMatch(warning);
  expect((await pith(...words, "static", "--preprocess", "raw")).err).not.toContain("Calibrated with");
  expect((await pith(...words, "weights")).err).not.toContain("Calibrated with");
});

test('a column called "y" feeds the input of that name, which is said; of another model it is the label', async () => {
  const folder = temporaryFolder();
  const text = (inputs: string, joined: string) => `opset 21
graph (${inputs}) -> (logits: float32[batch, 2]) {
  logits = ${joined}
}
`;
  const [two, one] = [join(folder, "two.onnx"), join(folder, "one.onnx")];
  await save(parseModel(text("x: float32[batch, 1], y: float32[batch, 1]", "Concat(x, y) {axis=1}")), two);
  await save(parseModel(text("features: float32[batch, 2]", "Identity(features)")), one);
  // The greater of x and y tells the class, and y taken for the label would not.
  const rows = Array.from({ length: 20 }, (_, at) => (at % 2 === 0 ? "1,0,0" : "0,1,1"));
  const [labelled, unlabelled] = [join(folder, "labelled.csv"), join(folder, "unlabelled.csv")];
  writeFileSync(labelled, `x,y,label\n${rows.join("\n")}\n`);
  writeFileSync(unlabelled, `x,z,y\n${rows.join("\n")}\n`);
  const said = '"y" is fed to the input of that name, and is not a label';
  const right = [{ metric: "accuracy", estimate: { value: 1 } }];
  expect(await json("eval", two, "--data", labelled)).toMatchObject({ preprocessing: said, figures: right });
  const { preprocessing, figures } = await json("eval", one, "--data", unlabelled);
  expect({ preprocessing, figures }).toMatchObject({ figures: right });
  expect(preprocessing).toBeUndefined();
  const { code, err } = await pith("eval", two, "--data", unlabelled);
  expect({ code, err }).toMatchObject({ code: 1, err: expect.stringContaining(`has no labels (${said})`) });
});

describe("a detector on images with classes", () => {
  const detector = async (name: string): Promise<string> => {
    const path = join(temporaryFolder(), name);
    await save(
      parseModel(`opset 21
graph (input: float32[n, 1, 1, 1]) -> (scores: float32[n, 1, 1], boxes: float32[n, 1, 4]) {
  one: int64[1] = [1]
  flat = Squeeze(input, one)
  scores = Identity(flat)
  corners: float32[1, 1, 4] = [0, 0, 10, 10]
  bright = Abs(flat)
  boxes = Mul(bright, corners)
}`),
      path,
    );
    return path;
  };

  test("is held against its original: classes are no truth for boxes", async () => {
    const folder = onePixel("lamps", { train: [200, 255], t10k: [200, 255] });
    const model = await detector("detector.onnx");
    const against = ["--against", model, "--data", folder];
    const found = await json("eval", model, ...against, "--preprocess", "unit");
    expect(found).toMatchObject({
      code: 0,
      truth: "original",
      comparison: { metric: "box overlap", candidate: { value: 1 } },
      figures: [
        {
          detail:
            "80 boxes found by either model with a score of at least 0.5, after non-maximum suppression (IoU 0.5)",
        },
        { metric: 'signal to noise of "boxes"' },
      ],
    });
    expect((await pith("eval", model, ...against)).err).toContain("Classes are not ground truth for a detector");
  });

  test("whose output is raw is held against its original by its numbers, and nothing is guessed", async () => {
    const folder = onePixel("raw", { train: [200, 255], t10k: [200, 255] });
    const path = join(temporaryFolder(), "raw.onnx");
    const text = `opset 21
graph (input: float32[n, 1, 1, 1]) -> (found: float32[n, 6, 3, 3]) {
  w: float32[2, 1, 1, 1] = [[[[1]]], [[[-1]]]]
  boxes.w: float32[4, 1, 1, 1] = [[[[1]]], [[[2]]], [[[3]]], [[[4]]]]
  scored = Conv(input, w) {pads=[1, 1, 1, 1]}
  scores = Softmax(scored) {axis=1}
  boxes = Conv(input, boxes.w) {pads=[1, 1, 1, 1]}
  found = Concat(scores, boxes) {axis=1}
}`;
    await save(parseModel(text), path);
    const against = ["--against", path, "--data", folder];
    expect((await pith("eval", path, ...against)).err).toContain("for a detector");
    const found = await json("eval", path, ...against, "--preprocess", "unit");
    expect(found).toMatchObject({ code: 0, truth: "original", comparison: { metric: "R²", candidate: { value: 1 } } });
    const { code, err } = await pith("eval", path, "--data", folder, "--preprocess", "unit");
    expect([code, err]).toEqual([1, expect.stringContaining("has class labels, which are no ground truth")]);
    expect(err).not.toContain("text");
  });

  test("that enlarges images is held against its original by its numbers, and alone by peak signal-to-noise ratio", async () => {
    const [folder, path] = [join(temporaryFolder(), "photos"), join(temporaryFolder(), "larger.onnx")];
    mkdirSync(folder);
    const numbers = random(1, "photos");
    for (const name of ["a.png", "b.png"]) {
      const data = Uint8Array.from({ length: 8 * 8 * 3 }, () => numbers.integer(256));
      writeFileSync(join(folder, name), encode({ width: 8, height: 8, channels: 3, depth: 8, data }));
    }
    const text = `opset 21
graph (x: float32[1, 3, 4, 4]) -> (y: float32[1, 3, 8, 8]) {
  scales: float32[4] = [1, 1, 2, 2]
  y = Resize(x, _, scales) {mode="nearest"}
}`;
    await save(parseModel(text), path);
    const data = ["--data", folder, "--preprocess", "unit"];
    expect(await json("eval", path, "--against", path, ...data)).toMatchObject({
      code: 0,
      comparison: { metric: "R²", candidate: { value: 1 } },
    });
    const { code, out } = await pith("eval", path, ...data);
    expect([code, out]).toEqual([0, expect.stringContaining("peak signal-to-noise ratio")]);
    const { err } = await pith("eval", path, ...data, "--metric", "f1");
    expect(err).toContain("has no class axis: it gives 192 numbers per sample, and the data 192 labels.");
    expect(err).toContain("r-squared");
  });

  test("that loses its boxes is refused, with exit code 1", async () => {
    const folder = onePixel("moved", { train: [200, 255], t10k: [200, 255] });
    const [model, out] = [join(temporaryFolder(), "moved.onnx"), join(temporaryFolder(), "pruned.onnx")];
    const text = `opset 21
graph (input: float32[n, 1, 1, 1]) -> (scores: float32[n, 1, 1], boxes: float32[n, 1, 4]) {
  one: int64[1] = [1]
  corners: float32[1, 4] parameter = [[1, 2, 9, 10]]
  flat = Squeeze(input, one)
  scores = Identity(flat)
  boxes = MatMul(flat, corners)
}`;
    await save(parseModel(text), model);
    const words = ["--amount", "75%", "--data", folder, "--preprocess", "unit", "-o", out];
    const { code, err } = await pith("prune", model, ...words);
    expect(err).toContain("E_ACCURACY_LOST: Box overlap went from 100.0 % to 0.0 %");
    expect([code, existsSync(out)]).toEqual([1, false]);
  });

  test("that finds nothing has nothing to compare; images that are nearly constant are warned of", async () => {
    const folder = onePixel("dark", { train: [200, 255], t10k: [200, 255] });
    const model = await detector("blind.onnx");
    const how = ["--preprocess", "mean=127 std=128"];
    const { code, err } = await pith("eval", model, "--against", model, "--data", folder, ...how);
    expect(code).toBe(1);
    expect(err).toContain("black and white differ by 0.008 only");
    expect(err).toContain("Neither model detects anything on 80 samples");
  });
});

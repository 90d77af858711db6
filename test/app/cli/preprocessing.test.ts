/** Tests which samples the guess of a preprocessing uses, and where its result is recorded. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encode } from "fast-png";
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { temporaryFolder } from "../../temporary.ts";
import { aboveHalf, onePixel } from "./one-pixel.ts";
import { json, pith } from "./run.ts";

test("guesses the preprocessing on the test samples, not on the training samples", async () => {
  const model = await aboveHalf();
  const data = onePixel("apart", { train: [10, 100], t10k: [100, 160] });
  const result = await json("eval", model, "--data", data);
  expect(result.preprocessing).toMatch(/^guessed "unit"/);
  expect(result.figures).toMatchObject([{ estimate: { value: 1 } }]);
});

test("states the number of samples behind a warning about the guess", async () => {
  const model = await aboveHalf();
  const data = onePixel("alike", { train: [10, 10], t10k: [10, 10] });
  const { code, err } = await pith("eval", model, "--data", data);
  expect(code).toBe(1);
  expect(err).toMatch(/^chance: .*\(50\.0 % against 50\.0 % on \d+ samples tried\)\. .*\n$/);
});

describe("a guessed preprocessing", () => {
  const pixels = { train: [10, 100], t10k: [100, 160] } as const;
  const quick = ["--epochs", "1", "--batch", "8"];

  test("is recorded in the result, and later commands use it without a guess", async () => {
    const folder = temporaryFolder();
    const data = onePixel("found", pixels);
    const [pruned, trained] = [join(folder, "pruned.onnx"), join(folder, "trained.onnx")];
    const first = await json("prune", await aboveHalf(), "--amount", "1", "--data", data, "--force", "-o", pruned);
    expect(first.preprocessing).toMatch(/^guessed "unit"/);
    // All weights are zero, so every preprocessing fits equally.
    const next = await json("train", pruned, "--data", data, ...quick, "-o", trained);
    expect(next).toMatchObject({ code: 0, preprocessing: "unit, recorded in the model" });
    expect(await json("eval", trained, "--data", data)).toMatchObject({ preprocessing: "unit, recorded in the model" });
    expect((await open(trained)).header.metadata.get("pith.preprocessing")).toBe("unit");
    expect((await pith("inspect", trained)).out).toContain("preprocessing: unit\n");
  });

  test("applies to validation samples, which must not be the test samples", async () => {
    const [folder, data] = [temporaryFolder(), onePixel("mine", pixels)];
    const other = onePixel("other", { train: [10, 100], t10k: [20, 200] });
    const words = ["train", await aboveHalf(), "--data", data, ...quick, "-o", join(folder, "out.onnx")];
    const result = await pith(...words, "--validation", other);
    // With preprocessing "unit", all of them are classified correctly.
    expect(result.err).toMatch(/after 10 steps: validation accuracy 100\.00 %/);
    const same = await pith(...words, "--validation", data);
    expect(same).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^E_DATA: --validation .*mine: .*mine \(test\) is test data already\.$/m),
    });
  });
});

test("warns if too few samples distinguish presets, unless the preprocessing is stated", async () => {
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

test("eval reports missing labels of images before it runs the model to guess a preprocessing", async () => {
  const folder = temporaryFolder();
  const model = join(folder, "fails.onnx");
  // Gather fails at run time, because the index is out of range.
  await save(
    parseModel(`opset 21
graph (x: float32[batch, 3, 2, 2]) -> (scores: float32[batch, 2]) {
  far: float32[1] = [99]
  all: int64[1] = [-1]
  pixels = Reshape(x, all)
  zero: int64[1] = [0]
  sum = ReduceSum(pixels, zero)
  larger = Add(sum, far)
  index = Cast(larger) {to=7}
  flat = Flatten(x)
  one = Gather(flat, index) {axis=1}
  scores = Concat(one, one) {axis=1}
}
`),
    model,
  );
  const photos = join(folder, "photos");
  mkdirSync(photos);
  writeFileSync(join(photos, "a.png"), encode({ width: 2, height: 2, channels: 3, data: new Uint8Array(12) }));
  const words = ["eval", model, "--data", photos, "--preprocess", "mnist"];
  const { code, err } = await pith(...words);
  expect({ code, err }).toMatchObject({ code: 1, err: expect.stringMatching(/^E_DATA: .* has no labels/) });
  expect((await pith(...words, "--original", model)).err).toContain("E_ENGINE");
});

test('feeds a column "y" to an input of that name, and uses it as label otherwise', async () => {
  const folder = temporaryFolder();
  const text = (inputs: string, joined: string) => `opset 21
graph (${inputs}) -> (logits: float32[batch, 2]) {
  logits = ${joined}
}
`;
  const [twoInputs, oneInput] = [join(folder, "two.onnx"), join(folder, "one.onnx")];
  await save(parseModel(text("x: float32[batch, 1], y: float32[batch, 1]", "Concat(x, y) {axis=1}")), twoInputs);
  await save(parseModel(text("features: float32[batch, 2]", "Identity(features)")), oneInput);
  // The greater of x and y determines the class. With y as the label, the accuracy would be lower.
  const rows = Array.from({ length: 20 }, (_, at) => (at % 2 === 0 ? "1,0,0" : "0,1,1"));
  const [labelled, unlabelled] = [join(folder, "labelled.csv"), join(folder, "unlabelled.csv")];
  writeFileSync(labelled, `x,y,label\n${rows.join("\n")}\n`);
  writeFileSync(unlabelled, `x,z,y\n${rows.join("\n")}\n`);
  const note = '"y" is fed to the input of that name, and is not a label';
  const right = [{ metric: "accuracy", estimate: { value: 1 } }];
  expect(await json("eval", twoInputs, "--data", labelled)).toMatchObject({ preprocessing: note, figures: right });
  const { preprocessing, figures } = await json("eval", oneInput, "--data", unlabelled);
  expect({ preprocessing, figures }).toMatchObject({ figures: right });
  expect(preprocessing).toBeUndefined();
  const { code, err } = await pith("eval", twoInputs, "--data", unlabelled);
  expect({ code, err }).toMatchObject({ code: 1, err: expect.stringContaining(`has no labels (${note})`) });
});

describe("a detector on images with class labels", () => {
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

  test("is compared with its original, because classes are no ground truth for boxes", async () => {
    const folder = onePixel("lamps", { train: [200, 255], t10k: [200, 255] });
    const model = await detector("detector.onnx");
    const against = ["--original", model, "--data", folder];
    const report = await json("eval", model, ...against, "--preprocess", "unit");
    expect(report).toMatchObject({
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

  test("a model that enlarges images is compared by values, or by PSNR with images", async () => {
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
    expect(await json("eval", path, "--original", path, ...data)).toMatchObject({
      code: 0,
      comparison: { metric: "R²", candidate: { value: 1 } },
    });
    const pairs = join(folder, "pairs.mjs");
    const arrays = "x: zeros([2, 3, 4, 4]), label: zeros([2, 3, 8, 8])";
    const zeros = "({ type: 'float32', dims, data: new Float32Array(dims.reduce((a, b) => a * b)) })";
    writeFileSync(pairs, `const zeros = (dims) => ${zeros};\nexport function* batches() { yield { ${arrays} }; }\n`);
    const { code, out } = await pith("eval", path, "--data", pairs, "--metric", "psnr");
    expect([code, out]).toEqual([0, expect.stringContaining("peak signal-to-noise ratio")]);
  });

  test("is rejected with exit code 1 if it loses its boxes", async () => {
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

  test("without detections fails, and nearly constant images cause a warning", async () => {
    const folder = onePixel("dark", { train: [200, 255], t10k: [200, 255] });
    const model = await detector("blind.onnx");
    const how = ["--preprocess", "mean=127 std=128"];
    const { code, err } = await pith("eval", model, "--original", model, "--data", folder, ...how);
    expect(code).toBe(1);
    expect(err).toContain("black and white differ by 0.008 only");
    expect(err).toContain("Neither model detects anything on 80 samples");
  });
});

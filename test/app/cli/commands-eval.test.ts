import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import { json, pith } from "./run.ts";
import { classifier, samples, smallModels } from "./small-models.ts";

const { at } = smallModels();

describe("eval", () => {
  const data = ["--data", at("points.csv")];

  test("prints the metric value with its interval and number of samples", async () => {
    const { figures, samples: counted } = await json("eval", at("right.onnx"), ...data);
    expect(counted).toBe(samples);
    expect(figures).toMatchObject([{ metric: "accuracy", estimate: { value: 1, high: 1, count: samples } }]);
    const { out, err } = await pith("eval", at("right.onnx"), ...data);
    expect(out).toMatch(/points\.csv, 400 samples\n(.*\n)+accuracy +100\.0 % +99\.0 % … 100\.0 %/);
    expect(err).toBe("");
  });

  test("--part selects the samples that other commands train or test on", async () => {
    const words = ["eval", at("right.onnx"), ...data, "--part"];
    expect(await json(...words, "train")).toMatchObject({ samples: 320 });
    const { out, err } = await pith(...words, "test");
    expect(out).toMatch(/points\.csv \(test\), 80 samples\n/);
    expect(err).toMatch(
      /points\.csv has no predefined split: 80 of its 400 samples, drawn at random, are for the test\n$/,
    );
    const trained = at("trained-on.onnx");
    await pith("train", at("near.onnx"), ...data, "--epochs", "1", "--force", "-o", trained);
    const later = await pith("eval", trained, ...data);
    expect(later.out).toContain("points.csv (test), 80 samples");
    expect(later.err).toMatch(
      /80 of its 400 samples, drawn at random, are for the test; the model was trained on the others\n$/,
    );
    expect(await pith("eval", at("right.onnx"), "--part", "test")).toMatchObject({
      code: 2,
      err: expect.stringContaining("--part needs --data."),
    });
  });

  test("uses the test samples that other commands use", async () => {
    const { figures } = await json("eval", at("near.onnx"), ...data, "--samples", "40", "--seed", "3");
    const words = ["quantize", at("near.onnx"), "--scheme", "weights", "--force", "--samples", "40", "--seed", "3"];
    const { comparison } = await json(...words, ...data, "-o", at("near.int8.onnx"));
    expect(figures).toMatchObject([{ estimate: (comparison as { original: object }).original }]);
  });

  test("warns of a model at chance level and exits with 1", async () => {
    const { code, out, err } = await pith("eval", at("zero.onnx"), ...data);
    expect(code).toBe(1);
    expect(out).toMatch(/accuracy +\d/);
    expect(err).toMatch(
      /^chance: The model scores no better than always predicting the most frequent class \(.* % against .* %\)\. Check the labels and the model\.\n$/,
    );
  });

  test("fails if the model or its original outputs NaN", async () => {
    const net = (output: string) => `opset 21
graph (x: float32[batch, 2]) -> (y: float32[batch, 3]) {
  weight: float32[2, 3] = random(seed 1)
  none: float32[1] = [nan]
  h = MatMul(x, weight)
  y = ${output}
}
`;
    await save(parseModel(net("Add(h, none)")), at("nan.onnx"));
    await save(parseModel(net("Identity(h)")), at("finite.onnx"));
    writeFileSync(at("unlabelled.csv"), "a,b\n1,2\n3,1\n2,2\n");
    const without = ["--data", at("unlabelled.csv"), "--original"];
    for (const [model, original] of [
      ["nan.onnx", "finite.onnx"],
      ["finite.onnx", "nan.onnx"],
      ["nan.onnx", "nan.onnx"],
    ] as const) {
      const { code, err, out } = await pith("eval", at(model), ...without, at(original));
      expect(code, model).toBe(1);
      expect(err).toContain(`E_DATA: "${at("nan.onnx")}" outputs NaN on some or all of 3 samples, so these values`);
      expect(out).toMatch(/signal to noise +NaN dB +–\n/);
    }
    expect((await pith("eval", at("finite.onnx"), ...without, at("finite.onnx"))).code).toBe(0);
    writeFileSync(at("labelled.csv"), "a,b,label\n1,2,1\n3,1,1\n2,2,2\n");
    const labelled = await pith("eval", at("nan.onnx"), "--data", at("labelled.csv"));
    expect(labelled).toMatchObject({ code: 1, out: expect.stringMatching(/accuracy +0\.0 %/) });
    expect(labelled.err).toMatch(/^E_DATA: \S+ outputs NaN on some or all of 3 samples, /);
    // A model that is always wrong outputs no NaN.
    const wrong = parseModel(net("Mul(h, none)").replace("[nan]", "[0]"));
    await save(wrong, at("wrong.onnx"));
    expect((await pith("eval", at("wrong.onnx"), "--data", at("labelled.csv"))).err).toMatch(/^chance: /);
  });

  test("uses at most the requested number of samples", async () => {
    expect(await json("eval", at("right.onnx"), ...data, "--samples", "50")).toMatchObject({ samples: 50 });
  });

  test("has an agreement with a perfect original that equals the accuracy", async () => {
    const { figures, comparison } = await json("eval", at("near.onnx"), ...data, "--original", at("right.onnx"));
    const [accuracy, agreement] = figures as { metric: string; estimate: { value: number } }[];
    expect(agreement?.metric).toBe("agreement");
    expect(agreement?.estimate.value).toBe(accuracy?.estimate.value);
    expect(agreement?.estimate.value).toBeGreaterThan(0.7);
    expect(agreement?.estimate.value).toBeLessThan(0.95);
    expect(comparison).toMatchObject({ original: { value: 1 } });
  });

  test("compares the outputs as the commands that change a model do, also without data", async () => {
    const words = ["eval", at("near.onnx"), "--original", at("right.onnx")];
    expect((await pith(...words)).out).toMatch(
      /^outputs: signal to noise 2\d\.\d+ dB \(fair: an error of \d\.\d %\), on 32 random inputs$/m,
    );
    const report = await json(...words, "--target", "node");
    expect(report).toMatchObject({ code: 0, likeness: { samples: 32 }, targets: [{ right: true }] });
    expect(report).not.toHaveProperty("lost");
  });

  test("names values beyond float16, which hardware that computes in float16 loses", async () => {
    const net = parseModel(`opset 18
graph (x: float32[n, 2]) -> (y: float32[n, 2]) {
  a.weight: float32[2, 2] = [[4000, 0], [0, 4000]]
  b.weight: float32[2, 2] = [[1e-4, 0], [0, 1e-4]]
  h = MatMul(x, a.weight)
  r = Relu(h)
  y = MatMul(r, b.weight)
}`);
    await save(net, at("large.onnx"));
    await quantize(net, { dtype: "fp16" });
    await save(net, at("large.fp16.onnx"));
    writeFileSync(at("large.csv"), "a,b\n40,1\n1,40\n50,2\n");
    const words = ["eval", at("large.fp16.onnx"), "--original", at("large.onnx"), "--data", at("large.csv")];
    expect((await pith(...words)).out).toMatch(/\nOn the samples .* above the float16 maximum of 65,504\.\n/);
    expect(await json(...words, "--max-drop", "0.5")).toMatchObject({ code: 1, goals: { outputs: false } });
  });

  test("exits with 0 if a goal is met, and with 1 if it is missed", async () => {
    const against = ["eval", at("near.onnx"), ...data, "--original", at("right.onnx")];
    expect(await json(...against, "--max-drop", "50%", "--min-agreement", "50%")).toMatchObject({
      code: 0,
      verdict: { verdict: "kept" },
      goals: { drop: true, agreement: true },
    });
    expect(await json(...against, "--max-drop", "1%")).toMatchObject({ code: 1, verdict: { verdict: "lost" } });
    expect(await json(...against, "--min-agreement", "99%")).toMatchObject({ code: 1, goals: { agreement: false } });
  });

  test("compares --min-accuracy with the estimate, or with the whole interval if --strict", async () => {
    const words = ["eval", at("right.onnx"), ...data, "--min-accuracy", "99.5%"];
    expect(await json(...words)).toMatchObject({ code: 0, goals: { accuracy: true } });
    expect(await json(...words, "--strict")).toMatchObject({ code: 1, goals: { accuracy: false } });
    const { code, out } = await pith("eval", at("zero.onnx"), ...data, "--min-accuracy", "90%");
    expect(code).toBe(1);
    expect(out).toMatch(/\nmissed: accuracy .* % \(.*, n = 400\), 90\.0 % required\n$/);
  });

  test("with --original, prints signal to noise in decibels and a difference in points", async () => {
    const { out } = await pith("eval", at("near.onnx"), ...data, "--original", at("right.onnx"));
    // logits (a, 0.9 b) against (a, b) with a and b alike: 10 log10(2 / 0.1²) = 23 dB.
    expect(out).toMatch(/signal to noise +2[23]\.\d+ dB/);
    expect(out).toMatch(/change +−\d+\.\d points/);
    expect(out).toContain(`next: pith debug ${at("right.onnx")} ${at("near.onnx")} ${data.join(" ")}\n`);
  });

  test("with --original, suggests a comparison of speeds if the result is as good as allowed", async () => {
    const { out } = await pith("eval", at("near.onnx"), ...data, "--original", at("right.onnx"), "--max-drop", "50%");
    expect(out).toContain(`next: pith bench ${at("right.onnx")} ${at("near.onnx")}  # for a page, add --target wasm`);
  });

  test("quotes file names in the next command for a shell", async () => {
    const [original, result] = [at("right $(touch x).onnx"), at("near `y`.onnx")];
    copyFileSync(at("right.onnx"), original);
    copyFileSync(at("near.onnx"), result);
    const { out } = await pith("eval", result, ...data, "--original", original);
    expect(out).toContain(`next: pith debug '${original}' '${result}' ${data.join(" ")}\n`);
  });

  test("--score needs no data, and can be a goal with --original", async () => {
    const size = "import { statSync } from 'node:fs';\nexport default (file) => -statSync(file).size;\n";
    writeFileSync(at("score.mjs"), size);
    const words = ["eval", at("hidden.onnx"), "--score", at("score.mjs")];
    const bytes = (name: string): number => readFileSync(at(name)).length;
    expect(await json(...words)).toMatchObject({ code: 0, score: { value: -bytes("hidden.onnx") } });
    const against = [...words, "--original", at("right.onnx"), "--max-drop"];
    const larger = bytes("hidden.onnx") - bytes("right.onnx");
    expect(await json(...against, String(larger))).toMatchObject({ code: 0, goals: { score: true } });
    expect(await json(...against, String(larger - 1))).toMatchObject({ code: 1, goals: { score: false } });
  });

  test.each([
    ["export default 3;", 2, "exports no function as its default"],
    ["export default () => 'good';", 1, "returned good for"],
    ["export default () => { throw new Error('no GPU'); };", 1, "no GPU"],
    ["export defualt 1", 2, "cannot be loaded"],
  ])("rejects a module without a valid score: %j", async (text, expected, message) => {
    const module = at(`${message}.mjs`);
    writeFileSync(module, text);
    const { code, err } = await pith("eval", at("right.onnx"), "--score", module);
    expect(code).toBe(expected);
    expect(err).toContain(message);
  });

  test("appends Markdown to a file", async () => {
    writeFileSync(at("summary.md"), "before\n");
    await pith("eval", at("right.onnx"), ...data, "--markdown", at("summary.md"));
    expect(readFileSync(at("summary.md"), "utf8")).toMatch(
      /^before\n### .*right\.onnx\n(.*\n)+\| accuracy \| 100\.0 % \|/,
    );
    await pith("eval", at("zero.onnx"), ...data, "--min-accuracy", "90%", "--markdown", at("summary.md"));
    expect(readFileSync(at("summary.md"), "utf8")).toMatch(/\nmissed: accuracy .*90\.0 % required\n\n$/);
  });

  test("prints all metric values if one goal cannot be checked, and checks the others", async () => {
    writeFileSync(at("unlabelled.csv"), readFileSync(at("points.csv"), "utf8").replace(/,\w+$/gm, ""));
    const goals = ["--min-accuracy", "90%", "--min-agreement", "50%"];
    const words = ["eval", at("near.onnx"), "--data", at("unlabelled.csv"), "--original", at("right.onnx"), ...goals];
    const { code, out, err } = await pith(...words);
    expect(code).toBe(1);
    expect(out).toMatch(/\nagreement +\d+\.\d %(.*\n)*not checked: accuracy is not measured on .*\nmet: agreement /);
    expect(err).toMatch(/^E_DATA: --min-accuracy cannot be checked: it is not measured on .*unlabelled\.csv.*\.\n/);
  });

  test("names metrics for numbers if labels are numbers, and measures with one of them", async () => {
    const sum = `opset 21
graph (features: float32[batch, 2]) -> (sum: float32[batch, 1]) {
  fc.weight: float32[1, 2] = [[1, 0.5]]
  sum = Gemm "fc" (features, fc.weight) {transB=1}
}`;
    await save(parseModel(sum), at("sum.onnx"));
    const rows = Array.from({ length: 40 }, (_, row) => `${row},${row % 7},${row + (row % 7) / 2}`);
    writeFileSync(at("sums.csv"), `a,b,label\n${rows.join("\n")}\n`);
    const words = ["eval", at("sum.onnx"), "--data", at("sums.csv")];
    const { code, err } = await pith(...words);
    expect(code).toBe(1);
    expect(err).toMatch(/^E_DATA: A label is [\d.]+, .*\nhint: .*--metric mean-squared-error, rank-correlation/);
    expect(await json(...words, "--metric", "mean-squared-error")).toMatchObject({
      code: 0,
      figures: [{ estimate: { value: 0 } }],
    });
  });

  test("names an original with other inputs as the reason", async () => {
    await save(
      parseModel(
        classifier("[[1, 0], [0, 1]]")
          .replace("batch, 2", "batch, 3")
          .replace("[2, 2] par", "[2, 3] par")
          .replace("[[1, 0], [0, 1]]", "[[1, 0, 0], [0, 1, 0]]"),
      ),
      at("three.onnx"),
    );
    const { code, err } = await pith("eval", at("three.onnx"), ...data, "--original", at("right.onnx"));
    expect(code).toBe(1);
    expect(err).toMatch(
      /^E_\w+: The models differ: this one takes "features" float32\[batch, 3\], the original "features" float32\[batch, 2\]\./,
    );
    expect(err).toContain("hint: Is the original the model that this one was made from?");
  });

  test.each([
    [[], "--data is needed"],
    [["--score", "score.mjs", "--min-accuracy", "90%"], "--min-accuracy needs --data"],
    [
      [...data, "--original", at("right.onnx"), "--min-cosine", "0.9"],
      "--min-cosine cannot be checked: the output of ",
    ],
    [["--original", at("right.onnx"), "--max-drop", "1%"], "--max-drop needs --data, to measure the drop."],
    [["--samples", "5"], "--samples needs --data"],
    [[...data, "--max-drop", "1%"], "--max-drop needs --original"],
    [[...data, "--min-agreement", "1%"], "--min-agreement needs --original"],
    [[...data, "--metric", "cosine"], "--metric cosine needs --original"],
    [[...data, "--min-accuracy", "90"], "--min-accuracy: 90 exceeds 1 (100 %): write 90% or 0.9."],
    [[...data, "--original", "m.onnx", "--max-drop", "2"], "--max-drop 2 would allow any loss"],
    [[...data, "--min-accuracy", "90%", "--metric", "top-5"], "--min-accuracy is for --metric accuracy"],
    [[...data, "--preprocess", "imagnet"], '"imagnet" is not understood'],
    [[...data, "--metric", "accurcy"], '--metric: expected "accuracy", '],
    [[...data, "--preprocess", "imagenet"], "--preprocess is for stored images"],
  ])("rejects %j as wrong usage", async (words, message) => {
    const { code, out, err } = await pith("eval", at("right.onnx"), ...words);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain(message);
  });

  test("reports that the data contains images if the model requires tokens", async () => {
    const ids =
      "opset 21\ngraph (input_ids: int64[s77, seq]) -> (logits: int64[s77, seq]) {\n  logits = Neg(input_ids)\n}";
    await save(parseModel(ids), at("ids.onnx"));
    // idx: unsigned bytes, three dimensions, two images of 2×2; and one dimension, their labels.
    writeFileSync(
      at("t10k-images-idx3-ubyte"),
      Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8),
    );
    writeFileSync(at("t10k-labels-idx1-ubyte"), Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 2, 0, 1));
    const { code, err } = await pith("eval", at("ids.onnx"), "--data", at("t10k-images-idx3-ubyte"));
    expect(code).toBe(1);
    expect(err).toMatch(
      /^E_DATA: .* holds images, and input "input_ids" int64\[s77, seq\] takes tokens of texts\.\nhint: Texts/,
    );
  });

  test("fails with E_DATA if the data does not fit the model", async () => {
    writeFileSync(at("wide.csv"), "a,b,c,label\n1,2,3,0\n");
    expect(await pith("eval", at("right.onnx"), "--data", at("wide.csv"))).toMatchObject({
      code: 1,
      err: expect.stringContaining("E_DATA: "),
    });
  });
});

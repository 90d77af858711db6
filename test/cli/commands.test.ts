/** The commands on a model small enough to know every answer: two features, the class is the greater one. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { parseModel } from "../../src/graph/text.ts";
import { open, save } from "../../src/onnx/index.ts";
import { random } from "../../src/tensor/random.ts";
import { plottedGraphs } from "../report/plot-data.ts";
import { temporaryFolder } from "../temporary.ts";
import { json, pith } from "./run.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const samples = 400;

function classifier(weight: string): string {
  return `opset 21
graph (features: float32[batch, 2]) -> (logits: float32[batch, 2]) {
  fc.weight: float32[2, 2] parameter = ${weight}
  fc.bias: float32[2] parameter = zeros
  logits = Gemm "fc" (features, fc.weight, fc.bias) {transB=1}
}
`;
}

/** Two layers: each feature twice, and the sums. */
const hidden = `opset 21
graph (features: float32[batch, 2]) -> (logits: float32[batch, 2]) {
  fc1.weight: float32[4, 2] parameter = [[1, 0], [0, 1], [0.5, 0], [0, 0.5]]
  fc1.bias: float32[4] parameter = zeros
  fc2.weight: float32[2, 4] parameter = [[1, 0, 1, 0], [0, 1, 0, 1]]
  fc2.bias: float32[2] parameter = zeros
  between = Gemm "fc1" (features, fc1.weight, fc1.bias) {transB=1}
  active = Relu(between)
  logits = Gemm "fc2" (active, fc2.weight, fc2.bias) {transB=1}
}
`;

beforeAll(async () => {
  await save(parseModel(classifier("[[1, 0], [0, 1]]")), at("right.onnx"));
  await save(parseModel(hidden), at("hidden.onnx"));
  // Always answers the first class.
  await save(parseModel(classifier("[[0, 0], [0, 0]]")), at("zero.onnx"));
  // Wrong where the second feature is the greater one by less than half of it.
  await save(parseModel(classifier("[[1, 0], [0, 0.9]]")), at("near.onnx"));
  // Right as well; without its smallest weights it answers as the one before.
  await save(parseModel(classifier("[[1, 0], [0.1, 0.9]]")), at("mixed.onnx"));
  const numbers = random(1, "test");
  const rows = Array.from({ length: samples }, () => {
    const [a, b] = [1 + numbers.normal() / 4, 1 + numbers.normal() / 4];
    return `${a},${b},${a > b ? 0 : 1}`;
  });
  writeFileSync(at("points.csv"), `a,b,label\n${rows.join("\n")}\n`);
});

interface Numbers {
  readonly name: string;
  readonly zeros: number;
  readonly greatest: number;
}

async function numbers(file: string, ...words: string[]): Promise<readonly Numbers[]> {
  const { weights } = await json("inspect", file, ...words);
  return weights as Numbers[];
}

describe("inspect", () => {
  test("tells ports, operators, layers, parameters and operations", async () => {
    expect(await json("inspect", at("right.onnx"))).toMatchObject({
      code: 0,
      opsets: { "ai.onnx": 21 },
      inputs: [{ name: "features", type: "float32", dims: "[batch, 2]" }],
      outputs: [{ name: "logits" }],
      operators: { Gemm: 1 },
      parameters: 6,
      macs: { count: 4, per: "batch" },
      layers: [{ name: "fc", operator: "Gemm", weight: "float32 [2, 2]", parameters: 4 }],
      roles: { parameter: 2 },
      notUnderstood: [],
    });
    const { out } = await pith("inspect", at("right.onnx"));
    for (const part of ["right.onnx", "features", "float32 [batch, 2]", "1 layers; 6 parameters; 4 × batch MACs"]) {
      expect(out).toContain(part);
    }
  });

  test("estimates what techniques would save, with the reason for what stays", async () => {
    expect(await json("inspect", at("hidden.onnx"))).toMatchObject({
      layers: [
        { name: "fc1", cuttable: 4, payingRank: 1 },
        { name: "fc2", cuttable: 0, kept: "they are an output of the model (logits)", payingRank: 1 },
      ],
      savings: {
        // 16 weights, then a byte each and 5 bytes a channel.
        int8: { layers: 2, before: 64, after: 16 + 5 * 6 },
        // 30 % of the rows of fc1 (weight and bias) and of the columns of fc2.
        channels: { layers: 1, cuttable: 4, channels: 6, before: 80, after: 56 },
        lowRank: { layers: 2 },
      },
    });
    const { out } = await pith("inspect", at("hidden.onnx"));
    expect(out).toMatch(/prune --structured 30% +80 bytes +56 bytes +1\.43 × +1 of 2 layers: 4 of 6 channels/);
    expect(out).toContain("kept from cutting: they are an output of the model (logits)");
  });

  test("--weights reads zeros, range, and the ranks that hold the energy", async () => {
    expect(await numbers(at("hidden.onnx"), "--weights")).toEqual([
      { name: "fc1", zeros: 0.5, least: 0, greatest: 1, ranks: { of: 2, holding: [2, 2, 2] } },
      { name: "fc2", zeros: 0.5, least: 0, greatest: 1, ranks: { of: 2, holding: [2, 2, 2] } },
    ]);
    expect((await pith("inspect", at("hidden.onnx"))).out).toContain("it could pay in 2 of 2 layers (--weights");
    const { out } = await pith("inspect", at("hidden.onnx"), "--weights");
    expect(out).toContain("it could pay in 2 of 2 layers, and does in none");
    expect((await pith("inspect", at("right.onnx"), "--weights")).out).toMatch(
      /fc +50\.0 % +0\.00 +1\.00 +2 +2 +2 +2\n/,
    );
    expect((await json("inspect", at("right.onnx"))).weights).toBeUndefined();
  });

  test("says what is wrong with a file that is no model", async () => {
    expect(await pith("inspect", at("points.csv"))).toMatchObject({
      code: 1,
      out: "",
      err: expect.stringContaining("E_NOT_ONNX: "),
    });
    expect(await pith("inspect", at("none.onnx"))).toMatchObject({
      code: 1,
      out: "",
      err: expect.stringContaining("E_FILE: "),
    });
  });
});

describe("plot", () => {
  test("draws every node, port and layer name into one page, beside the model", async () => {
    expect(await json("plot", at("right.onnx"))).toMatchObject({ code: 0, written: at("right.html") });
    const html = readFileSync(at("right.html"), "utf8");
    const [{ boxes, layers }] = plottedGraphs(html);
    expect(boxes.map(({ name, note }) => [name, note])).toEqual([
      ["features", "[batch, 2]"],
      ["fc", undefined],
      ["logits", "[batch, 2]"],
    ]);
    expect(layers[1]).toMatchObject({ facts: "[2, 2], 4", entries: 4 });
    rmSync(at("right.html"));
  });

  test("begins with the amount that is asked for", async () => {
    await pith("plot", at("right.onnx"), "-o", at("amount.html"), "--amount", "1");
    expect(readFileSync(at("amount.html"), "utf8")).toContain('step="1" value="100"');
    expect(await pith("plot", at("right.onnx"), "--amount", "2")).toMatchObject({ code: 2 });
  });

  test("names from a file cannot become markup", async () => {
    await save(parseModel(classifier("ones").replaceAll("features", '"<script>alert(1)</script>"')), at("evil.onnx"));
    await pith("plot", at("evil.onnx"), "-o", at("evil.html"));
    expect(readFileSync(at("evil.html"), "utf8")).not.toContain("<script>alert");
  });
});

describe("eval", () => {
  const data = ["--data", at("points.csv")];

  test("tells the figure with its interval and number", async () => {
    const { figures, samples: counted } = await json("eval", at("right.onnx"), ...data);
    expect(counted).toBe(samples / 5);
    expect(figures).toMatchObject([{ metric: "accuracy", estimate: { value: 1, high: 1, count: samples / 5 } }]);
    const { out } = await pith("eval", at("right.onnx"), ...data);
    expect(out).toMatch(/points\.csv \(test\), 80 samples\n(.*\n)+accuracy +100\.0 % +95\.4 % … 100\.0 %/);
  });

  test.each([
    ["train", (4 * samples) / 5],
    ["all", samples],
  ])("--part %s takes %i samples", async (part, expected) => {
    const words = ["eval", at("near.onnx"), ...data];
    const { dataset, samples: counted } = await json(...words, "--part", part);
    expect({ dataset, counted }).toEqual({ dataset: `${at("points.csv")} (${part})`, counted: expected });
  });

  test("judges by the samples that other commands judge by", async () => {
    const { figures } = await json("eval", at("near.onnx"), ...data, "--samples", "40", "--seed", "3");
    const words = ["quantize", at("near.onnx"), "--scheme", "weights", "--samples", "40", "--seed", "3"];
    const { comparison } = await json(...words, ...data, "-o", at("near.int8.onnx"));
    expect(figures).toMatchObject([{ estimate: (comparison as { original: object }).original }]);
  });

  test("a model that is no better than chance is a question and exit code 1", async () => {
    const { code, out, err } = await pith("eval", at("zero.onnx"), ...data);
    expect(code).toBe(1);
    expect(out).toMatch(/accuracy +\d/);
    expect(err).toMatch(
      /^chance: The model does no better than always answering the commonest class \(.* % against .* %\)\. Are the labels or the model wrong\?\n$/,
    );
  });

  test("takes no more samples than asked for", async () => {
    expect(await json("eval", at("right.onnx"), ...data, "--samples", "50")).toMatchObject({ samples: 50 });
  });

  test("against the original, agreement is what is left of a perfect model's accuracy", async () => {
    const { figures, comparison } = await json("eval", at("near.onnx"), ...data, "--against", at("right.onnx"));
    const [accuracy, agreement] = figures as { metric: string; estimate: { value: number } }[];
    expect(agreement?.metric).toBe("agreement");
    expect(agreement?.estimate.value).toBe(accuracy?.estimate.value);
    expect(agreement?.estimate.value).toBeGreaterThan(0.7);
    expect(agreement?.estimate.value).toBeLessThan(0.95);
    expect(comparison).toMatchObject({ original: { value: 1 } });
  });

  test("a goal that is kept exits with 0, one that is missed with 1 and still prints", async () => {
    const against = ["eval", at("near.onnx"), ...data, "--against", at("right.onnx")];
    expect(await json(...against, "--max-drop", "50%", "--min-agreement", "50%")).toMatchObject({
      code: 0,
      verdict: { verdict: "kept" },
      goals: { drop: true, agreement: true },
    });
    expect(await json(...against, "--max-drop", "1%")).toMatchObject({ code: 1, verdict: { verdict: "lost" } });
    expect(await json(...against, "--min-agreement", "99%")).toMatchObject({ code: 1, goals: { agreement: false } });
  });

  test("--min-accuracy asks the estimate, with --strict the whole interval", async () => {
    const words = ["eval", at("right.onnx"), ...data, "--part", "all", "--min-accuracy", "99.5%"];
    expect(await json(...words)).toMatchObject({ code: 0, goals: { accuracy: true } });
    expect(await json(...words, "--strict")).toMatchObject({ code: 1, goals: { accuracy: false } });
    const { code, out } = await pith("eval", at("zero.onnx"), ...data, "--min-accuracy", "90%");
    expect(code).toBe(1);
    expect(out).toMatch(/\nlost: accuracy .* % \(.*, n = 80\), 90\.0 % demanded\n$/);
  });

  test("against the original tells signal to noise in decibels and a difference in points", async () => {
    const { out } = await pith("eval", at("near.onnx"), ...data, "--against", at("right.onnx"));
    // logits (a, 0.9 b) against (a, b) with a and b alike: 10 log10(2 / 0.1²) = 23 dB.
    expect(out).toMatch(/signal to noise +2[23]\.\d+ dB/);
    expect(out).toMatch(/difference +−\d+\.\d points/);
  });

  test("against the original names the layers with most noise", async () => {
    const { out } = await pith("eval", at("near.onnx"), ...data, "--against", at("right.onnx"));
    expect(out).toMatch(/\nnoisiest layers: fc 2[23]\.\d dB\n/);
  });

  test("a figure of one's own needs no data; beside the original's it can be a goal", async () => {
    const size = "import { statSync } from 'node:fs';\nexport default (file) => -statSync(file).size;\n";
    writeFileSync(at("score.mjs"), size);
    const words = ["eval", at("hidden.onnx"), "--score", at("score.mjs")];
    const bytes = (name: string): number => readFileSync(at(name)).length;
    expect(await json(...words)).toMatchObject({ code: 0, score: { value: -bytes("hidden.onnx") } });
    const against = [...words, "--against", at("right.onnx"), "--max-drop"];
    const larger = bytes("hidden.onnx") - bytes("right.onnx");
    expect(await json(...against, String(larger))).toMatchObject({ code: 0, goals: { score: true } });
    expect(await json(...against, String(larger - 1))).toMatchObject({ code: 1, goals: { score: false } });
  });

  test.each([
    ["export default 3;", 2, "exports no function as its default"],
    ["export default () => 'good';", 1, "said good of"],
    ["export default () => { throw new Error('no GPU'); };", 1, "no GPU"],
    ["export defualt 1", 2, "cannot be loaded"],
  ])("a module %j has no score", async (text, expected, message) => {
    writeFileSync(at("wrong.mjs"), text);
    const { code, err } = await pith("eval", at("right.onnx"), "--score", at("wrong.mjs"));
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
    expect(readFileSync(at("summary.md"), "utf8")).toMatch(/\n- lost: accuracy .*90\.0 % demanded\n\n$/);
  });

  test("what was measured is shown where one of the goals cannot be judged, and the others are judged", async () => {
    writeFileSync(at("unlabelled.csv"), readFileSync(at("points.csv"), "utf8").replace(/,\w+$/gm, ""));
    const goals = ["--min-accuracy", "90%", "--min-agreement", "50%"];
    const words = ["eval", at("near.onnx"), "--data", at("unlabelled.csv"), "--against", at("right.onnx"), ...goals];
    const { code, out, err } = await pith(...words);
    expect(code).toBe(1);
    expect(out).toMatch(/\nagreement +\d+\.\d %(.*\n)*not judged: accuracy is not measured on .*\nkept: agreement /);
    expect(err).toMatch(/^E_DATA: --min-accuracy cannot be judged: it is not measured on .*unlabelled\.csv.*\.\n/);
  });

  test("an original that takes something else is named as the reason", async () => {
    await save(
      parseModel(
        classifier("[[1, 0], [0, 1]]")
          .replace("batch, 2", "batch, 3")
          .replace("[2, 2] par", "[2, 3] par")
          .replace("[[1, 0], [0, 1]]", "[[1, 0, 0], [0, 1, 0]]"),
      ),
      at("three.onnx"),
    );
    const { code, err } = await pith("eval", at("three.onnx"), ...data, "--against", at("right.onnx"));
    expect(code).toBe(1);
    expect(err).toMatch(
      /^E_\w+: The models differ: this one takes "features" float32\[batch, 3\], the original "features" float32\[batch, 2\]\./,
    );
    expect(err).toContain("hint: Is --against the model that this one was made from?");
  });

  test.each([
    [[], "--data is needed"],
    [["--score", "score.mjs", "--min-accuracy", "90%"], "--min-accuracy needs --data"],
    [[...data, "--against", at("right.onnx"), "--min-cosine", "0.9"], "--min-cosine cannot be judged: what "],
    [["--samples", "5"], "--samples says how to read data, and there is no --data"],
    [[...data, "--max-drop", "1%"], "--max-drop needs --against"],
    [[...data, "--min-agreement", "1%"], "--min-agreement needs --against"],
    [[...data, "--metric", "cosine"], "--metric cosine needs --against"],
    [[...data, "--min-accuracy", "90"], "--min-accuracy: 90 is more than all: write 90% or 0.9."],
    [[...data, "--against", "m.onnx", "--max-drop", "2"], "--max-drop 2 would allow any loss"],
    [[...data, "--min-accuracy", "90%", "--metric", "top-5"], "--min-accuracy is for --metric accuracy"],
    [[...data, "--preprocess", "imagnet"], '"imagnet" is not understood'],
    [[...data, "--metric", "accurcy"], "--metric: expected accuracy"],
    [[...data, "--preprocess", "imagenet"], "--preprocess is for stored images"],
  ])("%j is wrong usage", async (words, message) => {
    const { code, out, err } = await pith("eval", at("right.onnx"), ...words);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain(message);
  });

  test("pictures for a model of texts are said to be pictures", async () => {
    const ids =
      "opset 21\ngraph (input_ids: int64[s77, seq]) -> (logits: int64[s77, seq]) {\n  logits = Neg(input_ids)\n}";
    await save(parseModel(ids), at("ids.onnx"));
    // idx: unsigned bytes, three dimensions, two pictures of 2×2; and one dimension, their labels.
    writeFileSync(
      at("t10k-images-idx3-ubyte"),
      Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8),
    );
    writeFileSync(at("t10k-labels-idx1-ubyte"), Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 2, 0, 1));
    const { code, err } = await pith("eval", at("ids.onnx"), "--data", at("t10k-images-idx3-ubyte"));
    expect(code).toBe(1);
    expect(err).toMatch(
      /^E_DATA: .* holds pictures, and input "input_ids" int64\[s77, seq\] takes tokens of texts\.\nhint: Texts/,
    );
  });

  test("data that does not fit the model is E_DATA", async () => {
    writeFileSync(at("wide.csv"), "a,b,c,label\n1,2,3,0\n");
    expect(await pith("eval", at("right.onnx"), "--data", at("wide.csv"))).toMatchObject({
      code: 1,
      err: expect.stringContaining("E_DATA: "),
    });
  });
});

describe("bench", () => {
  test("times models against the first and tells their bytes, load time and memory", async () => {
    const { models, code } = await json(
      "bench",
      at("right.onnx"),
      at("near.onnx"),
      "--rounds",
      "3",
      "--dim",
      "batch=4",
    );
    expect(code).toBe(0);
    expect(models).toHaveLength(2);
    const [first, second] = models as Record<string, unknown>[];
    expect(first).toMatchObject({ speedup: { median: 1, low: 1, high: 1 } });
    for (const row of [first, second]) {
      for (const key of ["bytes", "brotli", "load"]) expect(row?.[key]).toBeGreaterThan(0);
      expect(row?.memory).toBeGreaterThanOrEqual(0);
    }
  });

  test("refuses a dimension that no input has", async () => {
    expect(await pith("bench", at("right.onnx"), "--dim", "seq=4")).toMatchObject({
      code: 2,
      err: 'E_USAGE: No input has a dimension "seq", only batch.\n',
    });
  });
});

describe("quantize", () => {
  const data = ["--data", at("points.csv")];

  test("without data writes the changed model and tells its bytes", async () => {
    const out = at("right.int8-weights.onnx");
    const result = await json("quantize", at("right.onnx"), "--scheme", "weights");
    expect(result).toMatchObject({ code: 0, written: out, changes: [{ at: "fc" }] });
    expect(result.before).toMatchObject({ parameters: 6, macs: "4*batch" });
    expect(result.comparison).toBeUndefined();
    expect(await json("eval", out, ...data)).toMatchObject({ figures: [{ estimate: { value: 1 } }] });
    const again = await pith("quantize", at("right.onnx"), "--scheme", "weights");
    expect(again.out).toMatch(
      /\naccuracy: not measured \(add --data\)\nwritten: .*right\.int8-weights\.onnx \(replaced\)\n$/,
    );
    rmSync(out);
  });

  test("that loses more than --max-drop allows writes nothing and exits with 1, unless forced", async () => {
    const names = readdirSync(folder);
    // No interval from samples reaches down to a drop of exactly nothing.
    const words = ["quantize", at("right.onnx"), ...data, "--scheme", "weights", "--max-drop", "0", "--strict"];
    expect(await pith(...words)).toMatchObject({ code: 1, out: "", err: expect.stringContaining("E_ACCURACY_LOST: ") });
    expect(readdirSync(folder)).toEqual(names);
    const out = at("forced.onnx");
    expect(await json(...words, "--force", "-o", out)).toMatchObject({ code: 1, written: out });
  });
});

describe("prune", () => {
  const data = ["--data", at("points.csv")];

  test("half of a diagonal matrix goes without a loss: zeros in a file without masks", async () => {
    const out = at("half.onnx");
    const result = await json("prune", at("right.onnx"), "--amount", "50%", ...data, "-o", out);
    expect(result).toMatchObject({ code: 0, comparison: { candidate: { value: 1 }, difference: { value: 0 } } });
    const { before, after } = result as Record<string, { bytes: number; brotli: number }>;
    expect(after?.brotli).toBeGreaterThan(0);
    expect(after?.bytes).toBe(before?.bytes);
    expect(await json("inspect", out)).toMatchObject({ operators: { Gemm: 1 }, roles: { parameter: 2 } });
  });

  test("--keep-masks keeps them, and training leaves what they cover at zero", async () => {
    const masked = at("masked.onnx");
    await json("prune", at("near.onnx"), "--amount", "50%", "--keep-masks", "-o", masked);
    expect(await json("inspect", masked)).toMatchObject({ operators: { Mul: 1 }, roles: { mask: 1 } });
    const tuned = at("tuned.onnx");
    const words = ["--epochs", "10", "--batch", "16", "--learning-rate", "0.05"];
    const { comparison } = await json("train", masked, ...data, ...words, "-o", tuned);
    const { original, candidate } = comparison as Record<string, { value: number }>;
    expect(candidate?.value).toBeGreaterThan(original?.value ?? 1);
    const [before, after] = [await numbers(masked, "--weights"), await numbers(tuned, "--weights")];
    expect(before).toMatchObject([{ name: "fc", zeros: 0.5 }]);
    expect(after).toMatchObject([{ name: "fc", zeros: 0.5 }]);
    expect(after[0]?.greatest).not.toBe(before[0]?.greatest);
  });

  test.each([
    [["--structured", "50%"]],
    [["--structured", "--amount", "50%"]],
    [["--amount", "50%", "--structured=true"]],
  ])("%j cuts half of the channels that can go", async (words) => {
    const out = at("hidden.cut.onnx");
    const result = await json("prune", ...words, at("hidden.onnx"), ...data, "-o", out, "--force");
    expect(result).toMatchObject({ code: 0, changes: [{ at: "fc1", what: "2 of 4 channels cut" }] });
    expect((await open(out)).graph.value("fc2.weight")?.tensor?.dims).toEqual([2, 2]);
  });

  test.each([
    [[], "--amount: is needed"],
    [["--structured"], "--amount: is needed"],
    [["--structured", "30%", "--amount", "50%"], "--amount: is given twice"],
    [["--amount", "50"], "--amount: 50 is more than all: write 50% or 0.5."],
    [["--structured", "50"], "--structured: 50 is more than all: write 50% or 0.5."],
    [["--amount", "-1"], "takes a number from 0 to 1"],
    [["--amount", "50%", "--layers", "fcc"], 'E_NAME: No layer is called "fcc".'],
    [
      ["--amount", "50%", ...data, "--max-drop", "1"],
      "--max-drop 1 would allow any loss: write 1% (one point) or 0.01.",
    ],
  ])("%j is wrong usage", async (words, message) => {
    const { code, out, err } = await pith("prune", at("right.onnx"), ...words);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain(message);
  });

  test("a result that lost the function is not written, unless forced", async () => {
    const out = at("gone.onnx");
    const words = ["prune", at("right.onnx"), "--amount", "100%", ...data, "-o", out];
    expect(await pith(...words)).toMatchObject({
      code: 1,
      out: "",
      err: expect.stringMatching(
        /^E_ACCURACY_LOST: Accuracy falls from 100\.0 % to .*Nothing was written\.\nhint: .*--force/,
      ),
    });
    expect(readdirSync(folder)).not.toContain("gone.onnx");
    const lost = expect.stringMatching(/^accuracy falls from 100\.0 % to /);
    expect(await json(...words, "--force")).toMatchObject({ code: 0, written: out, lost });
    expect((await pith(...words, "--force")).out).toMatch(/\nlost: accuracy falls .*--force/);
  });
});

describe("without --max-drop", () => {
  const data = ["--data", at("points.csv")];

  test("a result that is worse beyond chance is written with a warning; one that may be so by chance without", async () => {
    const cut = await pith("prune", at("mixed.onnx"), "--amount", "50%", ...data, "-o", at("worse.onnx"));
    expect(cut).toMatchObject({ code: 0, out: expect.stringContaining("written: ") });
    expect(cut.err).toMatch(
      /worse: accuracy is worse, beyond chance \(−\d+\.\d points\)\. --max-drop 1% would have refused this\.\n/,
    );
    const kept = await pith("prune", at("right.onnx"), "--amount", "50%", ...data, "-o", at("worse.onnx"));
    expect(kept).toMatchObject({ code: 0, err: "" });
  });

  test("train that makes a model worse says so; with --max-drop it writes nothing unless forced", async () => {
    const words = ["train", at("right.onnx"), ...data, "--optimizer", "sgd", "--learning-rate", "1", "--epochs", "1"];
    const spoiled = ["--batch", "400", "--seed", "1", "--schedule", "constant", "-o", at("spoiled.onnx")];
    const { code, err } = await pith(...words, ...spoiled);
    expect({ code, err }).toMatchObject({
      code: 0,
      err: expect.stringContaining("worse: accuracy is worse, beyond chance"),
    });
    rmSync(at("spoiled.onnx"));
    expect(await pith(...words, ...spoiled, "--max-drop", "1%")).toMatchObject({
      code: 1,
      err: expect.stringMatching(/\nE_ACCURACY_LOST: .*Nothing was written\./),
    });
    expect(readdirSync(folder)).not.toContain("spoiled.onnx");
  });
});

describe("what a command prints", () => {
  test("prune says what stored zeros are worth, and --structured has nothing to say", async () => {
    const { out } = await pith("prune", at("right.onnx"), "--amount", "50%", "-o", at("note.onnx"));
    expect(out).toMatch(
      /\nThe zeros are stored: the file is as large as before and compresses to \d+ bytes\. .*--structured/,
    );
    const cut = await pith("prune", at("hidden.onnx"), "--structured", "50%", "-o", at("note.onnx"));
    expect(cut.out).toMatch(/written: .*note\.onnx \(replaced\)/);
    expect(cut.out).not.toContain("zeros are stored");
  });

  test("reasons in the same words are said once", async () => {
    const { out } = await pith("factorize", at("hidden.onnx"), "--rank", "2");
    expect(out).toMatch(/^left as they are \(2\):\n {2}fc1, fc2: .+\nNothing changed/);
  });

  test.each([
    ["prune", "--amount", "50%"],
    ["prune", "--structured", "50%"],
    ["quantize", "--scheme", "weights"],
    ["factorize", "--rank", "1"],
  ])("%s %s %s says why a model has nothing for it", async (...words) => {
    await save(
      parseModel("opset 21\ngraph (x: float32[batch, 2]) -> (y: float32[batch, 2]) {\n  y = Relu(x)\n}\n"),
      at("empty.onnx"),
    );
    const { code, out } = await pith(...words, at("empty.onnx"));
    expect(code).toBe(1);
    expect(out).toMatch(/^left as they are \(\d+\):\n {2}\w.+\n(.*\n)*Nothing changed, and nothing was written\.\n$/);
  });

  test("the help tells the default of -o", async () => {
    expect((await pith("prune", "--help")).out).toContain("(default: model.pruned.onnx)");
    expect((await pith("quantize", "--help")).out).toMatch(
      /\(default: model\.int8-<scheme>\.onnx;\s+of\s+float16\s+model\.float16\.onnx\)/,
    );
  });

  test("wrong settings are refused before data is looked at", async () => {
    const words = ["prune", at("right.onnx"), "--structured", "--data", at("no-such-data.csv")];
    expect(await pith(...words)).toMatchObject({ code: 2, err: expect.stringContaining("--amount: is needed") });
  });
});

describe("quantize --scheme static", () => {
  test("without data is wrong usage, and says what is missing", async () => {
    const { code, out, err } = await pith("quantize", at("right.onnx"), "--scheme", "static");
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toMatch(/^E_USAGE: quantize needs --data here: the ranges of activations .*\nhint: .*--data/);
  });

  test("measures ranges on samples that it does not judge by", async () => {
    const out = at("static.onnx");
    const words = ["--scheme", "static", "--data", at("points.csv"), "-o", out];
    const result = await json("quantize", at("hidden.onnx"), ...words);
    expect(result).toMatchObject({ code: 0, written: out });
    const { candidate } = result.comparison as Record<string, { value: number; count: number }>;
    // Ranges come from the four fifths that are for training.
    expect(candidate?.count).toBe(samples / 5);
    expect(candidate?.value).toBeGreaterThan(0.95);
    expect(Object.keys((await json("inspect", out)).operators as object)).toContain("QuantizeLinear");
  });
});

describe("factorize and distill", () => {
  test("factorize refuses what would not get smaller: nothing is written, exit code 1", async () => {
    const names = readdirSync(folder);
    const { code, out } = await pith("factorize", at("right.onnx"), "--rank", "1");
    expect(code).toBe(1);
    expect(out).toMatch(/^left as they are \(1\):\n {2}fc: .+\nNothing changed, and nothing was written\.\n$/);
    expect(readdirSync(folder)).toEqual(names);
  });

  test("options that a pass refuses are wrong usage", async () => {
    expect(await pith("factorize", at("right.onnx"))).toMatchObject({
      code: 2,
      err: expect.stringContaining("exactly one of --rank, --energy and --ratio"),
    });
  });

  test("distill learns from a teacher alone", async () => {
    const words = [
      "--teacher",
      at("right.onnx"),
      "--alpha",
      "1",
      "--epochs",
      "20",
      "--batch",
      "16",
      "--learning-rate",
      "0.05",
    ];
    const out = at("student.onnx");
    const result = await json("distill", at("zero.onnx"), "--data", at("points.csv"), ...words, "-o", out);
    expect(result).toMatchObject({ code: 0, written: out });
    const { candidate } = result.comparison as Record<string, { value: number }>;
    expect(candidate?.value).toBeGreaterThan(0.9);
  });

  test("distill without a teacher is wrong usage", async () => {
    expect(await pith("distill", at("zero.onnx"), "--data", at("points.csv"))).toMatchObject({
      code: 2,
      err: expect.stringContaining("--teacher is needed: the model to learn from."),
    });
  });
});

describe("train", () => {
  const data = ["--data", at("points.csv")];

  test("makes a model better, writes it, and leaves the original alone", async () => {
    const before = readFileSync(at("zero.onnx"));
    const out = at("learned.onnx");
    const result = await json(
      "train",
      at("zero.onnx"),
      ...data,
      "-o",
      out,
      "--epochs",
      "20",
      "--batch",
      "16",
      "--learning-rate",
      "0.05",
    );
    expect(result).toMatchObject({ code: 0, written: out });
    const { original, candidate } = result.comparison as Record<string, { value: number; count: number }>;
    expect(original?.value).toBeLessThan(0.7);
    expect(candidate?.value).toBeGreaterThan(0.9);
    // A fifth of the file is kept for judging.
    expect(candidate?.count).toBe(samples / 5);
    expect(readFileSync(at("zero.onnx"))).toEqual(before);
    expect((await open(out)).graph.value("fc.weight")?.tensor?.dims).toEqual([2, 2]);
  });

  test.each([
    [[], "E_USAGE: train needs --data."],
    [[...data, "--epochs", "0"], "E_OPTION: "],
    [[...data, "--optimizer", "adamm"], "E_USAGE: --optimizer: expected adam, sgd"],
    [[...data, "-o", at("zero.onnx")], "is the model itself"],
  ])("%j is wrong usage, and nothing is written", async (words, message) => {
    const names = readdirSync(folder);
    const { code, err } = await pith("train", at("zero.onnx"), ...words);
    expect(err).toContain(message);
    expect(code).toBe(2);
    expect(readdirSync(folder)).toEqual(names);
  });

  test("a result that could not be written is refused before any work", async () => {
    const { code, err } = await pith("train", at("zero.onnx"), ...data, "-o", at("none/out.onnx"));
    expect({ code, err }).toMatchObject({ code: 1, err: expect.stringContaining("E_FILE: ") });
  });

  test("Ctrl-C stops the real program with exit code 1, and nothing is half-written", async () => {
    const names = readdirSync(folder);
    const loader = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
    const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
    const words = ["train", at("zero.onnx"), ...data, "--epochs", "1000000", "-o", at("never.onnx")];
    const child = spawn(process.execPath, ["--import", loader, "--conditions=pith-source", main, ...words]);
    let err = "";
    child.stderr.on("data", (text) => {
      // Training has begun. Told twice, the program would not wait for the job to end.
      if (err === "") child.kill("SIGINT");
      err += text;
    });
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect(code).toBe(1);
    expect(err).toMatch(/\nE_STOPPED: [^\n]+\n$/);
    expect(readdirSync(folder)).toEqual(names);
  });

  test("stopped at once while it saves, the real program leaves no temporary file", async () => {
    // Written a good while; and only the small layer is changed.
    const big = `opset 21
graph (features: float32[batch, 2]) -> (logits: float32[batch, 2], unused: float32[4096, 8192]) {
  fc.weight: float32[2, 2] parameter = [[1, 0], [0, 1]]
  logits = Gemm "fc" (features, fc.weight) {transB=1}
  table: float32[4096, 8192] = zeros
  unused = Identity(table)
}
`;
    await save(parseModel(big), at("big.onnx"));
    const names = readdirSync(folder);
    const loader = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
    const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
    const words = ["quantize", at("big.onnx"), "--scheme", "weights", "-o", at("big.out.onnx")];
    const child = spawn(process.execPath, ["--import", loader, "--conditions=pith-source", main, ...words]);
    let seen = false;
    const watch = setInterval(() => {
      if (seen || !readdirSync(folder).some((name) => name.endsWith(".tmp"))) return;
      seen = true;
      child.kill("SIGINT");
      // Asked twice, it does not wait for the job to end.
      setTimeout(() => child.kill("SIGINT"), 20);
    }, 2);
    const code = await new Promise((resolve) => child.on("close", resolve));
    clearInterval(watch);
    expect({ seen, code }).toEqual({ seen: true, code: 1 });
    expect(readdirSync(folder).filter((name) => name !== "big.out.onnx")).toEqual(names);
  });
});

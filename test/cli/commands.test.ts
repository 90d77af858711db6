/** The commands on a model small enough to know every answer: two features, the class is the greater one. */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runProgram } from "../../src/cli/program.ts";
import { parseModel } from "../../src/graph/text.ts";
import { open, save } from "../../src/onnx/index.ts";
import { random } from "../../src/tensor/random.ts";
import { shared } from "../shared.ts";

const folder = mkdtempSync(join(tmpdir(), "pith-test-"));
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

beforeAll(async () => {
  await save(parseModel(classifier("[[1, 0], [0, 1]]")), at("right.onnx"));
  // Always answers the first class.
  await save(parseModel(classifier("[[0, 0], [0, 0]]")), at("zero.onnx"));
  // Wrong where the second feature is the greater one by less than half of it.
  await save(parseModel(classifier("[[1, 0], [0, 0.9]]")), at("near.onnx"));
  const numbers = random(1, "test");
  const rows = Array.from({ length: samples }, () => {
    const [a, b] = [1 + numbers.normal() / 4, 1 + numbers.normal() / 4];
    return `${a},${b},${a > b ? 0 : 1}`;
  });
  writeFileSync(at("points.csv"), `a,b,label\n${rows.join("\n")}\n`);
});

afterAll(() => rmSync(folder, { recursive: true }));

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function pith(...words: string[]): Promise<Ran> {
  const text = { out: "", err: "" };
  const stream = (name: "out" | "err") => ({
    write: (more: string) => {
      text[name] += more;
    },
  });
  const signal = new AbortController().signal;
  const code = await runProgram(words, { out: stream("out"), err: stream("err"), signal });
  return { code, ...text };
}

async function json(...words: string[]): Promise<Readonly<Record<string, unknown>>> {
  const { code, out, err } = await pith(...words, "--json");
  if (out === "") throw new Error(err);
  return { ...JSON.parse(out), code };
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
    for (const part of [">features<", ">[batch, 2]<", ">Gemm [2, 2], 4<", ">fc<", ">logits<", ">2 of 4 removed<"]) {
      expect(html).toContain(part);
    }
    rmSync(at("right.html"));
  });

  test("begins with the amount that is asked for", async () => {
    await pith("plot", at("right.onnx"), "-o", at("amount.html"), "--amount", "1");
    expect(readFileSync(at("amount.html"), "utf8")).toContain(">4 of 4 removed<");
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
    expect(counted).toBe(samples);
    expect(figures).toMatchObject([{ metric: "accuracy", estimate: { value: 1, high: 1, count: samples } }]);
    expect((await pith("eval", at("right.onnx"), ...data)).out).toMatch(/accuracy +100\.0 % +99\.0 % … 100\.0 %/);
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

  test("appends Markdown to a file", async () => {
    writeFileSync(at("summary.md"), "before\n");
    await pith("eval", at("right.onnx"), ...data, "--markdown", at("summary.md"));
    expect(readFileSync(at("summary.md"), "utf8")).toMatch(
      /^before\n### .*right\.onnx\n(.*\n)+\| accuracy \| 100\.0 % \|/,
    );
  });

  test.each([
    [[], "--data is needed"],
    [["--samples", "5"], "--samples says how to read data, and there is no --data"],
    [[...data, "--max-drop", "1%"], "--max-drop needs --against"],
    [[...data, "--preprocess", "imagnet"], '"imagnet" is not understood'],
    [[...data, "--metric", "accurcy"], "--metric: expected accuracy"],
    [[...data, "--preprocess", "imagenet"], "--preprocess is for stored images"],
  ])("%j is wrong usage", async (words, message) => {
    const { code, out, err } = await pith("eval", at("right.onnx"), ...words);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain(message);
  });

  test("data that does not fit the model is E_DATA", async () => {
    writeFileSync(at("wide.csv"), "a,b,c,label\n1,2,3,0\n");
    expect(await pith("eval", at("right.onnx"), "--data", at("wide.csv"))).toMatchObject({
      code: 1,
      err: expect.stringContaining("E_DATA: "),
    });
  });

  const images = shared("data/cifar10/test_batch_first1000.bin.gz");
  const resnet = shared("data/models/resnet20.onnx");
  test.skipIf(images === undefined || resnet === undefined)(
    "ResNet-20 is right on 915 of 1,000 images of CIFAR-10",
    async () => {
      const { figures } = await json("eval", resnet ?? "", "--data", images ?? "", "--preprocess", "imagenet");
      expect(figures).toMatchObject([{ metric: "accuracy", estimate: { value: 0.915, count: 1000 } }]);
    },
  );
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
      for (const key of ["bytes", "brotli", "load", "memory"]) expect(row?.[key]).toBeGreaterThan(0);
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
    const out = at("right.quantized.onnx");
    const result = await json("quantize", at("right.onnx"), "--scheme", "weights");
    expect(result).toMatchObject({ code: 0, written: out, changes: [{ at: "fc" }] });
    expect(result.before).toMatchObject({ parameters: 6, macs: "4*batch" });
    expect(result.comparison).toBeUndefined();
    expect(await json("eval", out, ...data)).toMatchObject({ figures: [{ estimate: { value: 1 } }] });
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

  test("half of a diagonal matrix goes without a loss, and the mask is in the file", async () => {
    const out = at("half.onnx");
    const result = await json("prune", at("right.onnx"), "--amount", "50%", ...data, "-o", out);
    expect(result).toMatchObject({ code: 0, comparison: { candidate: { value: 1 }, difference: { value: 0 } } });
    expect(await json("inspect", out)).toMatchObject({ roles: { mask: 1 } });
  });

  test("a result that lost the function is not written, unless forced", async () => {
    const out = at("gone.onnx");
    const words = ["prune", at("right.onnx"), "--amount", "100%", ...data, "-o", out];
    expect(await pith(...words)).toMatchObject({
      code: 1,
      out: "",
      err: expect.stringMatching(
        /^E_ACCURACY_LOST: accuracy falls from 100\.0 % to .*Nothing was written\.\nhint: .*--force/,
      ),
    });
    expect(readdirSync(folder)).not.toContain("gone.onnx");
    expect(await json(...words, "--force")).toMatchObject({ code: 0, written: out });
  });
});

describe("factorize and distill", () => {
  test("factorize refuses what would not get smaller: nothing is written, exit code 1", async () => {
    const names = readdirSync(folder);
    const { code, out } = await pith("factorize", at("right.onnx"), "--rank", "1");
    expect(code).toBe(1);
    expect(out).toMatch(/^refused \(1\):\n {2}fc: .+\nNothing changed, and nothing was written\.\n$/);
    expect(readdirSync(folder)).toEqual(names);
  });

  test("options that a pass refuses are wrong usage", async () => {
    expect(await pith("factorize", at("right.onnx"))).toMatchObject({
      code: 2,
      err: expect.stringContaining("exactly one of rank, energy and ratio"),
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
      err: expect.stringContaining("'--teacher <teacher.onnx>' not specified"),
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
});

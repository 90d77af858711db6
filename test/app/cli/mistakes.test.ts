/** Mistakes that once caused a stack trace, a wrong sentence or no end; `npm run bench -- mistakes` has the whole list. */
import { spawnSync } from "node:child_process";
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { requireNotWeights } from "../../../src/app/cli/files/file-paths.ts";
import { requireAppendable, requireWritable, requireWritableFolder } from "../../../src/app/cli/files/writable.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { temporaryFolder } from "../../temporary.ts";
import { pith, program } from "./run.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);

const net = `opset 21
graph (features: float32[batch, 2]) -> (logits: float32[batch, 2]) {
  encoder.weight: float32[4, 2] parameter = [[1, 0], [0, 1], [0.5, 0], [0, 0.5]]
  head.weight: float32[2, 4] parameter = [[1, 0, 1, 0], [0, 1, 0, 1]]
  between = Gemm "encoder" (features, encoder.weight) {transB=1}
  logits = Gemm "head" (between, head.weight) {transB=1}
}
`;

beforeAll(async () => {
  await save(parseModel(net), at("net.onnx"));
  writeFileSync(at("points.csv"), `a,b,label\n${"0.1,0.9,1\n0.9,0.1,0\n".repeat(40)}`);
  writeFileSync(at("taken"), "a file\n");
  await save(parseModel(net), at("other.onnx"));
  symlinkSync("net.onnx", at("alias.onnx"));
  mkdirSync(at("home"));
  await save(parseModel(net), at("home/model.onnx"));
  symlinkSync("home", at("link"));
});

test.each([
  ["a model", () => ["inspect", at("ne.onnx")], "net.onnx"],
  ["a model in a folder", () => ["inspect", at("model.onnx")], "home/model.onnx"],
  ["data", () => ["eval", at("net.onnx"), "--data", at("point.csv")], "points.csv"],
  ["a recipe", () => ["compress", at("net.onnx"), "--data", at("points.csv"), "-r", at("step.yaml")], "steps.yaml"],
])("suggests the intended path for %s that does not exist", async (_, words, meant) => {
  writeFileSync(at("steps.yaml"), "steps:\n  - simplify: {}\n");
  const { code, err } = await pith(...words());
  expect({ code, err }).toMatchObject({
    code: 1,
    err: expect.stringMatching(/^E_FILE: .*\nhint: Did you mean ".*"\?\n$/s),
  });
  expect(err).toContain(`Did you mean "${at(meant)}"?`);
});

describe("flags", () => {
  test("suggests all nearest values for a mistyped value", async () => {
    expect(await pith("quantize", at("net.onnx"), "--dtype", "q6")).toMatchObject({
      code: 2,
      err: expect.stringMatching(/expected "q8", "int8", .*, got "q6"\.\nhint: Did you mean "q8", "q4" or "q2"\?\n$/),
    });
  });

  test("names a mistyped flag before a missing one", async () => {
    expect(await pith("quantize", at("net.onnx"), "--sheme", "weights")).toEqual({
      code: 2,
      out: "",
      err: "E_USAGE: Unknown option '--sheme'.\nhint: Did you mean --scheme?\n",
    });
    expect(await pith("train", at("net.onnx"), "--lr", "0.1")).toMatchObject({
      code: 2,
      err: "E_USAGE: Unknown option '--lr'.\nhint: Did you mean --learning-rate?\n",
    });
    expect(await pith("quantize", at("net.onnx"), "--wholly-other")).toMatchObject({
      code: 2,
      err: "E_USAGE: Unknown option '--wholly-other'.\nhint: See pith quantize --help.\n",
    });
    expect(await pith("distill", at("net.onnx"), "--data", at("points.csv"))).toMatchObject({
      code: 2,
      err: "E_OPTION: --teacher is needed, or --shrink or --keep-layers, which make a smaller student of the model itself.\nhint: See pith distill --help.\n",
    });
  });

  test.each([
    [["--macs", "50%"], "E_OPTION: --macs is for --structured without an amount: use --structured --macs 0.5.\n"],
    [["--round-to", "8", "--amount", "50%"], "E_OPTION: --round-to is for --structured.\n"],
    [
      ["--structured", "10%", "--macs", "90%"],
      "E_OPTION: --macs is for --structured without an amount: use --structured --macs 0.9.\n",
    ],
    [
      [],
      "E_OPTION: --amount is required for weights, for example 0.5; for channels give --structured 0.3, or --structured with ",
    ],
    [
      ["--amount", "50%", "--importance", "taylor"],
      'E_OPTION: --importance: "taylor" ranks channels, not individual weights: it requires --structured.\n',
    ],
    [["--structured", "1e9"], "E_OPTION: --structured: expected at most 100%, got 1e9.\n"],
    [
      ["--structured", "-5%"],
      "E_OPTION: --structured takes a number from 0 to 1, got -0.05.\nhint: See pith prune --help",
    ],
    [
      ["--structured", "abc"],
      'E_OPTION: --structured takes true, false or a number from 0 to 1, got "abc".\nhint: See pith prune --help.\n',
    ],
    [
      ["--structured", "--macs", "50%", "--round-to", "1000"],
      "hint: Use a smaller --round-to, a larger --max-layer-amount, --through-norms, or fewer layers in --except.\n",
    ],
    [
      ["--structured", "--target-size", "300 K"],
      'E_OPTION: --target-size takes a size such as 300kB or 2MB, got "300 K"',
    ],
    [["--structured", "50%", "--drop-layers", "1"], "E_OPTION: --drop-layers is for whole layers"],
    [
      ["--pattern", "4:2"],
      'E_OPTION: --pattern is "entries", "rows", n:m such as "2:4" (2 of 4 consecutive weights are kept)',
    ],
    [
      ["--structured", "50%", "--importance", "taylor"],
      "E_OPTION: prune needs --data here: the criterion uses samples.\nhint: Add typical inputs, such as --data photos/; with labels.",
    ],
    [
      ["--structured", "50%", "--importance", "activation"],
      "E_OPTION: prune needs --data here: the criterion uses samples.\nhint: Add typical inputs, such as --data photos/; labels are not",
    ],
  ])("rejects prune %j", async (words, err) => {
    expect(await pith("prune", at("net.onnx"), ...words)).toMatchObject({
      code: 2,
      out: "",
      err: expect.stringContaining(err),
    });
  });

  test("names a missing model before it asks for a scheme", async () => {
    const { code, err } = await pith("quantize", at("missing/net.onnx"));
    expect({ code, err }).toEqual({ code: 1, err: expect.stringContaining('/missing/net.onnx" cannot be opened') });
  });

  test.each([
    [["factorize", "--rank", "2", "--budget", "0.5"], "E_OPTION: Give at most one of --budget and --rank."],
    [["quantize"], "E_OPTION: Choose what to quantize: --scheme static (with --data), dynamic, weights or float16."],
    [
      ["quantize", "--scheme", "weights", "--dtype", "q4"],
      "E_OPTION: --scheme and --dtype cannot be combined: use one of them.",
    ],
    [["quantize", "--scheme", "weights", "--batch", "0"], "E_OPTION: --batch: expected at least 1, got 0."],
    [["distill", "--shrink", "100%", "--data", "random"], "E_OPTION: --shrink: must be below 1 (100 %), got 1."],
    [["distill", "--shrink", "0%", "--data", "random"], "E_OPTION: --shrink: must be above 0 %, got 0."],
    [["inspect", "--seed", "1"], "E_USAGE: Unknown option '--seed'."],
  ])("rejects %j: %s", async ([command = "", ...words], sentence) => {
    const { code, err } = await pith(command, at("net.onnx"), ...words);
    expect({ code, first: err.split("\n")[0] }).toEqual({ code: 2, first: sentence });
  });

  test.each([
    [
      ["--scheme", "int8"],
      "8 bits: --scheme static with --data, --scheme dynamic without; --scheme weights stores weights alone.",
    ],
    [["--scheme", "int4"], "4 bits: --scheme weights --bits 4; for transformers.js --dtype q4."],
    [["--dtype", "int4"], "4 bits: --dtype q4; in other files --scheme weights --bits 4."],
    [["--dtype", "q8,int4"], "4 bits: --dtype q4; in other files --scheme weights --bits 4."],
    [["--scheme", "weights", "--bits", "9"], "16 bits: --scheme float16, or bfloat16."],
    [["--scheme", "weights", "--bits", "16"], "16 bits: --scheme float16, or bfloat16."],
    [
      ["--max-drop", "1%"],
      "For a transformers.js folder: --dtype q8. pith compress with --data tries several and keeps the best.",
    ],
  ])("names the intended option for quantize %j", async (words, hint) => {
    const { code, err } = await pith("quantize", at("net.onnx"), ...words);
    expect({ code, hint: err.split("\n")[1] }).toEqual({ code: 2, hint: `hint: ${hint}` });
  });

  test("rejects a network without layers to drop before it reads data", async () => {
    const words = ["--drop-layers", "1", "--data"];
    expect(await pith("prune", at("net.onnx"), ...words, at("missing.csv"))).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^E_UNSUPPORTED: The network has no repeated layers/),
    });
    expect((await pith("prune", at("net.onnx"), "--amount", "50%", "--data", at("missing.csv"))).err).toMatch(
      /^E_FILE/,
    );
  });

  test("lists the supported numbers for an unsupported one", async () => {
    const { code, err } = await pith("quantize", at("net.onnx"), "--scheme", "weights", "--bits", "9");
    expect({ code, err }).toEqual({
      code: 2,
      err: expect.stringContaining("--bits takes a whole number from 1 to 8, got 9."),
    });
    expect(err).not.toContain("Did you mean");
    expect((await pith("quantize", at("net.onnx"), "--scheme", "weights", "--bits", "1")).err).toContain(
      "takes 8, 6, 5, 4, 3 or 2, got 1",
    );
  });

  test.each([
    ["prune", "--amount", "50%"],
    ["quantize", "--scheme", "float16"],
    ["factorize", "--rank", "1"],
  ])("%s suggests a layer for a mistyped name", async (...words) => {
    const { code, err } = await pith(words[0] ?? "", at("net.onnx"), ...words.slice(1), "--layers", "encodr");
    expect({ code, err }).toEqual({
      code: 2,
      err: 'E_NAME: No layer is called "encodr".\nhint: Did you mean "encoder"? Layers: encoder, head.\n',
    });
  });
});

describe("rejects an output path that would overwrite", () => {
  test.each([
    ["the model itself", ["quantize", "net.onnx", "--scheme", "weights", "-o", "alias.onnx"]],
    ["the data", ["quantize", "net.onnx", "--scheme", "weights", "--data", "points.csv", "-o", "points.csv"]],
    ["the teacher", ["distill", "net.onnx", "--data", "points.csv", "--teacher", "other.onnx", "-o", "other.onnx"]],
    ["the model itself", ["simplify", "net.onnx", "-o", "alias.onnx"]],
    ["the model itself", ["eval", "net.onnx", "--data", "points.csv", "--markdown", "net.onnx"]],
    ["a model", ["bench", "net.onnx", "--markdown", "net.onnx"]],
  ])("%s, in %j", async (what, words) => {
    const resolvedWords = words.map((word) => (/\.(onnx|csv)$/.test(word) ? at(word) : word));
    expect(await pith(...resolvedWords)).toEqual({
      code: 2,
      out: "",
      err: `E_OPTION: "${resolvedWords.at(-1)}" is ${what}: the result would overwrite it.\nhint: Choose another file.\n`,
    });
  });

  test("a model in the checkpoint folder", async () => {
    copyFileSync(at("net.onnx"), at("home/best.onnx"));
    const words = ["train", at("home/best.onnx"), "--data", at("points.csv"), "--checkpoint", at("home")];
    const { code, err } = await pith(...words);
    expect({ code, err }).toMatchObject({ code: 2, err: expect.stringContaining('best.onnx" is the model itself: ') });
  });

  test("a file with weights of the model", async () => {
    const model = await open(at("net.onnx"));
    const weight = model.graph.value("head.weight");
    expect(weight?.tensor).toBeDefined();
    const stored = { source: { name: at("big.data") }, offset: 0, length: 32 };
    Object.assign(weight ?? {}, { tensor: { ...weight?.tensor, stored } });
    await expect(requireNotWeights(at("big.data"), model, at("net.onnx"))).rejects.toMatchObject({
      code: "E_OPTION",
      message: expect.stringContaining("is a file of the model's weights"),
    });
    await expect(requireNotWeights(at("new.onnx"), model, at("net.onnx"))).resolves.toBeUndefined();
  });

  test("a model with the name of a result, also through a link to the folder", async () => {
    const { code, err } = await pith("compress", at("home/model.onnx"), "--data", at("points.csv"), "-o", at("link"));
    expect({ code, err }).toMatchObject({ code: 2, err: expect.stringContaining("is the model itself") });
  });
});

describe("an output path that cannot be written", () => {
  test.each([
    ["a summary", "eval", ["--data", "points.csv"]],
    ["timings", "bench", ["--rounds", "1"]],
  ])("rejects a missing folder for %s before any evaluation", async (_, command, words) => {
    const names = readdirSync(folder);
    const resolvedWords = words.map((word) => (word.endsWith(".csv") ? at(word) : word));
    const path = at("none/summary.md");
    expect(await pith(command, at("net.onnx"), ...resolvedWords, "--markdown", path)).toEqual({
      code: 1,
      out: "",
      err: `E_FILE: "${path}" cannot be written: the folder "${at("none")}" does not exist.\nhint: Make the folder first: mkdir -p ${at("none")}.\n`,
    });
    expect(readdirSync(folder)).toEqual(names);
  });

  test.each([
    ["a file with a long name", `${"x".repeat(250)}.onnx`, "the name is too long"],
    ["a folder that does not exist", "none/", "that is the name of a folder, not of a file"],
    ["a folder", "home", "it is a folder"],
    ["a file in a missing folder", "none/out.onnx", "does not exist"],
  ])("rejects %s as result before training", async (_, name, reason) => {
    const names = readdirSync(folder);
    // The missing data would be reported if the data were opened before the output path is checked.
    const { code, out, err } = await pith("train", at("net.onnx"), "--data", at("no data"), "-o", at(name));
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toMatch(/^E_FILE: ".*" cannot be written: /);
    expect(err).toContain(reason);
    expect(readdirSync(folder)).toEqual(names);
  });

  test("rejects a checkpoint folder that cannot be created before training", async () => {
    const names = readdirSync(folder);
    const long = at(`new/${"x".repeat(300)}`);
    const { code, err } = await pith("train", at("net.onnx"), "--data", at("no data"), "--checkpoint", long);
    expect({ code, err }).toEqual({ code: 1, err: expect.stringMatching(/^E_FILE: The folder ".*" cannot be made: /) });
    expect(readdirSync(folder)).toEqual(names);
  });

  test("checks of output paths do not change files or folders", async () => {
    writeFileSync(at("notes.md"), "before\n");
    mkdirSync(at("results"));
    const names = readdirSync(folder);
    await requireAppendable(at("notes.md"));
    await requireAppendable(at("more.md"));
    await requireWritable(at("notes.md"));
    await requireWritableFolder(at("results"), ["model.onnx"]);
    await requireWritableFolder(at("deep/er"), ["model.onnx"]);
    expect(readFileSync(at("notes.md"), "utf8")).toBe("before\n");
    expect(readdirSync(at("results"))).toEqual([]);
    expect(readdirSync(folder)).toEqual(names);
  });

  test.each([
    ["quantize", ["--scheme", "weights", "-o", "-"]],
    ["compress", ["--data", "points.csv", "-o", "-"]],
    ["eval", ["--data", "points.csv", "--markdown", "-"]],
  ])("rejects standard output: pith %s %j", async (command, words) => {
    const resolvedWords = words.map((word) => (word.endsWith(".csv") ? at(word) : word));
    expect(await pith(command, at("net.onnx"), ...resolvedWords)).toEqual({
      code: 2,
      out: "",
      err: "E_OPTION: Results are written to files, not to standard output (-).\nhint: Name a file.\n",
    });
    expect(existsSync("-")).toBe(false);
  });

  test.each([
    ["smaller", "smaller.onnx"],
    ["smaller.bin", "smaller.bin.onnx"],
  ])("rejects a result named %s with the hint %s", async (name, meant) => {
    const out = at(name);
    expect(await pith("quantize", at("net.onnx"), "--scheme", "weights", "-o", out)).toEqual({
      code: 2,
      out: "",
      err: `E_OPTION: --out: "${out}" is not the name of a model: expected a file that ends in .onnx.\nhint: -o ${at(meant)}\n`,
    });
    expect(existsSync(out)).toBe(false);
  });

  test.each([
    ["quantize", ["--dtype", "q8"]],
    ["prune", ["--amount", "0.5"]],
    ["simplify", []],
    ["compress", ["--data", "points.csv"]],
    ["inspect", []],
  ])("pith %s of a Hub id names the missing input and the name of the model on the Hub", async (command, words) => {
    const resolvedWords = words.map((word) => (word.endsWith(".csv") ? at(word) : word));
    const { code, err } = await pith(command, "Xenova/all-MiniLM-L6-v2", ...resolvedWords);
    expect({ code, err }).toEqual({
      code: 1,
      err: [
        'E_FILE: "Xenova/all-MiniLM-L6-v2" cannot be opened: it does not exist.',
        "hint: For a model of the Hugging Face Hub: hf:Xenova/all-MiniLM-L6-v2",
        "",
      ].join("\n"),
    });
  });

  test("rejects a results folder inside a file before any run", async () => {
    const out = at("taken/in/it");
    expect(await pith("compress", at("net.onnx"), "--data", at("points.csv"), "-o", out)).toEqual({
      code: 1,
      out: "",
      err: `E_FILE: In "${out}" "${at("taken")}" is a file: the results go into a folder.\n`,
    });
  });

  test("rejects a results folder with the name of a file, and suggests a name", async () => {
    const out = at("smaller.onnx");
    expect(await pith("compress", at("net.onnx"), "--data", at("points.csv"), "-o", out)).toEqual({
      code: 1,
      out: "",
      err: `E_FILE: "${out}" is the name of a file: the results go into a folder.\nhint: Name the folder: ${at("smaller")}.\n`,
    });
  });

  test.skipIf(!existsSync("prints a sentence and no stack if the disk under standard output is full"))(
    "a full disk under standard output is a sentence, not a stack",
    () => {
      const full = openSync("/dev/full", "w");
      const { status, stderr } = spawnSync(process.execPath, [program, "inspect", at("net.onnx")], {
        stdio: ["ignore", full, "pipe"],
        encoding: "utf8",
      });
      closeSync(full);
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr: "E_FILE: Standard output cannot be written: the disk is full.\n",
      });
    },
  );
});

test.each(["train", "prune --amount 0.5", "quantize --scheme static", "factorize --rank 1"])(
  "rejects an unknown layer before it opens the data: %s",
  async (words) => {
    const [name = "", ...flags] = words.split(" ");
    const { code, err } = await pith(name, at("net.onnx"), ...flags, "--layers", "heat", "--data", at("nowhere"));
    expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining('E_NAME: No layer is called "heat".') });
  },
);

test("accepts a file:// address as path", async () => {
  const { code, out } = await pith("inspect", pathToFileURL(at("net.onnx")).href);
  expect({ code, out }).toMatchObject({ code: 0, out: expect.stringContaining("net.onnx") });
});

test("a worker names the server to start if none answers", async () => {
  expect(await pith("worker", "redis://127.0.0.1:1", "--store", at("store"))).toMatchObject({
    code: 1,
    err: "E_FILE: No server answers at redis://127.0.0.1:1 (ECONNREFUSED).\nhint: Start redis-server or valkey-server there, or check the address.\n",
  });
});

test.each([
  ["simplify", "--dim"],
  ["simplify", "--fix"],
  ["bench", "--dim"],
])("%s %s rejects a dimension that no input has, and lists those that there are", async (command, flag) => {
  const out = command === "bench" ? [] : ["-o", at("dims.onnx")];
  expect(await pith(command, at("net.onnx"), flag, "nonsense=20", ...out)).toMatchObject({
    code: 2,
    err: 'E_NAME: No input has a dimension "nonsense", only batch.\n',
  });
});

test.each([
  ["quantize without a scheme", ["quantize"]],
  ["prune without an amount", ["prune"]],
  ["train without data", ["train"]],
])("%s reports a model that is cut off before the missing option", async (_, [command = ""]) => {
  writeFileSync(at("cut.onnx"), readFileSync(at("net.onnx")).subarray(0, 100));
  const { code, err } = await pith(command, at("cut.onnx"));
  expect({ code, err }).toMatchObject({
    code: 1,
    err: expect.stringContaining("the file is cut off after 100 of at least"),
  });
});

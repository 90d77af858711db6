/** Runs `pith compress` as a user does, with its job in a separate process. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { findChromium } from "../../../src/app/cli/browser/chromium.ts";
import { runProgram } from "../../../src/app/cli/program.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { toFloat64 } from "../../../src/core/tensor/convert.ts";
import type { IndexedDataset } from "../../../src/data/batches/dataset.ts";
import type { Run } from "../../../src/judge/record/run-record.ts";
import { task, trained } from "../../judge/blobs.ts";
import { shared } from "../../shared.ts";
import { temporaryFolder } from "../../temporary.ts";
import { filesIn, reports, results } from "./compressing.ts";
import { program, runWithProcesses } from "./run.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const written = results.toSorted();

async function csv(part: IndexedDataset): Promise<string> {
  const { input, label } = await part.gather(Uint32Array.from({ length: part.count }, (_, sample) => sample));
  if (input === undefined || label === undefined) throw new Error("A column is missing.");
  const width = input.dims[1] ?? 0;
  const [values, labels] = [toFloat64(input), toFloat64(label)];
  const rows = [...labels].map((own, row) => [...values.subarray(row * width, (row + 1) * width), own].join(","));
  return `${Array.from({ length: width }, (_, axis) => `x${axis}`).join(",")},label\n${rows.join("\n")}\n`;
}

beforeAll(async () => {
  mkdirSync(at("data"));
  writeFileSync(at("data/train.csv"), await csv(task.train as IndexedDataset));
  writeFileSync(at("data/test.csv"), await csv(task.test as IndexedDataset));
  await save(await trained(), at("net.onnx"));
});

const compress = (...words: string[]) => runWithProcesses("compress", at("net.onnx"), "--data", at("data"), ...words);
const sha256 = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

test.skipIf((await findChromium().catch(() => undefined)) === undefined)(
  "compress --target compares and times every variant on the target",
  async () => {
    const { code, out } = await compress("-o", at("wasm"), "--target", "wasm", "--steps", "4");
    expect(code).toBe(0);
    const run: Run = JSON.parse(readFileSync(at("wasm/run.json"), "utf8"));
    for (const { targets, result } of run.variants)
      if (result !== undefined) expect(targets).toMatchObject([{ target: "wasm", right: true }]);
    expect(run.latency).toMatchObject({
      where: expect.stringMatching(/^WebAssembly in .*Chrome/),
      models: { length: run.variants.length + 1 },
    });
    expect(out).toMatch(/^right on: wasm ✓$/m);
    // A busy machine reports no speed.
    if (run.latency?.unsteady !== true) expect(out).toMatch(/^timed: WebAssembly in .*, on input float32\[1, 16\]$/m);
    else expect(out).not.toContain("timed:");
  },
  120_000,
);

describe("without a recipe", () => {
  test("writes the best of several candidates, with a report and a record of the files", async () => {
    const { code, out, err } = await compress("-o", at("out"), "--steps", "7");
    expect({ code, err }).toMatchObject({ code: 0, err: expect.stringMatching(/^int8 static: \S+ kB, /m) });
    expect(filesIn(at("out"))).toEqual(written);
    const run: Run = JSON.parse(readFileSync(at("out/run.json"), "utf8"));
    const [original, result] = [run.original, run.variants[run.chosen ?? -1]?.result];
    expect(original.sha256).toBe(sha256(at("net.onnx")));
    expect(result?.sha256).toBe(sha256(at("out/model.onnx")));
    expect(result?.bytes).toBe(readFileSync(at("out/model.onnx")).length);
    const typed = ["compress", at("net.onnx"), "--data", at("data"), "-o", at("out"), "--steps", "7"];
    expect(run.command).toEqual(["pith", ...typed]);
    expect(run.goal).toEqual({ maxDrop: 0.01, strict: false });
    expect(run.machine?.versions).toHaveProperty("node", process.versions.node);
    expect(run.data).toMatchObject({ test: { count: 400 } });
    expect(run.search?.points.map(({ name }) => name)).toEqual([
      ...["int8 static", "int8 dynamic", "int8 weights", "int8 static per tensor"],
      ...["palettes of 8 bits", "4 bits", "palettes of 4 bits"],
    ]);
    expect(original.estimate.count).toBe(400);
    expect(out).toMatch(
      /^kept: palettes of \d bits, (the smallest of 7 candidates|the only finalist) that is within the goal.*\nchange: accuracy went from .*\. (Lost|Gained|Accuracy is unchanged) .*\nnext: pith bench .*\n$/m,
    );
    for (const part of [/^✓ {2}palettes of \d bits/m, /← kept/, / smaller/, /^written: /m]) expect(out).toMatch(part);
    expect(readFileSync(at("out/report.html"), "utf8")).toContain("net.onnx");
    expect(readFileSync(at("out/report.md"), "utf8")).toMatch(/palettes of \d bits/);
    await expect(open(at("out/model.onnx"))).resolves.toBeDefined();
  });

  test("copies the tokenizer and settings if the result is in another folder", async () => {
    mkdirSync(at("beside"));
    copyFileSync(at("net.onnx"), at("beside/net.onnx"));
    writeFileSync(at("beside/config.json"), "{}");
    expect(
      (
        await runWithProcesses(
          "compress",
          at("beside/net.onnx"),
          "--data",
          at("data"),
          "--steps",
          "3",
          "-o",
          at("elsewhere"),
        )
      ).code,
    ).toBe(0);
    expect(filesIn(at("elsewhere"))).toEqual(["config.json", ...written]);
    expect(
      (
        await runWithProcesses(
          "compress",
          at("beside/net.onnx"),
          "--data",
          at("data"),
          "--steps",
          "3",
          "-o",
          at("beside/out"),
        )
      ).code,
    ).toBe(0);
    expect(filesIn(at("beside/out"))).toEqual(written);
  });

  test("gives the same bytes from the written recipe, and prints the record with --json", async () => {
    const { code, out } = await compress("-r", at("out/recipe.yaml"), "-o", at("again"), "--json");
    expect(code).toBe(0);
    const { written: _, ...record } = JSON.parse(readFileSync(at("again/run.json"), "utf8"));
    expect(JSON.parse(out)).toEqual(record);
    // The default goal also applies to a recipe.
    expect(JSON.parse(out).goal).toEqual({ maxDrop: 0.01, strict: false });
    // A single recipe needs no selection, so all samples evaluate it.
    expect(JSON.parse(out).original.estimate.count).toBe(800);
    expect(sha256(at("again/model.onnx"))).toBe(sha256(at("out/model.onnx")));
  });
});

describe("no model is written", () => {
  test("for a recipe with a mistake, whose position is printed", async () => {
    writeFileSync(at("typo.yaml"), "steps:\n  - train: { epochs: 2 }\n  - quantise: { scheme: static }\n");
    const { code, err } = await compress("-r", at("typo.yaml"), "-o", at("none"));
    expect(code).toBe(2);
    expect(err).toContain(`E_OPTION: ${at("typo.yaml")}:3:5: steps[1].quantise: "quantise" is not a step`);
    expect(err).toContain('hint: Did you mean "quantize"?');
    expect(existsSync(at("none"))).toBe(false);
  });

  test("if the goal is missed, except with --force, which keeps exit code 1", async () => {
    writeFileSync(at("cut.yaml"), "steps:\n  - prune: { structured: true, amount: 0.4 }\n");
    const words = ["-r", at("cut.yaml"), "--max-drop", "1%", "-o", at("rejected")];
    const missed = await compress(...words);
    expect(missed).toMatchObject({ code: 1, err: expect.stringContaining("E_ACCURACY_LOST: Accuracy went from") });
    expect(missed.out).toMatch(/✗ {2}prune .* points, 1\.0 points allowed/);
    expect(filesIn(at("rejected"))).toEqual(reports);
    const forced = await compress(...words.with(-1, at("forced")), "--force");
    expect(forced.code).toBe(1);
    expect(filesIn(at("forced"))).toEqual(written);
    // Without --max-drop, the default is a point, and --force exits with 0.
    const unsaid = ["-r", at("cut.yaml"), "-o", at("rejected")];
    expect(await compress(...unsaid)).toMatchObject({ code: 1, err: expect.stringContaining("; 1.0 points allowed.") });
    expect((await compress(...unsaid.with(-1, at("forced")), "--force")).code).toBe(0);
  });

  test("if the result lost its function, also without a goal", async () => {
    writeFileSync(at("gone.yaml"), "steps:\n  - prune: { structured: true, amount: 0.95 }\n");
    const { code, out, err } = await compress("-r", at("gone.yaml"), "-o", at("rejected"), "--json");
    expect(code).toBe(1);
    expect(JSON.parse(err.trim().split("\n").at(-1) ?? "")).toEqual({
      error: {
        code: "E_ACCURACY_LOST",
        message: expect.stringMatching(
          /^Accuracy went from .* No model was written; .*report\.html shows what was tried\.$/,
        ),
        hint: expect.stringContaining("--force"),
      },
    });
    expect(JSON.parse(out).variants).toHaveLength(1);
    expect(filesIn(at("rejected"))).toEqual(reports);
  });

  test("if the original is at chance level", async () => {
    const swapped = readFileSync(at("data/test.csv"), "utf8").replace(/,(\d)$/gm, (_, label) => `,${(+label + 1) % 8}`);
    writeFileSync(at("swapped.csv"), swapped);
    const { code, err } = await runWithProcesses(
      "compress",
      at("net.onnx"),
      "--data",
      at("swapped.csv"),
      "-o",
      at("none"),
    );
    expect({ code, err }).toMatchObject({ code: 1, err: expect.stringContaining("E_DATA: The original scores") });
    expect(existsSync(at("none"))).toBe(false);
  });
});

describe("a run that is stopped", () => {
  const recipe = `steps:
  - prune: { structured: true, amount: 0.2 }
  - train: { epochs: 3, validation: 0.2 }
  - quantize: { scheme: static }
`;
  /** Returns the words of a command that writes into this folder. */
  const words = (out: string) => [
    "compress",
    at("net.onnx"),
    "--data",
    at("data"),
    "-r",
    at("long.yaml"),
    "-o",
    at(out),
  ];
  beforeAll(async () => {
    writeFileSync(at("long.yaml"), recipe);
    expect(await runWithProcesses(...words("whole"))).toMatchObject({ code: 0 });
  });
  const bits = (out: string) => {
    const run: Run & { readonly written: unknown } = JSON.parse(readFileSync(at(`${out}/run.json`), "utf8"));
    // Times, paths and warnings differ between runs.
    const { seconds, date, command, paths, latency, variants, warnings, written, ...rest } = run;
    const steps = variants.flatMap((variant) => variant.steps.map(({ seconds, ...step }) => step));
    return { rest, steps, model: sha256(at(`${out}/model.onnx`)) };
  };

  test.each(["epoch 1/3", "after prune", "after train"])(
    "by Ctrl-C at %s keeps finished work, and resumes to the same bits",
    async (moment) => {
      const controller = new AbortController();
      const text = { out: "", err: "" };
      const out = { write: (more: string) => (text.out += more) };
      const err = {
        write: (more: string) => {
          text.err += more;
          if (more.includes(moment)) controller.abort();
        },
      };
      const stopped = moment.replaceAll(/\W/g, "-");
      expect(await runProgram(words(stopped), { out, err, signal: controller.signal })).toBe(1);
      expect(text.err).toContain("E_STOPPED: ");
      expect(text.err).toContain(
        `hint: Completed work is kept in ${at(`${stopped}/pith-steps`)}: the same command continues`,
      );
      expect(readdirSync(at(stopped))).toEqual(["pith-steps"]);
      const again = await runWithProcesses(...words(stopped));
      expect(again.code).toBe(0);
      expect(again.err).toContain(`continued after ${moment === "after train" ? "train" : "prune"}`);
      expect(filesIn(at(stopped))).toEqual(written);
      expect(bits(stopped)).toEqual(bits("whole"));
    },
  );

  test("by kill -9 resumes to the same bits", async () => {
    const line = [program, ...words("killed")];
    const child = spawn(process.execPath, line, { detached: true, stdio: ["ignore", "ignore", "pipe"] });
    await new Promise<void>((resolve) => {
      child.stderr.on("data", (more: Buffer) => {
        if (String(more).includes("epoch 1/3") && child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      });
      child.on("close", () => resolve());
    });
    expect(readdirSync(at("killed"))).toEqual(["pith-steps"]);
    const again = await runWithProcesses(...words("killed"));
    expect(again).toMatchObject({ code: 0, err: expect.stringContaining("continued after prune") });
    expect(bits("killed")).toEqual(bits("whole"));
  });
});

describe("a command of one pass decides as a recipe of that step", () => {
  const sentence = (err: string): string =>
    /E_\w+: (.*?\.) (The largest error|The error is spread|No\w* .*?was written|hint)/s.exec(err)?.[1] ?? err;

  test.each([
    ["prune: { structured: true, amount: 0.95 }", ["prune", "--structured", "95%"], []],
    ["prune: { structured: true, amount: 0.4 }", ["prune", "--structured", "40%"], ["--max-drop", "1%"]],
    ["quantize: { scheme: static }", ["quantize", "--scheme", "static"], ["--max-drop", "0", "--strict"]],
  ])("%s", async (step, [pass = "", ...options], goal) => {
    writeFileSync(at("step.yaml"), `steps:\n  - ${step}\n`);
    // With more samples, the command would stop evaluating as soon as the verdict is settled.
    const few = ["--samples", "400"];
    const compressRun = await compress("-r", at("step.yaml"), "-o", at("none"), ...few, ...goal);
    const data = ["--data", at("data"), ...few, "-o", at("none.onnx")];
    const passRun = await runWithProcesses(pass, at("net.onnx"), ...options, ...data, ...goal);
    expect(passRun.err).toContain("E_ACCURACY_LOST: Accuracy ");
    expect(sentence(passRun.err)).toBe(sentence(compressRun.err));
    expect(existsSync(at("none.onnx"))).toBe(false);
  });

  test("rejects an original at chance level, except for training", async () => {
    const data = ["--data", at("swapped.csv"), "-o", at("swapped.onnx")];
    const { code, err } = await runWithProcesses("prune", at("net.onnx"), "--amount", "10%", ...data);
    expect({ code, err }).toMatchObject({ code: 1, err: expect.stringContaining("E_DATA: The original scores") });
    expect(existsSync(at("swapped.onnx"))).toBe(false);
    expect(await runWithProcesses("train", at("net.onnx"), "--epochs", "1", ...data)).toMatchObject({ code: 0 });
  });

  test("applies a goal to training", async () => {
    const words = ["train", at("net.onnx"), "--data", at("data"), "--epochs", "1", "-o", at("none.onnx")];
    const { code, err } = await runWithProcesses(...words, "--max-drop", "0", "--strict");
    expect({ code, err }).toMatchObject({ code: 1, err: expect.stringContaining("E_ACCURACY_LOST: ") });
    expect(existsSync(at("none.onnx"))).toBe(false);
  });
});

test("warns of a model at chance level, on the terminal and in the record", async () => {
  const count = 40;
  const images = Array.from({ length: 4 * count }, (_, at) => (at * 37) % 251);
  const labels = Array.from({ length: count }, (_, at) => at % 2);
  mkdirSync(at("images"));
  for (const part of ["train", "t10k"]) {
    writeFileSync(
      at(`images/${part}-images-idx3-ubyte`),
      Uint8Array.of(0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 2, ...images),
    );
    writeFileSync(at(`images/${part}-labels-idx1-ubyte`), Uint8Array.of(0, 0, 8, 1, 0, 0, 0, count, ...labels));
  }
  const text = `opset 21
graph (image: float32[batch, 1, 2, 2]) -> (logits: float32[batch, 2]) {
  fc.weight: float32[2, 4] parameter = zeros
  flat = Flatten(image)
  logits = Gemm "fc" (flat, fc.weight) {transB=1}
}
`;
  await save(parseModel(text), at("blank.onnx"));
  writeFileSync(at("train.yaml"), "steps:\n  - train: { epochs: 1 }\n");
  const words = ["-r", at("train.yaml"), "--data", at("images"), "-o", at("blank"), "--force"];
  const { err } = await runWithProcesses("compress", at("blank.onnx"), ...words);
  expect(err).toMatch(
    /^chance: With preprocessing "\w+" the model scores no better than always predicting the most frequent class/,
  );
  const run: Run = JSON.parse(readFileSync(at("blank/run.json"), "utf8"));
  // A busy machine causes another warning.
  expect(run.warnings.filter((warning) => !warning.includes("too busy"))).toEqual([
    expect.stringContaining("no better than always predicting the most frequent class"),
    expect.stringContaining("these samples cannot show what is lost"),
    expect.stringMatching(/^The result is not smaller than the original: \d+ bytes against \d+ bytes$/),
  ]);
  expect(run).toMatchObject({ data: { atChance: expect.stringContaining("The original scores 50.0 %") } });
  expect(run.goal).toBeUndefined();
  for (const name of ["report.html", "report.md"]) {
    const report = readFileSync(at(`blank/${name}`), "utf8");
    expect(report).toContain("these samples cannot show what is lost");
    expect(report).not.toContain("samples show it");
  }
  expect(run.version).toMatch(/^\d+\.\d+\.\d+/);
});

test("requires data, and rejects a file as output folder or a folder with the model", async () => {
  expect(await runWithProcesses("compress", at("net.onnx"))).toMatchObject({
    code: 2,
    err: expect.stringContaining("--data"),
  });
  expect(await compress("-o", at("net.onnx"))).toMatchObject({ code: 1, err: expect.stringContaining("E_FILE: ") });
  mkdirSync(at("own"));
  await save(await open(at("net.onnx")), at("own/model.onnx"));
  // A later run would remove this file as a result of an earlier run.
  await save(await open(at("net.onnx")), at("own/front-1.onnx"));
  for (const name of ["model.onnx", "front-1.onnx"]) {
    const result = await runWithProcesses("compress", at(`own/${name}`), "--data", at("data"), "-o", at("own"));
    expect(result).toMatchObject({ code: 2, err: expect.stringContaining("is the model itself") });
  }
});

const [mnist, network] = [shared("data/mnist"), shared("data/models/vnncomp_mnist-net_256x2.onnx")];

test.skipIf(mnist === undefined || network === undefined)(
  "reduces a real network to about a quarter of its size",
  async () => {
    const { code, out } = await runWithProcesses(
      "compress",
      network ?? "",
      "--data",
      mnist ?? "",
      "--samples",
      "1000",
      "-o",
      at("mnist"),
      "--json",
    );
    expect(code).toBe(0);
    const run: Run = JSON.parse(out);
    expect(run.original.estimate.value).toBeGreaterThan(0.95);
    const chosen = run.variants[run.chosen ?? -1];
    expect(chosen?.result?.bytes).toBeLessThan(0.27 * run.original.bytes);
    expect(chosen?.verdict).toMatchObject({ met: true });
    expect(filesIn(at("mnist"))).toEqual(written);
  },
);

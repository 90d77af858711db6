import { expect, test } from "vitest";
import { folderTable } from "../../../src/app/folder/folder-table.ts";
import { capitalize } from "../../../src/core/errors.ts";
import { decibelsLegend } from "../../../src/judge/record/verdict.ts";

const table = (...rows: Parameters<typeof folderTable>[0]) => {
  const { columns, notes } = folderTable(rows);
  return {
    rows: [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ text }) => text(row)))],
    notes,
  };
};
const moved = { difference: -0.017, low: -0.089, high: 0.045 };
const answers = { metric: "agreement", unit: "share", value: 0.983, samples: 60, ...moved } as const;
const noise = { metric: "signal to noise", unit: "dB", value: 18.31 } as const;
const file = { bytes: 1000, measured: "" };

test("names the metric in the title, and the interval in the brackets of a cell", () => {
  const { rows, notes } = table(
    { dtype: "q8", file: "a.onnx", ...file, nearness: noise, together: { answers, batch: 1, batchSamples: 64 } },
    { dtype: "q4", file: "b.onnx", ...file, nearness: noise },
    { dtype: "int8", file: "c.onnx", ...file, nearness: { ...answers, confidence: 0.9973 } },
  );
  expect(rows).toEqual([
    ["dtype", "file", "size", "agreement / signal to noise"],
    ["q8", "a.onnx", "1.00 kB", "98.3 % of 60 (−8.9 … +4.5)"],
    ["q4", "b.onnx", "1.00 kB", "18.31 dB"],
    ["int8", "c.onnx", "1.00 kB", "98.3 % of 60 (99.7 %: −8.9 … +4.5)"],
  ]);
  expect(notes).toEqual([
    "In parentheses: the 95 % interval of the difference from the original (in points for shares).",
    "agreement: share of predictions that equal the original's (of a language model: the most likely next token).",
    `${capitalize(decibelsLegend)}. Files below 3 dB (70 %) are rejected.`,
    "Outputs are equal alone and in a padded batch (64 samples).",
  ]);
});

test("shows the memory of a page, and names the values that a WebGPU device can refuse", () => {
  const oversized = ["logits (154 MB)", "table (151 MB)"];
  const { rows, notes } = table({ dtype: "q4", file: "onnx/model_q4.onnx", ...file, memory: 4.2e8, oversized });
  expect(rows).toEqual([
    ["dtype", "file", "size", "memory"],
    ["q4", "onnx/model_q4.onnx", "1.00 kB", "420 MB"],
  ]);
  expect(notes).toEqual([
    expect.stringMatching(/^memory: estimated peak of a page/),
    "model_q4.onnx: some WebGPU devices reject buffers above 134 MB (128 MiB): logits (154 MB) and table (151 MB).",
  ]);
});

test("shows the original's metric value, to which the brackets of its variants refer", () => {
  const accuracy = { metric: "accuracy", unit: "share", value: 0.765, samples: 872, difference: 0.001 } as const;
  const files = [
    { dtype: "q8", file: "onnx/model_quantized.onnx", ...file, nearness: { ...accuracy, low: -0.003, high: 0.006 } },
    { dtype: "q4", file: "onnx/decoder_model_q4.onnx", ...file, nearness: noise },
    { dtype: "q4", file: "onnx/decoder_model_merged_q4.onnx", ...file, together: { tokens: 60, same: 59 } },
  ];
  const originals = ["model", "decoder_model", "decoder_model_merged"].map((base) => `onnx/${base}.onnx`);
  const { rows, columns } = folderTable(files, new Map(originals.map((name) => [name, 4000])));
  const cells = rows.map((row) => [row.dtype, row.file, columns.at(-1)?.text(row)]);
  expect(cells).toEqual([
    ["fp32", originals[0], "76.4 % of 872"],
    ["fp32", originals[1], ""],
    ["fp32", originals[2], "100.0 % of 60"],
    ["q8", files[0]?.file, "76.5 % of 872 (−0.3 … +0.6)"],
    ["q4", files[1]?.file, "18.31 dB"],
    ["q4", files[2]?.file, expect.stringMatching(/^98\.3 % of 60 \(/)],
  ]);
});

test("shows the original's size after brotli, and names the samples once", () => {
  const judgedOn = ["tested on: reviews.tsv (872)", "preprocessing: tokenizer.json"];
  const compared = ["Compared on 32 random inputs."];
  const files = [
    {
      dtype: "q8",
      file: "onnx/model_quantized.onnx",
      ...file,
      brotli: 900,
      originalBrotli: 3700,
      nearness: answers,
      judgedOn,
    },
    {
      dtype: "q4",
      file: "onnx/model_q4.onnx",
      ...file,
      brotli: 500,
      originalBrotli: 3700,
      nearness: answers,
      judgedOn,
    },
    {
      dtype: "fp16",
      file: "onnx/model_fp16.onnx",
      ...file,
      nearness: noise,
      together: { answers },
      judgedOn: compared,
    },
  ];
  const { rows, columns, notes } = folderTable(files, new Map([["onnx/model.onnx", 4000]]));
  const brotli = columns.find(({ title }) => title.startsWith("brotli"));
  expect(rows.map((row) => brotli?.text(row))).toEqual(["3.70 kB", "900 bytes", "500 bytes", ""]);
  // The last value in the table is measured on texts.
  expect(notes.slice(-2)).toEqual(judgedOn);
  expect(table({ dtype: "q8", file: "a", ...file, nearness: noise, judgedOn: compared }).notes.slice(-1)).toEqual(
    compared,
  );
});

test("shows differences in a batch and values without a metric; rejected files have empty cells", () => {
  const { rows, notes } = table(
    { dtype: "q8", file: "a", ...file, together: { tokens: 192, same: 187, batch: 0.98123 } },
    { dtype: "q4", file: "b", ...file, measured: "50.0 % apart", rightOn: ["wasm", "webgpu?"] },
    { dtype: "q2", file: "c" },
  );
  expect(rows).toEqual([
    ["dtype", "file", "size", "equal tokens", "right on", "same in a batch"],
    ["q8", "a", "1.00 kB", "97.4 % of 192 (−6.0 … −1.1)", "", "no (98.1 % of tokens)"],
    ["q4", "b", "1.00 kB", "50.0 % apart", "wasm webgpu?", ""],
    ["q2", "c", "", "", "", ""],
  ]);
  expect(notes).toEqual([
    expect.stringMatching(/^In parentheses/),
    expect.stringMatching(/^Same in a batch: whether samples have the same outputs alone and in a padded batch/),
  ]);
});

test("shows the distance of outputs that differ in a batch", () => {
  const together = [
    { batch: -0.96204, batchApart: 0.026, batchSamples: 64 },
    { batch: 1, batchSamples: 64 },
    { batch: 0.99999, batchApart: 0.0047, batchSamples: 64 },
  ];
  const rows = together.map((one, at) => ({ dtype: "q8", file: `${at}`, together: one }) as const);
  expect(
    table(...rows)
      .rows.slice(1)
      .map((row) => row.at(-1)),
  ).toEqual(["no (2.6 % apart)", "yes", "nearly (0.5 % apart)"]);
});

test("has a column of speeds per target, with notes on machines and slower files", () => {
  const on = (target: string, factor: number) =>
    ({
      target,
      where: `the place of ${target}`,
      factor,
      low: factor - 0.1,
      high: factor + 0.1,
      milliseconds: 1,
    }) as const;
  const { rows, notes } = table(
    { dtype: "q8", file: "a", speeds: [on("node", 2), on("wasm", 0.5)] },
    { dtype: "q4", file: "b", speeds: [on("wasm", 0.95)] },
  );
  expect(rows).toEqual([
    ["dtype", "file", "speed, node", "speed, wasm"],
    ["q8", "a", "2.00 × (1.90–2.10)", "0.50 × (0.40–0.60)"],
    ["q4", "b", "", "0.95 × (0.85–1.05)"],
  ]);
  expect(notes).toEqual([
    expect.stringMatching(/^Speed in the place of node, the place of wasm: compared with the original/),
    "Slower than the original: q8 on wasm.",
  ]);
});

test("explains dB and brotli only if the table has such values", () => {
  const tokens = { outcome: "runs", version: "4.3.1", signalToNoise: 31.2, tokens: 192, same: 187 } as const;
  const { rows, notes } = table({ dtype: "q8", file: "a", ...file, loader: tokens });
  expect(rows[1]).toEqual(["q8", "a", "1.00 kB", "97.4 % of 192"]);
  expect(notes).toEqual([expect.stringMatching(/^transformers\.js 4\.3\.1 loads and runs the files/)]);
  expect(table({ dtype: "q8", file: "a", ...file, brotli: 900 }).notes).toEqual([
    "brotli: size after compression with brotli at quality 11.",
  ]);
});

test("shows sizes of compressed copies, lists the copies, and marks sizes that are estimated", () => {
  const large = { bytes: 50e6, measured: "", gzip: 30e6, brotli: 29e6 };
  const originals = new Map([["onnx/model.onnx", 50e6]]);
  const { rows, columns, notes } = folderTable(
    [
      { dtype: "q8", file: "onnx/model_quantized.onnx", ...large, originalBrotli: 45e6, copies: ["gzip", "br"] },
      { dtype: "q4", file: "onnx/model_q4.onnx", ...large, originalBrotli: 45e6 },
    ],
    originals,
  );
  expect(columns.map(({ title }) => title)).toEqual(["dtype", "file", "size", "gzip", "brotli"]);
  expect(rows.map((row) => columns.slice(3).map(({ text }) => text(row)))).toEqual([
    ["", "≈ 45.0 MB"],
    ["30.0 MB", "29.0 MB"],
    ["", "≈ 29.0 MB"],
  ]);
  expect(notes).toEqual([
    "brotli: size after compression with brotli at quality 11.",
    "≈: estimated from parts of the file.",
    "Compressed copies for servers: model_quantized.onnx (.gz, .br).",
  ]);
});

test("names the machine of speeds and the version of transformers.js in notes", () => {
  const speeds = [{ target: "node", where: "Node", factor: 1.83, low: 1.8, high: 1.9, milliseconds: 0.5 }];
  const { rows, notes } = table(
    { dtype: "q8", file: "a", speeds, loader: { outcome: "runs", version: "4.3.1", signalToNoise: 31.2 } },
    { dtype: "q4", file: "b", loader: { outcome: "not tried", version: "4.3.1", reason: "no class" } },
  );
  expect(rows).toEqual([
    ["dtype", "file", "speed", "transformers.js"],
    ["q8", "a", "1.83 × (1.80–1.90)", "31.20 dB"],
    ["q4", "b", "", ""],
  ]);
  expect(notes).toEqual([
    expect.stringMatching(/^Speed in Node: compared with the original/),
    expect.stringContaining(capitalize(decibelsLegend)),
    "transformers.js 4.3.1 loads and runs the files that have a value in its column: how many tokens equal the originals', or how near the outputs are to the originals' (signal to noise, on a few other texts).",
    "Not tried with transformers.js: no class.",
  ]);
});

/**
 * A model folder as others published it, whose variants do not all work: what `pith eval` finds, and what one `pith quantize` writes instead.
 *
 *     npm run bench -- published [--samples 872]
 *
 * `peers/published_folder.py` rebuilds the situation of https://github.com/huggingface/transformers.js/issues/1749 on a small BERT. Takes six minutes.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { bytes, percent } from "../src/core/numbers.ts";
import { dtypes } from "../src/techniques/quantize/index.ts";
import { shared } from "../test/shared.ts";
import { pith } from "./lib/command.ts";
import { heading, line, points, share, table, target } from "./lib/print.ts";
import { peer, pythonWith } from "./lib/python.ts";

const { values: options } = parseArgs({ options: { samples: { type: "string", default: "872" } } });
const tried = ["q8", "q4", "fp16", "q4f16"] as const;

type Variant = (typeof tried)[number];
type Estimate = Parameters<typeof share>[0];

interface Evaluation {
  readonly figures: readonly { readonly metric: string; readonly estimate: Estimate }[];
  readonly comparison: { readonly candidate: Estimate; readonly difference: Estimate };
}

interface Written {
  readonly files: Readonly<
    Record<
      string,
      {
        readonly bytes: number;
        readonly brotli: number;
        readonly measured: string;
        readonly preciseLayers?: readonly string[];
        readonly loader: { readonly outcome: string };
      }
    >
  >;
}

const [source, data] = [shared("data/models/bert_sst2"), shared("data/text/sst2_dev.tsv")];
const python = pythonWith(["onnx", "onnx_ir", "onnxruntime", "onnxconverter_common"]);
if (source === undefined || data === undefined || python === undefined)
  throw new Error(
    "This bench needs the shared data, and a Python with the packages of bench/peers/published_folder.py.",
  );

const folder = mkdtempSync(join(tmpdir(), "pith-published-"));
const fileName = (dtype: Variant): string => `onnx/model${dtypes[dtype].suffix}.onnx`;

async function evaluate(name: string, path: string, samples: string): Promise<readonly string[]> {
  const published = join(folder, "published");
  const words = ["--original", join(published, "onnx/model.onnx"), "--data", samples, "--samples", options.samples];
  const { data: result, error } = await pith("eval", path, ...words);
  const size = bytes(statSync(path).size);
  if (error !== undefined) return [name, size, error, ""];
  const { comparison, figures } = result as Evaluation;
  const agreement = figures.find(({ metric }) => metric === "agreement");
  return [
    name,
    size,
    `${share(comparison.candidate, 1)}, ${points(comparison.difference, 1)} points`,
    agreement === undefined ? "" : percent(agreement.estimate.value, 1),
  ];
}

try {
  const { files, ...versions } = peer<{ readonly files: Readonly<Record<string, number>> }>(
    python,
    "published_folder.py",
    [source, join(folder, "published")],
  );
  heading("A published folder", 0);
  line(
    Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", "),
  );
  line(`original: ${bytes(files["model.onnx"] ?? Number.NaN)}`);
  line("\nThe folder, by pith eval");
  const rows: (readonly string[])[] = [];
  for (const dtype of tried) rows.push(await evaluate(dtype, join(folder, "published", fileName(dtype)), data));
  table(["dtype", ">bytes", "accuracy (95 %), difference", ">agreement"], rows);

  line("\nOther factors and options, by pith eval");
  const otherRows: (readonly string[])[] = [];
  for (const name of readdirSync(join(folder, "published/other")).toSorted())
    otherRows.push(await evaluate(basename(name, ".onnx"), join(folder, "published/other", name), data));
  table(["file", ">bytes", "accuracy (95 %), difference", ">agreement"], otherRows);

  const words = ["--dtype", tried.join(), "--data", data, "-o", join(folder, "repaired")];
  const { code, seconds, error } = await pith("quantize", join(folder, "published"), ...words);
  line(
    `\npith quantize published --dtype ${tried.join()} --data sst2_dev.tsv: ${Math.round(seconds)} s, exit code ${code}`,
  );
  if (error !== undefined) throw new Error(error);
  const written: Written = JSON.parse(readFileSync(join(folder, "repaired/quantize_config.json"), "utf8"));
  table(
    ["dtype", ">bytes", ">brotli", "measured", ">layers at higher precision", "transformers.js"],
    tried.map((dtype) => {
      const file = written.files[fileName(dtype)];
      if (file === undefined) return [dtype, "", "", "not written", "", ""];
      return [
        dtype,
        bytes(file.bytes),
        bytes(file.brotli),
        file.measured,
        `${file.preciseLayers?.length ?? 0}`,
        file.loader.outcome,
      ];
    }),
  );
  const works = tried.filter((dtype) => written.files[fileName(dtype)]?.loader.outcome === "runs");
  line(target("all four variants work", works.length === tried.length, true));
  process.exitCode = works.length === tried.length ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

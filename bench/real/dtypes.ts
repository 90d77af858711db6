/** Folders of transformers.js with a language model and a speech model: one command writes all dtypes, and onnxruntime alone measures the files. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type DtypeName, dtypes } from "../../src/techniques/quantize/index.ts";
import { shared } from "../../test/shared.ts";
import { line, table, target } from "../lib/print.ts";
import { peer, pythonWith } from "../lib/python.ts";
import { command, type Experiment } from "./command.ts";

const tried = ["q4", "q4f16", "q8", "fp16"] as const satisfies readonly DtypeName[];

type Figures = Readonly<
  Partial<Record<"perplexity" | "agreement" | "wordErrorRate" | "words", number>> & { readonly error?: string }
>;

interface Row {
  readonly dtype: string;
  readonly megabytes: number;
  readonly loader: string;
  readonly figures: Figures;
}

/** Language model: perplexity at most 8 % higher and agreement of at least 85 % in at most 100 MB, in six minutes. */
export async function languageModel(experiment: Experiment): Promise<boolean> {
  const data = shared("data/text/wikitext2-valid.txt");
  if (data === undefined) throw new Error("The shared folder (../shared, or PITH_SHARED) is missing.");
  const { rows, processor, peak } = await measured(experiment, "text", data);
  table(
    ["dtype", ">MB", ">perplexity", ">agreement", "transformers.js", ""],
    rows.map(
      ({ dtype, megabytes, loader, figures: { perplexity = Number.NaN, agreement = Number.NaN, error = "" } }) => [
        dtype,
        megabytes.toFixed(1),
        perplexity.toFixed(2),
        `${(100 * agreement).toFixed(1)} %`,
        loader,
        error,
      ],
    ),
  );
  const [original, q4] = rows;
  const rise = (q4?.figures.perplexity ?? Number.NaN) / (original?.figures.perplexity ?? 1) - 1;
  const agreement = q4?.figures.agreement ?? 0;
  return checked([
    [`q4: ${q4?.megabytes.toFixed(1)} ≤ 100 MB`, (q4?.megabytes ?? Number.NaN) <= 100],
    [`q4: perplexity +${(100 * rise).toFixed(1)} ≤ 8 %`, rise <= 0.08],
    [`q4: agreement ${(100 * agreement).toFixed(1)} ≥ 85 %`, agreement >= 0.85],
    [`all dtypes in ${processor.toFixed(0)} ≤ 360 s`, processor <= 360],
    [`memory ${(peak / 1e6).toFixed(0)} MB ≤ 1.5 × the largest file`, peak <= 1.5e6 * (original?.megabytes ?? 0)],
    ["all four variants work", rows.slice(1).every(({ loader }) => loader === "runs")],
  ]);
}

/** Speech model: all dtypes in three minutes; and a dtype for each model that beats a float32 encoder with a q8 decoder on sounds. */
export async function speechModel(experiment: Experiment): Promise<boolean> {
  const data = shared("data/audio/silero_test.wav");
  if (data === undefined) throw new Error("The shared folder (../shared, or PITH_SHARED) is missing.");
  const { rows, processor } = await measured(experiment, "speech", data);
  table(
    ["dtype", ">MB", ">word error rate", "transformers.js", ""],
    rows.map(({ dtype, megabytes, loader, figures: { wordErrorRate = Number.NaN, words, error = "" } }) => [
      dtype,
      megabytes.toFixed(1),
      `${(100 * wordErrorRate).toFixed(1)} % of ${words} words`,
      loader,
      error,
    ]),
  );
  const sounds = join(experiment.folder, "sounds");
  const able = pythonWith(["numpy"], experiment.python) ?? "python3";
  peer(able, "spoken_sentences.py", [sounds, "--recording", data]);
  const usual = await onSounds(experiment, "quantize", join(sounds, "recording"), "--dtype", "q8");
  const chosen = await onSounds(experiment, "compress", join(sounds, "recording"), "--max-drop", "0.5%");
  const encoder = statSync(join(experiment.source, "onnx", "encoder_model.onnx")).size;
  const decoder = usual.find(({ file }) => file.includes("decoder"));
  // The decoder's own row is measured with the float32 encoder.
  const usualBytes = encoder + (decoder?.bytes ?? Number.NaN);
  const usualRate = decoder?.nearness?.value ?? Number.NaN;
  const chosenBytes = chosen.reduce((sum, { bytes }) => sum + bytes, 0);
  const chosenRate = chosen.find(({ together }) => together !== undefined)?.together?.answers?.value ?? Number.NaN;
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
  const rate = (share: number): string => `${(100 * share).toFixed(2)} %`;
  line(`  chosen: ${chosen.map(({ dtype, file }) => `${dtype} (${file})`).join(", ")}`);
  return checked([
    [`all dtypes in ${processor.toFixed(0)} ≤ 180 s`, processor <= 180],
    ["all four variants work", rows.slice(1).every(({ loader }) => loader === "runs")],
    [
      `${megabytes(chosenBytes)} < ${megabytes(usualBytes)} MB of a float32 encoder with a q8 decoder`,
      chosenBytes < usualBytes,
    ],
    [`word error rate ${rate(chosenRate)} ≤ ${rate(usualRate)} of these`, chosenRate <= usualRate],
  ]);
}

interface File {
  readonly dtype: string;
  readonly file: string;
  readonly bytes: number;
  readonly nearness?: { readonly value: number };
  readonly together?: { readonly answers?: { readonly value: number } };
}

/** Returns the kept files of a command on sounds. */
async function onSounds(
  { source, folder }: Experiment,
  name: "quantize" | "compress",
  sounds: string,
  ...words: readonly string[]
): Promise<readonly File[]> {
  const out = join(folder, `${name}-sounds`);
  await command(name, source, "--data", sounds, ...words, "-o", out);
  const record: { readonly files?: Readonly<Record<string, Omit<File, "file">>> } = JSON.parse(
    readFileSync(join(out, "quantize_config.json"), "utf8"),
  );
  return Object.entries(record.files ?? {}).map(([file, figures]) => ({ ...figures, file }));
}

function checked(targets: readonly (readonly [text: string, isMet: boolean])[]): boolean {
  for (const [text, isMet] of targets) line(`  ${target(text, isMet, true)}`);
  return targets.every(([, isMet]) => isMet);
}

async function measured(
  { source, folder, python }: Experiment,
  kind: "text" | "speech",
  data: string,
): Promise<{ readonly rows: readonly Row[]; readonly processor: number; readonly peak: number }> {
  const result = join(folder, "result");
  const used = await command("quantize", source, "--dtype", tried.join(), "-o", result);
  const able = pythonWith(["onnxruntime", "transformers"], python);
  if (able === undefined) throw new Error("No Python with onnxruntime and transformers was found (--python).");
  const suffixes = ["", ...tried.map((dtype) => dtypes[dtype].suffix)];
  const original = peer<Readonly<Record<string, Figures>>>(able, "real_measure.py", [kind, source, data, ""]);
  const figures = existsSync(result)
    ? peer<Readonly<Record<string, Figures>>>(able, "real_measure.py", [kind, result, data, ...suffixes])
    : {};
  const rows = ["float32", ...tried].map((dtype, index): Row => {
    const suffix = suffixes[index] ?? "";
    const within = index === 0 ? source : result;
    return {
      dtype,
      megabytes: megabytesOf(join(within, "onnx"), suffix),
      loader: index === 0 ? "" : loaderOf(result, suffix),
      figures: (index === 0 ? original : figures)[suffix] ?? {},
    };
  });
  return { rows, processor: used.processor, peak: used.peak };
}

/** Suffixes of all dtypes, longest first. */
const allSuffixes = Object.values(dtypes)
  .map(({ suffix }) => suffix)
  .filter((suffix) => suffix !== "")
  .toSorted((a, b) => b.length - a.length);

/** Returns the size of all files of a dtype, with their external data. */
function megabytesOf(folder: string, suffix: string): number {
  if (!existsSync(folder)) return Number.NaN;
  const files = readdirSync(folder).filter((name) => {
    const [stem = ""] = name.split(".onnx");
    return (allSuffixes.find((other) => stem.endsWith(other)) ?? "") === suffix;
  });
  return files.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0) / 1e6;
}

function loaderOf(folder: string, suffix: string): string {
  const path = join(folder, "quantize_config.json");
  if (!existsSync(path)) return "not written";
  const { files = {} }: { files?: Readonly<Record<string, { readonly loader?: { readonly outcome: string } }>> } =
    JSON.parse(readFileSync(path, "utf8"));
  const outcomes = Object.entries(files)
    .filter(([name]) => name.endsWith(`${suffix}.onnx`))
    .map(([, file]) => file.loader?.outcome ?? "not tried");
  return outcomes.find((outcome) => outcome !== "runs") ?? outcomes[0] ?? "not written";
}

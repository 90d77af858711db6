/** Builds the table of a folder's files for the terminal and README.md. */
import {
  bytes,
  capitalize,
  changeInterval,
  confidenceText,
  counted,
  figureText,
  integer,
  joinList,
  speedText,
  times,
} from "#ir";
import type { Encoding } from "#platform";
import { fileEndings, sizeNames } from "../../core/files/compressed-copies.ts";
import { defaultLevel } from "../../core/math/confidence-interval.ts";
import { agreementLegend, decibelsLegend } from "../../judge/record/verdict.ts";
import { isEstimated } from "../../runtime/run/model-size.ts";
import { dtypeNames } from "../../techniques/quantize/dtypes.ts";
import type { Column } from "../report/tables.ts";
import { batchCountText, batchNote, batchText, type Similarity, tokenSimilarity } from "./end-to-end.ts";
import { type FolderFile, fileOf } from "./folder-run.ts";
import { loaderNote, loaderText } from "./loader-check.ts";
import type { FileFigures } from "./records.ts";

interface Row extends Partial<FileFigures> {
  readonly dtype: string;
  readonly file: string;
}

export interface FolderTable<R> {
  readonly rows: readonly (R | Row)[];
  readonly columns: readonly (Column & { readonly text: (row: Row) => string })[];
  readonly notes: readonly string[];
}

/** Returns the most complete comparison of a file: end to end, or else that of the module alone. */
function similarityOf({ together, nearness }: Partial<FileFigures>): Similarity | undefined {
  return tokenSimilarity(together) ?? together?.answers ?? nearness;
}

/** Formats a similarity without the metric: "98.3 % of 60 (−8.9 … +4.5)", "18.3 dB". */
export function similarityText({
  unit,
  value,
  samples,
  low,
  high,
  confidence = defaultLevel.confidence,
}: Similarity): string {
  const samplesText = samples === undefined ? "" : ` ${unit === "share" ? "of" : "on"} ${integer(samples)}`;
  const confidenceNote = confidence === defaultLevel.confidence ? "" : `${confidenceText({ confidence })}: `;
  const interval =
    low === undefined || high === undefined ? "" : ` (${confidenceNote}${changeInterval(unit, { low, high })})`;
  return `${figureText(unit, value)}${samplesText}${interval}`;
}

/** Returns "q8 3.97 × smaller, accuracy 76.4 % of 872 (−0.4 … +0.4); q4 6.10 × smaller, …". */
export function changeText(files: readonly FolderFile[], originals: ReadonlyMap<string, number>): string {
  const texts = [...new Set(files.map(({ dtype }) => dtype))].map((dtype) => {
    let [before, after] = [0, 0];
    for (const [original, originalBytes] of originals) {
      const row = files.find(({ file }) => file === fileOf(baseOf(original), dtype));
      if (row?.bytes !== undefined) [before, after] = [before + originalBytes, after + row.bytes];
    }
    const [nearness] = files.flatMap((row) => (row.dtype === dtype ? (similarityOf(row) ?? []) : []));
    const nearnessText = nearness === undefined ? "" : `, ${nearness.metric} ${similarityText(nearness)}`;
    return `${dtype} ${times(before / after)} smaller${nearnessText}`;
  });
  return texts.join("; ");
}

const baseOf = (file: string): string => file.replace(/^onnx\/|\.onnx$/g, "");

/** Returns the row of an original. */
function originalRow(file: string, bytes: number, rows: readonly Row[]): Row {
  const base = baseOf(file);
  const dtypes = [...dtypeNames, "searched"] as const;
  const variants = rows.filter((row) => dtypes.some((dtype) => fileOf(base, dtype) === row.file));
  const [nearness] = variants.flatMap((row) => {
    const { metric, unit, value, samples, difference } = similarityOf(row) ?? {};
    if (metric === undefined || unit === undefined || value === undefined || difference === undefined) return [];
    return { metric, unit, value: value - difference, samples };
  });
  const [brotli] = variants.flatMap(({ originalBrotli }) => originalBrotli ?? []);
  const sampled = variants.some(({ originalSampled }) => originalSampled === true);
  return { dtype: "fp32", file, bytes, brotli, sampled, nearness };
}

const estimateSign = "≈";

/** Formats a compressed size, and marks an estimate. */
function compressedText({ bytes: fileBytes = 0, copies = [], sampled, ...sizes }: Row, encoding: Encoding): string {
  const size = sizes[sizeNames[encoding]];
  if (size === undefined) return "";
  const isEstimate = isEstimated(fileBytes, encoding) || (sampled === true && encoding === "br");
  return `${isEstimate && !copies.includes(encoding) ? `${estimateSign} ` : ""}${bytes(size)}`;
}

/** Returns a note that lists the files with compressed copies: "model_q4.onnx (.gz, .br)". */
function copiesNote(rows: readonly Row[]): string | undefined {
  const files = rows.flatMap(({ file, copies = [] }) =>
    copies.length === 0 ? [] : `${fileName(file)} (${copies.map((encoding) => fileEndings[encoding]).join(", ")})`,
  );
  return files.length === 0 ? undefined : `Compressed copies for servers: ${joinList(files)}.`;
}

const fileName = (file: string): string => file.replace(/^onnx\//, "");

const maxPrecise = 8;

/** Builds the table of a folder. @param originals bytes of each original, by file. */
export function folderTable<R extends Row>(
  files: readonly R[],
  originals: ReadonlyMap<string, number> = new Map(),
): FolderTable<R> {
  const rows: readonly (R | Row)[] = [
    ...Array.from(originals, ([file, bytes]) => originalRow(file, bytes, files)),
    ...files,
  ];
  const distinctTexts = (text: (row: Row) => string | undefined) =>
    [...new Set(rows.map(text))].filter((text) => text !== undefined && text !== "");
  const metrics = distinctTexts((row) => similarityOf(row)?.metric);
  const targets = [...new Set(rows.flatMap(({ speeds = [] }) => speeds.map(({ target }) => target)))];
  const findSpeed = ({ speeds = [] }: Row, name: string) => speeds.find(({ target }) => target === name);
  const batchTexts = distinctTexts(({ together }) => batchText(together));
  const isSameInBatch = batchTexts.join() === "yes";
  const batchCounts = distinctTexts(({ together }) => batchCountText(together)).join(", ");
  const columns = [
    { title: "dtype", text: ({ dtype }: Row) => dtype },
    { title: "file", text: ({ file }: Row) => file },
    { title: "size", align: "right" as const, text: (row: Row) => (row.bytes === undefined ? "" : bytes(row.bytes)) },
    {
      title: "gzip",
      align: "right" as const,
      text: (row: Row) => (row.copies?.includes("gzip") ? compressedText(row, "gzip") : ""),
    },
    { title: "brotli", align: "right" as const, text: (row: Row) => compressedText(row, "br") },
    {
      title: "memory",
      align: "right" as const,
      text: ({ memory }: Row) => (memory === undefined ? "" : bytes(memory)),
    },
    ...targets.map((target) => ({
      title: targets.length === 1 ? "speed" : `speed, ${target}`,
      text: (row: Row) => {
        const speed = findSpeed(row, target);
        return speed === undefined ? "" : speedText({ ...speed, median: speed.factor }, "");
      },
    })),
    {
      title: metrics.length === 0 ? "comparison" : metrics.join(" / "),
      text: (row: Row) => {
        const nearness = similarityOf(row);
        return nearness === undefined ? (row.measured ?? "") : similarityText(nearness);
      },
    },
    { title: "right on", text: ({ rightOn = [] }: Row) => rightOn.join(" ") },
    ...(isSameInBatch ? [] : [{ title: "same in a batch", text: ({ together }: Row) => batchText(together) }]),
    { title: "transformers.js", text: ({ loader }: Row) => (loader === undefined ? "" : loaderText(loader)) },
  ];
  const hasText = (isMatch: (text: string) => boolean): boolean =>
    columns.some(({ text }) => rows.some((row) => isMatch(text(row))));
  const timedTargets = [...new Set(rows.flatMap(({ speeds = [] }) => speeds.map(({ where }) => where)))];
  const slowerTexts = targets.flatMap((target) => {
    const slowDtypes = rows.filter((row) => (findSpeed(row, target)?.high ?? 1) < 1).map(({ dtype }) => dtype);
    return slowDtypes.length === 0 ? [] : `${[...new Set(slowDtypes)].join(", ")} on ${target}`;
  });
  const notes = [
    timedTargets.length > 0 &&
      `Speed in ${timedTargets.join(", ")}: compared with the original, for one sample; in parentheses: most runs. A text has 64 tokens for models that generate text, 128 for others, or the tokenizer's maximum.`,
    slowerTexts.length > 0 && `Slower than the original: ${slowerTexts.join("; ")}.`,
    rows.some((row) => similarityOf(row)?.low !== undefined) &&
      "In parentheses: the 95 % interval of the difference from the original (in points for shares).",
    rows.some((row) => similarityOf(row)?.metric === "agreement") && `${agreementLegend}.`,
    hasText((text) => / dB\b/.test(text)) && `${capitalize(decibelsLegend)}. Files below 3 dB (70 %) are rejected.`,
    rows.some(({ brotli }) => brotli !== undefined) && "brotli: size after compression with brotli at quality 11.",
    hasText((text) => text.startsWith(estimateSign)) && `${estimateSign}: estimated from parts of the file.`,
    copiesNote(rows),
    rows.some(({ memory }) => memory !== undefined) &&
      "memory: estimated peak of a page with WebAssembly, for one sample (of a language model: 128 tokens after 896 others).",
    ...rows.flatMap(({ file, oversized = [] }) =>
      oversized.length === 0
        ? []
        : `${fileName(file)}: some WebGPU devices reject buffers above 134 MB (128 MiB): ${joinList(oversized, maxPrecise)}.`,
    ),
    isSameInBatch
      ? `Outputs are equal alone and in a padded batch (${batchCounts}).`
      : batchTexts.length > 0 && batchNote(batchCounts),
    ...distinctTexts(({ loader }) => loader && loaderNote(loader)),
    ...rows.flatMap(({ file, preciseLayers = [] }) =>
      preciseLayers.length === 0
        ? []
        : `${fileName(file)} meets the check only with ${counted(preciseLayers.length, "layer")} at higher precision than its dtype: ${joinList(preciseLayers, maxPrecise)}.`,
    ),
    ...rows.flatMap(({ file, recipe }) =>
      recipe === undefined
        ? []
        : `${fileName(file)} is the result of a search over all techniques (${recipe.name}) and replaces the original. transformers.js loads it as dtype fp32.`,
    ),
    ...new Set(
      rows.flatMap((row) => [
        ...(similarityOf(row) === row.nearness ? (row.judgedOn ?? []) : []),
        ...(row.together?.undecided === undefined ? [] : [row.together.undecided]),
      ]),
    ),
  ];
  return {
    rows,
    columns: columns.filter(({ text }) => rows.some((row) => text(row) !== "")),
    notes: notes.filter((note) => typeof note === "string"),
  };
}

/** README.md of a folder: what its files weigh and how near they are to the originals, in a section of its own between marks. */
import { bytes } from "../evaluate/numbers.ts";
import type { DtypeName } from "../quantize/dtypes.ts";
import { answersText, batchNote, batchText } from "./end-to-end.ts";
import { loaderText } from "./loader.ts";
import { type Records, speedText } from "./records.ts";

const begin = "<!-- pith: written by Pith; what is changed here is lost -->";
const end = "<!-- /pith -->";

export interface Card {
  /** The name of the folder, by which programs call it. */
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
  /** Bytes of the originals with their weights, by file. */
  readonly originals: ReadonlyMap<string, number>;
  readonly records: Records;
  /** What is used unless the user says otherwise: the first of those asked for that holds; undefined where that differs between modules. */
  readonly chosen: DtypeName | "fp32" | undefined;
  /** What a user called to make it: `pith compress`. */
  readonly madeWith: string | undefined;
  /** Where only the best of each module is left: the variants that were tried. */
  readonly tried: readonly DtypeName[] | undefined;
}

/** A text with the section: in the place of an older one, or at its end. */
export function withCard(before: string, card: Card): string {
  const section = `${begin}\n${sectionOf(card)}\n${end}`;
  const [start, stop] = [before.indexOf(begin), before.indexOf(end)];
  if (start >= 0 && stop > start) return `${before.slice(0, start)}${section}${before.slice(stop + end.length)}`;
  return before === "" ? `# ${card.name}\n\n${section}\n` : `${before.trimEnd()}\n\n${section}\n`;
}

function sectionOf({ name, config, originals, records, chosen, madeWith, tried }: Card): string {
  const found = Object.entries(records);
  const of = (text: (one: Records[string]) => string): boolean => found.some(([, one]) => text(one) !== "");
  const columns: (readonly [title: string, text: (one: Records[string]) => string])[] = [
    ["brotli", ({ brotli }) => (brotli === undefined ? "" : bytes(brotli))],
    ["speed", speedText],
    ["beside the original", ({ measured }) => measured],
    ["on texts, as the original", ({ together }) => answersText(together)],
    ["alone = in batch", ({ together }) => batchText(together)],
    ["in transformers.js", ({ loader }) => (loader === undefined ? "" : loaderText(loader))],
  ];
  const shown = columns.filter(([, text]) => of(text));
  const row = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  const table = [
    row(["dtype", "file", "size", ...shown.map(([title]) => title)]),
    row(["---", "---", "---:", ...shown.map(() => "---")]),
    ...[...originals].map(([file, size]) => row(["fp32", file, bytes(size), ...shown.map(() => "")])),
    ...found.map(([file, one]) => row([one.dtype, file, bytes(one.bytes), ...shown.map(([, text]) => text(one))])),
  ];
  const holds = (dtype: DtypeName): boolean => found.some(([, one]) => one.dtype === dtype);
  const varies = found.filter(([, { together }]) => batchText(together).startsWith("no"));
  const first = (...names: readonly DtypeName[]): string => names.find(holds) ?? "fp32";
  const filesOf = (dtype: DtypeName) => found.flatMap(([, one]) => (one.dtype === dtype ? one.bytes : []));
  // Only a dtype that every model has can be named for all.
  const [smallest = "fp32"] = [...new Set(found.map(([, { dtype }]) => dtype))]
    .filter((dtype) => filesOf(dtype).length === originals.size)
    .sort((a, b) => sum(filesOf(a)) - sum(filesOf(b)));
  const [fastest] = found
    .flatMap(([, one]) => (one.speed === undefined ? [] : one))
    .sort((a, b) => (b.speed?.factor ?? 0) - (a.speed?.factor ?? 0));
  const devices =
    tried === undefined
      ? `- Node and WebAssembly: \`${smallest}\` is the smallest download${fastest === undefined ? "" : `, \`${fastest.dtype}\` was the fastest in ${fastest.speed?.where}`}.
- WebGPU: \`${first("q4f16", "fp16", "q4")}\` where the device has \`shader-f16\`, \`${first("q4")}\` elsewhere.`
      : `- The best file of each model that holds, of ${tried.join(", ")}: the smallest, of near sizes the fastest.`;
  const notes = [
    found.some(([, { speed }]) => speed !== undefined) ? speedNote : "",
    of(({ together }) => batchText(together)) ? batchNote : "",
    madeWith === undefined ? "" : `Made with \`${madeWith}\`.`,
  ]
    .filter((text) => text !== "")
    .join("\n");
  return `## Files for transformers.js

${table.join("\n")}

${notes === "" ? "" : `${notes}\n\n`}${devices}
${varies.length === 0 ? "" : `- What ${varies.map(([, { dtype }]) => `\`${dtype}\``).join(", ")} answers depends on the other samples of a batch: for vectors that are stored take another.\n`}
\`\`\`js
import { pipeline } from "@huggingface/transformers";

const run = await pipeline("${taskOf(config)}", "${name}"${chosen === undefined ? "" : `, { dtype: "${chosen}" }`});
\`\`\``;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** What the figures of `speedText` are. */
export const speedNote =
  "Speed: times as fast as the original, and the time of one sample; sequences have 128 tokens, or what the tokenizer allows.";

const tasks = [
  ["ForSequenceClassification", "text-classification"],
  ["ForTokenClassification", "token-classification"],
  ["ForQuestionAnswering", "question-answering"],
  ["ForMaskedLM", "fill-mask"],
  ["ForCausalLM", "text-generation"],
  ["LMHeadModel", "text-generation"],
  ["ForConditionalGeneration", "text2text-generation"],
  ["ForImageClassification", "image-classification"],
  ["ForObjectDetection", "object-detection"],
] as const;

function taskOf({ architectures }: Card["config"]): string {
  const [name] = Array.isArray(architectures) ? architectures : [];
  return tasks.find(([ending]) => String(name).endsWith(ending))?.[1] ?? "feature-extraction";
}

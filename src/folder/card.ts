/** README.md of a folder: what its files weigh and how near they are to the originals, in a section of its own between marks. */
import { clause } from "../errors.ts";
import type { DtypeName } from "../quantize/dtypes.ts";
import type { Purpose } from "../recipe/objective.ts";
import { codeSpan, escapeMarkdown, markdownTable } from "../report/markdown.ts";
import { batchText } from "./end-to-end.ts";
import type { Records } from "./records.ts";
import type { FileDtype } from "./run.ts";
import { folderTable } from "./table.ts";

const begin = "<!-- pith: written by Pith; what is changed here is lost -->";
const end = "<!-- /pith -->";

export interface Card {
  /** The name of the folder, by which programs call it. */
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
  /** Bytes of the originals with their weights, by file. */
  readonly originals: ReadonlyMap<string, number>;
  readonly records: Records;
  /** What is used unless the user says otherwise: the first of those asked for that passes its check; undefined where that differs between modules. */
  readonly chosen: DtypeName | "fp32" | undefined;
  /** What a user called to make it: `pith compress`. */
  readonly madeWith: string | undefined;
  /** Why transformers.js does not run the folder, where it does not. */
  readonly fails: string | undefined;
  /** Where only the best of each module is left: the variants that were tried. */
  readonly tried: readonly FileDtype[] | undefined;
  readonly purpose: Purpose | undefined;
}

/** A text with the section: in the place of an older one, or at its end. */
export function withCard(before: string, card: Card): string {
  const section = `${begin}\n${sectionOf(card)}\n${end}`;
  // The last mark and what ends it: an author who lost one of a pair keeps the text around it.
  const start = before.lastIndexOf(begin);
  const stop = before.indexOf(end, start);
  if (start >= 0 && stop > start) return `${before.slice(0, start)}${section}${before.slice(stop + end.length)}`;
  return before === ""
    ? `${metadataOf(card)}# ${escapeMarkdown(card.name)}\n\n${section}\n`
    : `${before.trimEnd()}\n\n${section}\n`;
}

/** What the Hub reads of a card, as far as config.json says it: neither licence nor origin. */
function metadataOf({ config }: Card): string {
  const task = taskOf(config);
  const tag = task === undefined ? "" : `pipeline_tag: ${task}\n`;
  return `---\nlibrary_name: transformers.js\n${tag}---\n\n`;
}

function sectionOf({ name, config, originals, records, chosen, madeWith, tried, purpose, fails }: Card): string {
  const found = Object.entries(records).map(([file, one]) => ({ ...one, file }));
  const { rows, columns, notes: explained } = folderTable(found, originals);
  const unusable = fails === undefined ? [] : [`${clause(fails)}.`];
  const notes = new Set([...explained, ...unusable].map(escapeMarkdown));
  if (madeWith !== undefined) notes.add(`Made with ${codeSpan(madeWith)}.`);
  const table = markdownTable(
    columns,
    rows.map((row) => columns.map(({ text }) => escapeMarkdown(text(row)))),
  );
  const options = chosen === undefined ? "" : `, { dtype: "${chosen}" }`;
  const runs = (at: string): string =>
    `const run = await pipeline("${taskOf(config) ?? "feature-extraction"}", ${JSON.stringify(at)}${options});`;
  const place = `/models/${encodeURIComponent(name)}`;
  const isChoice = tried === undefined && new Set(found.map(({ dtype }) => dtype)).size > 1;
  const which =
    isChoice && found.some(({ dtype }) => dtype === chosen)
      ? `The programs load \`${chosen}\`, the first that was asked for.\n\n`
      : "";
  const programs = `${which}In Node, beside the folder:

\`\`\`js
import { pipeline } from "@huggingface/transformers";

${runs(`./${name}`)}
\`\`\`

In a browser, where a server has the folder as \`${place}\`:

\`\`\`js
import { env, pipeline } from "@huggingface/transformers";

env.allowLocalModels = true;
${runs(place)}
\`\`\``;
  return `## Files for transformers.js

${table}

${[...notes].map((note) => `${note}\n\n`).join("")}${adviceOf(found, originals.size, { tried, purpose })}${fails === undefined ? `\n${programs}` : ""}`.trimEnd();
}

/** Of a folder without a variant of Pith's; an author's may be there. */
export const noneText = "No variant was written: use the originals.";

/** Which file is for what. */
function adviceOf(
  found: readonly Records[string][],
  modules: number,
  { tried, purpose }: Pick<Card, "tried" | "purpose">,
): string {
  if (found.length === 0) return `- ${noneText}\n`;
  const lines: string[] = [];
  if (tried === undefined) {
    const bytesOf = (dtype: FileDtype): readonly number[] =>
      found.flatMap((one) => (one.dtype === dtype ? one.bytes : []));
    // Only a dtype that every model has can be named for all.
    const whole = [...new Set(found.map(({ dtype }) => dtype))].filter((dtype) => bytesOf(dtype).length === modules);
    const [smallest] = whole.toSorted((a, b) => sum(bytesOf(a)) - sum(bytesOf(b)));
    const said = [
      smallest === undefined ? "" : `\`${smallest}\` is the smallest download`,
      modules === 1 ? fastestOf(found) : "",
    ];
    const text = said.filter((part) => part !== "").join(", ");
    if (text !== "") lines.push(`Node and WebAssembly: ${text}.`);
    const first = (...names: readonly DtypeName[]): string => names.find((name) => whole.includes(name)) ?? "fp32";
    const [half, full] = [first("q4f16", "fp16", "q4"), first("q4")];
    lines.push(
      half === full
        ? `WebGPU: \`${full}\`.`
        : `WebGPU: \`${half}\` where the device has \`shader-f16\`, \`${full}\` elsewhere.`,
    );
  } else {
    const isWeighed = found.some(({ work }) => work !== undefined);
    const fast = isWeighed ? " that takes about as much processor time as the original, or less" : "";
    const best = { size: "the smallest", download: "the smallest download", speed: "the fastest" };
    const looked = purpose === undefined ? `the smallest${fast}` : best[purpose];
    const dtypes = tried.filter((name) => name !== "searched").join(", ");
    const others = tried.includes("searched") ? " and a search over all techniques" : "";
    lines.push(`The best file of each model that passes the check, of ${dtypes}${others}: ${looked}.`);
  }
  const varying = found.filter(({ together }) => batchText(together).startsWith("no"));
  if (varying.length > 0) {
    const names = varying.map(({ dtype }) => `\`${dtype}\``).join(", ");
    // What continues texts gives no vectors.
    const stored = varying.some(({ together }) => together?.tokens === undefined);
    const other = stored ? ": for vectors that are stored take another" : "";
    lines.push(`What ${names} answers depends on the other samples of a batch${other}.`);
  }
  return lines.map((line) => `- ${line}\n`).join("");
}

/** The fastest of those that were timed, where there are several. */
function fastestOf(found: readonly Records[string][]): string {
  const timed = found.flatMap(({ dtype, speeds: [first] = [] }) => (first === undefined ? [] : { dtype, ...first }));
  const [fastest] = timed.sort((a, b) => b.factor - a.factor);
  if (fastest === undefined || timed.length < 2) return "";
  const which = fastest.factor > 1 ? `\`${fastest.dtype}\` was the fastest` : "none was faster than fp32";
  return `${which} in ${escapeMarkdown(fastest.where)}`;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

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

function taskOf({ architectures }: Card["config"]): string | undefined {
  const [name] = Array.isArray(architectures) ? architectures : [];
  return tasks.find(([ending]) => String(name).endsWith(ending))?.[1];
}

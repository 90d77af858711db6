/** Writes Pith's section in a folder's README.md (the model card), between two marks. */
import { stripPeriod } from "#ir";
import type { Purpose } from "../../judge/measure/objective.ts";
import { type DtypeName, dtypeBits } from "../../techniques/quantize/dtypes.ts";
import { codeSpan, escapeMarkdown, markdownTable } from "../report/markdown-text.ts";
import { batchText } from "./end-to-end.ts";
import type { FileDtype } from "./folder-run.ts";
import { folderTable } from "./folder-table.ts";
import type { Records } from "./records.ts";

const beginMark = "<!-- pith: written by Pith; what is changed here is lost -->";
const endMark = "<!-- /pith -->";

export interface ModelCard {
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly originals: ReadonlyMap<string, number>;
  readonly records: Records;
  /** Default dtype: the first requested dtype that passes its check. */
  readonly defaultDtype: DtypeName | "fp32" | undefined;
  readonly madeWith: string | undefined;
  readonly failureText: string | undefined;
  /** Dtypes that were tried, if only the best file of each module was kept. */
  readonly triedDtypes: readonly FileDtype[] | undefined;
  readonly purpose: Purpose | undefined;
}

export function withCard(before: string, card: ModelCard): string {
  const section = `${beginMark}\n${renderSection(card)}\n${endMark}`;
  // The last begin mark and the end mark after it delimit the section, so that an unpaired mark does not remove the author's text.
  const startIndex = before.lastIndexOf(beginMark);
  const endIndex = before.indexOf(endMark, startIndex);
  if (startIndex >= 0 && endIndex > startIndex)
    return `${before.slice(0, startIndex)}${section}${before.slice(endIndex + endMark.length)}`;
  return before === ""
    ? `${metadataOf(card)}# ${escapeMarkdown(card.name)}\n\n${section}\n`
    : `${before.trimEnd()}\n\n${section}\n`;
}

/** Returns metadata for the Hub. License and base model are omitted, because they are not known. */
function metadataOf({ config }: ModelCard): string {
  const task = taskOf(config);
  const tag = task === undefined ? "" : `pipeline_tag: ${task}\n`;
  return `---\nlibrary_name: transformers.js\n${tag}---\n\n`;
}

function renderSection(card: ModelCard): string {
  const { name, config, originals, records, defaultDtype, madeWith, triedDtypes, purpose, failureText } = card;
  const files = Object.entries(records).map(([file, record]) => ({ ...record, file }));
  const { rows, columns, notes: tableNotes } = folderTable(files, originals);
  const failureNotes = failureText === undefined ? [] : [`${stripPeriod(failureText)}.`];
  const notes = new Set([...tableNotes, ...failureNotes].map(escapeMarkdown));
  if (madeWith !== undefined) notes.add(`Made with ${codeSpan(madeWith)}.`);
  const table = markdownTable(
    columns,
    rows.map((row) => columns.map(({ text }) => escapeMarkdown(text(row)))),
  );
  const options = defaultDtype === undefined ? "" : `, { dtype: "${defaultDtype}" }`;
  const task = taskOf(config) ?? "feature-extraction";
  const input = /image|object/.test(task) ? "photo.jpg" : /^(feature|text|token)/.test(task) ? "Once upon a time" : "";
  const programLine = (path: string): string =>
    `const run = await pipeline("${task}", ${JSON.stringify(path)}${options});${
      input === "" ? "" : `\nconsole.log(await run("${input}"));`
    }`;
  const path = `/models/${encodeURIComponent(name)}`;
  const loadedDtype = files.find(({ dtype }) => dtype === defaultDtype)?.dtype;
  const examples = `In Node, in the directory that contains the folder:

\`\`\`js
import { pipeline } from "@huggingface/transformers";

${programLine(`./${name}`)}
\`\`\`

In a browser, if a server provides the folder as \`${path}\`:

\`\`\`js
import { env, pipeline } from "@huggingface/transformers";

env.allowLocalModels = true;
${programLine(path)}
\`\`\``;
  return `## Files for transformers.js

${table}

${[...notes].map((note) => `${note}\n\n`).join("")}${adviceOf(files, originals.size, { triedDtypes, purpose, loaded: failureText === undefined ? loadedDtype : undefined, task: taskOf(config) })}${failureText === undefined ? `\n${examples}` : ""}`.trimEnd();
}

export const noVariantText = "No variant was written: use the originals.";

/** Returns the dtypes that every model of the folder has, smallest total size first. */
function completeDtypesBySize(files: readonly Records[string][], modules: number): readonly FileDtype[] {
  const bytesOf = (dtype: FileDtype): readonly number[] =>
    files.flatMap((file) => (file.dtype === dtype ? file.bytes : []));
  const completeDtypes = [...new Set(files.map(({ dtype }) => dtype))].filter(
    (dtype) => bytesOf(dtype).length === modules,
  );
  return completeDtypes.toSorted((a, b) => sum(bytesOf(a)) - sum(bytesOf(b)));
}

interface AdviceContext extends Pick<ModelCard, "triedDtypes" | "purpose"> {
  readonly loaded: FileDtype | undefined;
  readonly task: string | undefined;
}

function adviceOf(
  files: readonly Records[string][],
  modules: number,
  { triedDtypes, purpose, loaded, task }: AdviceContext,
): string {
  if (files.length === 0) return `- ${noVariantText}\n`;
  const lines: string[] = [];
  if (triedDtypes === undefined) {
    const completeDtypes = completeDtypesBySize(files, modules);
    const [smallest] = completeDtypes;
    const isChoice = new Set(files.map(({ dtype }) => dtype)).size > 1;
    const clauses = [
      isChoice && loaded !== undefined ? `the programs load \`${loaded}\`, the first requested dtype` : "",
      smallest === undefined ? "" : `\`${smallest}\` is the smallest download`,
      modules === 1 ? fastestOf(files) : "",
    ];
    const text = clauses.filter((part) => part !== "").join("; ");
    if (text !== "") lines.push(`Node and WebAssembly: ${text}.`);
    const first = (...names: readonly DtypeName[]): string =>
      names.find((name) => completeDtypes.includes(name)) ?? "fp32";
    const [withHalf, withoutHalf] = [first("q4f16", "fp16", "q4"), first("q4")];
    lines.push(
      withHalf === withoutHalf
        ? `WebGPU: \`${withoutHalf}\`.`
        : `WebGPU: \`${withHalf}\` where the device has \`shader-f16\`, \`${withoutHalf}\` elsewhere.`,
    );
    if (isGenerator(task) && files.some(({ dtype }) => dtype !== "searched" && dtypeBits(dtype) < 8))
      lines.push(
        "WebAssembly converts weights below 8 bits to floats in each run, so a token takes several times as long as in fp32. `q8` computes with integers.",
      );
  } else {
    const hasTimes = files.some(({ work }) => work !== undefined);
    const speedClause = hasTimes ? " that is about as fast as the original, or faster" : "";
    const best = { size: "the smallest", download: "the smallest download", speed: "the fastest" };
    const criterion = purpose === undefined ? `the smallest${speedClause}` : best[purpose];
    const dtypes = triedDtypes.filter((name) => name !== "searched").join(", ");
    const searchText = triedDtypes.includes("searched") ? " and a search over all techniques" : "";
    lines.push(`The best file of each model that passes the check, of ${dtypes}${searchText}: ${criterion}.`);
  }
  const batchDependentFiles = files.filter(({ together }) => batchText(together).startsWith("no"));
  if (batchDependentFiles.length > 0) {
    const names = batchDependentFiles.map(({ dtype }) => `\`${dtype}\``).join(", ");
    // Only embeddings are stored and later compared with other batches.
    const isEmbedding =
      task === undefined && batchDependentFiles.some(({ together }) => together?.tokens === undefined);
    const embeddingAdvice = isEmbedding ? ": use another variant for vectors that you store" : "";
    lines.push(`The outputs of ${names} depend on the other samples of a batch${embeddingAdvice}.`);
  }
  return lines.map((line) => `- ${line}\n`).join("");
}

function fastestOf(files: readonly Records[string][]): string {
  const timedFiles = files.flatMap(({ dtype, speeds: [first] = [] }) =>
    first === undefined ? [] : { dtype, ...first },
  );
  const [fastest] = timedFiles.sort((a, b) => b.factor - a.factor);
  if (fastest === undefined || timedFiles.length < 2) return "";
  const result = fastest.factor > 1 ? `\`${fastest.dtype}\` was the fastest` : "none was faster than fp32";
  return `${result} in ${escapeMarkdown(fastest.where)}`;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

const tasks = [
  ["ForSequenceClassification", "text-classification"],
  ["ForTokenClassification", "token-classification"],
  ["ForQuestionAnswering", "question-answering"],
  ["ForMaskedLM", "fill-mask"],
  ["ForCausalLM", "text-generation"],
  ["LMHeadModel", "text-generation"],
  ["WhisperForConditionalGeneration", "automatic-speech-recognition"],
  ["MoonshineForConditionalGeneration", "automatic-speech-recognition"],
  ["ForCTC", "automatic-speech-recognition"],
  ["ForConditionalGeneration", "text2text-generation"],
  ["ForImageClassification", "image-classification"],
  ["ForObjectDetection", "object-detection"],
] as const;

const isGenerator = (task: string | undefined): boolean => /generation|speech/.test(task ?? "");

function taskOf({ architectures }: ModelCard["config"]): string | undefined {
  const [name] = Array.isArray(architectures) ? architectures : [];
  return tasks.find(([ending]) => String(name).endsWith(ending))?.[1];
}

/**
 * Trims the vocabulary of a folder in the layout of transformers.js to the tokens of given texts (`pith prune --vocabulary`).
 *
 * Before anything is written, two checks must pass. The trimmed tokenizer must split every text into the same tokens, and the trimmed models must
 * have the same outputs.
 */

import type { Dense, Model } from "#ir";
import {
  asPithError,
  bytesOfText,
  formatReason,
  open,
  PithError,
  sameDims,
  save,
  takeIndices,
  throwIfAborted,
  toFloat64,
} from "#ir";
import { type Change, type Context, completeContext } from "#pass";
import { fileKind, joinPath, listFolder, makeFolder, readText, writeFileAtomically } from "#platform";
import { formatJson } from "../../core/files/own-files.ts";
import type { PlainObject } from "../../core/plain.ts";
import { take } from "../../data/batches/select.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { openDataset } from "../../data/sources/open.ts";
import { textColumns, tokenize } from "../../data/text/sequences.ts";
import { createTokenizer, readSettings, type TextTokenizer } from "../../data/text/tokenizer.ts";
import { pieces } from "../../data/text/tokens.ts";
import {
  configuredIds,
  configuredSizes,
  type KeptIds,
  keptIds,
  requireSameTokens,
  type TokenizerContents,
  trimConfig,
  trimTokenizer,
} from "../../data/text/trimmed-tokenizer.ts";
import { toleranceOf } from "../../judge/compare/equivalence.ts";
import { dropNotes } from "../../rewrite/clean-up/drop-notes.ts";
import { createRunner } from "../../runtime/run/run.ts";
import { trimVocabulary } from "../../techniques/prune/index.ts";
import { configName } from "./describe.ts";
import { basesIn } from "./layout.ts";
import { configureOriginals } from "./loader-config.ts";
import { requireInside, sidecarsIn } from "./originals.ts";

export interface TrimOptions {
  /** Paths of data sets with texts: a .txt file, or a table with a text column. */
  readonly texts: readonly string[];
  /** Output folder, which must be empty or not exist. */
  readonly out: string;
}

export interface TrimmedModel {
  /** Path in the folder, such as "onnx/model.onnx". */
  readonly file: string;
  readonly changes: readonly Change[];
  /** Number of compared texts, and the largest difference relative to the largest value; a string with the reason if the models were not compared. */
  readonly compared: { readonly texts: number; readonly difference: number } | string;
}

export interface TrimmedFolder {
  /** Old ids of the kept tokens. The index of an old id is the new id. */
  readonly kept: KeptIds;
  /** Number of tokens before trimming. */
  readonly tokens: number;
  /** Number of checked texts. */
  readonly texts: number;
  readonly models: readonly TrimmedModel[];
}

type Config = readonly [name: string, content: PlainObject];

interface Text {
  readonly text: string;
  readonly pair?: string | undefined;
  /** Location of the text, for messages. */
  readonly at: string;
  /** Present if the text consists of several lines of a .txt file. */
  readonly isRunning?: true;
}

const acceptedTexts = "A .txt file, a text per line; or a .csv, .tsv or .jsonl file with a column of texts.";
const [tokenizerName, settingsName] = ["tokenizer.json", "tokenizer_config.json"];
const configNames = [configName, "generation_config.json"];
/** Maximum number of texts per data set, and of tokens per text, for the comparison of models. */
const [maxCompared, maxTokens] = [64, 128];

/**
 * Keeps the tokens that occur in the texts, added and special tokens, and the single bytes or characters from which any text can be built.
 * @throws PithError E_FILE if a model or tokenizer is missing, E_OPTION for an output folder with files, E_DATA for a text that the trimmed tokenizer
 * splits into other tokens, E_UNSUPPORTED for a tokenizer or model that cannot be trimmed, E_ACCURACY_LOST if outputs differ.
 * @example
 * const { kept, tokens } = await trimFolder("minilm", { texts: ["queries.txt"], out: "minilm.small" });
 * console.log(`${kept.length} of ${tokens} tokens`);
 */
export async function trimFolder(
  folder: string,
  { texts, out }: TrimOptions,
  partialContext: Partial<Context> = {},
): Promise<TrimmedFolder> {
  const context = completeContext(partialContext);
  if ((await fileKind(out)) !== undefined && (await listFolder(out)).length > 0)
    throw new PithError("E_OPTION", `"${out}" already contains files.`, {
      hint: "Choose a folder that does not exist.",
    });
  const bases = basesIn(await listFolder(joinPath(folder, "onnx")).catch((): string[] => []));
  if (bases.length === 0)
    throw new PithError("E_FILE", `"${folder}" has no model in onnx/.`, {
      hint: "transformers.js looks for onnx/model.onnx next to config.json and tokenizer.json.",
    });
  const contents = await contentsOf(folder);
  const configs = await configsOf(folder);
  const tokenizer = tokenizerOf(folder, contents, configs);
  const rows = Math.max(tokenizer.vocabularySize, ...configs.flatMap(([, config]) => configuredSizes(config)));
  const usedIds = new Set(configs.flatMap(([, config]) => configuredIds(config)).filter((id) => id < rows));
  for await (const { text, pair } of textsIn(texts)) for (const id of tokenizer.encode(text, pair).ids) usedIds.add(id);
  const keptTokens = keptIds(contents, usedIds);
  if (keptTokens.length >= tokenizer.vocabularySize)
    throw new PithError(
      "E_UNSUPPORTED",
      `All ${keptTokens.length} tokens occur in these texts, or are needed to say any other: none can be removed.`,
    );
  const trimmedContents = trimTokenizer(contents, keptTokens);
  const trimmedTokenizer = tokenizerOf(folder, trimmedContents, configs);
  let count = 0;
  for await (const text of textsIn(texts)) {
    throwIfAborted(context.signal, "Stopped on request.");
    requireSameTokens([tokenizer, trimmedTokenizer], keptTokens, text);
    if (text.isRunning === undefined && ++count % 1024 === 0) context.progress(count);
  }
  const sizes = new Set([tokenizer.vocabularySize]);
  const results: { readonly model: Model; readonly report: TrimmedModel }[] = [];
  for (const base of bases) {
    const file = `onnx/${base}.onnx`;
    const original = await open(joinPath(folder, file));
    const model = original.clone();
    const { changes, misses, hasTables, size, scores } = await trimVocabulary(model, keptTokens);
    const [miss] = misses;
    if (miss !== undefined && hasTables)
      throw new PithError("E_UNSUPPORTED", `${file}: its vocabulary cannot be reduced: ${formatReason(miss)}.`);
    if (size !== undefined) sizes.add(size);
    await dropNotes(model, {}, context);
    const pair = { file, original, model, scores };
    const compared = await compare(pair, [tokenizer, trimmedTokenizer], keptTokens, texts, context);
    results.push({ model, report: { file, changes, compared } });
  }
  if (results.every(({ report }) => report.changes.length === 0))
    throw new PithError("E_UNSUPPORTED", `No model of "${folder}" looks tokens up in a table.`);
  const smallerConfigs = configs.map(([name, config]) => [name, trimConfig(config, keptTokens, [...sizes])] as const);
  await makeFolder(joinPath(out, "onnx"));
  for (const { model, report } of results) await save(model, joinPath(out, report.file));
  const modelNames = await listFolder(joinPath(out, "onnx"));
  const configuredConfigs = smallerConfigs.map(
    ([name, config]) => [name, name === configName ? configureOriginals(config, bases, modelNames) : config] as const,
  );
  await writeConfigs(folder, out, [...tokenizerFiles(trimmedContents), ...configuredConfigs]);
  return {
    kept: keptTokens,
    tokens: tokenizer.vocabularySize,
    texts: count,
    models: results.map(({ report }) => report),
  };
}

async function contentsOf(folder: string): Promise<TokenizerContents> {
  for (const name of [tokenizerName, settingsName, ...configNames]) await requireInside(folder, name);
  const file = await readSettings(joinPath(folder, tokenizerName));
  if (file === undefined)
    throw new PithError("E_FILE", `"${folder}" has no ${tokenizerName}: texts cannot be tokenized.`);
  return { file, settings: (await readSettings(joinPath(folder, settingsName))) ?? {} };
}

async function configsOf(folder: string): Promise<readonly Config[]> {
  const configs: Config[] = [];
  for (const name of configNames) {
    const config = await readSettings(joinPath(folder, name));
    if (config !== undefined) configs.push([name, config]);
  }
  return configs;
}

const tokenizerFiles = ({ file, settings }: TokenizerContents): readonly Config[] => [
  [tokenizerName, file],
  ...(Object.keys(settings).length === 0 ? [] : [[settingsName, settings] as const]),
];

function tokenizerOf(folder: string, { file, settings }: TokenizerContents, configs: readonly Config[]): TextTokenizer {
  const [config] = configs.flatMap(([name, content]) => (name === configName ? [content] : []));
  return createTokenizer(joinPath(folder, tokenizerName), file, settings, config ?? {});
}

/** Yields each text. For a .txt file, yields its lines, then longer pieces of the whole text, as language models read it. */
async function* textsIn(paths: readonly string[]): AsyncGenerator<Text> {
  for (const path of paths) {
    const dataset = await openTexts(path);
    let count = 0;
    for await (const batch of dataset.batches({ size: 256 })) {
      const columns = textColumns(batch, dataset.name);
      if (columns === undefined)
        throw new PithError("E_DATA", `The texts of the vocabulary: ${dataset.name} holds none.`, {
          hint: acceptedTexts,
        });
      const [first = [], second] = columns.map((name) => {
        const column = batch[name];
        return column?.type === "string" ? column.data : [];
      });
      for (const [index, text] of first.entries())
        yield { text, pair: second?.[index], at: `${path}, text ${++count}` };
    }
    if (!path.endsWith(".txt")) continue;
    for (const text of pieces(await readText(path))) yield { text, at: `${path}, as running text`, isRunning: true };
  }
}

/** Opens a data set of texts. @throws PithError E_FILE and E_DATA; the hint lists the accepted formats. */
async function openTexts(path: string): Promise<Dataset> {
  try {
    return await openDataset(path);
  } catch (error) {
    const { code, message } = asPithError(error);
    throw new PithError(code, `The texts of the vocabulary: ${message}`, { hint: acceptedTexts, cause: error });
  }
}

interface ModelPair {
  readonly file: string;
  readonly original: Model;
  readonly model: Model;
  readonly scores: ReadonlyMap<string, number>;
}

/** Runs both models on the first texts, each with its tokenizer. @throws PithError E_ACCURACY_LOST if outputs differ. */
async function compare(
  { file, original, model, scores }: ModelPair,
  tokenizers: readonly [TextTokenizer, TextTokenizer],
  kept: KeptIds,
  texts: readonly string[],
  { engine, signal }: Context,
): Promise<TrimmedModel["compared"]> {
  const runners = [await createRunner(engine, original, file), await createRunner(engine, model, file)] as const;
  let [count, difference] = [0, 0];
  try {
    for (const path of texts) {
      const [originalTexts, trimmedTexts] = tokenizers.map(async (tokenizer) => {
        const lines = take(await openTexts(path), maxCompared);
        return tokenize(lines, original.graph.feeds, {
          tokenizer,
          length: Math.min(tokenizer.longest ?? maxTokens, maxTokens),
        });
      });
      const trimmedBatches = (await trimmedTexts)?.batches({ size: 8 })[Symbol.asyncIterator]();
      for await (const batch of (await originalTexts)?.batches({ size: 8 }) ?? []) {
        throwIfAborted(signal, "Stopped on request.");
        const expectedOutputs = await runners[0].run(batch);
        const trimmedOutputs = await runners[1].run((await trimmedBatches?.next())?.value ?? {});
        for (const [name, expected] of Object.entries(expectedOutputs)) {
          const axis = scores.get(name);
          const keptScores = axis === undefined ? expected : takeIndices(expected, axis, kept);
          difference = Math.max(difference, relativeDifference(keptScores, trimmedOutputs[name]));
        }
        count += Object.values(batch)[0]?.dims[0] ?? 0;
      }
    }
  } catch (error) {
    // Some inputs, such as an encoder's states or images, cannot come from a text.
    if (!(error instanceof PithError) || error.code !== "E_DATA") throw error;
    return error.message;
  } finally {
    for (const runner of runners) await runner.release();
  }
  const tolerance = toleranceOf(original);
  if (difference <= tolerance) return { texts: count, difference };
  throw new PithError(
    "E_ACCURACY_LOST",
    `${file} gives different outputs: ${difference.toExponential(1)} apart on ${count} texts.`,
    { hint: "It may compute with token ids instead of only looking them up." },
  );
}

/** Returns the largest difference, relative to the largest expected value. */
function relativeDifference(expected: Dense, actual: Dense | undefined): number {
  if (actual === undefined || !sameDims(expected.dims, actual.dims)) return Number.POSITIVE_INFINITY;
  const [a, b] = [toFloat64(expected), toFloat64(actual)];
  let [maxDifference, largest] = [0, 0];
  for (let index = 0; index < a.length; index++) {
    largest = Math.max(largest, Math.abs(a[index] ?? 0));
    maxDifference = Math.max(maxDifference, Math.abs((a[index] ?? 0) - (b[index] ?? 0)));
  }
  return maxDifference === 0 ? 0 : maxDifference / largest;
}

async function writeConfigs(folder: string, out: string, contents: readonly Config[]): Promise<void> {
  // tokenizer.json is written without indentation, which would make the file 50 % larger.
  for (const [name, content] of contents)
    await writeFileAtomically(joinPath(out, name), [
      bytesOfText(name === tokenizerName ? JSON.stringify(content) : formatJson(content)),
    ]);
  const written = new Set(contents.map(([name]) => name));
  for (const { path, parts } of await sidecarsIn(folder))
    if (!written.has(path)) await writeFileAtomically(joinPath(out, path), parts());
}

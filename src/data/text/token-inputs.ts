/** Recognizes inputs of language models. Does not load a tokenizer, because a page that runs models has none. */

import type { ModelInput } from "#batches";
import { type DataType, type Dense, type Dim, dataError, dimsText } from "#ir";

/** Returns the input with a usual name, or the only integer input of shape N × T. */
export function tokenInput(inputs: readonly ModelInput[]): ModelInput | undefined {
  const namedInput = inputs.find(({ name }) => /^(?:input[_.]?ids?|ids|tokens?|input_tokens)(?::\d+)?$/i.test(name));
  if (namedInput !== undefined) return namedInput;
  const integers: readonly DataType[] = ["int64", "int32"];
  const integerInputs = inputs.filter(
    ({ type }) => type !== undefined && integers.includes(type.type) && type.dims?.length === 2,
  );
  return integerInputs.length === 1 ? integerInputs[0] : undefined;
}

/** Returns whether a model scores all possible next tokens at each token. @param architecture of config.json. */
export function isLanguageModel(
  inputs: readonly ModelInput[],
  outputs: readonly ModelInput[],
  vocabularySize: number | undefined,
  architecture: string | undefined,
): boolean {
  const inputDims = tokenInput(inputs)?.type?.dims;
  if (inputDims?.length !== 2 || (architecture !== undefined && !/CausalLM|LMHead/.test(architecture))) return false;
  const scoreOutput = outputs.find(({ name }) => name === "logits") ?? outputs[0];
  const dims = scoreOutput?.type?.dims;
  const classes = dims?.[2];
  if (dims?.length !== 3 || typeof classes !== "number") return false;
  // A model with few classes labels tokens (tagging) instead.
  return vocabularySize === undefined ? classes > 64 : classes >= vocabularySize;
}

/** Returns an empty key-value cache: an axis of unknown size counts cached tokens and has size 0. A bool input (`use_cache_branch`) gets false. */
export function emptyCache(input: ModelInput, count: number): Dense {
  const dims = input.type?.dims;
  const type = input.type?.type ?? "float32";
  if (type === "bool") return { type, dims: [count, 1], data: new Uint8Array(count) };
  if (dims === undefined || (type !== "float32" && type !== "float16")) {
    throw dataError(`Input "${input.name}" is a cache of ${type}, which cannot be left empty.`);
  }
  const cacheDims = dims.map((dim: Dim, axis) => (axis === 0 ? count : typeof dim === "number" ? dim : 0));
  if (!cacheDims.includes(0)) {
    throw dataError(`Input "${input.name}" ${dimsText(dims)} is a cache of a fixed length: it cannot be empty.`);
  }
  return type === "float32"
    ? { type, dims: cacheDims, data: new Float32Array() }
    : { type, dims: cacheDims, data: new Uint16Array() };
}

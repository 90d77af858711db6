/**
 * Reduces the vocabulary: removes rows of embedding tables and the outputs that score tokens.
 *
 *     table: [6000, 128], logits: [batch, sequence, 6000]     →     table: [4100, 128], logits: [batch, sequence, 4100]
 *
 * Kept tokens stay in order; their index is the new id. An output layer that shares the table's weight, transposed or not, is cut with
 * the table. A separate output layer is found by its output size.
 */

import type { End, Inference, Layer, Rule, Slice } from "#analysis";
import { cut, infer, Labels, labelledEnds, layers, rulesOf, spread } from "#analysis";
import { describe, Miss, type Model, PithError, type Value } from "#ir";
import type { Change, Outcome } from "#pass";
import { tokenInput } from "../../data/text/token-inputs.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";

interface Vocabulary {
  readonly size: number;
  readonly tables: readonly Layer[];
  /** Outputs that score tokens, with their vocabulary axis. */
  readonly scores: readonly { readonly output: Value; readonly axis: number }[];
  readonly slices: readonly Slice[];
}

/** Returns undefined if the model has no token ids, or a Miss if the size cannot change. @param model model after `storeWeights`. */
function vocabularyOf(model: Model, inference: Inference): Vocabulary | Miss | undefined {
  const ids = tokenInput(model.graph.feeds);
  const input = ids && model.graph.value(ids.name);
  if (input === undefined) return undefined;
  const subgraphUse = [...input.uses].find(({ node }) => node.graph !== model.graph);
  if (subgraphUse !== undefined) return new Miss("a subgraph reads the tokens", describe(subgraphUse.node));
  const tables = layers(model, inference).filter(
    ({ role, node }) => role.kind === "lookup" && sourceOf(node.inputs[role.data], inference) === input,
  );
  const [firstTable] = tables;
  if (firstTable === undefined) return undefined;
  const size = firstTable.effective.type?.dims?.[firstTable.role.in];
  if (typeof size !== "number") return new Miss("the size of the embedding table is unknown", firstTable.name);
  const labels = new Labels();
  const vocabularyAxes: { readonly value: Value; readonly axis: number }[] = tables.map(({ effective, role }) => ({
    value: effective,
    axis: role.in,
  }));
  const rules = rulesOf(model, inference, false);
  for (const { value, axis } of vocabularyAxes) labels.start(value, axis);
  spread(rules, labels);
  for (const output of model.graph.outputs) {
    const dims = output.type?.dims ?? [];
    const [axis, count] = [dims.length - 1, dims.at(-1)];
    // The last axis of scores, which exist for each position or only for the last position.
    if (axis < 1 || typeof count !== "number" || labels.at({ value: output, axis }) !== undefined) continue;
    if (output.name === "logits" && count > size)
      return new Miss(`it scores ${count} tokens, but the embedding table has ${size} rows`, output.name);
    if (count !== size) continue;
    vocabularyAxes.push({ value: output, axis });
    labels.start(output, axis);
  }
  spread(rules, labels);
  return decideVocabulary(model, { tables, vocabularyAxes, size }, labels, rules);
}

interface VocabularyAxes {
  readonly tables: readonly Layer[];
  /** The axes that are indexed by token: of the tables and of the scores. */
  readonly vocabularyAxes: readonly { readonly value: Value; readonly axis: number }[];
  readonly size: number;
}

function decideVocabulary(
  model: Model,
  { tables, vocabularyAxes, size }: VocabularyAxes,
  labels: Labels,
  rules: readonly Rule[],
): Vocabulary | Miss {
  const tokenOf = new Map<number, number>();
  for (const end of vocabularyAxes)
    for (const [token, unit] of (labels.at(end) ?? []).entries()) {
      const root = labels.find(unit);
      if ((tokenOf.get(root) ?? token) !== token) return new Miss("tokens depend on each other", end.value.name);
      tokenOf.set(root, token);
    }
  const slices = [...labels.ends()].map(({ value, axis, label }) => ({
    value,
    axis,
    unitOf: label.map((unit) => (unit < 0 ? -1 : (tokenOf.get(labels.find(unit)) ?? -1))),
  }));
  const isTable = new Set(tables.map(({ node }) => node));
  for (const { node, refusal, links, refuses } of rules) {
    if (node === undefined) continue;
    for (const { port, value, axis } of labelledEnds(node, labels)) {
      if (refusal !== undefined) return refusal;
      const isThisEnd = (end: End): boolean => end.port === port && end.axis === axis;
      if (isTable.has(node) && port === "in0") continue;
      const portRefusal = refuses.find(({ end }) => isThisEnd(end));
      if (portRefusal !== undefined) return new Miss(portRefusal.reason, describe(node));
      if (!links.some(({ from, to }) => isThisEnd(from) || isThisEnd(to)))
        return new Miss(`a node needs all tokens: axis ${axis} of "${value.name}"`, describe(node));
    }
  }
  const outputs = new Set(model.graph.outputs);
  const scores = slices.flatMap(({ value, axis }) => (outputs.has(value) ? [{ output: value, axis }] : []));
  return { size, tables, scores, slices };
}

/** Returns the model input that a value contains unchanged, through nodes that only move data; undefined if a node computes. */
function sourceOf(value: Value | undefined, inference: Inference): Value | undefined {
  let source = value;
  while (source?.producer !== undefined) {
    const bound = inference.at(source.producer);
    const rule = bound instanceof Miss ? bound : bound.quantize();
    if (rule instanceof Miss || rule.kind !== "transparent") return undefined;
    [source] = source.producer.inputs;
  }
  return source;
}

export interface TrimmedVocabulary extends Outcome {
  /** Number of tokens before trimming; undefined if the model has no vocabulary that can be trimmed. */
  readonly size: number | undefined;
  /** Whether token ids are looked up in tables. */
  readonly hasTables: boolean;
  /** Outputs that score tokens, by name, with their vocabulary axis. */
  readonly scores: ReadonlyMap<string, number>;
}

/**
 * Removes all tokens except the kept ones, in place.
 * @param kept ids in ascending order. The new id of a token is its index in this list.
 * @throws PithError E_OPTION for ids that are out of order or do not exist.
 * @example
 * const { changes } = await trimVocabulary(model, [0, 1, 2, 17, 40]); // token 17 gets the id 3
 */
export async function trimVocabulary(model: Model, kept: readonly number[]): Promise<TrimmedVocabulary> {
  storeWeights(model);
  const vocabulary = vocabularyOf(model, infer(model));
  const unchanged = { hasTables: true, changes: [], size: undefined, scores: new Map<string, number>() };
  if (vocabulary === undefined)
    return { ...unchanged, hasTables: false, misses: [new Miss("token ids read no embedding table")] };
  if (vocabulary instanceof Miss) return { ...unchanged, misses: [vocabulary] };
  const { size, tables, scores, slices } = vocabulary;
  const invalidId = kept.find((id, index) => !(id < size) || id <= (kept[index - 1] ?? -1));
  if (invalidId !== undefined || kept.length === 0)
    throw new PithError(
      "E_OPTION",
      `Token ids: expected an ascending list of ids below ${size}, got ${invalidId ?? "none"}.`,
    );
  const ids = new Set(kept);
  const removedIds = Array.from({ length: size }, (_, id) => id).filter((id) => !ids.has(id));
  const result = { hasTables: true, size, scores: new Map(scores.map(({ output, axis }) => [output.name, axis])) };
  if (removedIds.length === 0) return { ...result, changes: [], misses: [new Miss("all tokens are kept")] };
  const failure = await cut(model, [{ group: { units: size, slices }, units: removedIds }]);
  if (failure instanceof Miss) return { ...result, changes: [], misses: [failure] };
  const text = `${kept.length} of ${size} tokens kept`;
  const changed = [...new Set([...tables.map(({ name }) => name), ...result.scores.keys()])];
  return { ...result, changes: changed.map((at): Change => ({ at, what: text, decidedBy: "global" })), misses: [] };
}

/** Selects the layers that can be factorized, and reads their weights, input statistics and rank rules. */
import { checkWeight, describeNonFinite, type Inference, type Layer, optionsOfLayer, weightNeeds } from "#analysis";
import { Miss, type Model, nodeText, toFloat64, type Value } from "#ir";
import type { Context } from "#pass";
import type { Multiply } from "../../core/math/matrix.ts";
import { readStoredValue } from "../../rewrite/edit/stored-values.ts";
import type { InputStatistics } from "./activations.ts";
import { problemOf, type WeightView, weightViewOf } from "./chain.ts";
import type { Problem } from "./decomposition.ts";
import { type Options, rules } from "./options.ts";
import type { RankRule } from "./ranks.ts";
export interface Factorization {
  readonly model: Model;
  readonly options: Options;
  readonly context: Context;
  readonly multiply: Multiply;
  /** Input statistics, measured when they are requested: earlier layers can be factorized already. */
  readonly inputs: InputStatistics;
}

export interface Candidate extends Layer {
  readonly view: WeightView;
}

export function findCandidates(selectedLayers: readonly Layer[], all: readonly Layer[], inference: Inference) {
  const misses: Miss[] = [];
  const readable = all.flatMap((layer): Candidate | [] => {
    const refusal = checkWeight(layer, weightNeeds.factorize);
    if (refusal !== undefined && selectedLayers.includes(layer)) misses.push(refusal);
    return refusal === undefined ? { ...layer, view: weightViewOf(layer, inference) } : [];
  });
  const isChosen = ({ name }: Candidate): boolean => selectedLayers.some((layer) => layer.name === name);
  const possible = readable.filter(isChosen);
  const candidates = possible.filter((layer) => {
    const readerBeside = (layers: readonly Candidate[]): string | undefined => {
      // Factors have the groups of their layer, so they fit only layers with the same number of groups.
      const sharing = findSharing(layer, layers).filter(({ role }) => role.groups === layer.role.groups);
      return findOtherReader(layer.weight, sharing, inference);
    };
    const other = readerBeside(possible);
    if (other === undefined) return true;
    const reason =
      readerBeside(readable) === undefined
        ? ": layers that share a weight can only be factorized together"
        : ", so the file would need both the weight and the factors";
    misses.push(new Miss(`${other} also reads its weight${reason}`, layer.name));
    return false;
  });
  return { candidates, misses };
}

/** Returns the candidates that read the same stored weight, transposed or not. */
export function findSharing({ view }: Candidate, candidates: readonly Candidate[]): readonly Candidate[] {
  return candidates.filter((other) => other.view.source === view.source);
}

/** Returns another node or output that reads a stored value, directly or through operations on stored values. */
function findOtherReader(value: Value, readers: readonly Layer[], inference: Inference): string | undefined {
  const { graph } = value;
  if (graph.isOutput(value)) return graph.parent === undefined ? `output "${value.name}"` : nodeText(graph.parent);
  for (const { node, input } of value.uses) {
    if (readers.some((layer) => layer.node === node && layer.role.input === input)) continue;
    const outputs = node.outputs.filter((output) => output !== undefined);
    if (!outputs.every((output) => inference.operand(output)?.stored === true)) return nodeText(node);
    for (const output of outputs) {
      const other = findOtherReader(output, readers, inference);
      if (other !== undefined) return other;
    }
  }
  return undefined;
}

interface LayerRule extends RankRule {
  readonly method: Options["method"];
  /** Whether the budget of the pass chooses the ranks: no override sets them. */
  readonly inBudget: boolean;
}

/** Returns how the ranks of a layer are chosen. A rank or budget of an override replaces those of the pass. */
export function ruleOf({ budget, rank, ...others }: Options, layer: Layer): LayerRule {
  const unset: Options = { ...others, budget: undefined, rank: undefined };
  const { options: layerOptions } = optionsOfLayer(unset, layer, rules);
  const hasOverride = layerOptions.budget !== undefined || layerOptions.rank !== undefined;
  return {
    method: layerOptions.method,
    rank: hasOverride ? layerOptions.rank : rank,
    share: layerOptions.budget,
    inBudget: !hasOverride && budget !== undefined,
  };
}

interface LayerProblem extends Problem {
  readonly dims: readonly number[];
  /** Number of input rows, if it is less than the number of inputs. */
  readonly fewInputs: number | undefined;
  readonly whyNoInputs: string | undefined;
}

export async function readProblem(
  { model, context, multiply, inputs }: Factorization,
  layer: Candidate,
  candidates: readonly Candidate[],
): Promise<LayerProblem | Miss> {
  const storedWeight = await readStoredValue(model, layer.effective, context.engine);
  const nonFiniteText = describeNonFinite(toFloat64(storedWeight));
  if (nonFiniteText !== undefined) return new Miss(`its weight ${nonFiniteText}`, layer.name);
  // The inputs are those of layers that read the weight along the same axis.
  const readers = findSharing(layer, candidates).filter(
    ({ view, role }) => view.outputAxis === layer.view.outputAxis && role.kind === layer.role.kind,
  );
  const whitening = await inputs.of(readers);
  const inputWeights = whitening instanceof Miss ? undefined : whitening;
  const problem = problemOf(layer, storedWeight, { multiply, seed: context.seed, inputs: inputWeights?.roots });
  const hasFewRows = inputWeights !== undefined && inputWeights.rows < (problem.matrices[0]?.columns ?? 0);
  return {
    ...problem,
    dims: storedWeight.dims,
    fewInputs: hasFewRows ? inputWeights.rows : undefined,
    whyNoInputs: whitening instanceof Miss ? whitening.reason : undefined,
  };
}

import { fixedTables } from "../../core/analysis/fixed-tables.ts";
import { infer } from "../../core/analysis/infer.ts";
import { allLayers, type Layer } from "../../core/analysis/layers.ts";
import { ownOptions, selectLayers } from "../../core/analysis/selection.ts";
import { Miss } from "../../core/errors.ts";
import { describe, type Node } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { removeUnusedEverywhere } from "../../core/graph/remove-unused.ts";
import type { Change, Context, Outcome } from "../../core/pass/pass.ts";
import { foldWeights } from "../../rewrite/clean-up/fold-constants.ts";
import { mergeAcrossBranches } from "../../rewrite/clean-up/merge-initializers.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { quantizeDynamically } from "./dynamic.ts";
import { quantizeToHalf } from "./float16.ts";
import { quantizeToHalfArithmetic } from "./half-arithmetic.ts";
import { noRoundings, roundingsIn } from "./model-roundings.ts";
import type { QuantizeSettings } from "./options.ts";
import { layerPlan } from "./plan.ts";
import { roundLayers } from "./round-layers.ts";
import type { quantizeStatically } from "./static.ts";
import { floatReaders } from "./tied.ts";
import type { RoundingSource } from "./weight.ts";
import { quantizeToWeights } from "./weights.ts";

const schemes = {
  weights: quantizeToWeights,
  dynamic: quantizeDynamically,
  // Loaded on demand: half of this scheme is code that reads data, which other schemes do not need in a browser.
  static: async (...given: Parameters<typeof quantizeStatically>) =>
    (await import("./static.ts")).quantizeStatically(...given),
};

export async function storeForm(model: Model, context: Context): Promise<void> {
  // Unused nodes must be removed before integer arithmetic is placed in them.
  removeUnusedEverywhere(model);
  storeWeights(model);
  await foldWeights(model, context);
  await mergeAcrossBranches(model, context);
}

export async function quantizeBy(options: QuantizeSettings, model: Model, context: Context): Promise<Outcome> {
  const { scheme } = options;
  if (options.arithmetic === "float16") return quantizeToHalfArithmetic(model, options, context);
  if (scheme === "float16" || scheme === "bfloat16") return quantizeToHalf(scheme, model, options, context);
  const moved = await moveFactors(model, options, context);
  const tied = floatReaders(model, options);
  const inference = infer(model);
  const all = allLayers(model, inference);
  const known = new Map<string, string>();
  // A quantized copy of a table only saves bytes; one of a product saves time as well.
  for (const { name, role } of all) {
    const reader = scheme === "weights" || role.kind === "lookup" ? tied.get(name) : undefined;
    if (reader !== undefined)
      known.set(name, `${describe(reader)} also reads the matrix in float: an integer copy would make the file larger`);
  }
  const fixed = options.layers === undefined ? await fixedTables(selectLayers(all, options)) : new Set();
  for (const layer of all) {
    if (staysFloat(layer, options)) known.set(layer.name, "stays in float: set by an override");
  }
  for (const { name, weight } of all)
    if (fixed.has(weight)) known.set(name, "its table contains fixed positions, which are not trained");
  const quantized = async (fit: typeof options, evidence: RoundingSource) =>
    schemes[scheme](model, fit, context, { ...evidence, existing: await roundingsIn(model) });
  const blocksOf = (layer: Layer) => {
    const plan = scheme === "weights" ? layerPlan(layer, options, inference, noRoundings) : undefined;
    return plan === undefined || plan instanceof Miss ? undefined : plan.form.blocks;
  };
  const original = model.clone();
  const outcome = await roundLayers(model, options, context, quantized, known, blocksOf);
  const rounded = outcome.changes.map((change) => withTie(change, tied.get(change.at)));
  const corrected = await biasesCorrected(model, original, options, context);
  return { ...outcome, changes: [...moved, ...rounded, ...corrected] };
}

/** Whether an override keeps a layer in float. */
export const staysFloat = (layer: Layer, options: QuantizeSettings): boolean =>
  ownOptions<QuantizeSettings & { readonly float?: boolean | undefined }>(options, layer).own.float === true;

/** Equalizes before anything is rounded, so that rounding methods see samples of the equalized model. */
export async function moveFactors(
  model: Model,
  options: QuantizeSettings,
  context: Context,
): Promise<readonly Change[]> {
  const { scheme, equalize } = options;
  if (!equalize || scheme === "float16" || scheme === "bfloat16") return [];
  // Loaded on demand: weight-only rounding does not need the code that reads data.
  const [{ answerNoise }, { equalize: move }] = await Promise.all([
    import("./rounding-noise.ts"),
    import("./equalize/index.ts"),
  ]);
  return move(model, options, context, answerNoise(model, options, quantizeBy, context));
}

async function biasesCorrected(
  model: Model,
  original: Model,
  options: QuantizeSettings,
  context: Context,
): Promise<readonly Change[]> {
  if (options.data === undefined || options.biasCorrection === "none") return [];
  return (await import("./correct-biases.ts")).correctRounded(model, original, options, context);
}

function withTie(change: Change, reader: Node | undefined): Change {
  return reader === undefined
    ? change
    : { ...change, what: `${change.what}; its float matrix is kept as well, for ${describe(reader)}` };
}

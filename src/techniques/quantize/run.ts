/** The work of the passes `quantize` and `equalize`, which is loaded when one of them runs. */
import type * as v from "valibot";
import type { Layer, Selection } from "#analysis";
import { allLayers, infer, isInSubgraph, isQuantized, matchesName, selectLayers } from "#analysis";
import type { Miss, Model, Value } from "#ir";
import { emitInto, replaceUses, sameDims, unsupportedError } from "#ir";
import { type Change, type Context, type OptionValues, type Outcome, parseOptions } from "#pass";
import { fuseNodes } from "../../rewrite/clean-up/fuse-nodes.ts";
import { removeIdentities } from "../../rewrite/clean-up/remove-identities.ts";
import { withStoredWeights } from "../../rewrite/clean-up/store-constants.ts";
import { storeFewValues } from "./formats/few-values.ts";
import { quantizeOptions } from "./options.ts";
import { equalizeModel, prepareWeights, quantizeBy } from "./round-model.ts";
import { gptaq } from "./rounders/gptaq.ts";
import { rounders } from "./rounders/index.ts";
import { isHalf, settingsOfSteps } from "./settings.ts";

export async function runEqualize(
  model: Model,
  options: v.InferOutput<typeof quantizeOptions>,
  context: Context,
): Promise<Outcome> {
  await prepareWeights(model, context);
  const changes: Change[] = [];
  for (const step of settingsOfSteps(options))
    if (!isHalf(step)) changes.push(...(await equalizeModel(model, step, context)));
  return { changes, misses: [] };
}

export async function runQuantize(
  model: Model,
  options: v.InferOutput<typeof quantizeOptions>,
  context: Context,
): Promise<Outcome> {
  const needsCaches = (options.dtype ?? options.target) !== undefined;
  // Pages that set neither option do not download this module.
  const decoder = needsCaches ? (await import("../../runtime/run/decoding.ts")).decoderOf(model) : undefined;
  const { caches = [] } = decoder ?? {};
  if (caches.length > 0) await (await import("./fuse-decoder.ts")).fuseDecoder(model, options, context);
  await prepareWeights(model, context);
  const steps = settingsOfSteps(options);
  // Integer products do not share the quantized values of a table, because they are faster with separate ones.
  if (steps.some(({ scheme }) => scheme === "weights")) await tieTables(model, options);
  const outcomes: Outcome[] = [];
  for (const requested of steps) {
    if (isHalf(requested)) {
      const storesCache = caches.length > 0 && options.dtype !== undefined;
      if (storesCache) (await import("./store-cache-in-half.ts")).storeCacheInHalf(model, caches);
      outcomes.push(await quantizeBy(requested, model, context));
      if (storesCache) {
        await fuseNodes(model, { only: ["wider-cast"] }, context);
        await removeIdentities(model, {}, context);
      }
      continue;
    }
    // Pages that ask for other bits do not download the defaults of language models.
    let step =
      requested.bits === 4
        ? await (await import("./decoder-defaults.ts")).withDecoderDefaults(requested, options, model, context.engine)
        : requested;
    let massiveChanges: readonly Change[] = [];
    const isBlind = step.distortion === undefined && !rounders.looksAtSamples(step.rounder);
    if (step.scheme === "dynamic" && step.data !== undefined && isBlind) {
      const { quantizeMassiveInputs } = await import("./massive-inputs.ts");
      ({ changes: massiveChanges, rest: step } = await quantizeMassiveInputs(model, step, context));
    }
    if (options.rounder === undefined && step.rounder === gptaq.id) {
      const text = `weights are quantized layer by layer, to match the original's outputs on the calibration samples (${step.rounder}); \`rounder: "mse"\` takes seconds`;
      context.log({ id: "rounder", text, level: "note" });
    }
    const { distortion } = step;
    const { changes, misses } =
      distortion === undefined
        ? await quantizeBy(step, model, context)
        : await (await import("./quantize-for-download.ts")).quantizeForDownload(
            { ...step, distortion },
            model,
            context,
          );
    const constants = changes.length === 0 ? [] : await storeFewValues(model, context);
    // Only the user's own options are overrides.
    const overrides = new Set(Object.keys(requested.overrides ?? {}));
    const isDefault = ({ at }: Change): boolean => step.overrides?.[at] !== undefined && !overrides.has(at);
    const reported = changes.map((change) =>
      isDefault(change) ? { ...change, decidedBy: "global" as const } : change,
    );
    const isUnchanged = ({ at }: Miss): boolean => !massiveChanges.some((change) => change.at === at);
    outcomes.push({ changes: [...massiveChanges, ...reported, ...constants], misses: misses.filter(isUnchanged) });
  }
  return { changes: outcomes.flatMap(({ changes }) => changes), misses: outcomes.flatMap(({ misses }) => misses) };
}

/** Returns advice to keep depthwise layers in float, which slows some networks down and speeds up others. */
export function adviseFloatDepthwise(original: Model, options: Selection): string | undefined {
  const copy = withStoredWeights(original);
  const names = selectLayers(allLayers(copy, infer(copy)), options).flatMap(({ name, role, outputs, inputs }) =>
    role.groups > 1 && role.groups === inputs && outputs >= inputs ? [name] : [],
  );
  if (names.length === 0) return undefined;
  const except = [options.except ?? [], names].flat().join(",");
  return `Keep depthwise layers in float and compare the speed: \`except: "${except}"\``;
}

/** @throws PithError E_UNSUPPORTED if all selected weights are quantized already, except for half precision. */
export async function requireFloatWeights(model: Model, options: OptionValues): Promise<void> {
  const steps = settingsOfSteps(parseOptions("quantize", quantizeOptions, options));
  if (steps.some(isHalf)) return;
  const copy = withStoredWeights(model);
  const selectedLayers = selectLayers(allLayers(copy, infer(copy)), options);
  if (selectedLayers.length === 0 || !selectedLayers.every(isQuantized)) return;
  throw unsupportedError("All weights are quantized already.", {
    hint: "Use the float model that they were made from.",
  });
}

/** Stores a table and its transposed copy in a product once. Some exporters fold the Transpose of a tied last layer into such a copy. */
async function tieTables(model: Model, { layers: layerNames, except, overrides = {} }: Selection): Promise<void> {
  const layers = allLayers(model, infer(model)).filter((layer) => !isInSubgraph(layer));
  const tables = new Set(layers.flatMap(({ role, weight }) => (role.kind === "lookup" ? [weight] : [])));
  // A tied layer has another name.
  const isChosen = ({ name }: Layer): boolean =>
    [layerNames, except, Object.keys(overrides)].some((patterns) => matchesName(patterns, name));
  const copies = new Set(
    layers.flatMap((layer) => (isChosen(layer) ? [] : [layer.weight])).filter((weight) => !tables.has(weight)),
  );
  for (const table of tables)
    for (const copy of copies) {
      if (table.role !== copy.role || !(await isTransposed(table, copy))) continue;
      const [first] = model.graph.nodes();
      replaceUses(copy, emitInto(model, { before: first, by: "quantize" }).Transpose([table], { perm: [1, 0] }));
      model.graph.removeValue(copy);
      copies.delete(copy);
    }
}

async function isTransposed({ tensor: table }: Value, { tensor: copy }: Value): Promise<boolean> {
  const [rows = 0, columns = 0] = table?.dims ?? [];
  if (table?.dims.length !== 2 || copy?.type !== table.type || !sameDims(copy.dims, [columns, rows])) return false;
  const [{ data: numbers }, { data: copiedNumbers }] = [await table.read(), await copy.read()];
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      if (numbers[row * columns + column] !== copiedNumbers[column * rows + row]) return false;
  return true;
}

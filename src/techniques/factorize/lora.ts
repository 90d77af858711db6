/**
 * Low-rank adapters (Hu et al. 2021, "LoRA", arXiv 2106.09685): two low-rank factors in parallel to an unchanged layer are trained.
 *
 *     y = Gemm "fc1" (x, fc1.weight, fc1.bias)
 * → y = Gemm "fc1" (x, fc1.weight, fc1.bias) + (α / r) · up (down (x))
 *
 * `down` starts with Kaiming's random numbers (He et al. 2015), `up` with zeros. Merging adds (α / r) · up · down to the weight.
 * Layers that share a weight share its adapter.
 */
import * as v from "valibot";
import { infer } from "../../core/analysis/infer.ts";
import { type Layer, layers as layersOf } from "../../core/analysis/layers.ts";
import { unsupportedWeights } from "../../core/analysis/no-layers.ts";
import { selectLayers } from "../../core/analysis/selection.ts";
import { weightMatrices, weightNumbers, weightShape } from "../../core/analysis/weight.ts";
import { engineMultiply } from "../../core/engine/multiply.ts";
import { Miss, PithError } from "../../core/errors.ts";
import type { Value } from "../../core/graph/graph.ts";
import { Model } from "../../core/graph/model.ts";
import { removeReplaced, usedTensors } from "../../core/graph/remove-unused.ts";
import { substitute } from "../../core/graph/replace.ts";
import { parameter } from "../../core/graph/role.ts";
import { type Matrix, type Multiply, matrix } from "../../core/math/matrix.ts";
import { save as saveFile } from "../../core/onnx/index.ts";
import type { ChainPart } from "../../core/ops/entry.ts";
import { modelOption } from "../../core/pass/modules.ts";
import { countOption, described, option, positiveOption, selectionOptions } from "../../core/pass/options.ts";
import { type Change, type Context, definePass, type Outcome } from "../../core/pass/pass.ts";
import { fromNumbers, toFloat64 } from "../../core/tensor/convert.ts";
import { inMemory } from "../../core/tensor/dense.ts";
import { sameDims } from "../../core/tensor/dims.ts";
import { random } from "../../core/tensor/random.ts";
import type { Dense } from "../../core/tensor/types.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { raiseOpset } from "../../rewrite/edit/raise-opset.ts";
import {
  type Adapter,
  adaptedLayers,
  areReadAlike,
  dimsOf,
  explainMerge,
  explainRank,
  findAdapters,
  insertAdapters,
  layerOf,
  partOf,
  scaleName,
  storeBranch,
  storeScale,
  warnOfUnfused,
  weightName,
} from "./adapters.ts";
import { factorType, partDims } from "./chain.ts";
import { insertErrors } from "./error-adapters.ts";

const loraOptions = v.pipe(
  v.strictObject({
    rank: option(countOption, "rank of the adapters (default 8)", { common: true }),
    alpha: option(positiveOption, "scale adapters by alpha / rank (default: alpha = rank, a scale of 1)", {
      common: true,
    }),
    from: option(
      modelOption("takes the path of saved adapters, or a model"),
      "insert these adapters, written by `save`, instead of new ones",
      { value: "adapters.onnx", common: true },
    ),
    errorOf: option(modelOption(), "start with the quantization error of the weights of this model", {
      value: "original.onnx",
      common: true,
    }),
    merge: described(v.optional(v.boolean(), false), "add the adapters of the model to its weights", {
      common: true,
    }),
    save: option(v.string(), "with `merge`: also write the adapters to a file of their own", {
      value: "adapters.onnx",
      common: true,
    }),
    ...selectionOptions("adapt"),
  }),
  v.check(({ merge, from }) => !merge || from === undefined, "merge and from cannot be combined"),
  v.check(
    ({ rank, alpha, merge, from }) => (rank ?? alpha) === undefined || (!merge && from === undefined),
    "rank and alpha are for new adapters, and cannot be combined with from or merge",
  ),
  v.check(
    ({ errorOf, alpha, merge, from }) => errorOf === undefined || ((alpha ?? from) === undefined && !merge),
    "errorOf is for new adapters of a scale of 1, and cannot be combined with alpha, from or merge",
  ),
  v.check(({ merge, save }) => merge || save === undefined, "save needs merge: it writes the adapters that are merged"),
);

/**
 * Inserts low-rank adapters in place, merges them into the weights, or writes them to a file. To train only the adapters, train
 * the layers "*.lora.*". Adapters are identified by value names, which must not change; a layer gets at most one adapter.
 * @throws PithError E_NAME for layers that do not exist, also those of saved adapters, E_SHAPE_MISMATCH for saved adapters of layers of
 * other sizes, E_OPTION if there is nothing to merge.
 * @example
 * await lora(net, { rank: 8, layers: "fc*" });
 * await train(net, { data, epochs: 3, layers: "*.lora.*" });
 * await lora(net, { merge: true });
 */
export const lora = definePass({
  id: "lora",
  summary: "Insert low-rank adapters to fine-tune (LoRA), merge them, or save them to a file",
  options: loraOptions,
  restores: "errorOf",
  command: {
    suffix: ({ merge }) => (merge === true ? ".merged" : ".lora"),
    reads: ["from", "errorOf"],
    writes: ["save"],
    examples: [
      'lora model.onnx --rank 8 --layers "*attention*"',
      "lora model.lora.trained.onnx --merge --save adapters.onnx -o model.merged.onnx",
      "lora model.onnx --from adapters.onnx",
      "lora model.quantized.onnx --error-of model.onnx --rank 16",
    ],
    next: ({ merge }, { written, data }) =>
      merge === true ? undefined : `train ${written} --layers "*.lora.*" --data ${data}`,
  },
  async run(model, options, context) {
    if (options.merge) return merge(model, options, context);
    storeWeights(model);
    // Earlier opsets require attributes for broadcasting.
    raiseOpset(model, broadcastOpset);
    const outcome = await insertRequested(model, options, context);
    warnOfUnfused(model, outcome, context);
    return outcome;
  },
});

const broadcastOpset = 7;
const defaultRank = 8;

type LoraOptions = v.InferOutput<typeof loraOptions>;

function insertRequested(model: Model, options: LoraOptions, context: Context): Promise<Outcome> {
  const { from, errorOf, rank = defaultRank } = options;
  if (from !== undefined) return insertSaved(model, from, options);
  return errorOf === undefined
    ? insertNew(model, options, context)
    : insertErrors(model, errorOf, { ...options, rank }, context);
}

const windowAxes = ({ role }: Layer): readonly number[] => (role.window?.axes ?? []).map((_, axis) => axis);

async function insertNew(
  model: Model,
  { rank = defaultRank, alpha = rank, ...selection }: LoraOptions,
  { seed }: Context,
): Promise<Outcome> {
  const adapted = adaptedLayers(model);
  const inference = infer(model);
  const all = layersOf(model, inference);
  const unsupported = selection.layers === undefined ? unsupportedWeights(model, inference, all) : [];
  const chosen = selectLayers(all, selection).filter(({ name }) => !adapted.has(name));
  const { changes, misses } = await insertAdapters(model, chosen, async (layer) => {
    const { groups, outputs, inputs, taps } = weightShape(layer.role, dimsOf(layer));
    const features = inputs * taps;
    const refusal = explainRank(layer, rank);
    if (refusal !== undefined) return refusal;
    const draw = random(seed, "lora", layer.name);
    // As in PyTorch's linear layer: Kaiming's uniform distribution with a slope of √5.
    const bound = 1 / Math.sqrt(features);
    const perGroup = (make: () => Matrix): readonly Matrix[] => Array.from({ length: groups }, make);
    const drawNumbers = (): Float64Array =>
      Float64Array.from({ length: rank * features }, () => draw.uniform(-bound, bound));
    const factors = [
      { name: "down", matrices: perGroup(() => matrix(rank, features, drawNumbers())), window: windowAxes(layer) },
      { name: "up", matrices: perGroup(() => matrix(outputs, rank)), window: [] },
    ];
    return storeBranch(model, layer, factors, alpha / rank);
  });
  return { changes, misses: [...misses, ...unsupported] };
}

async function insertSaved(model: Model, { graph, place }: Model, selection: LoraOptions): Promise<Outcome> {
  const file = place === undefined ? "the model given as `from`" : `"${place}"`;
  const names = new Set(Array.from(graph.values(), ({ name }) => layerOf(name)).filter((name) => name !== undefined));
  if (names.size === 0)
    throw new PithError("E_OPTION", `There are no adapters in ${file}.`, { hint: "`save` writes those of a model." });
  const all = layersOf(model, infer(model));
  const missingName = [...names].find((name) => all.every((layer) => layer.name !== name));
  if (missingName !== undefined) {
    const text = `An adapter in ${file} is for a layer "${missingName}", which this model does not have.`;
    throw new PithError("E_NAME", text, {
      hint: "Use the model that the adapters were trained with.",
    });
  }
  const chosen = selectLayers(all, selection).filter(({ name }) => names.has(name));
  const adapted = adaptedLayers(model);
  return insertAdapters(model, chosen, async (layer) => {
    if (adapted.has(layer.name)) return new Miss("it has an adapter already: merge that one first", layer.name);
    const read = async (name: string): Promise<Dense> => {
      const tensor = graph.value(name)?.tensor;
      if (tensor === undefined)
        throw new PithError("E_MODEL", `The adapter of "${layer.name}" in ${file} has no "${name}".`);
      return tensor.read();
    };
    const { name, role } = layer;
    const dims = dimsOf(layer);
    const { outputs, inputs, taps } = weightShape(role, dims);
    const [down, up] = [await read(weightName(name, "down")), await read(weightName(name, "up"))];
    const rank = (down.dims[role.out] ?? 0) / (role.out === 0 ? role.groups : 1);
    const isFitting =
      sameDims(down.dims, partDims(layer, dims, { rows: rank, columns: inputs * taps, window: windowAxes(layer) })) &&
      sameDims(up.dims, partDims(layer, dims, { rows: outputs, columns: rank, window: [] }));
    if (!isFitting) {
      const matrices = `[${down.dims}] and [${up.dims}]`;
      throw new PithError(
        "E_SHAPE_MISMATCH",
        `The adapter of "${name}" in ${file} is for another weight: its matrices are ${matrices}, the weight is [${dims}].`,
      );
    }
    const part = (side: "down" | "up", dense: Dense): ChainPart => ({
      name: partOf(name, side),
      weight: model.graph.addTensor(weightName(name, side), inMemory(dense), parameter),
      ...(side === "down" ? { window: windowAxes(layer) } : {}),
    });
    const scale = storeScale(model, layer, await read(scaleName(name)));
    return { parts: [part("down", down), part("up", up)], scale };
  });
}

/** Creates a model whose outputs are the adapters' matrices and scales. */
function buildAdapterModel(adapters: readonly Adapter[], model: Model): Model {
  const saved = new Model();
  for (const [domain, version] of model.opsets) saved.header.opsets.set(domain, version);
  const distinctAdapters = new Map(adapters.map((adapter) => [adapter.scale, adapter])).values();
  const stored = [...distinctAdapters].flatMap(({ base: { name }, down, up, scale }) => [
    [weightName(name, "down"), down.weight.tensor] as const,
    [weightName(name, "up"), up.weight.tensor] as const,
    [scaleName(name), scale.tensor] as const,
  ]);
  saved.graph.setOutputs(
    stored.flatMap(([name, tensor]) => (tensor === undefined ? [] : saved.graph.addTensor(name, tensor, parameter))),
  );
  return saved;
}

/** Merges adapters in place: a weight becomes W + scale · up · down. If a weight cannot be changed, its adapter is kept, with a Miss. */
async function merge(model: Model, { save, ...selection }: LoraOptions, { engine }: Context): Promise<Outcome> {
  const selected = new Set(selectLayers(layersOf(model, infer(model)), selection).map(({ name }) => name));
  const chosen = findAdapters(model).filter(({ base }) => selected.has(base.name));
  if (chosen.length === 0) {
    const text = `merge: ${selection.layers === undefined ? "the model has" : "these layers have"} no adapters.`;
    throw new PithError("E_OPTION", text, { hint: "`lora` inserts them, `train` trains them." });
  }
  if (save !== undefined) await saveFile(buildAdapterModel(chosen, model), save);
  const changes: Change[] = [];
  const misses: Miss[] = [];
  const oldTensors = usedTensors(model);
  const products = engineMultiply(engine);
  const merged = new Set<Value>();
  try {
    for (const adapter of chosen) {
      const { base, output, scale, sum } = adapter;
      const sharing = chosen.filter((other) => other.scale === scale && areReadAlike(other.base, base));
      const refusal = explainMerge(base, sharing.length);
      if (refusal !== undefined) {
        misses.push(new Miss(`keeps its adapter: ${refusal.reason}`, base.name));
        continue;
      }
      if (!merged.has(base.weight)) base.weight.tensor = inMemory(await mergeWeight(adapter, products.multiply));
      merged.add(base.weight);
      substitute(sum, output);
      changes.push({ at: base.name, what: "adapter merged", decidedBy: "global" });
    }
  } finally {
    await products.release();
  }
  if (changes.length > 0) removeReplaced(model, oldTensors);
  return { changes, misses };
}

async function mergeWeight({ base, down, up, scale }: Adapter, multiply: Multiply): Promise<Dense> {
  const matrices = async ({ role, weight }: Layer): Promise<readonly Matrix[]> => {
    const dense = await weight.tensor?.read();
    return dense === undefined ? [] : weightMatrices(role, dense.dims, toFloat64(dense));
  };
  const [weights, downs, ups] = [await matrices(base), await matrices(down), await matrices(up)];
  const stored = await scale.tensor?.read();
  const [factor = Number.NaN] = stored === undefined ? [] : toFloat64(stored);
  const merged: Matrix[] = [];
  for (const [group, { rows, columns, data }] of weights.entries()) {
    const [downMatrix, upMatrix] = [downs[group], ups[group]];
    if (downMatrix === undefined || upMatrix === undefined)
      throw new PithError("E_MODEL", `internal: "${base.name}" has groups that its adapter lacks.`);
    const delta = await multiply(upMatrix, downMatrix);
    const sums = data.map((value, index) => value + factor * (delta.data[index] ?? 0));
    merged.push(matrix(rows, columns, sums));
  }
  const { dims = [] } = base.weight.tensor ?? {};
  return fromNumbers(factorType(base), dims, weightNumbers(base.role, dims, merged));
}

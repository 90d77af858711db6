/**
 * Writes weights as planned, each once for all layers that read it in one form. Where a table is the weight of a last layer, too, both read the same
 * codes, which the runtime turns once, when it loads the model.
 */
import type { Inference } from "../analysis/infer.ts";
import type { Layer } from "../analysis/layers.ts";
import { plainName } from "../analysis/masks.ts";
import { Miss } from "../errors.ts";
import { type Emit, emitInto } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Change, Context, Outcome } from "../passes/pass.ts";
import { removeReplaced, usedTensors } from "../passes/remove-unused.ts";
import { numbersOf, type StoredCodes, storeQuantized } from "./formats/dequantize-linear.ts";
import { writeRows } from "./formats/gather-block-quantized.ts";
import { type AddedToSums, grownFor, vectorBias, writeBias } from "./formats/int32-bias.ts";
import {
  biasFor,
  type Integers,
  integersOf,
  type StoredWeight,
  storeWeight,
  writeInteger,
} from "./formats/integer-operators.ts";
import { turnsTable, writeLookup } from "./formats/lookup.ts";
import { type StoredBlocks, storeBlocks, writeBlocks } from "./formats/matmul-nbits.ts";
import { type WeightPlan, withTables } from "./plan.ts";
import { nearest } from "./rounders/nearest.ts";
import {
  type BlockSettings,
  blocksText,
  codesText,
  type Rounding,
  roundedBlocks,
  roundedWeight,
  scaleAxis,
  type WeightSettings,
} from "./weight.ts";

type CodesPlan = Extract<WeightPlan, { readonly form: "codes" }>;

/** Codes of a weight, for all layers that read them. */
interface Written extends StoredCodes {
  readonly scales: Float32Array;
  readonly axis: number | undefined;
  /** What a layer multiplies with. */
  numbers: Value | undefined;
  turned: Written | undefined;
}

export async function writePlanned(
  model: Model,
  planned: readonly (WeightPlan | Miss)[],
  inference: Inference,
  rounding: Rounding,
  context: Context,
): Promise<Outcome> {
  const plain = rounding.rounder.zeroPoints === true ? { ...rounding, rounder: nearest } : rounding;
  const before = usedTensors(model.graph);
  const plans = withTables(
    planned.flatMap((plan) => (plan instanceof Miss ? [] : plan)),
    inference,
  );
  const tables = plans.flatMap((plan) => (plan.form === "codes" && plan.layer.role.kind === "lookup" ? plan : []));
  /** The table whose codes, turned, are those of an integer operator. */
  const tableFor = ({ layer }: WeightPlan, transposed: boolean): CodesPlan | undefined => {
    const table = tables.find(({ layer: other }) =>
      transposed ? other.effective === layer.effective : turnsTable(layer, other, inference),
    );
    const isLike = table?.settings.type === "int8" && (!transposed || scaleAxis(table.layer) === scaleAxis(layer));
    return isLike ? table : undefined;
  };
  const codes = shared<Written>();
  const blocks = shared<StoredBlocks>();
  const integers = shared<StoredWeight>();
  const activations = new Map<Value, Integers>();
  const changes: Change[] = [];

  const formOf = (layer: Layer, { type, perChannel }: WeightSettings): string =>
    `${type} ${perChannel ? scaleAxis(layer) : ""}`;
  const added = new Map<WeightPlan, AddedToSums>();
  for (const plan of plans) {
    if (plan.form !== "codes" || plan.measured === undefined) continue;
    const bias = await vectorBias(model, plan.measured.target, context);
    if (bias !== undefined) added.set(plan, { bias, dataScale: plan.measured.scale });
  }

  const codesOf = (layer: Layer, settings: WeightSettings, emit: Emit): Promise<Written> =>
    codes(layer.effective, formOf(layer, settings), async () => {
      const sharing = [...added].flatMap(([plan, sum]) =>
        plan.form === "codes" &&
        (plan.table ?? plan.layer).effective === layer.effective &&
        formOf(plan.table ?? plan.layer, plan.settings) === formOf(layer, settings)
          ? sum
          : [],
      );
      const tensor = await roundedWeight(model, layer, settings, plain, context.engine, { grown: grownFor(sharing) });
      const stored = storeQuantized(emit, plainName(layer.weight), tensor);
      const scales = tensor.scale.data;
      return { ...stored, scales, axis: tensor.axis, numbers: undefined, turned: undefined };
    });

  const blocksOf = (layer: Layer, settings: BlockSettings, flat: boolean, emit: Emit): Promise<StoredBlocks> =>
    blocks(layer.effective, `${Object.values(settings).join(" ")} ${scaleAxis(layer)}`, async () =>
      storeBlocks(
        emit,
        plainName(layer.weight),
        await roundedBlocks(model, layer, settings, rounding, context.engine, flat),
      ),
    );

  for (const [index, plan] of plans.entries()) {
    context.progress(index, plans.length);
    const { layer } = plan;
    const { node, role, effective } = layer;
    const emit = emitInto(model, { before: node, by: "quantize", onNode: inference.visit });
    const change = { at: layer.name, kind: "quantized", decidedBy: plan.decidedBy } as const;
    if (plan.form === "blocks") {
      const { settings, target, table = layer } = plan;
      const stored = await blocksOf(table, settings, false, emit);
      writeBlocks(emit, target, node.inputs[role.data] ?? target.data, stored, await biasFor(model, target, context));
      changes.push({ ...change, what: blocksText(settings, rounding), bits: settings.bits });
    } else if (plan.form === "rows") {
      const { settings, isShared } = plan;
      writeRows(emit, layer, await blocksOf(layer, settings, !isShared, emit));
      changes.push({ ...change, what: blocksText(settings, rounding), bits: settings.bits });
    } else if (plan.form === "integer") {
      const { settings, target } = plan;
      const { rule } = target;
      const ofTable = tableFor(plan, rule.integerTransposed);
      const weight = await (ofTable === undefined
        ? integers(effective, integerForm(plan), async () => {
            const form = { transposed: rule.integerTransposed };
            return storeWeight(emit, target, await roundedWeight(model, layer, settings, plain, context.engine, form));
          })
        : codesOf(ofTable.layer, ofTable.settings, emit).then((written) => ({
            ...turned(emit, written),
            zeroPoint: undefined,
          })));
      const bias = await biasFor(model, target, context);
      // Asked for now: the layer before may have been rewritten meanwhile.
      const data = node.inputs[role.data] ?? target.data;
      writeInteger(emit, target, integersOf(emit, data, activations), weight, bias);
      const text = codesText(layer, ofTable?.settings ?? settings, plain);
      changes.push({ ...change, what: `integer arithmetic, ${text}`, bits: 8 });
    } else {
      const { settings, why, measured, table = layer } = plan;
      const written = await codesOf(table, settings, emit);
      if (role.kind === "lookup") writeLookup(emit, layer, written, settings.type);
      else {
        const read = effective === table.effective ? written : turned(emit, written);
        read.numbers ??= numbersOf(emit, plainName(layer.weight), read, read.axis, effective.type?.type);
        model.graph.setInput(node, role.input, read.numbers);
        const sum = added.get(plan);
        if (measured !== undefined && sum !== undefined)
          await writeBias(model, emit, measured.target, sum, written.scales);
      }
      const weight = codesText(layer, settings, plain);
      const what = measured === undefined ? weight : `${measured.type} activations, ${weight}`;
      changes.push({ ...change, what: why === undefined ? what : `${what}, not blocks: ${why}`, bits: 8 });
    }
  }
  for (const { zeroPoint } of codes.all()) if (zeroPoint.uses.size === 0) model.graph.removeValue(zeroPoint);
  if (changes.length > 0) removeReplaced(model.graph, before);
  return { changes, misses: planned.flatMap((plan) => (plan instanceof Miss ? plan : [])) };
}

/** What is made once of a weight in each form. */
interface Shared<T> {
  (weight: Value, form: string, make: () => Promise<T>): Promise<T>;
  all(): readonly T[];
}

function shared<T>(): Shared<T> {
  const made = new Map<Value, Map<string, T>>();
  const find = async (weight: Value, form: string, make: () => Promise<T>): Promise<T> => {
    const forms = made.get(weight) ?? new Map<string, T>();
    made.set(weight, forms);
    const found = forms.get(form) ?? (await make());
    forms.set(form, found);
    return found;
  };
  return Object.assign(find, { all: () => [...made.values()].flatMap((forms) => [...forms.values()]) });
}

function integerForm({ layer, settings, target: { rule } }: Extract<WeightPlan, { readonly form: "integer" }>): string {
  const { type, perChannel } = settings;
  return `${type} ${perChannel} ${layer.role.out} ${rule.integerTransposed} ${rule.channelDims(layer.outputs).join()}`;
}

function turned(emit: Emit, written: Written): Written {
  written.turned ??= {
    ...written,
    numbers: undefined,
    codes: emit.Transpose([written.codes], { perm: [1, 0] }),
    axis: written.axis === undefined ? undefined : 1 - written.axis,
  };
  return written.turned;
}

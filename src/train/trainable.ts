/** A copy of a model in which what is trained is one float tensor each, named, and nothing is folded that hangs on it. */
import { emitInto } from "../graph/emit.ts";
import type { Model } from "../graph/model.ts";
import { replaceUses } from "../graph/replace.ts";
import { parameter } from "../graph/role.ts";
import { type Context, foldConstants, raiseOpset } from "../passes/index.ts";
import { fromNumbers, isHalf, toFloat64 } from "../tensor/convert.ts";
import { inMemory } from "../tensor/dense.ts";
import { typeCodes } from "../tensor/types.ts";
import { gradientOpset } from "./differentiate.ts";
import { type Group, groupsOf, trainedValues } from "./groups.ts";
import type { StepOptions } from "./step-options.ts";
import { type Tie, tie } from "./ties.ts";

export interface Trainable {
  readonly model: Model;
  /** Names of the stored tensors to train; of those that are tied, the first. */
  readonly wanted: ReadonlySet<string>;
  readonly ties: readonly Tie[];
  readonly groups: (name: string, dims: readonly number[]) => Group;
}

/**
 * Of a model whose roles are declared (`roles.ts`).
 * @throws PithError E_NAME for layers that do not exist, E_TYPE_MISMATCH where there is nothing to train.
 */
export async function trainableCopy(given: Model, options: StepOptions, context: Context): Promise<Trainable> {
  const model = given.clone();
  raiseOpset(model, gradientOpset);
  const groups = groupsOf(model, options.rates);
  const selected = options.parameters === undefined ? trainedValues(model, options) : new Set(options.parameters);
  const ties = tie(model, selected);
  for (const { name, of } of ties)
    context.log({ id: "tied", text: `"${name}" and "${of}" are one matrix and are trained as one` });
  const copies = new Set(ties.map(({ name }) => name));
  const wanted = new Set([...selected].filter((name) => !copies.has(name)));
  // A role keeps what is trained from being folded into what is made of it: a transposed copy, a product with a mask.
  for (const name of wanted) {
    asParameter(model, name);
    await widen(model, name);
  }
  await foldConstants(model, {}, context);
  return { model, wanted, ties, groups };
}

function asParameter(model: Model, name: string): void {
  const value = model.graph.value(name);
  if (value !== undefined) value.role ??= parameter;
}

/**
 * A parameter of sixteen bits becomes float32, rounded where it is read: steps smaller than its last digit add up instead of being lost
 * (Micikevicius et al. 2018, "Mixed precision training").
 */
async function widen(model: Model, name: string): Promise<void> {
  const value = model.graph.value(name);
  const dense = await value?.tensor?.read();
  if (value === undefined || dense === undefined || !isHalf(dense.type)) return;
  const [before] = model.graph.nodes();
  const emit = emitInto(model, { by: "train", ...(before === undefined ? {} : { before }) });
  const rounded = emit.named(`${name}.rounded`).Cast([value], { to: typeCodes[dense.type] });
  replaceUses(value, rounded, rounded.producer);
  value.tensor = inMemory(fromNumbers("float32", dense.dims, toFloat64(dense)));
  value.type = { type: "float32", dims: dense.dims };
}

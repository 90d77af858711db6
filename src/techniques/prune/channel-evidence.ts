/**
 * Statistics for channel criteria: of layer inputs, or of gradients of gates. The gates of a group are a vector ξ of ones that
 * multiplies each unit wherever a layer sums over it:
 *
 *     y = Conv(x, w)        y = Conv(x · ξ[unit of each channel], w)
 */
import type { Group } from "../../core/analysis/channels.ts";
import { infer } from "../../core/analysis/infer.ts";
import { Miss, PithError } from "../../core/errors.ts";
import { emitInto } from "../../core/graph/emit.ts";
import type { Model } from "../../core/graph/model.ts";
import { parameter } from "../../core/graph/role.ts";
import { statisticOf } from "../../core/pass/own-methods.ts";
import type { Context } from "../../core/pass/pass.ts";
import { fromNumbers, isFloat } from "../../core/tensor/convert.ts";
import { int64 } from "../../core/tensor/dense.ts";
import { draw } from "../../data/batches/select.ts";
import { trainPart } from "../../data/sources/open.ts";
import { observe } from "../calibrate/observe.ts";
import { readings } from "./channel-places.ts";
import type { ActivationStatistic, ChannelStatistic, GateStatistic } from "./criteria/criterion.ts";
import { gradientEvidence, type ScoringOptions } from "./importance.ts";

interface Asking {
  readonly id: string;
  readonly evidence: ChannelStatistic<unknown>;
}

/** Returns statistics by activation value, or by group. @throws PithError E_OPTION without samples. */
export function channelEvidence(
  model: Model,
  groups: readonly Group[],
  { id, evidence }: Asking,
  options: ScoringOptions,
  context: Context,
): Promise<ReadonlyMap<object, unknown>> {
  return evidence.of === "gates"
    ? ofGates(model, groups, { id, evidence }, options, context)
    : ofActivations(model, groups, { id, evidence }, options, context);
}

async function ofActivations(
  model: Model,
  groups: readonly Group[],
  { id, evidence }: { readonly id: string; readonly evidence: ActivationStatistic<unknown> },
  { data, samples = 256 }: ScoringOptions,
  { engine, seed, signal }: Context,
): Promise<ReadonlyMap<object, unknown>> {
  if (data === undefined) throw new PithError("E_OPTION", `"data": the criterion "${id}" requires samples.`);
  const asked = statisticOf(`The importance "${id}"`, evidence);
  const inference = infer(model);
  const read = groups.flatMap((group) => readings(model, inference, group));
  const axes = new Map(read.map(({ slice: { value, axis } }) => [value, axis]));
  if (axes.size === 0) return axes;
  const places = Array.from(axes, ([{ name }, axis]) => ({ name, axis }));
  const chosen = draw(await trainPart(data), samples, seed);
  const found = await observe(engine, model, chosen, places, asked, { signal });
  return new Map(Array.from(axes.keys(), (value) => [value, found.get(value.name)]));
}

async function ofGates(
  model: Model,
  groups: readonly Group[],
  { id, evidence }: { readonly id: string; readonly evidence: GateStatistic<unknown> },
  options: ScoringOptions,
  context: Context,
): Promise<ReadonlyMap<object, unknown>> {
  const gated = model.clone();
  const gates = new Map(groups.map((group) => [group, writeGates(model, gated, group)]));
  const names = [...gates.values()].flatMap((name) => (name instanceof Miss ? [] : name));
  if (names.length === 0) return gates;
  const asked = { id, evidence: { ...evidence, of: "gradients" as const } };
  const found = await gradientEvidence(gated, names, asked, options, context);
  const none = new Miss("the loss has no gradient with respect to them");
  return new Map(
    Array.from(gates, ([group, name]) => [group, name instanceof Miss ? name : (found.get(name) ?? none)]),
  );
}

/** @param gated a copy of the model. @returns the name of the vector. */
function writeGates(model: Model, gated: Model, group: Group): string | Miss {
  const inference = infer(model);
  const [first, ...others] = readings(model, inference, group);
  if (first === undefined) return new Miss("no layer reads them");
  const type = inference.operand(first.slice.value)?.type;
  if (type === undefined || !isFloat(type)) return new Miss("layers read them as integers");
  const ones = (count: number) => fromNumbers(type, [count], new Float64Array(count).fill(1));
  const [begin] = gated.graph.nodes();
  const start = emitInto(gated, { before: begin });
  const gates = start.constant(ones(group.units), "gates", parameter);
  const padded = start.Concat([gates, start.constant(ones(1))], { axis: 0 });
  for (const { node, input, slice } of [first, ...others]) {
    const own = gated.graph.value(node.outputs[0]?.name ?? "")?.producer;
    const value = own?.inputs[input];
    const rank = inference.operand(slice.value)?.dims?.length;
    if (own === undefined || value === undefined || rank === undefined) continue;
    const emit = emitInto(gated, { before: own });
    // -1 marks an index without a unit; it gathers the last element, 1.
    const each = emit.Gather([padded, emit.constant(int64([slice.unitOf.length], slice.unitOf))]);
    const shape = Array.from({ length: rank }, (_, axis) => (axis === slice.axis ? -1 : 1));
    gated.graph.setInput(own, input, emit.Mul([value, emit.Reshape([each, shape])]));
  }
  return gates.name;
}

/** Finds the channels that cannot be removed, and why. */
import { Miss, type Model, type Node, nodeText, type Value } from "#graph";
import { sizeAlong, type UnitLabels, type ValueAxis } from "./channel-labels.ts";
import { type ChannelRule, endKey, type Link, labeledEnds } from "./channel-links.ts";

/** Returns a reason for each unit that cannot be removed. Units do not spread along `closed` links. */
export function findRefusals(
  model: Model,
  rules: readonly ChannelRule[],
  labels: UnitLabels,
  closed: ReadonlySet<Link>,
): ReadonlyMap<number, Miss> {
  const missesByUnit = new Map<number, Miss>();
  for (const { axis, miss } of listRefusedAxes(model, rules, labels, closed))
    labels.unitsAt(axis)?.forEach((label) => {
      const unit = label < 0 ? -1 : labels.rootOf(label);
      if (unit >= 0 && !missesByUnit.has(unit)) missesByUnit.set(unit, miss);
    });
  return missesByUnit;
}

interface RefusedAxis {
  readonly axis: ValueAxis;
  readonly miss: Miss;
}

const outputReason = "they are an output of the model";

function* listRefusedAxes(
  model: Model,
  rules: readonly ChannelRule[],
  labels: UnitLabels,
  closed: ReadonlySet<Link>,
): Generator<RefusedAxis> {
  const { graph } = model;
  for (const [values, reason] of [
    [graph.outputs, outputReason],
    [graph.feeds, "they are an input of the model"],
  ] as const)
    for (const value of values)
      for (const axis of labels.axesOf(value)) yield { axis: { value, axis }, miss: new Miss(reason, value.name) };
  for (const { value, axis } of labels.labeledAxes())
    for (const { node } of value.uses)
      if (node.graph !== graph)
        yield { axis: { value, axis }, miss: new Miss("a subgraph reads them", nodeText(node)) };
  const outputs = new Set(graph.outputs);
  for (const rule of rules) {
    if (rule.node === undefined) continue;
    for (const { end, reason } of rule.refusedAxes) yield { axis: end, miss: new Miss(reason, nodeText(rule.node)) };
    yield* refuseUntraceable(rule, rule.node, outputs);
    yield* refuseUnlinked(rule, rule.node, labels);
    const reason = "they share an axis with channels that are removed instead";
    for (const link of rule.links)
      if (closed.has(link)) yield { axis: link.from, miss: new Miss(reason, nodeText(rule.node)) };
  }
  yield* refuseEntireAxes(labels);
}

function* refuseUntraceable({ links }: ChannelRule, node: Node, outputs: ReadonlySet<Value>): Generator<RefusedAxis> {
  for (const { from, to } of links)
    for (const [end, other] of [
      [from, to],
      [to, from],
    ] as const) {
      if (other.value === undefined || sizeAlong(other) !== undefined) continue;
      if (outputs.has(other.value)) yield { axis: end, miss: new Miss(outputReason, other.value.name) };
      const dim = other.value.type?.dims?.[other.axis];
      const obstacle =
        typeof dim === "number"
          ? `an axis of ${dim.toLocaleString("en")} entries, which is too long to trace`
          : "an axis whose size is not known";
      yield { axis: end, miss: new Miss(`they reach ${obstacle}`, nodeText(node)) };
    }
}

function* refuseUnlinked(
  { links, refusedAxes, absorbedAxes, refusal }: ChannelRule,
  node: Node,
  labels: UnitLabels,
): Generator<RefusedAxis> {
  const linkedEnds = new Set([
    ...links.flatMap(({ from, to }) => [endKey(from), endKey(to)]),
    ...refusedAxes.map(({ end }) => endKey(end)),
    ...absorbedAxes.map(endKey),
  ]);
  for (const end of labeledEnds(node, labels)) {
    if (linkedEnds.has(endKey(end))) continue;
    const reason = `a node needs the whole axis ${end.axis} of "${end.value.name}"`;
    yield { axis: end, miss: refusal ?? new Miss(reason, nodeText(node)) };
  }
}

/** Rejects units that contain all indices of an axis. */
function* refuseEntireAxes(labels: UnitLabels): Generator<RefusedAxis> {
  const seen = new Set<Int32Array>();
  for (const { value, axis, units } of labels.labeledAxes()) {
    if (seen.has(units)) continue;
    seen.add(units);
    const first = units[0] ?? -1;
    if (first < 0 || !units.every((unit) => unit >= 0 && labels.rootOf(unit) === labels.rootOf(first))) continue;
    const location = value.producer === undefined ? value.name : nodeText(value.producer);
    const reason = `they can only be removed together, which would empty axis ${axis}`;
    yield { axis: { value, axis }, miss: new Miss(reason, location) };
  }
}

/**
 * Rules that replace the arithmetic of rotary position embedding by one operator (Su et al. 2021):
 *
 *     y = x ⊙ cos + (-x₂, x₁) ⊙ sin     x = (x₁, x₂): batch × heads × tokens × width; both halves of cos and of sin are equal
 */
import { type Node, sameDims, structureMatcher, type Value } from "#graph";
import { constantIntegersOf, readAttributeOrInput, readInteger, wrapAxis } from "../shared/attributes.ts";
import { elementOf } from "./constants.ts";
import { readSplit } from "./heads.ts";
import { emitNamed, type PairRule, producerOf, type StructureRule, type StructureScope } from "./rule.ts";

const findRotation = structureMatcher<"x" | "cos" | "sin", "second" | "first" | "turned">(
  ["x", "cos", "sin"],
  (emit, { x, cos, sin }, any) => {
    const second = emit.Slice([x, any(), any(), any()]);
    const first = emit.Slice([x, any(), any(), any()]);
    const turned = emit.Concat([emit.Neg([second]), first], { axis: -1 });
    return { last: emit.Add([emit.Mul([x, cos]), emit.Mul([turned, sin])]), parts: { second, first, turned } };
  },
);

/** Returns whether a Slice takes the elements from `start` to `end` of the last of four axes. */
function selectsRange({ site }: StructureScope, slice: Node, start: number, end: number): boolean {
  const [, starts, ends, axes, steps] = site(slice).inputs.map(constantIntegersOf);
  const [from, to, axis] = [starts?.[0], ends?.[0], axes?.[0]];
  if (starts?.length !== 1 || to === undefined || (axis !== 3 && axis !== -1)) return false;
  return from === start && (end === Number.POSITIVE_INFINITY ? to > start : to === end) && (steps?.[0] ?? 1) === 1;
}

const elementwise = ["Cos", "Sin", "Cast", "Mul"];

/** Returns whether both halves of the last axis are equal: functions of elements after a Concat of one value with itself. */
function repeatsHalf(value: Value, scope: StructureScope): boolean {
  const { producer } = value;
  const rank = scope.operand(value)?.dims?.length;
  if (producer === undefined || rank === undefined) return false;
  const concat = producerOf(value, "Concat");
  if (concat !== undefined) {
    const axis = wrapAxis(readInteger(scope.site(concat), "axis", 0), rank);
    return axis === rank - 1 && concat.inputs.length === 2 && concat.inputs[0] === concat.inputs[1];
  }
  if (producer.domain !== "" || !elementwise.includes(producer.op)) return false;
  const [source, second] = producer.inputs.filter((input) => input && elementOf(scope.operand(input)) === undefined);
  return source !== undefined && second === undefined && repeatsHalf(source, scope);
}

/** Returns the first half of the angles' cosines or sines, batch × tokens × width / 2. */
function halfAnglesOf(value: Value, scope: StructureScope, width: number): Value | undefined {
  const unsqueeze = producerOf(value, "Unsqueeze");
  const [source] = unsqueeze?.inputs ?? [];
  if (unsqueeze === undefined || source === undefined || scope.operand(source)?.dims?.length !== 3) return undefined;
  const axes = readAttributeOrInput(scope.site(unsqueeze), "axes", 1);
  if (axes === undefined || axes === "runtime" || axes.known.join() !== "1" || !repeatsHalf(source, scope))
    return undefined;
  return producerOf(source, "Concat")?.inputs[0] ?? scope.emit.Slice([source, [0], [width / 2], [-1]]);
}

const rotaryEmbedding: StructureRule = {
  id: "rotary-embedding",
  description: "the arithmetic of rotary position embedding becomes one operator",
  last: ["Add"],
  reorders: true,
  fuse(scope) {
    const { last, site, operand } = scope;
    const matchResult = site(last).version < 23 ? undefined : scope.match(findRotation);
    if (matchResult === undefined) return undefined;
    const { operands, parts } = matchResult;
    const { x, cos, sin } = operands;
    const { type, dims = [] } = operand(x) ?? {};
    const [batch, heads, tokens, width] = dims;
    if (type !== "float32" || batch === undefined || tokens === undefined) return undefined;
    if (typeof heads !== "number" || typeof width !== "number" || width % 2 > 0) return undefined;
    // The operator does not broadcast the angles along the batch.
    if (![cos, sin].every((angles) => sameDims(operand(angles)?.dims ?? [], [batch, 1, tokens, width])))
      return undefined;
    const axis = readInteger(site(parts.turned), "axis", 0);
    if (axis !== 3 && axis !== -1) return undefined;
    if (!selectsRange(scope, parts.first, 0, width / 2)) return undefined;
    if (!selectsRange(scope, parts.second, width / 2, Number.POSITIVE_INFINITY)) return undefined;
    const [cosines, sines] = [halfAnglesOf(cos, scope, width), halfAnglesOf(sin, scope, width)];
    if (cosines === undefined || sines === undefined) return undefined;
    return { value: emitNamed(scope).RotaryEmbedding([x, cosines, sines]) };
  },
};

/** Moves the rotation before the split into heads, so that attention can split the heads. */
const rotaryHeads: PairRule = {
  id: "rotary-heads",
  description: "rotary position embedding splits the heads itself",
  first: ["Transpose"],
  second: ["RotaryEmbedding"],
  fuse(scope) {
    const { first, second, input, isOnlyReader, emit } = scope;
    const headSplit = readSplit(second.inputs[0], scope);
    if (input !== 0 || !isOnlyReader || first.inputs[0]?.uses.size !== 1 || headSplit === undefined) return undefined;
    if (second.inputs.length > 3 || second.attributes.size > 0) return undefined;
    const { source, heads, width } = headSplit;
    const [, cos, sin] = second.inputs;
    const rotation = emit.named(source.name).RotaryEmbedding([source, cos, sin], { num_heads: heads });
    const splitAgain = emit.Reshape([rotation, [0, 0, heads, width]]);
    return { value: emitNamed(scope).Transpose([splitAgain], { perm: [0, 2, 1, 3] }) };
  },
};

export const rotaryStructures: readonly StructureRule[] = [rotaryEmbedding];
export const rotaryPairs: readonly PairRule[] = [rotaryHeads];

/**
 * Which layers of two models stand for each other: of a changed model and its original; of a student and the teacher that it learns from.
 *
 * A changed model keeps the names of layers; where one became several in a row (low rank), the last of them makes the value that the one made.
 *
 * Of a student and its teacher, blocks (`blocks.ts`) of several layers are paired: layers of a transformer, residual blocks. Networks without such blocks are paired layer
 * by layer. Block i of the student's n (from 0) learns from the teacher's block ⌈(i + 1) · m / n⌉ - 1 of m: the last learns from the last.
 */

import { Miss } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { dimsText } from "../tensor/dims.ts";
import { groupBy } from "../tensor/group-by.ts";
import { type Attention, attentions } from "./attention.ts";
import { blocks } from "./blocks.ts";
import { valueAt } from "./channel-links.ts";
import { type Inference, infer } from "./infer.ts";
import { type Layer, layerAt, layers } from "./layers.ts";

/** How layers are matched; a record pairs names of the student with names of the teacher: of values, layers or blocks. */
export type Matching = "block" | "name" | "shape" | Readonly<Record<string, string>>;

export interface MatchedPair<T = Value> {
  readonly student: T;
  readonly teacher: T;
}

/** Finds, among the layers of one model, those that stand for a layer of the other: of its name first. A table and the last layer that it is, too, have one name. */
export function counterpartsAmong(all: readonly Layer[]): (layer: Layer) => readonly Layer[] {
  const made = ({ node }: Layer): string | undefined => node.outputs[0]?.name;
  const [byName, byOutput] = [groupBy(all, ({ name }) => name), groupBy(all, made)];
  return (layer) => [...new Set([...(byName.get(layer.name) ?? []), ...(byOutput.get(made(layer)) ?? [])])];
}

const instead = 'name them: match: { "of the student": "of the teacher" }, or student=…, teacher=… of the loss';

/**
 * Pairs of values that a loss compares, in the order of the student.
 * - `"block"`: outputs of blocks, by relative position.
 * - `"name"`: outputs of layers of the same name.
 * - `"shape"`: the last outputs of blocks of the same size: height and width of maps, width of tokens and vectors.
 * @returns A Miss with what could not be matched, and what to write instead.
 * @example
 * const matched = matchLayers(student, teacher, "block");
 * if (!("reason" in matched)) for (const pair of matched) console.log(pair.student.name, pair.teacher.name);
 */
export function matchLayers(student: Model, teacher: Model, by: Matching = "block"): readonly MatchedPair[] | Miss {
  if (by === "name") return byName(student, teacher);
  if (typeof by === "object") {
    const found: MatchedPair[] = [];
    for (const [own, other] of Object.entries(by)) {
      const [of, from] = [valueNamed(student, own, "student"), valueNamed(teacher, other, "teacher")];
      if (of instanceof Miss) return of;
      if (from instanceof Miss) return from;
      found.push({ student: of, teacher: from });
    }
    return found;
  }
  const [ofStudent, ofTeacher] = [blockOutputsOf(student), blockOutputsOf(teacher)];
  const [own, other] = [atSameGranularity(ofStudent, ofTeacher), atSameGranularity(ofTeacher, ofStudent)];
  if (own.length === 0) return new Miss(`the student's graph shows no blocks: ${instead}`);
  if (other.length === 0) return new Miss(`the teacher's graph shows no blocks: ${instead}`);
  if (by === "shape") return byShape(own, other);
  return byPlace(own, other);
}

function byPlace<T>(own: readonly T[], other: readonly T[]): readonly MatchedPair<T>[] {
  return own.flatMap((student, at) => {
    const teacher = other[Math.ceil(((at + 1) * other.length) / own.length) - 1];
    return teacher === undefined ? [] : [{ student, teacher }];
  });
}

/** The attentions of two networks, paired by relative position. */
export function matchAttention(student: Model, teacher: Model): readonly MatchedPair<Attention>[] | Miss {
  const [own, other] = [student, teacher].map((model) => attentions(model, infer(model)));
  const lacking = own?.length === 0 ? "student" : other?.length === 0 ? "teacher" : undefined;
  if (own === undefined || other === undefined || lacking !== undefined)
    return new Miss(
      `the ${lacking}'s graph shows no attention: where it is one fused operator, run the recipe step \`lower-fused\` first, or name values: student=…, teacher=… of the loss`,
    );
  return byPlace(own, other);
}

/** The value of this name, or the output of the layer or block of this name. */
export function valueNamed(model: Model, name: string, whose: "student" | "teacher"): Value | Miss {
  const value = model.graph.value(name);
  if (value !== undefined) return value;
  const inference = infer(model);
  const all = layers(model, inference);
  const found =
    all.find((layer) => layer.name === name)?.node.outputs[0] ??
    blocks(model, inference)
      .blocks.find((block) => block.name === name)
      ?.outputs.at(-1);
  const names = all.map((layer) => layer.name).slice(0, 8);
  return found ?? new Miss(`the ${whose} has no value, layer or block "${name}"; layers are ${names.join(", ")}`);
}

/**
 * The axis along which a value holds the output channels of the layer before it, through the operators between; undefined if there is none, or
 * more than one.
 */
export function channelAxis(
  value: Value,
  inference: Inference,
  known = new Map<Value, number | undefined>(),
): number | undefined {
  const { producer, type } = value;
  if (producer === undefined || known.has(value)) return known.get(value);
  known.set(value, undefined);
  const layer = layerAt(producer, inference);
  const axes = new Set<number>();
  if (layer instanceof Miss) {
    const bound = inference.at(producer);
    const rule = bound instanceof Miss ? bound : bound.axes();
    for (const link of rule instanceof Miss ? [] : rule.links) {
      if (!("from" in link)) continue;
      const [from, to] = link.from[0].startsWith("in") ? [link.from, link.to] : [link.to, link.from];
      const input = valueAt(producer, from[0]);
      if (input === undefined || valueAt(producer, to[0]) !== value) continue;
      if (channelAxis(input, inference, known) === from[1]) axes.add(to[1]);
    }
  } else
    axes.add(layer.role.outputAxis < 0 ? (type?.dims?.length ?? 0) + layer.role.outputAxis : layer.role.outputAxis);
  const [axis, ...others] = axes;
  if (others.length === 0) known.set(value, axis);
  return known.get(value);
}

function byName(student: Model, teacher: Model): readonly MatchedPair[] | Miss {
  const theirs = new Map(layers(teacher, infer(teacher)).map(({ name, node }) => [name, node.outputs[0]]));
  const found = layers(student, infer(student)).flatMap(({ name, node }) => {
    const [own, other] = [node.outputs[0], theirs.get(name)];
    return own === undefined || other === undefined || student.graph.isOutput(own)
      ? []
      : [{ student: own, teacher: other }];
  });
  if (found.length > 0) return found;
  const names = [...theirs.keys()].slice(0, 5).join(", ");
  return new Miss(
    `no inner layer of the student has the name of one of the teacher's (${names}, …): match "block", or ${instead}`,
  );
}

/** Outputs of the blocks of a network, except outputs of the model: states between layers of a transformer, maps of residual blocks. */
interface BlockOutputs {
  readonly values: readonly Value[];
  /** Layers of the block of each value. */
  readonly sizes: readonly number[];
  /** Layers of the smallest repeated block; undefined if none repeats. */
  readonly repeated: number | undefined;
}

function blockOutputsOf(model: Model): BlockOutputs {
  const { graph } = model;
  const inference = infer(model);
  const { blocks: all, repeats } = blocks(model, inference);
  const read = new Set(all.flatMap(({ inputs }) => inputs));
  const fewest = all.some((block) => block.layers.length > 1) ? 2 : 1;
  const [values, sizes]: [Value[], number[]] = [[], []];
  let inBlock = false;
  for (const block of all) {
    const made = block.outputs.find((value) => read.has(value));
    const size = block.layers.length;
    // An activation behind a block belongs to it if it keeps the shape; a final normalization, which has weights, does not.
    const before = values.at(-1);
    const [node, ...more] = block.nodes;
    const isPlain =
      size === 0 && more.length === 0 && node?.inputs.some((value) => holdsNumbers(value, inference)) === false;
    const continuesBlock = isPlain && before !== undefined && sizesOf(made) === sizesOf(before);
    inBlock = size > 0 ? size >= fewest : inBlock && continuesBlock;
    if (made === undefined || !inBlock || graph.isOutput(made)) continue;
    if (continuesBlock) values.pop();
    else sizes.push(size);
    values.push(made);
  }
  const repeated = repeats.flatMap(([first]) => first?.layers.length ?? 0).filter((size) => size >= fewest);
  return { values, sizes, repeated: repeated.length === 0 ? undefined : Math.min(...repeated) };
}

function holdsNumbers(value: Value | undefined, inference: Inference): boolean {
  const operand = value === undefined ? undefined : inference.operand(value);
  return operand?.stored === true && operand.dims?.some((dim) => dim !== 1) === true;
}

/** A network without repetition (one transformer layer) falls into smaller blocks: they are joined until they hold as many layers as the other's. */
function atSameGranularity({ values, sizes, repeated }: BlockOutputs, other: BlockOutputs): readonly Value[] {
  if (repeated !== undefined || other.repeated === undefined) return values;
  let held = 0;
  return values.filter((_, at) => {
    held += sizes[at] ?? 0;
    const isWhole = held >= (other.repeated ?? 0);
    if (isWhole) held = 0;
    return isWhole;
  });
}

const sizesOf = (value: Value | undefined): string => dimsText(value?.type?.dims);

function byShape(own: readonly Value[], other: readonly Value[]): readonly MatchedPair[] | Miss {
  const size = ({ type }: Value): string => {
    const dims = type?.dims ?? [];
    return `${dims.length}: ${dimsText(dims.length > 3 ? dims.slice(2) : dims.slice(-1))}`;
  };
  const theirs = new Map(other.map((value) => [size(value), value]));
  const found = [...new Map(own.map((value) => [size(value), value]))].flatMap(([key, student]) => {
    const teacher = theirs.get(key);
    return teacher === undefined ? [] : [{ student, teacher }];
  });
  if (found.length > 0) return found;
  const shapes = [own, other].map((values) => [...new Set(values.map(sizesOf))].join(", "));
  return new Miss(
    `blocks of the student have the shapes ${shapes[0]}, those of the teacher ${shapes[1]}: match "block", or ${instead}`,
  );
}

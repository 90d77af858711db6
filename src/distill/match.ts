/**
 * Which layers of the student learn from which of the teacher.
 *
 * By block: what lies between two places where one value is alive (`analysis/blocks.ts`), and holds several layers: a layer of a transformer, a
 * residual block. Networks without such are matched layer by layer. Block i of the student's n (from 0) learns from the teacher's block
 * ⌈(i + 1) · m / n⌉ - 1 of m, so that the last learns from the last, and none from what lies further ahead than it does itself.
 */
import { blocks } from "../analysis/blocks.ts";
import { infer } from "../analysis/infer.ts";
import { layers } from "../analysis/layers.ts";
import { Miss } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { dimsText } from "../tensor/dims.ts";

/** How layers are matched; as pairs: what of the student learns from what of the teacher, names of values, layers or blocks. */
export type Matching = "block" | "name" | "shape" | Readonly<Record<string, string>>;

export interface Matched {
  readonly student: Value;
  readonly teacher: Value;
}

const instead = 'name them: match: { "of the student": "of the teacher" }, or student=…, teacher=… of the loss';

/**
 * Values of two networks that should be alike, in the order of the student.
 * - `"block"`: by the place of blocks, whatever their number.
 * - `"name"`: the results of layers of one name.
 * - `"shape"`: the last results of blocks of one size: height and width of maps, width of tokens and vectors.
 * @returns A Miss that says what could not be matched, and what to write instead.
 * @example
 * const matched = matchLayers(student, teacher, "block");
 * if (!("reason" in matched)) for (const pair of matched) console.log(pair.student.name, pair.teacher.name);
 */
export function matchLayers(student: Model, teacher: Model, by: Matching = "block"): readonly Matched[] | Miss {
  if (by === "name") return byName(student, teacher);
  if (typeof by === "object") {
    const found: Matched[] = [];
    for (const [own, other] of Object.entries(by)) {
      const [of, from] = [named(student, own, "student"), named(teacher, other, "teacher")];
      if (of instanceof Miss) return of;
      if (from instanceof Miss) return from;
      found.push({ student: of, teacher: from });
    }
    return found;
  }
  const [own, other] = [stages(student), stages(teacher)];
  if (own.length === 0) return new Miss(`the student's graph shows no blocks: ${instead}`);
  if (other.length === 0) return new Miss(`the teacher's graph shows no blocks: ${instead}`);
  if (by === "shape") return byShape(own, other);
  return own.flatMap((value, at) => {
    const from = other[Math.ceil(((at + 1) * other.length) / own.length) - 1];
    return from === undefined ? [] : [{ student: value, teacher: from }];
  });
}

/** A value by its name, or by that of the layer or block that makes it. */
export function named(model: Model, name: string, whose: "student" | "teacher"): Value | Miss {
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

function byName(student: Model, teacher: Model): readonly Matched[] | Miss {
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
    `no inner layer of the student is called as one of the teacher's (${names}, …): match "block", or ${instead}`,
  );
}

/** What the blocks of a network make, without what it answers: the states between the layers of a transformer, the maps of residual blocks. */
function stages(model: Model): readonly Value[] {
  const { graph } = model;
  const all = blocks(model, infer(model)).blocks;
  const read = new Set(all.flatMap(({ inputs }) => inputs));
  const fewest = all.some((block) => block.layers.length > 1) ? 2 : 1;
  const found: Value[] = [];
  let isOpen = false;
  for (const block of all) {
    const made = block.outputs.find((value) => read.has(value));
    const size = block.layers.length;
    // An activation behind a block belongs to it, as long as it changes no dimension.
    const before = found.at(-1);
    if (size > 0) isOpen = size >= fewest;
    const goesOn = size === 0 && before !== undefined && sizesOf(made) === sizesOf(before);
    isOpen &&= size > 0 || goesOn;
    if (made === undefined || !isOpen || graph.isOutput(made)) continue;
    if (goesOn) found.pop();
    found.push(made);
  }
  return found;
}

const sizesOf = (value: Value | undefined): string => dimsText(value?.type?.dims);

function byShape(own: readonly Value[], other: readonly Value[]): readonly Matched[] | Miss {
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
    `blocks of the student make ${shapes[0]}, those of the teacher ${shapes[1]}: match "block", or ${instead}`,
  );
}

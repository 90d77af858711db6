/**
 * Pairs layers of two models: a changed model and its original (by name, and a factorized layer by its last factor), or a student and its teacher.
 * Students match by block outputs (`blocks.ts`) in stages of equal resolution; if the numbers of stages differ, each network is one stage.
 * Block i of n in a student's stage (from 0) matches block ⌈(i + 1) · m / n⌉ - 1 of m. Networks without blocks match layer by layer.
 */

import { Miss } from "../errors.ts";
import { type Node, usedValues, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { dimsText } from "../tensor/dims.ts";
import { groupBy } from "../tensor/group-by.ts";
import { type Block, blocks } from "./blocks.ts";
import { valueAt } from "./channel-links.ts";
import { type Inference, infer } from "./infer.ts";
import { type Layer, layerAt, layers } from "./layers.ts";

/** The matching method; a record maps student names of values, layers or blocks to teacher names. */
export type Matching = "block" | "name" | "shape" | Readonly<Record<string, string>>;

export interface MatchedPair<T = Value> {
  readonly student: T;
  readonly teacher: T;
}

/** Returns a function that finds corresponding layers by name, then by output. A tied output layer gives two layers with one name. */
export function counterpartsAmong(all: readonly Layer[]): (layer: Layer) => readonly Layer[] {
  const outputName = ({ node }: Layer): string | undefined => node.outputs[0]?.name;
  const [byName, byOutput] = [groupBy(all, ({ name }) => name), groupBy(all, outputName)];
  return (layer) => [...new Set([...(byName.get(layer.name) ?? []), ...(byOutput.get(outputName(layer)) ?? [])])];
}

const instead =
  'name the pairs: match: { "student layer": "teacher layer" }, or student=…, teacher=… in the text of the loss';

/**
 * Pairs the values that a loss compares, in the order of the student.
 * - `"block"`: outputs of blocks, by relative position.
 * - `"name"`: outputs of layers of the same name.
 * - `"shape"`: the last outputs of blocks of the same size: height and width of maps, width of tokens and vectors.
 * @returns The pairs; a Miss if values cannot be matched, with the option to set instead.
 * @example
 * const matched = matchLayers(student, teacher, "block");
 * if (!("reason" in matched)) for (const pair of matched) console.log(pair.student.name, pair.teacher.name);
 */
export function matchLayers(student: Model, teacher: Model, by: Matching = "block"): readonly MatchedPair[] | Miss {
  if (by === "name") return byName(student, teacher);
  if (typeof by === "object") {
    const pairs: MatchedPair[] = [];
    for (const [name, teacherName] of Object.entries(by)) {
      const value = valueNamed(student, name, "student");
      if (value instanceof Miss) return value;
      const counterpart = valueNamed(teacher, teacherName, "teacher");
      if (counterpart instanceof Miss) return counterpart;
      pairs.push({ student: value, teacher: counterpart });
    }
    return pairs;
  }
  const matched = matchedStates(student, teacher);
  if (matched instanceof Miss) return matched;
  const values = (states: readonly State[]): readonly Value[] => states.map(({ value }) => value);
  if (by === "shape") return byShape(values(matched.student), values(matched.teacher));
  return byStage(matched).map((pair) => ({ student: pair.student.value, teacher: pair.teacher.value }));
}

function byStage({ student, teacher }: MatchedPair<readonly State[]>): readonly MatchedPair<State>[] {
  const [stages, teacherStages] = [stagesOf(student), stagesOf(teacher)];
  if (stages.length !== teacherStages.length) return byPosition(student, teacher);
  return stages.flatMap((states, stage) => byPosition(states, teacherStages[stage] ?? []));
}

function stagesOf(states: readonly State[]): readonly (readonly State[])[] {
  const stages: State[][] = [];
  for (const state of states) {
    const stage = stages.at(-1);
    if (stage?.[0]?.resolution === state.resolution) stage.push(state);
    else stages.push([state]);
  }
  return stages;
}

function byPosition<T>(students: readonly T[], teachers: readonly T[]): readonly MatchedPair<T>[] {
  return students.flatMap((student, index) => {
    const teacher = teachers[Math.ceil(((index + 1) * teachers.length) / students.length) - 1];
    return teacher === undefined ? [] : [{ student, teacher }];
  });
}

export function valueNamed(model: Model, name: string, whose: "student" | "teacher"): Value | Miss {
  const value = model.graph.value(name);
  if (value !== undefined) return value;
  const inference = infer(model);
  const all = layers(model, inference);
  const output =
    all.find((layer) => layer.name === name)?.node.outputs[0] ??
    blocks(model, inference)
      .blocks.find((block) => block.name === name)
      ?.outputs.at(-1);
  const names = all.map((layer) => layer.name).slice(0, 8);
  return output ?? new Miss(`the ${whose} has no value, layer or block "${name}"; layers are ${names.join(", ")}`);
}

/** Returns the axis of a value that holds the output channels of the preceding layer; undefined if there is none or several. */
export function channelAxis(
  value: Value,
  inference: Inference,
  axisOf = new Map<Value, number | undefined>(),
): number | undefined {
  const { producer, type } = value;
  if (producer === undefined || axisOf.has(value)) return axisOf.get(value);
  axisOf.set(value, undefined);
  const layer = layerAt(producer, inference);
  const axes = new Set<number>();
  if (layer instanceof Miss) {
    for (const link of inference.facet(producer, "axes")?.links ?? []) {
      if (!("from" in link)) continue;
      const [from, to] = link.from[0].startsWith("in") ? [link.from, link.to] : [link.to, link.from];
      const input = valueAt(producer, from[0]);
      if (input === undefined || valueAt(producer, to[0]) !== value) continue;
      if (channelAxis(input, inference, axisOf) === from[1]) axes.add(to[1]);
    }
  } else
    axes.add(layer.role.outputAxis < 0 ? (type?.dims?.length ?? 0) + layer.role.outputAxis : layer.role.outputAxis);
  const [axis] = axes;
  if (axes.size <= 1) axisOf.set(value, axis);
  return axisOf.get(value);
}

function byName(student: Model, teacher: Model): readonly MatchedPair[] | Miss {
  const theirs = new Map(layers(teacher, infer(teacher)).map(({ name, node }) => [name, node.outputs[0]]));
  const pairs = layers(student, infer(student)).flatMap(({ name, node }) => {
    const [output, counterpart] = [node.outputs[0], theirs.get(name)];
    return output === undefined || counterpart === undefined || student.graph.isOutput(output)
      ? []
      : [{ student: output, teacher: counterpart }];
  });
  if (pairs.length > 0) return pairs;
  const names = [...theirs.keys()].slice(0, 5).join(", ");
  return new Miss(
    `no inner layer of the student has the name of one of the teacher's (${names}, …): match "block", or ${instead}`,
  );
}

/** A block output: a state between transformer layers, or a map between residual blocks. */
interface State {
  readonly value: Value;
  /** The dimensions without samples and channels: height and width, or tokens. */
  readonly resolution: string;
}

interface BlockState extends State {
  readonly nodes: readonly Node[];
  readonly layers: number;
}

interface States {
  readonly states: readonly BlockState[];
  readonly blocks: readonly Block[];
  readonly repeated: Block | undefined;
}

function matchedStates(student: Model, teacher: Model): MatchedPair<readonly State[]> | Miss {
  const teacherStates = statesOf(teacher);
  const kept = teacherStates.states.length === 0 ? undefined : keptStates(student, teacher, teacherStates.states);
  if (kept !== undefined) return { student: kept, teacher: teacherStates.states };
  const studentStates = statesOf(student);
  const matched = {
    student: atGranularityOf(teacherStates, studentStates),
    teacher: atGranularityOf(studentStates, teacherStates),
  };
  if (matched.student.length === 0) return new Miss(`the student's graph shows no blocks: ${instead}`);
  if (matched.teacher.length === 0) return new Miss(`the teacher's graph shows no blocks: ${instead}`);
  return matched;
}

/**
 * Finds states by name in a student derived from the teacher, whose graph may no longer show repetitions.
 * @returns undefined if the student has other layers than the teacher, or if a state depends on other layers than in the teacher.
 */
function keptStates(student: Model, teacher: Model, states: readonly State[]): readonly State[] | undefined {
  const inference = infer(student);
  const [remaining, theirs] = [layers(student, inference), layers(teacher, infer(teacher))];
  const teacherNames = new Set(theirs.map(({ name }) => name));
  const originals = new Map(remaining.map(({ node, name }) => [node, originalName(name, teacherNames)]));
  const names = new Set(originals.values());
  if (names.has(undefined)) return undefined;
  const remainingNames = new Map(theirs.flatMap(({ node, name }) => (names.has(name) ? [[node, name] as const] : [])));
  const kept: State[] = [];
  let before = 0;
  for (const state of states) {
    const expected = namesBefore(state.value, remainingNames);
    if (expected.size === before) continue; // No layer of this block is left.
    before = expected.size;
    const value = student.graph.value(state.value.name);
    if (value === undefined) return undefined;
    const present = namesBefore(value, originals);
    if (present.size !== expected.size || ![...expected].every((name) => present.has(name))) return undefined;
    kept.push({ value, resolution: resolutionOf(value, inference) });
  }
  return kept;
}

/** Returns the name, or that of the layer from which it was derived: "fc1" for the factor "fc1.down". */
export function originalName(name: string, names: ReadonlySet<string>): string | undefined {
  if (names.has(name)) return name;
  const end = name.lastIndexOf(".");
  return end < 0 ? undefined : originalName(name.slice(0, end), names);
}

function namesBefore(value: Value, names: ReadonlyMap<Node, string | undefined>): ReadonlySet<string | undefined> {
  const seen = new Set<Node>();
  const open = [value];
  while (open.length > 0) {
    const node = open.pop()?.producer;
    if (node === undefined || seen.has(node)) continue;
    seen.add(node);
    open.push(...usedValues(node));
  }
  return new Set([...seen].flatMap((node) => (names.has(node) ? [names.get(node)] : [])));
}

/** Returns a network's states. A model output counts only if a repeated block computes it: outputs of other blocks are final. */
function statesOf(model: Model): States {
  const { graph } = model;
  const inference = infer(model);
  const { blocks: all, repeats } = blocks(model, inference);
  const read = new Set(all.flatMap(({ inputs }) => inputs));
  const minLayers = all.some((block) => block.layers.length > 1) ? 2 : 1;
  const repeated = repeats.flat().filter((block) => block.layers.length >= minLayers);
  const states: BlockState[] = [];
  let inBlock = false;
  for (const block of all) {
    const isState = minLayers > 1 && repeated.includes(block);
    const value = block.outputs.find((output) => read.has(output)) ?? (isState ? block.outputs[0] : undefined);
    const size = block.layers.length;
    // An activation after a block belongs to it if it keeps the shape; a final normalization with weights does not.
    const before = states.at(-1);
    const [node, ...more] = block.nodes;
    const isPlain =
      size === 0 && more.length === 0 && node?.inputs.some((input) => isArray(input, inference)) === false;
    const continuesBlock = isPlain && before !== undefined && sizesOf(value) === sizesOf(before.value);
    inBlock = size > 0 ? size >= minLayers : inBlock && continuesBlock;
    if (value === undefined || !inBlock || (graph.isOutput(value) && !isState)) continue;
    const state = { value, nodes: block.nodes, layers: size, resolution: resolutionOf(value, inference) };
    if (continuesBlock) states.pop();
    states.push(continuesBlock ? { ...state, nodes: [...before.nodes, ...block.nodes], layers: before.layers } : state);
  }
  const [smallest] = repeated.sort((a, b) => a.layers.length - b.layers.length);
  return { states, blocks: all, repeated: smallest };
}

function isArray(value: Value | undefined, inference: Inference): boolean {
  const operand = value === undefined ? undefined : inference.operand(value);
  return operand?.stored === true && operand.dims?.some((dim) => dim !== 1) === true;
}

function resolutionOf(value: Value, inference: Inference): string {
  const dims = value.type?.dims ?? [];
  const channels = channelAxis(value, inference) ?? (dims.length > 3 ? 1 : dims.length - 1);
  return dimsText(dims.filter((_, axis) => axis !== 0 && axis !== channels));
}

/** Joins blocks of a network without repetition until they have as many layers as a block of the other network. */
function atGranularityOf({ repeated: like }: States, { states, blocks: all, repeated }: States): readonly BlockState[] {
  if (repeated !== undefined || like === undefined) return states;
  const joined: BlockState[] = [];
  let [nodes, layerCount]: [Node[], number] = [[], 0];
  for (const [index, state] of states.entries()) {
    nodes.push(...state.nodes);
    layerCount += state.layers;
    const isOnlyBlock = joined.length === 0 && index === states.length - 1;
    if (layerCount < like.layers.length && !isOnlyBlock) continue;
    joined.push({ ...endLike(like, { ...state, nodes }, all), layers: layerCount });
    [nodes, layerCount] = [[], 0];
  }
  return joined;
}

/** Chooses whether a layer ends before or after a normalization, by similarity of its last operators to the other network. */
function endLike(like: Block, state: BlockState, all: readonly Block[]): BlockState {
  const last = state.nodes.at(-1);
  let end = state;
  let best = state;
  for (const block of all.slice(all.findIndex(({ nodes }) => nodes.at(-1) === last) + 1)) {
    const [value] = block.outputs;
    if (value === undefined || block.layers.length > 0 || sizesOf(value) !== sizesOf(state.value)) break;
    end = { ...end, value, nodes: [...end.nodes, ...block.nodes] };
    if (equalEnds(like.nodes, end.nodes) > equalEnds(like.nodes, best.nodes)) best = end;
  }
  return best;
}

/** Returns the number of trailing operators in which two sequences agree. */
function equalEnds(a: readonly Node[], b: readonly Node[]): number {
  let count = 0;
  while (count < a.length && a.at(-1 - count)?.op === b.at(-1 - count)?.op) count++;
  return count;
}

const sizesOf = (value: Value | undefined): string => dimsText(value?.type?.dims);

function byShape(values: readonly Value[], other: readonly Value[]): readonly MatchedPair[] | Miss {
  const size = ({ type }: Value): string => {
    const dims = type?.dims ?? [];
    return `${dims.length}: ${dimsText(dims.length > 3 ? dims.slice(2) : dims.slice(-1))}`;
  };
  const theirs = new Map(other.map((value) => [size(value), value]));
  const pairs = [...new Map(values.map((value) => [size(value), value]))].flatMap(([key, student]) => {
    const teacher = theirs.get(key);
    return teacher === undefined ? [] : [{ student, teacher }];
  });
  if (pairs.length > 0) return pairs;
  const shapes = [values, other].map((list) => [...new Set(list.map(sizesOf))].join(", "));
  return new Miss(
    `blocks of the student have the shapes ${shapes[0]}, those of the teacher ${shapes[1]}: match "block", or ${instead}`,
  );
}

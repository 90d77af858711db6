/**
 * Pairs layers of two models, for distillation losses and comparisons.
 * - A changed model is matched with its original by name. A factorized layer is represented by its last factor.
 * - A student is matched with its teacher by block outputs (`blocks.ts`), in stages of equal resolution. If the
 *   networks have different numbers of stages, each network counts as one stage.
 * Block i of n in a student's stage (from 0) matches block ⌈(i + 1) · m / n⌉ − 1 of m in the teacher's stage.
 */

import { dimsText, groupBy, Miss, type Model, type Node, usedValues, type Value } from "#graph";
import { type Block, blocks } from "./blocks.ts";
import { valueAt } from "./channel-links.ts";
import { type Inference, infer } from "./infer.ts";
import { type Layer, layerAt, layers } from "./layers.ts";

/** The matching method, or a record that maps names of student values, layers or blocks to teacher names. */
export type Matching = "block" | Readonly<Record<string, string>>;

export interface MatchedPair<T = Value> {
  readonly student: T;
  readonly teacher: T;
}

/**
 * Returns a function that finds layers with the same name or the same output as a layer. An output layer tied
 * to an embedding shares its name, so two layers can match.
 */
export function counterpartsAmong(all: readonly Layer[]): (layer: Layer) => readonly Layer[] {
  const outputName = ({ node }: Layer): string | undefined => node.outputs[0]?.name;
  const [byName, byOutput] = [groupBy(all, ({ name }) => name), groupBy(all, outputName)];
  return (layer) => [...new Set([...(byName.get(layer.name) ?? []), ...(byOutput.get(outputName(layer)) ?? [])])];
}

const explicitAdvice =
  'name the pairs: match: { "student layer": "teacher layer" }, or student=…, teacher=… in the text of the loss';

/**
 * Pairs the values that a loss compares, in the order of the student.
 * - `"block"`: outputs of blocks, by relative position.
 * @returns The pairs, or a Miss if values cannot be matched. Its reason names the option to set instead.
 */
export function matchLayers(student: Model, teacher: Model, by: Matching = "block"): readonly MatchedPair[] | Miss {
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
  return pairByStage(matched).map((pair) => ({ student: pair.student.value, teacher: pair.teacher.value }));
}

function pairByStage({ student, teacher }: MatchedPair<readonly State[]>): readonly MatchedPair<State>[] {
  const [stages, teacherStages] = [stagesOf(student), stagesOf(teacher)];
  if (stages.length !== teacherStages.length) return pairByPosition(student, teacher);
  return stages.flatMap((states, stage) => pairByPosition(states, teacherStages[stage] ?? []));
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

function pairByPosition<T>(students: readonly T[], teachers: readonly T[]): readonly MatchedPair<T>[] {
  return students.flatMap((student, index) => {
    const teacher = teachers[Math.ceil(((index + 1) * teachers.length) / students.length) - 1];
    return teacher === undefined ? [] : [{ student, teacher }];
  });
}

/** Returns the value with a name, or the output of the layer or block with this name. A Miss that lists the first layers if no name matches. */
export function valueNamed(model: Model, name: string, modelRole: "student" | "teacher"): Value | Miss {
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
  return output ?? new Miss(`the ${modelRole} has no value, layer or block "${name}"; layers are ${names.join(", ")}`);
}

/** Returns the axis of a value along which the preceding layer's output channels are. Undefined if this is not exactly one axis. */
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

/** A block output: the hidden state between two transformer layers, or the feature map between two residual blocks. */
interface State {
  readonly value: Value;
  /** The dimensions except samples and channels: height and width, or the number of tokens. */
  readonly resolution: string;
}

interface BlockState extends State {
  readonly nodes: readonly Node[];
  readonly layers: number;
}

interface States {
  readonly states: readonly BlockState[];
  readonly blocks: readonly Block[];
  /** The repeated block with the fewest layers; undefined if no block repeats. */
  readonly repeated: Block | undefined;
}

function matchedStates(student: Model, teacher: Model): MatchedPair<readonly State[]> | Miss {
  const teacherStates = statesOf(teacher);
  const statesByName =
    teacherStates.states.length === 0 ? undefined : findStatesByName(student, teacher, teacherStates.states);
  if (statesByName !== undefined) return { student: statesByName, teacher: teacherStates.states };
  const studentStates = statesOf(student);
  const matched = {
    student: joinToGranularity(teacherStates, studentStates),
    teacher: joinToGranularity(studentStates, teacherStates),
  };
  if (matched.student.length === 0) return new Miss(`the student's graph shows no blocks: ${explicitAdvice}`);
  if (matched.teacher.length === 0) return new Miss(`the teacher's graph shows no blocks: ${explicitAdvice}`);
  return matched;
}

/**
 * Finds the teacher's block outputs by name in a student that was made from the teacher. The student's graph may no longer show repeated blocks.
 * @returns The block outputs; undefined if the student has layers that the teacher lacks, or if an output depends on other layers than in the
 * teacher.
 */
function findStatesByName(student: Model, teacher: Model, states: readonly State[]): readonly State[] | undefined {
  const inference = infer(student);
  const [studentLayers, teacherLayers] = [layers(student, inference), layers(teacher, infer(teacher))];
  const teacherNames = new Set(teacherLayers.map(({ name }) => name));
  const originals = new Map(studentLayers.map(({ node, name }) => [node, originalName(name, teacherNames)]));
  const names = new Set(originals.values());
  if (names.has(undefined)) return undefined;
  const remainingNames = new Map(
    teacherLayers.flatMap(({ node, name }) => (names.has(name) ? [[node, name] as const] : [])),
  );
  const studentStates: State[] = [];
  let previousCount = 0;
  for (const state of states) {
    const expectedNames = namesBefore(state.value, remainingNames);
    if (expectedNames.size === previousCount) continue; // No layer of this block is left.
    previousCount = expectedNames.size;
    const value = student.graph.value(state.value.name);
    if (value === undefined) return undefined;
    const studentNames = namesBefore(value, originals);
    if (studentNames.size !== expectedNames.size || ![...expectedNames].every((name) => studentNames.has(name)))
      return undefined;
    studentStates.push({ value, resolution: resolutionOf(value, inference) });
  }
  return studentStates;
}

/** Returns the name if `names` has it, or the name of the layer that a factor replaces ("fc1" for "fc1.down"). Undefined if `names` has neither. */
export function originalName(name: string, names: ReadonlySet<string>): string | undefined {
  if (names.has(name)) return name;
  const end = name.lastIndexOf(".");
  return end < 0 ? undefined : originalName(name.slice(0, end), names);
}

function namesBefore(value: Value, names: ReadonlyMap<Node, string | undefined>): ReadonlySet<string | undefined> {
  const seen = new Set<Node>();
  const pending = [value];
  while (pending.length > 0) {
    const node = pending.pop()?.producer;
    if (node === undefined || seen.has(node)) continue;
    seen.add(node);
    pending.push(...usedValues(node));
  }
  return new Set([...seen].flatMap((node) => (names.has(node) ? [names.get(node)] : [])));
}

/** Returns the block outputs of a network. A model output counts only if a repeated block computes it; others are the network's predictions. */
function statesOf(model: Model): States {
  const { graph } = model;
  const inference = infer(model);
  const { blocks: all, repeats } = blocks(model, inference);
  const blockInputs = new Set(all.flatMap(({ inputs }) => inputs));
  const minLayers = all.some((block) => block.layers.length > 1) ? 2 : 1;
  const repeated = repeats.flat().filter((block) => block.layers.length >= minLayers);
  const states: BlockState[] = [];
  let isInsideBlock = false;
  for (const block of all) {
    const isState = minLayers > 1 && repeated.includes(block);
    const value = block.outputs.find((output) => blockInputs.has(output)) ?? (isState ? block.outputs[0] : undefined);
    const size = block.layers.length;
    // An activation after a block belongs to the block if it preserves the shape. A normalization with weights does not belong to it.
    const previous = states.at(-1);
    const [node, ...moreNodes] = block.nodes;
    const isUnweighted =
      size === 0 && moreNodes.length === 0 && node?.inputs.some((input) => isArray(input, inference)) === false;
    const continuesBlock = isUnweighted && previous !== undefined && sizesOf(value) === sizesOf(previous.value);
    isInsideBlock = size > 0 ? size >= minLayers : isInsideBlock && continuesBlock;
    if (value === undefined || !isInsideBlock || (graph.isOutput(value) && !isState)) continue;
    const state = { value, nodes: block.nodes, layers: size, resolution: resolutionOf(value, inference) };
    if (continuesBlock) states.pop();
    states.push(
      continuesBlock ? { ...state, nodes: [...previous.nodes, ...block.nodes], layers: previous.layers } : state,
    );
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

/** If only the other network has repeated blocks, joins consecutive blocks of this network until each has as many layers as a repeated block. */
function joinToGranularity(
  { repeated: reference }: States,
  { states, blocks: all, repeated }: States,
): readonly BlockState[] {
  if (repeated !== undefined || reference === undefined) return states;
  const joinedStates: BlockState[] = [];
  let [nodes, layerCount]: [Node[], number] = [[], 0];
  for (const [index, state] of states.entries()) {
    nodes.push(...state.nodes);
    layerCount += state.layers;
    const isOnlyBlock = joinedStates.length === 0 && index === states.length - 1;
    if (layerCount < reference.layers.length && !isOnlyBlock) continue;
    joinedStates.push({ ...extendToMatch(reference, { ...state, nodes }, all), layers: layerCount });
    [nodes, layerCount] = [[], 0];
  }
  return joinedStates;
}

/** Extends a block by nodes after its last layer so that as many trailing operators as possible equal those of the reference block. */
function extendToMatch(reference: Block, state: BlockState, all: readonly Block[]): BlockState {
  const last = state.nodes.at(-1);
  let end = state;
  let best = state;
  for (const block of all.slice(all.findIndex(({ nodes }) => nodes.at(-1) === last) + 1)) {
    const [value] = block.outputs;
    if (value === undefined || block.layers.length > 0 || sizesOf(value) !== sizesOf(state.value)) break;
    end = { ...end, value, nodes: [...end.nodes, ...block.nodes] };
    if (countEqualEndings(reference.nodes, end.nodes) > countEqualEndings(reference.nodes, best.nodes)) best = end;
  }
  return best;
}

function countEqualEndings(a: readonly Node[], b: readonly Node[]): number {
  let count = 0;
  while (count < a.length && a.at(-1 - count)?.op === b.at(-1 - count)?.op) count++;
  return count;
}

const sizesOf = (value: Value | undefined): string => dimsText(value?.type?.dims);
